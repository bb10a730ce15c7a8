"""Means over the seeds of each case, and what differs by more than chance."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from evidence.variants import BASE, Case, cases

T_975 = (12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228)
"""Student's t for a 95% interval, of 1, 2, ... degrees of freedom."""
T_MANY = 1.96


@dataclass(frozen=True)
class Difference:
    """Of two accuracies in percent, with the half width of its 95% interval."""

    value: float
    half: float
    by_seeds: bool
    """The interval knows the spread of seeds; else it knows that of the test episodes alone."""

    @property
    def is_clear(self) -> bool:
        return abs(self.value) > self.half

    @property
    def text(self) -> str:
        return f"{self.value:+.2f} ± {self.half:.2f}{'' if self.by_seeds else ' (e)'}"


@dataclass(frozen=True)
class Row:
    """A case: all its seeds that have ended."""

    case: Case
    runs: list[dict[str, Any]]

    @cached_property
    def tested(self) -> list[dict[str, Any]]:
        return [run for run in self.runs if "test" in run]

    @property
    def lost(self) -> list[dict[str, Any]]:
        """Those that diverged or failed."""
        return [run for run in self.runs if run["state"] != "finished"]

    @property
    def inner_step(self) -> tuple[float, str]:
        """Alpha, and the scale of the loss that it acts on."""
        values = dict(override.split("=", 1) for override in self.case.overrides)
        return float(values["inner.alpha"]), values["inner.loss_scale"]

    def mean(self, key: str) -> float:
        return statistics.mean(run[key] for run in self.runs)

    def accuracies(self, statistic: str = "transductive", steps: str = "test_steps") -> list[float]:
        """A test accuracy for each seed, after the number of steps that a run has at ``steps``."""
        return [run["test"][statistic][str(run[steps])][0] for run in self.tested]

    @property
    def accuracy(self) -> float:
        return statistics.mean(self.accuracies())

    @property
    def interval(self) -> float:
        """Of the mean over all test episodes of all seeds, for these trained parameters."""
        halves = [run["test"]["transductive"][str(run["test_steps"])][1] for run in self.tested]
        return math.hypot(*halves) / len(halves)

    @property
    def spread(self) -> float | None:
        """Standard deviation over the seeds."""
        found = self.accuracies()
        return statistics.stdev(found) if len(found) > 1 else None

    def late(self, key: str) -> float | None:
        """Mean over the seeds of a figure of the last third."""
        found = [run["late"][key] for run in self.runs if "late" in run]
        return statistics.mean(found) if found else None

    def against(self, other: Row) -> Difference:
        """Test accuracy less that of ``other``."""
        ours, theirs = self.accuracies(), other.accuracies()
        value = self.accuracy - other.accuracy
        if min(len(ours), len(theirs)) < 2:
            return Difference(value, math.hypot(self.interval, other.interval), False)
        freedom = len(ours) + len(theirs) - 2
        pooled = (
            (len(ours) - 1) * statistics.variance(ours)
            + (len(theirs) - 1) * statistics.variance(theirs)
        ) / freedom
        t = T_975[freedom - 1] if freedom <= len(T_975) else T_MANY
        half = t * math.sqrt(pooled * (1 / len(ours) + 1 / len(theirs)))
        return Difference(value, half, True)


def rows(figures: dict[str, Any], setting: str, groups: Sequence[str] = ()) -> list[Row]:
    """The cases of a setting of which a training has ended, the base first."""
    found = []
    for case in cases([setting]):
        if groups and case.variant.group not in (*groups, "base"):
            continue
        runs = [
            run
            for run in figures["trainings"]
            if (run["setting"], run["variant"]) == (setting, case.variant.name)
        ]
        if runs:
            found.append(Row(case, runs))
    return found


def base_of(found: Sequence[Row]) -> Row | None:
    """Plain MAML, if it has been tested."""
    return next((row for row in found if row.case.variant.name == BASE and row.tested), None)
