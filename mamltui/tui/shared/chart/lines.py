"""Curves reduced to what the dots of a plot can show."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from mamltui.curves.series import Floats
from mamltui.tui.shared.chart.canvas import CURVE, FAINT, RAW, is_faint
from mamltui.tui.shared.chart.content import Curve


class Line(NamedTuple):
    """One line of a curve, its values or their moving average, in dot columns."""

    curve: Curve
    ink: int
    x: Floats
    y: Floats
    column: Floats
    """``[columns with a value]``; the points next to the window on either side lie outside."""
    minimum: Floats
    maximum: Floats
    is_band: bool = False

    def extent(self, width: int) -> tuple[float, float]:
        """The smallest and largest value in ``width`` columns, or on the way through them."""
        inside = (self.column >= 0) & (self.column < width)
        if inside.any():
            return float(self.minimum[inside].min()), float(self.maximum[inside].max())
        ends = np.interp([0, width - 1], self.column, self.minimum)
        return float(ends.min()), float(ends.max())


def lines(
    curves: Sequence[Curve], low: float, high: float, width: int, *, positive: bool
) -> list[Line]:
    """What is to draw of ``curves`` on ``width`` dot columns from ``low`` to ``high``.

    The order is that of drawing: faint lines first. Lines without a value are left out.

    Args:
        positive: leave values out that are not above zero.
    """
    drawn = [
        band for curve in curves if (band := _band(curve, low, high, width, positive=positive))
    ]
    for curve, ink, weight in sorted(_strokes(curves), key=lambda stroke: not is_faint(stroke[1])):
        column, minimum, maximum = curve.series.envelope(
            low, high, width, weight=weight, positive=positive
        )
        x = curve.series.x
        y = curve.series.smoothed(weight)[: len(x)]
        first, last = np.searchsorted(x, low), np.searchsorted(x, high, side="right")
        around = slice(max(0, int(first) - 1), int(last) + 1)
        x, y = x[around], y[around]
        ends = [
            i
            for i in ((0, -1) if len(x) else ())
            if not low <= x[i] <= high and (y[i] > 0 if positive else not np.isnan(y[i]))
        ]
        if not len(column) and len(ends) < 2:
            continue
        along = column.astype(np.float64)
        if ends:
            positions = [0 if i == 0 else len(column) for i in ends]
            along = np.insert(along, positions, (x[ends] - low) / (high - low) * width)
            minimum = np.insert(minimum, positions, y[ends])
            maximum = np.insert(maximum, positions, y[ends])
        drawn.append(Line(curve, ink, x, y, along, minimum, maximum))
    return drawn


def _strokes(curves: Sequence[Curve]) -> Iterator[tuple[Curve, int, float]]:
    """The lines of each curve: its ink, and the weight of the average that it shows."""
    for curve in curves:
        if curve.style == "raw":
            yield curve, RAW, 0.0
            continue
        if curve.smooth > 0:
            yield curve, FAINT + curve.look, 0.0
        yield curve, CURVE + curve.look, curve.smooth


def _band(curve: Curve, low: float, high: float, width: int, *, positive: bool) -> Line | None:
    """The area between the lowest and the highest values; None where there is none."""
    if curve.band is None:
        return None
    lowest, highest = (
        series.envelope(low, high, width, positive=positive) for series in curve.band
    )
    columns = np.intersect1d(lowest.column, highest.column)
    if not len(columns):
        return None
    return Line(
        curve,
        FAINT + curve.look,
        curve.series.x,
        curve.series.y,
        columns.astype(np.float64),
        lowest.minimum[np.isin(lowest.column, columns)],
        highest.maximum[np.isin(highest.column, columns)],
        is_band=True,
    )
