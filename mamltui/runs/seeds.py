"""Runs that differ in their seed alone, taken together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from mamltui.profiles import Profile, experiment_key
from mamltui.runs.listing import ListedRun
from mamltui.score import ACCURACY, Metric
from mamltui.statistics import Interval, seed_interval


@dataclass(frozen=True)
class SeedGroup:
    """One run or several that differ in the seed alone, in the order of the list."""

    runs: tuple[ListedRun, ...]

    @property
    def first(self) -> ListedRun:
        return self.runs[0]

    @property
    def seeds(self) -> int:
        """How many different ones."""
        return len({run.info.seed for run in self.runs if run.info})

    @property
    def words(self) -> str:
        """E.g. ``3 seeds``."""
        count = self.seeds
        if count == len(self.runs):
            return f"{count} seed{'' if count == 1 else 's'}"
        return f"{len(self.runs)} runs of {count} seed{'' if count == 1 else 's'}"

    @property
    def tests(self) -> list[float]:
        """Of each run, if it has one, the test score by the profile's protocol."""
        return [run.headline.headline().score.value for run in self.runs if run.headline]

    @property
    def validations(self) -> list[float]:
        """Of each run, if it has one, the best validation score."""
        return [run.info.best.score.value for run in self.runs if run.info and run.info.best]

    @property
    def metric(self) -> Metric:
        """What the scores are."""
        return self.first.metric


def seed_key(profile: Profile) -> str:
    """The same text for profiles of which the same is learned but for the seed."""
    unseeded = profile.model_copy(update={"meta": profile.meta.model_copy(update={"seed": 0})})
    return experiment_key(unseeded)


def seed_groups(runs: Sequence[ListedRun]) -> list[SeedGroup]:
    """All runs, those together that differ in the seed alone, each group where its first run is."""
    groups: dict[str, list[ListedRun]] = {}
    for run in runs:
        profile = run.profile
        key = f"{_unseeded_name(profile)} {seed_key(profile)}" if profile else f"run {run.name}"
        groups.setdefault(key, []).append(run)
    return [SeedGroup(tuple(members)) for members in groups.values()]


def _unseeded_name(profile: Profile) -> str:
    """Cells of a study carry their seed in their name."""
    return profile.name.removesuffix(f"-seed{profile.meta.seed}")


def spread_words(values: Sequence[float], metric: Metric = ACCURACY) -> str:
    """Scores of several seeds in words.

    E.g. ``88.75 ± 2.61 % (95 % interval of the mean of 3 seeds), 87.50 to 89.58 %``.
    """
    if len(values) < 2:
        return f"{metric.text(values[0])} (one seed)" if values else "-"
    interval: Interval = seed_interval(values)
    mean = f"{metric.with_interval(interval.mean, interval.half_width)}{metric.unit}"
    return (
        f"{mean} (95 % interval of the mean of {len(values)} seeds), "
        f"{metric.number(min(values))} to {metric.text(max(values))}"
    )
