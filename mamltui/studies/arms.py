"""The arms of a study: cells that differ in their seed alone, scored together."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

from mamltui.results import Evaluation, StepResult
from mamltui.statistics import Interval, seed_interval
from mamltui.studies.curves import TrainingLog
from mamltui.studies.standing import Standing
from mamltui.studies.study import Cell


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
    def logs(self) -> tuple[TrainingLog, ...]:
        """Of each run there is."""
        return tuple(TrainingLog.read(each.run) for each in self.standings if each.run)

    @property
    def tested(self) -> tuple[Standing, ...]:
        """Those with a result on the test split."""
        return tuple(each for each in self.standings if each.evaluation)

    @property
    def evaluations(self) -> tuple[Evaluation, ...]:
        return tuple(each.evaluation for each in self.standings if each.evaluation)

    @property
    def is_trained(self) -> bool:
        """Every seed is trained to the end."""
        return all(each.state in ("trained", "done") for each in self.standings)

    def mean(self, value: Callable[[TrainingLog], float]) -> float:
        """Over the runs that have it; NaN of none."""
        values = [each for log in self.logs if not math.isnan(each := value(log))]
        return statistics.fmean(values) if values else math.nan

    @property
    def accuracies(self) -> list[float]:
        """Of each tested seed: the headline, a fraction."""
        return [evaluation.headline().score.value for evaluation in self.evaluations]

    @property
    def over_seeds(self) -> Interval:
        """The mean headline with Student's interval over the seeds."""
        return seed_interval(self.accuracies)

    def at(self, steps: int, statistics_: str = "transductive") -> StepResult | None:
        """The mean over the seeds after ``steps`` inner steps, with the interval over all episodes
        of all seeds; None where it was not tested."""
        results = [
            result
            for evaluation in self.evaluations
            for result in evaluation.results(statistics_)
            if result.steps == steps
        ]
        if not results:
            return None
        count = len(results)
        return StepResult(
            steps,
            statistics.fmean(result.score.value for result in results),
            math.hypot(*(result.accuracy_ci95 for result in results)) / count,
            statistics.fmean(result.loss for result in results),
            math.hypot(*(result.loss_ci95 for result in results)) / count,
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
