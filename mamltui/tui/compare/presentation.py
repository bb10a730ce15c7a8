"""What the chart and the table of Compare show of the chosen runs, as the user wants it shown."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from mamltui.runs.differing import short_labels
from mamltui.score import SQUARED_ERROR
from mamltui.text import visible
from mamltui.tui.compare.column_table import Head, TableRow
from mamltui.tui.compare.comparison import Compared
from mamltui.tui.compare.rows import INKS, LOOKS, seeds_rows, sign, table_rows
from mamltui.tui.compare.seeds import Seeds, folded
from mamltui.tui.session.memory import Memory
from mamltui.tui.shared.chart.chart import Curve
from mamltui.tui.shared.chart.content import CURVE_STYLES

SMOOTHINGS = (0.0, 0.6, 0.9, 0.98)
METRICS = {
    "validation_accuracy": "validation accuracy %",
    "validation_loss": "validation loss, nats",
    "query_loss": "query loss, nats",
    "query_accuracy": "query accuracy %",
    "gradient_norm": "norm of the meta-gradient",
}


@dataclass(frozen=True)
class Settings:
    """How runs are shown."""

    metric: str = "validation_accuracy"
    """One of ``METRICS``."""
    smoothing: float = 0.0
    """Weight of the moving average; 0: none."""
    folded: bool = False
    """Runs that differ in the seed alone share a curve and a column."""


class Presentation:
    """Curves, columns and rows of chosen runs.

    Args:
        memory: has the settings of the last time, and takes those that are changed.
    """

    def __init__(self, memory: Memory) -> None:
        self._memory = memory
        metric = memory.get("compare.metric", Settings.metric)
        self.settings = Settings(
            metric if metric in METRICS else Settings.metric,
            memory.get("compare.smooth", Settings.smoothing),
            memory.get("compare.folded", Settings.folded),
        )
        self._runs: Sequence[Compared] = ()
        self._to_baseline = False
        self._seeds: list[Seeds] = []
        """What shares a column, while runs are folded."""

    def show(self, runs: Sequence[Compared], *, to_baseline: bool) -> None:
        """Show these from now on.

        Args:
            runs: the baseline first, if there is one.
            to_baseline: of the others tell the difference to the first.
        """
        self._runs, self._to_baseline = runs, to_baseline
        self._seeds = folded(runs, self._seeds) if self.settings.folded else []

    @property
    def is_percent(self) -> bool:
        """The metric is a share, drawn in percent."""
        return self._drawn.endswith("accuracy")

    @property
    def _are_errors(self) -> bool:
        """Whether all runs fit numbers, none of which is right or wrong."""
        return bool(self._runs) and all(run.metric.is_error for run in self._runs)

    @property
    def _drawn(self) -> str:
        """What the chart shows: of runs without accuracies their loss, which is the error."""
        metric = self.settings.metric
        return metric.replace("accuracy", "loss") if self._are_errors else metric

    def words(self, *, log_axis: bool) -> list[str]:
        """What the chart shows, and how."""
        words = [METRICS[self._drawn]]
        if self._are_errors:
            words[0] = words[0].replace("loss, nats", SQUARED_ERROR.name)
        if self.settings.smoothing:
            words.append(f"smoothing {self.settings.smoothing}")
        if log_axis:
            words.append("log axis")
        if any(len(seeds.runs) > 1 for seeds in self._seeds):
            words.append("mean of the seeds, band: lowest to highest")
        return words

    def curves(self) -> list[Curve]:
        """A curve for each run, or for the mean of its seeds with their band."""
        metric, smoothing = self._drawn, self.settings.smoothing
        labels = self._labels()
        curves = [
            Curve(
                f"{run.letter} {labels[run.name]}",
                run.curve(metric),
                CURVE_STYLES[run.slot % LOOKS],
                smooth=smoothing,
                marks=metric.startswith("validation"),
                end=run.letter if len(self._runs) > 1 else "",
            )
            for run in self._firsts()
        ]
        for index, seeds in enumerate(self._seeds):
            if len(seeds.runs) > 1:
                mean, band = seeds.curve(metric, smoothing)
                curves[index] = replace(curves[index], series=mean, smooth=0.0, band=band)
        return curves

    def table(self) -> tuple[list[Head], list[TableRow]]:
        """The columns, and the rows across them."""
        labels = self._labels()
        heads = [
            Head(
                sign=sign(run),
                ink=INKS[run.slot % LOOKS],
                note="baseline  " if self._to_baseline and run is self._runs[0] else "",
                name=visible(labels[run.name]),
            )
            for run in self._firsts()
        ]
        if self.settings.folded:
            return heads, seeds_rows(self._seeds, to_baseline=self._to_baseline)
        return heads, table_rows(self._runs, to_baseline=self._to_baseline)

    def _firsts(self) -> Sequence[Compared]:
        """The run whose letter and colour each column has."""
        if self.settings.folded:
            return [seeds.first for seeds in self._seeds]
        return self._runs

    def _labels(self) -> dict[str, str]:
        """What each column and curve is called, by the name of its first run."""
        listed = [run.listed for run in self._firsts()]
        return short_labels(listed, seeds=not self.settings.folded)

    # What keys change.

    def fold(self) -> None:
        """Take runs that differ in the seed alone together, or each by itself."""
        self._change("compare.folded", folded=not self.settings.folded)

    def next_metric(self) -> None:
        """Another metric in the chart."""
        names = list(METRICS)
        following = names[(names.index(self.settings.metric) + 1) % len(names)]
        self._change("compare.metric", metric=following)

    def smooth_more(self) -> None:
        """More smoothing, then none."""
        now = self.settings.smoothing
        index = SMOOTHINGS.index(now) if now in SMOOTHINGS else -1
        self._change("compare.smooth", smoothing=SMOOTHINGS[(index + 1) % len(SMOOTHINGS)])

    def _change(self, remembered_as: str, **change: object) -> None:
        self.settings = replace(self.settings, **change)  # type: ignore[arg-type]
        (value,) = change.values()
        self._memory.set(remembered_as, value)
