"""One plot of single runs: their training curves, and their test by inner steps."""

from __future__ import annotations

from collections.abc import Sequence

from mamltui.errors import UsageError
from mamltui.results import Evaluation, kept_evaluations
from mamltui.runs import RunFolder
from mamltui.studies import plots
from mamltui.studies.curves import TrainingLog, steps_panel, training_panels
from mamltui.studies.document import Picture


def plot_runs(runs: Sequence[RunFolder]) -> Picture:
    """Training and validation curves of runs, and their test accuracy by inner steps if there is.

    Raises:
        UsageError: more runs than lines can be told apart, or nothing has been logged yet.
        RunError: a run is damaged.
    """
    if len(runs) > plots.LINES:
        raise UsageError(
            f"{len(runs)} runs are more than can be told apart in one plot",
            hint=f"Up to {plots.LINES} at once.",
        )
    logs = [TrainingLog.read(run) for run in runs]
    if not any(log.steps or log.validations for log in logs):
        raise UsageError("nothing has been logged yet, so there is nothing to draw")
    labels = _labels(runs)
    panels = training_panels([(label, [log]) for label, log in zip(labels, logs, strict=True)])
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
