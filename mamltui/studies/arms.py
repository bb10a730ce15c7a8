"""Cells of a study that differ in their seed alone, with their curves, from run folders."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

from mamltui.errors import MamltuiError
from mamltui.events import Step, Validated
from mamltui.results import Evaluation, StepResult
from mamltui.runs import RunFolder
from mamltui.statistics import Interval, seed_interval
from mamltui.studies.standing import Standing
from mamltui.studies.study import Cell

LATE = 2 / 3
"""Of the training: what comes after counts for its stability and generalisation."""


@dataclass(frozen=True)
class Curve:
    """One run's values over its iterations, and over minutes of training."""

    iterations: tuple[int, ...]
    minutes: tuple[float, ...]
    values: tuple[float, ...]


@dataclass(frozen=True)
class Trained:
    """What a run folder says of a training."""

    steps: tuple[Step, ...]
    validations: tuple[Validated, ...]

    @classmethod
    def read(cls, run: RunFolder) -> Trained:
        """All logged steps and validations; of a damaged run, none."""
        try:
            steps = run.read_metrics().records
            events = [logged.event for logged in run.read_events().records]
        except MamltuiError:
            return cls((), ())
        return cls(tuple(steps), tuple(event for event in events if isinstance(event, Validated)))

    def validation(self) -> Curve:
        """Accuracy on the validation classes, a fraction."""
        return Curve(
            tuple(event.iteration for event in self.validations),
            tuple(event.elapsed / 60 for event in self.validations),
            tuple(event.accuracy for event in self.validations),
        )

    def training(self, value: Callable[[Step], float]) -> Curve:
        """A value of the training tasks, averaged over about a fiftieth of the training."""
        width = max(1, len(self.steps) // 50)
        blocks = [self.steps[at : at + width] for at in range(0, len(self.steps), width)]
        return Curve(
            tuple(block[-1].iteration for block in blocks),
            tuple(block[-1].elapsed / 60 for block in blocks),
            tuple(statistics.fmean(value(step) for step in block) for block in blocks),
        )

    @cached_property
    def late(self) -> tuple[Step, ...]:
        """The logged steps of the last third."""
        return self.steps[round(LATE * len(self.steps)) :]

    @property
    def loss_spread(self) -> float:
        """Standard deviation of the training loss about its own straight trend in the last third,
        in nats: how unsteady a training is once it has settled. NaN of too few steps."""
        losses = [step.query_loss for step in self.late]
        if len(losses) < 3:
            return math.nan
        slope, start = statistics.linear_regression(range(len(losses)), losses)
        rest = [loss - start - slope * at for at, loss in enumerate(losses)]
        return math.sqrt(math.fsum(each**2 for each in rest) / (len(rest) - 2))

    @property
    def largest_drop(self) -> float:
        """The largest fall of validation accuracy from one validation to the next, a fraction."""
        accuracies = [event.accuracy for event in self.validations]
        return max((before - after for before, after in pairwise(accuracies)), default=math.nan)

    @property
    def late_training_accuracy(self) -> float:
        """Mean query accuracy of training tasks in the last third, a fraction."""
        return statistics.fmean(s.query_accuracy for s in self.late) if self.late else math.nan

    @property
    def late_validation_accuracy(self) -> float:
        """Mean accuracy of the validations in the last third, a fraction."""
        late = self.validations[round(LATE * len(self.validations)) :]
        return statistics.fmean(event.accuracy for event in late) if late else math.nan


@dataclass(frozen=True)
class Arm:
    """Cells that differ in their seed alone."""

    standings: tuple[Standing, ...]

    @property
    def cell(self) -> Cell:
        """The first of them."""
        return self.standings[0].cell

    @property
    def title(self) -> str:
        return self.cell.title

    @cached_property
    def trained(self) -> tuple[Trained, ...]:
        """Of each run there is."""
        return tuple(Trained.read(each.run) for each in self.standings if each.run)

    @property
    def tested(self) -> tuple[Standing, ...]:
        """Those with a result on the test split."""
        return tuple(each for each in self.standings if each.evaluation)

    @property
    def evaluations(self) -> tuple[Evaluation, ...]:
        return tuple(each.evaluation for each in self.standings if each.evaluation)

    def mean(self, value: Callable[[Trained], float]) -> float:
        """Over the runs that have it; NaN of none."""
        found = [each for run in self.trained if not math.isnan(each := value(run))]
        return statistics.fmean(found) if found else math.nan

    @property
    def accuracies(self) -> list[float]:
        """Of each tested seed: the headline, a fraction."""
        return [evaluation.headline().accuracy for evaluation in self.evaluations]

    @property
    def over_seeds(self) -> Interval:
        """The mean headline with Student's interval over the seeds."""
        return seed_interval(self.accuracies)

    def at(self, steps: int, statistics_: str = "transductive") -> StepResult | None:
        """The mean over the seeds after ``steps`` inner steps, with the interval over all episodes
        of all seeds; None where it was not tested."""
        found = [
            result
            for evaluation in self.evaluations
            for result in evaluation.results(statistics_)
            if result.steps == steps
        ]
        if not found:
            return None
        count = len(found)
        return StepResult(
            steps,
            statistics.fmean(result.accuracy for result in found),
            math.hypot(*(result.accuracy_ci95 for result in found)) / count,
            statistics.fmean(result.loss for result in found),
            math.hypot(*(result.loss_ci95 for result in found)) / count,
        )

    def headline(self, statistics_: str = "transductive") -> StepResult | None:
        """At the profile's own inner steps at test."""
        if not self.evaluations:
            return None
        return self.at(self.evaluations[0].test_steps, statistics_)

    @property
    def tested_steps(self) -> tuple[int, ...]:
        """Inner steps after which every seed was scored."""
        if not self.evaluations:
            return ()
        common = set.intersection(*(set(each.steps) for each in self.evaluations))
        return tuple(sorted(common))

    @property
    def core_minutes(self) -> float:
        """Of training, mean over the runs."""
        minutes = [each.core_minutes for each in self.standings if each.run]
        return statistics.fmean(minutes) if minutes else math.nan

    @property
    def state(self) -> str:
        """The states of the seeds, e.g. ``done`` or ``2 done, 1 diverged``."""
        states = [each.state for each in self.standings]
        if len(set(states)) == 1:
            return states[0]
        return ", ".join(f"{states.count(state)} {state}" for state in dict.fromkeys(states))


def arms_of(standings: Sequence[Standing]) -> dict[str, list[Arm]]:
    """The arms of each base, in the order of the study."""
    groups: dict[str, dict[str, list[Standing]]] = {}
    for standing in standings:
        of_base = groups.setdefault(standing.cell.base.name, {})
        of_base.setdefault(standing.cell.group, []).append(standing)
    return {
        base: [Arm(tuple(members)) for members in of_base.values()]
        for base, of_base in groups.items()
    }
