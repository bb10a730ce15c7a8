"""Scores by inner steps at test, drawn below the grid: how the rows of a section adapt."""

from __future__ import annotations

from collections import Counter

from mamltui.curves import Series
from mamltui.score import ACCURACY, Metric
from mamltui.tui.evaluate.cells import Section, is_measured
from mamltui.tui.shared.chart.chart import Chart, Curve
from mamltui.tui.shared.chart.content import CURVE_STYLES


class StepsChart(Chart):
    """A curve for each measured row of one section of the grid."""

    can_focus = False  # Tab goes between the list and the grid

    def __init__(self, *, id: str) -> None:
        super().__init__(id=id)
        self._show_metric(ACCURACY)
        self._series: dict[tuple[object, ...], Series] = {}
        """By label and values: the same while the results are, so that nothing is drawn anew."""

    def show_section(self, section: Section | None) -> None:
        """Show the first rows of a section that have results, as many as there are looks."""
        if section is not None:
            self._show_metric(section.grid.metric)
        curves: list[Curve] = []
        known, self._series = self._series, {}
        measured = (
            [row for row in section.grid.rows if any(map(is_measured, row.cells))]
            if section is not None
            else []
        )
        shared = Counter(section.label(row) for row in measured) if section is not None else {}
        for index, row in enumerate(measured[: len(CURVE_STYLES)]):
            assert section is not None
            points = [
                (step, cell.score.value)
                for step, cell in zip(section.grid.steps, row.cells, strict=True)
                if cell is not None and is_measured(cell)
            ]
            key = (row.label, *points)
            self._series[key] = known.get(key) or Series(*zip(*points, strict=True))
            label = section.label(row)
            if shared[label] > 1:
                label += f", {row.train_steps} in training"
            curves.append(Curve(label, self._series[key], CURVE_STYLES[index], marks=True))
        self.show(curves)

    def _show_metric(self, metric: Metric) -> None:
        self.percent = not metric.is_error
        self.title = f"{metric.title} by inner steps at test"
