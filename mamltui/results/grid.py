"""Inner steps in training by inner steps at test: the grid that several runs make."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from mamltui.results.evaluation import Evaluation, StepResult
from mamltui.results.published import published_sweeps
from mamltui.score import ACCURACY, Metric


@dataclass(frozen=True)
class GridRow:
    """One run, or one published row, of a grid."""

    label: str
    train_steps: int
    headline: int | None
    """Test steps of the run's profile; None for a published row."""
    cells: tuple[StepResult | None, ...]
    """One a column of the grid; None where that step count was not measured."""


@dataclass(frozen=True)
class Grid:
    """Inner steps in training (rows) by inner steps at test (columns), for one task and split."""

    task: str
    split: str
    statistics: str
    steps: tuple[int, ...]
    rows: tuple[GridRow, ...]
    metric: Metric = ACCURACY

    @property
    def cells_in_words(self) -> str:
        """What stands in a cell."""
        if self.metric.is_error:
            return f"{self.metric.name} with its 95% interval"
        return "accuracy in percent with its 95% interval, and loss in nats"


def grids(evaluations: Sequence[Evaluation], statistics: str = "transductive") -> list[Grid]:
    """One grid for each task and split among ``evaluations``, its rows by training steps.

    The rows of an earlier published grid follow those of runs of the same task on the test split,
    beside the paper's kind of statistics.
    """
    groups: dict[tuple[str, str], list[Evaluation]] = {}
    for evaluation in evaluations:
        if statistics in evaluation.statistics:
            groups.setdefault((evaluation.task, evaluation.split), []).append(evaluation)
    result = []
    for (task, split), group in groups.items():
        steps = tuple(sorted({step for evaluation in group for step in evaluation.steps}))
        rows = [
            _row(item.run, item.train_steps, item.test_steps, steps, item.results(statistics))
            for item in sorted(group, key=lambda item: item.train_steps)
        ]
        if split == "test" and statistics == "transductive":
            rows += _published_rows(task, steps)
        result.append(Grid(task, split, statistics, steps, tuple(rows), group[0].metric))
    return result


def _row(
    label: str,
    train_steps: int,
    headline: int | None,
    steps: Sequence[int],
    results: Iterable[StepResult],
) -> GridRow:
    by_step = {result.steps: result for result in results}
    return GridRow(label, train_steps, headline, tuple(by_step.get(step) for step in steps))


def _published_rows(task: str, steps: Sequence[int]) -> list[GridRow]:
    return [
        _row(sweep.source, sweep.train_steps, None, steps, sweep.results)
        for sweep in published_sweeps()
        if sweep.task == task and any(result.steps in steps for result in sweep.results)
    ]
