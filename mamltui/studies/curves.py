"""What was logged of trainings, and the panels that draw it: for reports and plots of runs."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import Literal

from mamltui.errors import MamltuiError
from mamltui.events import Step, Validated
from mamltui.measures import counted
from mamltui.results import Evaluation
from mamltui.results.published import Sweep
from mamltui.runs import RunFolder
from mamltui.score import ACCURACY, Metric
from mamltui.studies.plots import Line, Panel

LATE = 2 / 3
"""Of the training: what comes after counts for its stability and generalisation."""


@dataclass(frozen=True)
class Curve:
    """One run's values over its iterations, and over minutes of training."""

    iterations: tuple[int, ...]
    minutes: tuple[float, ...]
    """By the clock."""
    core_minutes: tuple[float, ...] | None
    """Of the processors; None: they were not counted."""
    values: tuple[float, ...]

    @classmethod
    def of(cls, events: Sequence[Step] | Sequence[Validated], values: Iterable[float]) -> Curve:
        """One value for each of ``events``."""
        processors = [event.processor_seconds for event in events]
        core_minutes = [seconds / 60 for seconds in processors if seconds is not None]
        return cls(
            tuple(event.iteration for event in events),
            tuple(event.elapsed / 60 for event in events),
            tuple(core_minutes) if len(core_minutes) == len(processors) else None,
            tuple(values),
        )


@dataclass(frozen=True)
class TrainingLog:
    """What a run folder says of a training."""

    steps: tuple[Step, ...]
    validations: tuple[Validated, ...]
    adapts_to_queries: bool = False
    """As Reptile does: its scores of training tasks are of images that it was adapted to."""

    @classmethod
    def read(cls, run: RunFolder) -> TrainingLog:
        """All logged steps and validations; of a damaged run, none."""
        try:
            steps = run.read_metrics().records
            events = [logged.event for logged in run.read_events().records]
            adapts_to_queries = run.profile.algorithm == "reptile"
        except MamltuiError:
            return cls((), ())
        validations = tuple(event for event in events if isinstance(event, Validated))
        return cls(tuple(steps), validations, adapts_to_queries)

    def validation(self) -> Curve:
        """Accuracy on the validation classes, a fraction; or error on other waves."""
        return Curve.of(self.validations, (event.score.value for event in self.validations))

    def training(self, value: Callable[[Step], float]) -> Curve:
        """A value of the training tasks, averaged over about a fiftieth of the training; of none
        where the query images are adapted to."""
        if self.adapts_to_queries:
            return Curve.of((), ())
        width = max(1, len(self.steps) // 50)
        blocks = [self.steps[at : at + width] for at in range(0, len(self.steps), width)]
        means = (statistics.fmean(value(step) for step in block) for block in blocks)
        return Curve.of([block[-1] for block in blocks], means)

    @cached_property
    def late(self) -> tuple[Step, ...]:
        """The logged steps of the last third."""
        return self.steps[round(LATE * len(self.steps)) :]

    @property
    def loss_spread(self) -> float:
        """Standard deviation of the training loss about its own straight trend in the last third,
        in nats: how unsteady a training is once it has settled. NaN of too few steps, and of losses
        that tell nothing of it."""
        losses = [step.query_loss for step in self.late]
        if len(losses) < 3 or self.adapts_to_queries:
            return math.nan
        slope, start = statistics.linear_regression(range(len(losses)), losses)
        rest = [loss - start - slope * at for at, loss in enumerate(losses)]
        return math.sqrt(math.fsum(each**2 for each in rest) / (len(rest) - 2))

    @property
    def largest_drop(self) -> float:
        """The largest fall of validation accuracy from one validation to the next, a fraction; 0
        of one that never fell, NaN of fewer than two."""
        accuracies = [event.score.value for event in self.validations]
        falls = [max(0.0, before - after) for before, after in pairwise(accuracies)]
        return max(falls, default=math.nan)

    @property
    def late_training_accuracy(self) -> float:
        """Mean query accuracy of training tasks in the last third, a fraction; NaN where the query
        images are adapted to."""
        if not self.late or self.adapts_to_queries:
            return math.nan
        return statistics.fmean(step.score.value for step in self.late)

    @property
    def late_validation_accuracy(self) -> float:
        """Mean accuracy of the validations in the last third, a fraction."""
        late = self.validations[round(LATE * len(self.validations)) :]
        return statistics.fmean(event.score.value for event in late) if late else math.nan

    @property
    def generalisation_gap(self) -> float:
        """How much better training tasks are solved than validation tasks, in the last third."""
        return self.late_training_accuracy - self.late_validation_accuracy


Axis = Literal["iterations", "minutes", "core_minutes"]
Labelled = Sequence[tuple[str, Sequence[TrainingLog]]]
"""For each line of a plot, its label and the trainings whose mean it is."""


def training_panels(labelled: Labelled, metric: Metric = ACCURACY) -> list[Panel]:
    """The score on training and on validation tasks, and training loss, over the iterations."""

    def score(log: TrainingLog) -> Curve:
        return log.training(lambda step: step.score.value)

    def loss(log: TrainingLog) -> Curve:
        return log.training(lambda step: step.query_loss)

    validation = _lines(labelled, TrainingLog.validation, metric.factor)
    panels = [
        Panel("training tasks", "iterations", metric.title, _lines(labelled, score, metric.factor)),
        Panel("validation", "iterations", metric.title, validation),
    ]
    if not metric.is_error:  # which is the loss itself
        losses = _lines(labelled, loss, 1)
        panels.append(Panel("training tasks", "iterations", "query loss, nats", losses))
    return panels


@dataclass(frozen=True)
class TimedLine:
    """Accuracy against minutes of something that is no run of mamltui."""

    label: str
    minutes: tuple[float, ...]
    """By the clock."""
    core_minutes: tuple[float, ...] | None
    """Of the processors; None: they were not counted."""
    accuracy: tuple[float, ...]
    """Percent."""


def minutes_panel(
    labelled: Labelled, others: Sequence[TimedLine] = (), metric: Metric = ACCURACY
) -> Panel:
    """The score on validation tasks over the minutes of training.

    They are those of the processors, to which other work on the machine hardly adds, where all
    that is drawn has counted them, else those of the clock.

    Args:
        others: drawn beside.
    """
    times = [line.core_minutes for line in others]
    times += [log.validation().core_minutes for _, logs in labelled for log in logs]
    are_counted = None not in times
    axis: Axis = "core_minutes" if are_counted else "minutes"
    lines = _lines(labelled, TrainingLog.validation, metric.factor, axis)
    beside = [Line(other.label, ((getattr(other, axis), other.accuracy),)) for other in others]
    name = "core minutes of training" if are_counted else "minutes of training"
    return Panel("validation", name, metric.title, (*lines, *beside))


def steps_panel(
    labelled: Sequence[tuple[str, Sequence[Evaluation]]],
    published: Sequence[tuple[int, Sweep]] = (),
) -> Panel:
    """The score on test tasks after each number of inner steps.

    Args:
        labelled: the lines; the evaluations of one are of trainings that differ in their seed.
        published: sweeps, each with the index of the line that it stands beside.
    """
    lines = tuple(
        Line(
            label,
            tuple(
                (
                    [result.steps for result in evaluation.transductive],
                    [
                        result.score.metric.factor * result.score.value
                        for result in evaluation.transductive
                    ],
                )
                for evaluation in evaluations
            ),
        )
        for label, evaluations in labelled
    )
    metric = labelled[0][1][0].metric
    beside = tuple(
        Line(
            f"{sweep.source}, {counted(sweep.train_steps, 'step')}",
            (
                (
                    [result.steps for result in sweep.results],
                    [metric.factor * result.score.value for result in sweep.results],
                ),
            ),
            published_beside=index,
        )
        for index, sweep in published
    )
    return Panel("test", "inner steps at test", metric.title, (*lines, *beside), marks=True)


def _lines(
    labelled: Labelled,
    curve_of: Callable[[TrainingLog], Curve],
    factor: float,
    axis: Axis = "iterations",
) -> tuple[Line, ...]:
    lines = []
    for label, logs in labelled:
        curves = [curve_of(log) for log in logs]
        runs = tuple(
            (
                getattr(curve, axis),
                [factor * value for value in curve.values],
            )
            for curve in curves
        )
        lines.append(Line(label, runs))
    return tuple(lines)
