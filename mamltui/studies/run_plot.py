"""One plot of single runs: their training curves, and their test by inner steps."""

from __future__ import annotations

import csv
import math
from collections.abc import Sequence
from pathlib import Path

from mamltui.errors import UsageError
from mamltui.results import Evaluation, kept_evaluations
from mamltui.runs import RunFolder
from mamltui.score import ACCURACY
from mamltui.studies import plots
from mamltui.studies.curves import (
    TimedLine,
    TrainingLog,
    minutes_panel,
    steps_panel,
    training_panels,
)
from mamltui.studies.document import Picture

COLUMNS = ("minutes", "accuracy")
"""Of a CSV, among others: minutes of training by the clock, and accuracy in percent."""
CORE_MINUTES = "core_minutes"
"""Of the processors; this column may be missing."""
LARGEST = 10_000_000
"""Bytes of a CSV."""


def read_minutes(path: Path) -> TimedLine:
    """From a CSV with a header line and the columns ``COLUMNS``, and ``core_minutes`` if it has it.

    Raises:
        UsageError: it cannot be read, or a line is not as it should be.
    """
    try:
        if path.stat().st_size > LARGEST:
            raise UsageError(f"more than {LARGEST:,} bytes", where=str(path))
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, ValueError) as error:
        raise UsageError(f"cannot be read: {error}", where=str(path)) from error
    rows = csv.DictReader(lines)
    names = rows.fieldnames or ()
    if missing := [name for name in COLUMNS if name not in names]:
        raise UsageError(
            f"there is no column {' and no column '.join(missing)}",
            where=str(path),
            hint="A CSV begins with a line of names: minutes and accuracy (in percent).",
        )
    wanted = (*COLUMNS, CORE_MINUTES) if CORE_MINUTES in names else COLUMNS
    columns: list[list[float]] = [[] for _ in wanted]
    for number, row in enumerate(rows, start=2):
        try:
            point = [float(row[name] or "") for name in wanted]
        except ValueError:
            point = [math.nan]
        if not all(map(math.isfinite, point)):
            raise UsageError("two numbers are needed", where=f"{path}:{number}")
        for column, value in zip(columns, point, strict=True):
            column.append(value)
    minutes, accuracy, *others = map(tuple, columns)
    return TimedLine(path.stem, minutes, others[0] if others else None, accuracy)


def plot_runs(
    runs: Sequence[RunFolder], files: Sequence[TimedLine] = (), *, by_minutes: bool = False
) -> Picture:
    """Training and validation curves of runs, and their test score by inner steps if there is.

    Args:
        files: drawn beside them, ``by_minutes`` alone.
        by_minutes: the validation score against minutes of training instead of all that.

    Raises:
        UsageError: more runs than lines can be told apart, or nothing has been logged yet.
        RunError: a run is damaged.
    """
    if len(runs) + len(files) > plots.LINES:
        raise UsageError(
            f"{len(runs) + len(files)} runs are more than can be told apart in one plot",
            hint=f"Up to {plots.LINES} at once.",
        )
    metrics = {run.profile.metric for run in runs} | ({ACCURACY} if files else set())
    if len(metrics) > 1:
        raise UsageError(
            "runs that fit waves have errors and the others accuracies, which share no axis",
            hint="Plot them apart.",
        )
    metric = metrics.pop()
    logs = [TrainingLog.read(run) for run in runs]
    if not (files or any(log.steps or log.validations for log in logs)):
        raise UsageError("nothing has been logged yet, so there is nothing to draw")
    labels = _labels(runs)
    labelled = [(label, [log]) for label, log in zip(labels, logs, strict=True)]
    if by_minutes:
        names = ", ".join([*labels, *(file.label for file in files)])
        alt = f"Validation {metric.name} against minutes of training: {names}"
        return plots.curves("runs", alt, [minutes_panel(labelled, files, metric)])
    panels = training_panels(labelled, metric)
    tested = [
        (label, [evaluation])
        for label, run in zip(labels, runs, strict=True)
        if (evaluation := _newest(run)) is not None
    ]
    if any(len(evaluation.steps) > 1 for _, (evaluation,) in tested):
        panels.append(steps_panel(tested))
    return plots.curves("runs", f"Curves of {', '.join(labels)}", panels)


def _labels(runs: Sequence[RunFolder]) -> list[str]:
    """The profiles' names where they tell the runs apart, else the runs' names."""
    names = [run.profile.name for run in runs]
    return names if len(set(names)) == len(names) else [run.name for run in runs]


def _newest(run: RunFolder) -> Evaluation | None:
    """The test of the best checkpoint with the most steps."""
    plain = [each for each in kept_evaluations(run.evaluation) if each.is_plain]
    return max(plain, key=lambda each: (each.iteration, len(each.steps)), default=None)
