"""Several models as one, by the mean of their logits (Antoniou, Edwards and Storkey 2019)."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from mamltui.maml.chunks import choose_task_chunk
from mamltui.maml.episode import Episodes
from mamltui.maml.evaluate import Scores
from mamltui.maml.inner import InnerLoop
from mamltui.maml.losses import Loss, loss_of
from mamltui.maml.outer import adapted_step_by_step
from mamltui.maml.parameters import Network, Parameters


def ensemble_scores(
    network: Network,
    inner: InnerLoop,
    members: Sequence[Parameters],
    episodes: Episodes,
    *,
    steps: int,
    task_chunk: int = 0,
    should_stop: Callable[[], bool] | None = None,
) -> Scores:
    """Adapt each of ``members`` by itself, and score the mean of their logits after every step.

    One after another they adapt to ``task_chunk`` tasks at once (0: chosen), so memory is that of
    one. ``should_stop`` is asked before each pass of each of them over a chunk.

    Raises:
        Interrupted: ``should_stop`` said so.
    """
    loss = loss_of(network)
    parts, answers = [], []
    for chunk in episodes.chunks(task_chunk or choose_task_chunk(network, 0, episodes)):
        logits_of = [
            _logits(network, inner, parameters, chunk, steps, should_stop) for parameters in members
        ]
        labels = (chunk.query_y, chunk.query_y, chunk.support_y)
        mean = [torch.stack(logits).mean(dim=0) for logits in zip(*logits_of, strict=True)]
        parts.append(
            torch.stack([_scores(loss, *each) for each in zip(mean, labels, strict=True)], 1)
        )
        both = [loss.answers(logits, chunk.query_y).transpose(0, 1) for logits in mean[:2]]
        answers.append(torch.stack(both, dim=1))
    scores = torch.cat(parts).double().cpu()
    return Scores.of(scores, torch.cat(answers).float().cpu(), support_statistics=True)


def _logits(
    network: Network,
    inner: InnerLoop,
    parameters: Parameters,
    episodes: Episodes,
    steps: int,
    should_stop: Callable[[], bool] | None,
) -> list[Tensor]:
    """Transductive, support statistics, support: each [steps + 1, tasks, examples, way]."""
    collected: list[list[Tensor]] = [[] for _ in range(3)]
    passes = adapted_step_by_step(
        network, inner, parameters, episodes, steps, should_stop=should_stop
    )
    for adapted in passes:
        support = adapted.support
        for kind, statistics in enumerate((None, support.statistics)):
            collected[kind].append(adapted.query(statistics).logits)
        collected[2].append(support.logits)
    return [torch.stack(each) for each in collected]


def _scores(loss: Loss, logits: Tensor, labels: Tensor) -> Tensor:
    """Losses and accuracies [tasks, 2, steps + 1] of logits [steps + 1, tasks, examples, way]."""
    scores = [(loss.per_task(each, labels), loss.accuracy(each, labels)) for each in logits]
    return torch.stack([torch.stack(each, dim=1) for each in scores], dim=2)
