"""What stands on the Evaluate screen: results that are kept, those of the sweep, and gaps."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from mamltui.results import (
    Comparison,
    Evaluation,
    Figure,
    Grid,
    GridRow,
    StepResult,
    compare_with_published,
    grids,
)
from mamltui.runs import ListedRun
from mamltui.runs.differing import short_labels
from mamltui.tui.evaluate.candidates import Settings, known_evaluation, unmeasured
from mamltui.tui.evaluate.cells import UNKNOWN_STEPS, Section
from mamltui.tui.evaluate.sweep import OVER, Part, Sweep


class Board:
    """Finds for a run and settings what is known of it.

    Attributes:
        sweep: the last one, also when it is over.
    """

    def __init__(self) -> None:
        self.sweep: Sweep | None = None

    def part(self, run: ListedRun, settings: Settings) -> Part | None:
        """What the last sweep knows of a run, if it was of these settings."""
        if self.sweep is None or self.sweep.settings != settings:
            return None
        return self.sweep.parts.get(run.name)

    def finished(self, run: ListedRun, settings: Settings) -> Evaluation | None:
        """The whole result, of the last sweep or an earlier one."""
        part = self.part(run, settings)
        if part is not None and part.state == "done":
            return part.evaluation
        return known_evaluation(run, settings, run.evaluations)

    def evaluation(self, run: ListedRun, settings: Settings) -> Evaluation:
        """The best that is known: the sweep at work, a whole result, part of one, or gaps."""
        part = self.part(run, settings)
        partial = part.evaluation if part is not None else None
        if partial is not None and part is not None and part.state == "evaluating":
            return partial
        return self.finished(run, settings) or partial or unmeasured(run, settings)

    def status(self, run: ListedRun, settings: Settings) -> str:
        """How far it is, for a narrow column: a word, or the number of episodes."""
        part = self.part(run, settings)
        if part is not None and (part.state not in OVER or part.problem):
            if part.state == "evaluating" and part.evaluation is not None:
                return f"{part.evaluation.episodes:,} ..."
            return part.state
        finished = self.finished(run, settings)
        if finished is not None:
            return f"{finished.episodes:,} ep"
        return part.state if part is not None else ""

    def sections(
        self, runs: Sequence[ListedRun], settings: Settings, statistics: str
    ) -> list[Section]:
        """The grids of ``runs``, a section each."""
        runs = [run for run in runs if run.profile is not None]
        evaluations = [self.evaluation(run, settings) for run in runs]
        status = {run.name: self.status(run, settings) for run in runs}
        labels = short_labels(runs)
        return [
            _section(grid, evaluations, status, labels)
            for grid in [
                *grids(evaluations, statistics),
                *_of_one_kind(evaluations, statistics),
            ]
        ]


def _of_one_kind(evaluations: Sequence[Evaluation], statistics: str) -> list[Grid]:
    """The grids of those that have no such statistics, by the only kind that they have."""
    others = [each for each in evaluations if statistics not in each.statistics]
    return grids(others, others[0].statistics[0]) if others else []


def _section(
    grid: Grid,
    evaluations: Sequence[Evaluation],
    status: dict[str, str],
    labels: dict[str, str],
) -> Section:
    evaluation = next(item for item in evaluations if item.task == grid.task)
    title, reference = f"{grid.task}, {grid.split} split", None
    comparison = first_comparison(evaluation, grid.statistics)
    if comparison is not None:
        figure = comparison.figure
        reference = float(figure.value)
        title += f"   {figure.whose} {figure.printed}"
        grid = replace(grid, rows=(*grid.rows, _published_row(grid, figure, evaluation)))
    published = {row.label: _short(row.label) for row in grid.rows if row.label not in labels}
    return Section(grid, title, reference, status, labels | published)


def _short(source: str) -> str:
    """What a published row is called where there is little room: neither whole nor by its year."""
    return source.partition(" (")[0].removeprefix("the ").removesuffix("'s")


def _published_row(grid: Grid, figure: Figure, evaluation: Evaluation) -> GridRow:
    """What was published, in the column of the headline: it is said for no other step."""
    factor, unknown = figure.metric.factor, float("nan")
    value = float(figure.value) / factor
    ci95 = unknown if figure.interval is None else float(figure.interval) / factor
    scores = (None, unknown, value, ci95) if figure.metric.is_error else (value, ci95)
    result = StepResult(evaluation.test_steps, *scores, *(unknown,) * (4 - len(scores)))
    cells = tuple(result if step == evaluation.test_steps else None for step in grid.steps)
    return GridRow(figure.whose, UNKNOWN_STEPS, None, cells)


def first_comparison(evaluation: Evaluation, statistics: str) -> Comparison | None:
    """With the first published figure of the same kind of statistics: MAML's own, if there is."""
    return next(
        (item for item in compare_with_published(evaluation) if item.statistics == statistics), None
    )
