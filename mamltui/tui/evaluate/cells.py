"""What the cells of a result grid say, and which of them are the best."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from mamltui.results import Grid, GridRow, StepResult

Shown = Literal["accuracy", "loss", "difference"]
SHOWN: tuple[Shown, ...] = ("accuracy", "loss", "difference")
"""What a cell can show."""
SHOWN_WORDS = {
    "accuracy": "accuracy %",
    "loss": "loss",
    "difference": "to published",
}
MISSING = "·"
UNKNOWN_STEPS = -1
"""Inner steps in training of a published result that does not say them."""


@dataclass(frozen=True)
class Section:
    """One grid of the screen: a task and split, with a title."""

    grid: Grid
    title: str
    reference: float | None = None
    """The published score that differences are taken to, as people read it."""
    status: Mapping[str, str] = field(default_factory=dict)
    """How far each run is, in a word or number, by its name."""
    labels: Mapping[str, str] = field(default_factory=dict)
    """What each run is called here, by its name."""

    def label(self, row: GridRow) -> str:
        """What stands before a row; to be shown literally."""
        return self.labels.get(row.label, row.label)


def is_measured(cell: StepResult | None) -> bool:
    return cell is not None and not math.isnan(cell.score.value)


def cell_parts(cell: StepResult | None, shown: Shown, reference: float | None) -> tuple[str, str]:
    """The value and its interval; the interval is empty where it is not known or not shown."""
    if cell is None:
        return "", ""
    if not is_measured(cell):
        return MISSING, ""
    if shown == "loss":
        return (MISSING if math.isnan(cell.loss) else f"{cell.loss:.4f}"), ""
    if shown == "difference":
        return ("", "") if reference is None else (to_reference(cell, reference), "")
    metric, value, ci95 = cell.score.metric, cell.score.value, cell.score.ci95
    return metric.number(value), "" if math.isnan(ci95) else f"±{metric.number(ci95)}"


def to_reference(cell: StepResult, reference: float) -> str:
    """The difference to a published score, with its sign."""
    metric = cell.score.metric
    return f"{metric.factor * cell.score.value - reference:+.{metric.decimals}f}"


def best_column(row: GridRow, shown: Shown) -> int | None:
    """The first column with the best score of a row; None if nothing is measured."""
    measured = [column for column, cell in enumerate(row.cells) if is_measured(cell)]
    return max(measured, key=lambda column: _goodness(row.cells[column], shown), default=None)


def best_row(rows: Sequence[GridRow], shown: Shown) -> int | None:
    """The first row of a run, not a published one, that holds the best score of all."""
    scores = {}
    for index, row in enumerate(rows):
        column = best_column(row, shown)
        if row.headline is not None and column is not None:
            scores[index] = _goodness(row.cells[column], shown)
    return max(scores, key=lambda index: scores[index], default=None)


def _goodness(cell: StepResult | None, shown: Shown) -> tuple[float, float]:
    """Greater is better: by the loss where it is shown, else by the score, then by the loss."""
    assert cell is not None
    score = cell.score
    return (-cell.loss, 0.0) if shown == "loss" else (-score.metric.rank(score.value), -cell.loss)
