"""Runs that differ in their seed alone, compared as one: a mean, its interval, a band."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from mamltui.curves import Series
from mamltui.profiles import Profile
from mamltui.runs.seeds import SeedGroup, seed_groups
from mamltui.score import Metric
from mamltui.statistics import Interval, seed_interval
from mamltui.tui.compare.comparison import Compared


class Seeds:
    """Chosen runs that share a column and a curve; also one run alone.

    Args:
        runs: in the order in which they are compared.
    """

    def __init__(self, runs: Sequence[Compared]) -> None:
        self.runs = tuple(runs)
        self.group = SeedGroup(tuple(run.listed for run in runs))
        self._curves: dict[str, tuple[object, Series, tuple[Series, Series]]] = {}

    @property
    def first(self) -> Compared:
        """The run whose letter and colour stand for all."""
        return self.runs[0]

    @property
    def profile(self) -> Profile | None:
        return self.first.profile

    @property
    def state(self) -> str:
        """In one word: of all, if they are in the same."""
        states = {run.state for run in self.runs}
        return states.pop() if len(states) == 1 else "mixed"

    def interval(self, values: Sequence[float | None]) -> Interval | None:
        """Mean and 95% interval over the seeds, of what is known; None of nothing."""
        known = [value for value in values if value is not None]
        return seed_interval(known) if known else None

    @property
    def tests(self) -> dict[int, float]:
        """By seed, the test score by the profile's own protocol."""
        return {
            run.info.seed: run.test.score.value
            for run in self.runs
            if run.info is not None and run.test is not None and not run.departures
        }

    def curve(self, metric: str, weight: float) -> tuple[Series, tuple[Series, Series]]:
        """The mean of a metric over the seeds, and the lowest and highest of them.

        At the iterations that all runs have that have any; each is smoothed by ``weight`` first.
        """
        curves = [run.curve(metric) for run in self.runs]
        key = (weight, tuple((id(series), len(series)) for series in curves))
        if metric in self._curves and self._curves[metric][0] == key:
            return self._curves[metric][1:]
        points = [(series.x, series.smoothed(weight)) for series in curves if len(series)]
        x = points[0][0] if points else np.empty(0)
        for other, _ in points[1:]:
            x = np.intersect1d(x, other)
        rows = [y[: len(own)][np.searchsorted(own, x)] for own, y in points]
        y = np.stack(rows) if rows else np.empty((1, 0))
        band = Series(x, y.min(axis=0)), Series(x, y.max(axis=0))
        self._curves[metric] = (key, Series(x, y.mean(axis=0)), band)
        return self._curves[metric][1:]


def folded(runs: Sequence[Compared], before: Sequence[Seeds]) -> list[Seeds]:
    """The chosen runs, those together that differ in the seed alone.

    Args:
        before: what this returned the last time: what is the same is used again.
    """
    known = {seeds.runs: seeds for seeds in before}
    by_name = {run.name: run for run in runs}
    groups = [
        tuple(by_name[listed.name] for listed in group.runs)
        for group in seed_groups([run.listed for run in runs])
    ]
    return [known.get(group) or Seeds(group) for group in groups]


def interval_text(interval: Interval | None, metric: Metric) -> str:
    """E.g. ``88.75 ± 2.61``, without unit; of one seed the value alone."""
    return "-" if interval is None else metric.with_interval(interval.mean, interval.half_width)
