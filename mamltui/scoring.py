"""Scores of episodes, chunk after chunk, and what they are together: means, intervals, outcomes."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial

import torch
from torch import Tensor

from mamltui.data.sampling import Sampler
from mamltui.maml.engine import Engine
from mamltui.maml.episode import Episodes
from mamltui.maml.evaluate import StepScores, mean_and_ci95
from mamltui.maml.learner import Learner
from mamltui.maml.memory import halving, memory_explained
from mamltui.maml.parameters import Network, Parameters
from mamltui.maml.ranks import Ranks
from mamltui.maml.shared_engine import SharedEngine
from mamltui.maml.strategies import Case, why_not
from mamltui.profiles import Profile
from mamltui.results import STATISTICS, Outcomes, StepResult
from mamltui.score import Metric
from mamltui.statistics import Z95, Reliability, student_quantile

ShouldStop = Callable[[], bool]
Results = dict[str, tuple[StepResult, ...]]
"""For each of ``STATISTICS``, the scores in the order of the steps."""
BLOCK_BYTES = {"cpu": 256 * 2**20, "cuda": 8 * 2**30}
"""Memory for the episodes scored at once: fixed, for the same rounding at every repetition."""


def score_chunks(
    profile: Profile,
    learner: Learner,
    members: Sequence[Parameters],
    sampler: Sampler,
    *,
    steps: int,
    episodes: int,
    device: torch.device,
    should_stop: ShouldStop | None,
    say: Callable[[str], None] | None,
    ranks: Ranks | None,
) -> Iterator[dict[str, StepScores]]:
    """The scores of the episodes in order, a chunk at a time, for each of ``STATISTICS``."""
    network, inner = learner.network, learner.inner
    asked = profile.engine.strategy
    strategy = "auto" if why_not(asked, Case(network, inner, device)) else asked
    make = Engine if ranks is None else partial(SharedEngine, ranks)
    engine = make(
        network,
        inner,
        device=device,
        strategy=strategy,
        task_chunk=profile.engine.task_chunk,
        say=say,
        should_stop=should_stop,
    )
    score = partial(engine.score_ensemble, members)
    if len(members) == 1:
        score = partial(engine.score, members[0])
    first = 0
    block = block_size(profile, network, device) * (1 if ranks is None else ranks.size)
    remedy = "look for a machine with more of it: one episode alone does not fit"
    if device.type != "cpu":
        remedy = "evaluate on the processor: --device cpu"

    def drawn(size: int) -> Episodes:
        return sampler.batch(first, min(size, episodes - first), device=device)

    while first < episodes:
        with memory_explained(remedy):
            batch, block = halving(drawn, block, say or (lambda _: None), of="episodes")
        for chunk in batch.chunks(engine.tasks_at_once(batch)):
            with memory_explained(remedy):
                scores = score(chunk, steps=steps, should_stop=should_stop)
            assert scores.support_statistics is not None
            yield {"transductive": scores.transductive, "support": scores.support_statistics}
        first += batch.tasks


def block_size(profile: Profile, network: Network, device: torch.device) -> int:
    """Episodes scored at once: at least 1, and no more than ``BLOCK_BYTES`` hold."""
    classes = 1 if profile.is_regression else profile.task.way
    images = classes * (profile.task.shot + profile.task.query)
    floats_a_task = images * network.floats_an_image() + 4 * network.parameter_count()
    fitting = max(1, BLOCK_BYTES[device.type] // (4 * floats_a_task))
    return min(fitting, profile.engine.task_chunk or fitting)


class RunningScores:
    """Means and intervals of the episodes so far, which are not gone through again."""

    def __init__(self, steps: Sequence[int], metric: Metric) -> None:
        self._steps = steps
        self._metric = metric
        self._tasks = 0
        self._mean = self._squares = torch.zeros((), dtype=torch.float64)

    def add(self, scores: dict[str, StepScores]) -> None:
        """Take in the scores of more tasks (Chan, Golub and LeVeque 1979)."""
        # [tasks, statistics, accuracy or loss, steps + 1]
        values = torch.stack(
            [torch.stack([scores[kind].accuracy, scores[kind].loss], dim=1) for kind in STATISTICS],
            dim=1,
        )
        tasks, mean = values.shape[0], values.mean(dim=0)
        total, apart = self._tasks + tasks, mean - self._mean
        within = (values - mean).square().sum(dim=0)
        self._squares = self._squares + within + apart.square() * (self._tasks * tasks / total)
        self._mean = self._mean + apart * (tasks / total)
        self._tasks = total

    def results(self) -> Results:
        """As of all the tasks at once, but for rounding."""
        deviation = (self._squares / (self._tasks - 1)).sqrt()
        half_width = Z95 * deviation / self._tasks**0.5
        return {
            kind: _step_results(
                (self._mean[index, 0], half_width[index, 0]),
                (self._mean[index, 1], half_width[index, 1]),
                self._steps,
                self._metric,
            )
            for index, kind in enumerate(STATISTICS)
        }


def only_after(scores: StepScores, steps: int) -> StepScores:
    """The same with the answers given after ``steps`` inner steps alone, [tasks, examples, 2]."""
    assert scores.answers is not None
    return scores._replace(answers=scores.answers[:, steps].clone())


def final_results(
    chunks: Sequence[dict[str, StepScores]], steps: Sequence[int], disjoint: bool, metric: Metric
) -> Results:
    def mean_and_half_width(values: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        mean, half_width = mean_and_ci95(torch.cat(list(values)))
        if disjoint:  # samples of the data, and often few: as ``image_interval`` has it
            tasks = sum(map(len, values))
            half_width = half_width * (student_quantile(0.975, tasks - 1) / Z95)
        return mean, half_width

    return {
        kind: _step_results(
            mean_and_half_width([chunk[kind].accuracy for chunk in chunks]),
            mean_and_half_width([chunk[kind].loss for chunk in chunks]),
            steps,
            metric,
        )
        for kind in STATISTICS
    }


def outcomes_of(
    chunks: Sequence[StepScores], class_index: Tensor, classes: Sequence[int]
) -> Outcomes:
    """Of the answers at the headline.

    Args:
        class_index: [tasks, way], the classes of each episode.
        classes: those of the split.
    """
    answers = torch.cat([chunk.answers for chunk in chunks if chunk.answers is not None])
    right, confidence = answers.double().unbind(dim=-1)
    tasks, way = class_index.shape
    index_of = torch.full((max(classes) + 1,), -1)
    index_of[torch.tensor(classes)] = torch.arange(len(classes))
    drawn = index_of[class_index]
    right_of_class = right.view(tasks, way, -1).sum(dim=2)
    asked = torch.full_like(right_of_class, right.shape[1] // way)
    zeros = torch.zeros(len(classes), dtype=torch.float64)

    def counts(values: Tensor) -> tuple[int, ...]:
        return tuple(int(value) for value in values.tolist())

    return Outcomes(
        right=counts(right.sum(dim=1)),
        class_right=counts(zeros.index_add(0, drawn.flatten(), right_of_class.flatten())),
        class_queries=counts(zeros.index_add(0, drawn.flatten(), asked.flatten())),
        reliability=Reliability.of(confidence.flatten().tolist(), right.flatten().tolist()),
    )


def _step_results(
    accuracy: tuple[Tensor, Tensor],
    loss: tuple[Tensor, Tensor],
    steps: Sequence[int],
    metric: Metric,
) -> tuple[StepResult, ...]:
    """Of means and half widths, each [all steps], what was found after each of ``steps``."""
    columns = [tensor.tolist() for tensor in (*accuracy, *loss)]
    rows = [StepResult(step, *(column[step] for column in columns)) for step in steps]
    if metric.is_error:
        rows = [replace(row, accuracy=None, accuracy_ci95=math.nan) for row in rows]
    return tuple(rows)
