"""Plots of single runs, as the report of a study draws its cells."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from mamltui.errors import UsageError
from mamltui.events import Step
from mamltui.results import Evaluation, kept_evaluations
from mamltui.runs import RunFolder
from mamltui.studies import plots
from mamltui.studies.arms import Curve, Trained
from mamltui.studies.document import Picture
from mamltui.studies.plots import LINES, Line, Panel


def plot_runs(runs: Sequence[RunFolder]) -> Picture:
    """Training and validation curves of runs, and their test accuracy by inner steps if there is.

    Raises:
        UsageError: more runs than lines can be told apart, or nothing has been logged yet.
        RunError: a run is damaged.
    """
    if len(runs) > LINES:
        raise UsageError(
            f"{len(runs)} runs are more than can be told apart in one plot",
            hint=f"Up to {LINES} at once.",
        )
    trained = [Trained.read(run) for run in runs]
    if not any(each.steps or each.validations for each in trained):
        raise UsageError("nothing has been logged yet, so there is nothing to draw")
    labels = _labels(runs)

    def lines(curve: Callable[[Trained], Curve], factor: float) -> tuple[Line, ...]:
        found = [curve(each) for each in trained]
        return tuple(
            Line(label, ((each.iterations, [factor * value for value in each.values]),))
            for label, each in zip(labels, found, strict=True)
        )

    def accuracy(step: Step) -> float:
        return step.query_accuracy

    def loss(step: Step) -> float:
        return step.query_loss

    panels = [
        Panel(
            "training tasks",
            "iterations",
            "accuracy %",
            lines(lambda each: each.training(accuracy), 100),
        ),
        Panel("validation", "iterations", "accuracy %", lines(Trained.validation, 100)),
        Panel(
            "training tasks",
            "iterations",
            "query loss, nats",
            lines(lambda each: each.training(loss), 1),
        ),
    ]
    tested = [
        (label, evaluation)
        for label, run in zip(labels, runs, strict=True)
        if (evaluation := _newest(run)) is not None
    ]
    if any(len(evaluation.steps) > 1 for _, evaluation in tested):
        panels.append(
            Panel(
                "test",
                "inner steps at test",
                "accuracy %",
                tuple(Line(label, (_by_steps(evaluation),)) for label, evaluation in tested),
                marks=True,
            )
        )
    return plots.curves("runs", f"Curves of {', '.join(labels)}", panels)


def _labels(runs: Sequence[RunFolder]) -> list[str]:
    """The profiles' names where they tell the runs apart, else the runs' names."""
    names = [run.profile.name for run in runs]
    return names if len(set(names)) == len(names) else [run.name for run in runs]


def _newest(run: RunFolder) -> Evaluation | None:
    """The test of the best checkpoint with the most steps."""
    plain = [each for each in kept_evaluations(run.evaluation) if each.is_plain]
    return max(plain, key=lambda each: (each.iteration, len(each.steps)), default=None)


def _by_steps(evaluation: Evaluation) -> tuple[list[float], list[float]]:
    return (
        [float(result.steps) for result in evaluation.transductive],
        [100 * result.accuracy for result in evaluation.transductive],
    )
