"""Loss and accuracy after each inner step, on episodes of any split, without second derivatives."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from mamltui.maml.chunks import choose_task_chunk
from mamltui.maml.episode import Episodes
from mamltui.maml.inner import InnerLoop
from mamltui.maml.losses import loss_of
from mamltui.maml.outer import Backend, adapted_step_by_step, usual_backend
from mamltui.maml.parameters import Network, Parameters


class StepScores(NamedTuple):
    """Scores of each task after 0, 1, ..., steps inner steps; [tasks, steps + 1] float64, CPU."""

    loss: Tensor
    """Mean cross-entropy in nats; of a regression the mean squared error."""
    accuracy: Tensor
    """Fraction of examples right; of a regression zeros."""
    answers: Tensor | None = None
    """[tasks, steps + 1, examples, 2] float32, CPU: 1 where the answer is right, else 0, and the
    probability that it was given; of a regression zeros. None of the support set."""

    @classmethod
    def joined(cls, parts: Sequence[StepScores]) -> StepScores:
        """Of the tasks of all ``parts``, in order."""
        answers = [part.answers for part in parts if part.answers is not None]
        return cls(
            torch.cat([part.loss for part in parts]),
            torch.cat([part.accuracy for part in parts]),
            torch.cat(answers) if answers else None,
        )


class Scores(NamedTuple):
    """What adapting to a batch of episodes gives."""

    transductive: StepScores
    """Query set, normalised with its own statistics, as in the MAML paper."""
    support_statistics: StepScores | None
    """Query set, normalised with the support set's statistics: no query sees another."""
    support: StepScores
    """The support set itself."""

    @classmethod
    def joined(cls, parts: Sequence[Scores]) -> Scores:
        """Of the tasks of all ``parts``, in order."""
        support_statistics = [
            part.support_statistics for part in parts if part.support_statistics is not None
        ]
        return cls(
            StepScores.joined([part.transductive for part in parts]),
            StepScores.joined(support_statistics) if support_statistics else None,
            StepScores.joined([part.support for part in parts]),
        )

    @classmethod
    def of(cls, scores: Tensor, answers: Tensor, support_statistics: bool) -> Scores:
        """From scores [tasks, 3, 2, steps + 1] in this order, each loss and accuracy.

        Args:
            answers: [tasks, 2, steps + 1, examples, 2] of the first two of the three.
        """
        losses, accuracies = scores.unbind(dim=2)
        own, again, support = zip(losses.unbind(dim=1), accuracies.unbind(dim=1), strict=True)
        return cls(
            StepScores(*own, answers[:, 0]),
            StepScores(*again, answers[:, 1]) if support_statistics else None,
            StepScores(*support),
        )


def score(
    network: Network,
    inner: InnerLoop,
    parameters: Parameters,
    episodes: Episodes,
    *,
    steps: int,
    support_statistics: bool = True,
    task_chunk: int = 0,
    backend: Backend = usual_backend,
    should_stop: Callable[[], bool] | None = None,
) -> Scores:
    """Adapt ``steps`` inner steps to each episode and score the query set after every one.

    A sweep over step counts costs one adaptation of the longest. Parameters are detached after each
    step, so memory does not grow with ``steps``; ``task_chunk`` tasks at once (0: chosen) bound it.
    ``should_stop`` is asked before each inner step of a chunk.

    Raises:
        Interrupted: ``should_stop`` said so.
    """
    chunks = episodes.chunks(task_chunk or choose_task_chunk(network, 0, episodes))
    scored = (
        _score(network, inner, parameters, chunk, steps, support_statistics, backend, should_stop)
        for chunk in chunks
    )
    parts = list(zip(*scored, strict=True))

    def joined(kind: int) -> StepScores:
        fields = zip(*parts[kind], strict=True)
        loss, accuracy, *answers = (torch.cat(field).cpu() for field in fields)
        return StepScores(loss.double(), accuracy.double(), answers[0].float() if answers else None)

    return Scores(joined(0), joined(1) if support_statistics else None, joined(2))


def _score(
    network: Network,
    inner: InnerLoop,
    parameters: Parameters,
    episodes: Episodes,
    steps: int,
    support_statistics: bool,
    backend: Backend,
    should_stop: Callable[[], bool] | None,
) -> list[list[Tensor]]:
    """Transductive, support statistics, support: each losses and accuracies [tasks, steps + 1].

    Of the first two, answers [tasks, steps + 1, examples, 2] as well.
    """
    collected: list[list[list[Tensor]]] = [[[], [], []], [[], [], []], [[], []]]

    loss = loss_of(network)

    def collect(kind: int, logits: Tensor, labels: Tensor) -> None:
        judged = (loss.per_task(logits, labels), loss.accuracy(logits, labels))
        asked = (*judged, loss.answers(logits, labels)) if kind < 2 else judged
        for values, value in zip(collected[kind], asked, strict=True):
            values.append(value)

    passes = adapted_step_by_step(
        network, inner, parameters, episodes, steps, backend=backend, should_stop=should_stop
    )
    for adapted in passes:
        collect(2, adapted.support.logits, episodes.support_y)
        collect(0, adapted.query(None).logits, episodes.query_y)
        if support_statistics:
            collect(1, adapted.query(adapted.support.statistics).logits, episodes.query_y)
    return [
        [torch.stack(values, dim=1) if values else torch.empty(0) for values in kind]
        for kind in collected
    ]


def mean_and_ci95(values: Tensor) -> tuple[Tensor, Tensor]:
    """Mean of [tasks, ...] over tasks and half its 95% interval, 1.96 sd / sqrt(tasks): [...].

    The standard deviation is the unbiased one; of a single task the half width is NaN.
    """
    deviation, mean = torch.std_mean(values, dim=0)
    return mean, 1.96 * deviation / values.shape[0] ** 0.5
