"""What happens inside an episode: the predictions for every image after each inner step."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from mamltui.maml.chunks import choose_task_chunk
from mamltui.maml.episode import Episodes
from mamltui.maml.evaluate import StepScores
from mamltui.maml.inner import InnerLoop
from mamltui.maml.losses import loss_of
from mamltui.maml.outer import adapted_step_by_step
from mamltui.maml.parameters import Network, Parameters


class Predictions(NamedTuple):
    """A set of images after 0, 1, ..., steps inner steps; float64, on the CPU."""

    probabilities: Tensor
    """[tasks, steps + 1, images, way]; the last dimension sums to 1."""
    scores: StepScores
    """[tasks, steps + 1] each."""


class Adaptation(NamedTuple):
    """A batch of tasks while it is adapted to.

    Both sets are normalised with their own statistics, as in the MAML paper (transductive).
    """

    support: Predictions
    query: Predictions


def adapt(
    network: Network,
    inner: InnerLoop,
    parameters: Parameters,
    episodes: Episodes,
    *,
    steps: int,
    should_stop: Callable[[], bool] | None = None,
) -> Adaptation:
    """Adapt ``steps`` inner steps to each task, and look at all its images after every one.

    Parameters are detached after each step: besides the probabilities, memory does not grow with
    ``steps``.

    Args:
        should_stop: asked before each inner step.

    Raises:
        Interrupted: ``should_stop`` said so.
    """
    chunks = episodes.chunks(choose_task_chunk(network, 0, episodes))
    parts = [_adapt(network, inner, parameters, chunk, steps, should_stop) for chunk in chunks]

    def joined(kind: int) -> Predictions:
        probabilities, losses, accuracies = (
            torch.cat([part[kind][field] for part in parts]) for field in range(3)
        )
        return Predictions(probabilities, StepScores(losses, accuracies))

    return Adaptation(support=joined(0), query=joined(1))


def _adapt(
    network: Network,
    inner: InnerLoop,
    parameters: Parameters,
    episodes: Episodes,
    steps: int,
    should_stop: Callable[[], bool] | None,
) -> list[list[Tensor]]:
    """Support, query: each probabilities [tasks, steps + 1, images, way], losses, accuracies."""
    collected: list[list[list[Tensor]]] = [[[], [], []] for _ in range(2)]

    loss = loss_of(network)

    def collect(kind: int, logits: Tensor, labels: Tensor) -> None:
        collected[kind][0].append(logits.double().softmax(dim=2).cpu())
        collected[kind][1].append(loss.per_task(logits, labels).double().cpu())
        collected[kind][2].append(loss.accuracy(logits, labels).double().cpu())

    passes = adapted_step_by_step(
        network, inner, parameters, episodes, steps, should_stop=should_stop
    )
    for adapted in passes:
        collect(0, adapted.support.logits, episodes.support_y)
        collect(1, adapted.query(None).logits, episodes.query_y)
    return [[torch.stack(values, dim=1) for values in kind] for kind in collected]
