"""A chart drawn on a canvas: legend, axes, lines, references and cursor."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from rich.cells import cell_len

from mamltui.curves.series import Floats
from mamltui.text import visible
from mamltui.tui.shared.braille import ACROSS, DOWN, Bits, cells
from mamltui.tui.shared.chart import canvas as ink
from mamltui.tui.shared.chart.axes import Axis, Tick, iterations, x_ticks, y_axis, y_ticks
from mamltui.tui.shared.chart.canvas import Canvas
from mamltui.tui.shared.chart.content import DASHES, MARKS, Curve, Reference
from mamltui.tui.shared.chart.lines import Line, lines
from mamltui.tui.shared.chart.trace import trace
from mamltui.tui.shared.chart.window import Window, nearest
from mamltui.tui.shared.fitting import shortened_name

DASH = {"11": "⠒", "10": "⠂", "01": "⠐", "00": " "}
SAMPLE = len(DASHES[0]) // ACROSS
"""Cells of a line in the legend: one period of the dashes."""
MARK_EVERY = 6
"""Cells that a mark has to itself among many, so that the line is seen between marks."""
VALUE_DASHES = "11110000"
BOUND_DASHES = "00010000"
BOUND_DISTANCE = 3
"""Dot rows between a reference and the ends of its interval, which are not drawn when closer."""
BAND_DASHES = "1000"
"""The dot columns of a band that are drawn, so that curves are seen in it."""
LARGEST = 1e300
"""What lies further from zero is outside of every axis."""


class Layout(NamedTuple):
    """The cells of the plot itself, and the rows of the x axis under it."""

    left: int
    top: int
    columns: int
    rows: int
    x_rows: int

    @classmethod
    def of(cls, width: int, height: int, label_width: int, end_width: int = 0) -> Layout:
        """Leave room for legend and labels as far as ``width`` and ``height`` allow.

        Args:
            end_width: cells of the longest text at the end of a line.
        """
        top = int(height >= 4)
        x_rows = int(height >= 3) + int(height >= 9)
        left = label_width + 2 if label_width and width >= label_width + 12 else 0
        right = end_width + 1 if end_width and width >= left + end_width + 12 else 0
        return cls(left, top, width - left - right, height - top - x_rows, x_rows)


class Picture:
    """What a chart shows, and the y axis that it keeps while the data stay on it."""

    def __init__(self) -> None:
        self.window = Window()
        self.references: Sequence[Reference] = ()
        self.title = ""
        self.percent = False
        self.log_y = False
        self.layout = Layout(0, 0, 1, 1, 0)
        """Where the last drawing put things."""
        self._axis: Axis | None = None
        self._axis_of: object = None
        self._label_width = 0

    def x_at(self, column: int) -> float | None:
        """The x in the middle of a column of the canvas; None beside the plot."""
        across = column - self.layout.left
        if not 0 <= across < self.layout.columns:
            return None
        low, high = self.window.limits
        return low + (across + 0.5) / self.layout.columns * (high - low)

    def draw(self, width: int, height: int) -> Canvas:
        """The chart on ``width`` by ``height`` cells, each at least 1."""
        canvas = Canvas(width, height)
        self._forget_other_axis()
        end_width = max((cell_len(visible(each.end)) for each in self.window.curves), default=0)
        self.layout = Layout.of(width, height, self._label_width, end_width)
        low, high = self.window.limits
        while True:
            sampled = self._sample(low, high)
            axis = self._y_axis(sampled)
            ticks = y_ticks(axis, min(7, self.layout.rows // 2 + 2), percent=self.percent)
            widest = max((len(tick.label) for tick in ticks), default=0)
            if widest <= self._label_width:
                break
            # Wider labels leave fewer columns, for which the curves are sampled again.
            self._label_width = widest
            self.layout = Layout.of(width, height, widest, end_width)
        self._draw_legend(canvas, (high - low) / self.layout.columns)
        if not sampled:
            self._say_why_empty(canvas)
            return canvas
        self._draw_lines(canvas, sampled, axis)
        if self.layout.left:
            self._draw_y_axis(canvas, axis, ticks)
        if self.layout.x_rows:
            self._draw_x_axis(canvas, Axis(low, high))
        return canvas

    def _sample(self, low: float, high: float) -> list[Line]:
        width = self.layout.columns * ACROSS
        return lines(self.window.curves, low, high, width, positive=self.log_y)

    def forget_axis(self) -> None:
        """Begin anew with the y axis."""
        self._axis_of = None

    def _forget_other_axis(self) -> None:
        labels = tuple(curve.label for curve in self.window.curves)
        shown = (labels, self.title, self.percent, self.log_y)
        if shown != self._axis_of:
            self._axis_of, self._axis, self._label_width = shown, None, 0

    def _y_axis(self, sampled: list[Line]) -> Axis:
        """The y axis as it was, or a new one where it no longer suits what is to be seen."""
        extents = [line.extent(self.layout.columns * ACROSS) for line in sampled]
        extents += [(value, value) for value in self._values(self.references)] if extents else []
        if not extents:
            return self._axis or Axis(0.1 if self.log_y else 0.0, 1.0, self.log_y)
        smallest = 1 / LARGEST if self.log_y else -LARGEST
        low = max(smallest, min(low for low, _ in extents))
        high = max(smallest, min(LARGEST, max(high for _, high in extents)))
        low = min(low, high)
        if self._axis is None or not self._axis.holds(low, high):
            self._axis = y_axis(low, high, log=self.log_y, percent=self.percent)
        return self._axis

    def _values(self, references: Sequence[Reference]) -> list[float]:
        values = [reference.value for reference in references]
        return [v for v in values if math.isfinite(v) and (v > 0 or not self.log_y)]

    def _dots(self, values: Floats, axis: Axis) -> Floats:
        """The dot rows of values, counted downwards from the top of the plot."""
        return (self.layout.rows * DOWN - 1) * (1 - axis.fraction(values))

    def _dot(self, value: float, axis: Axis) -> int | None:
        """The dot row of one value; None outside of the axis."""
        if not axis.low <= value <= axis.high:
            return None
        return round(float(self._dots(np.array([value]), axis)[0]))

    def _draw_lines(self, canvas: Canvas, sampled: list[Line], axis: Axis) -> None:
        left, top, columns, rows, _ = self.layout
        width, height = columns * ACROSS, rows * DOWN
        faint = [line for line in sampled if ink.is_faint(line.ink)]
        for line in faint:
            self._stroke(canvas, line, axis, width, height)
        for reference in self.references:
            self._draw_reference(canvas, reference, axis, width, height)
        for line in sampled[len(faint) :]:
            self._stroke(canvas, line, axis, width, height)
        low, high = self.window.limits
        cursor = self.window.cursor
        if cursor is not None and low <= cursor <= high:
            across = min(int((cursor - low) / (high - low) * columns), columns - 1)
            canvas.rule(left + across, top, top + rows, ink.CURSOR)
        taken: set[tuple[int, int]] = set()
        for line in sampled:
            if line.is_band:
                continue
            if len(line.curve.series) == 1 or (line.curve.marks and not ink.is_faint(line.ink)):
                self._mark(canvas, line, axis, taken)
        self._label_references(canvas, axis)
        self._label_ends(canvas, sampled[len(faint) :], axis)

    def _stroke(self, canvas: Canvas, line: Line, axis: Axis, width: int, height: int) -> None:
        highest, lowest = self._dots(line.maximum, axis), self._dots(line.minimum, axis)
        bits = trace(line.column, highest, lowest, width, height)
        if line.is_band:
            bits &= _dashes(BAND_DASHES, width)
        elif line.ink >= ink.CURVE and not ink.is_faint(line.ink):
            bits &= _dashes(DASHES[line.curve.look], width)
        canvas.stroke(self.layout.top, self.layout.left, cells(bits), ink=line.ink)

    def _mark(self, canvas: Canvas, line: Line, axis: Axis, taken: set[tuple[int, int]]) -> None:
        """Mark all points if they are few, else the first in every few columns, where it stays.

        Args:
            taken: the cells of other curves' marks; what would hide one stands beside it.
        """
        left, top, columns, rows, _ = self.layout
        low, high = self.window.limits
        start, stop = np.searchsorted(line.x, low), np.searchsorted(line.x, high, side="right")
        first = np.arange(start, stop)
        if len(first) > columns // 3:
            bounds = np.linspace(low, high, columns // MARK_EVERY + 1)
            edges = np.append(np.searchsorted(line.x, bounds[:-1]), stop)
            first = edges[:-1][edges[:-1] < edges[1:]]
        first = first[line.y[first] > 0 if self.log_y else ~np.isnan(line.y[first])]
        row = np.rint(self._dots(line.y[first], axis)).astype(np.intp) // DOWN
        column = ((line.x[first] - low) / (high - low) * columns).astype(np.intp)
        seen = (row >= 0) & (row < rows)
        column = np.minimum(column[seen], columns - 1)
        placed = []
        for at_row, at_column in zip(row[seen].tolist(), column.tolist(), strict=True):
            beside = [at_column, *range(at_column + 1, at_column + 6), *range(at_column)[-5:][::-1]]
            free = [each for each in beside if each < columns and (at_row, each) not in taken]
            placed.append((at_row, (free or [at_column])[0]))
        taken.update(placed)
        if placed:
            rows_, columns_ = np.array(placed, np.intp).T
            canvas.mark(top + rows_, left + columns_, MARKS[line.curve.look], line.ink)

    def _label_ends(self, canvas: Canvas, drawn: Sequence[Line], axis: Axis) -> None:
        """Write what stands at the ends of the lines, none over another."""
        left, top, columns, rows, _ = self.layout
        if canvas.width == left + columns:
            return  # there is no room for them
        taken: set[tuple[int, int]] = set()
        ends = [line for line in drawn if line.curve.end and len(line.column)]
        for line in sorted(ends, key=lambda line: -float(line.maximum[-1])):
            dot = self._dots(np.array([(line.minimum[-1] + line.maximum[-1]) / 2]), axis)[0]
            wanted = min(max(round(float(dot)) // DOWN, 0), rows - 1)
            text = visible(line.curve.end)
            start = min(max(int(line.column[-1]) // ACROSS + 2, 0), columns + 1)
            cells_ = range(start, start + cell_len(text))
            free = [row for row in range(rows) if taken.isdisjoint((row, at) for at in cells_)]
            if free:
                row = min(free, key=lambda each: (abs(each - wanted), each))
                taken.update((row, at) for at in cells_)
                canvas.write(top + row, left + start, text, line.ink)

    def _draw_reference(
        self, canvas: Canvas, reference: Reference, axis: Axis, width: int, height: int
    ) -> None:
        bits = np.zeros((height, width), np.bool_)
        middle = self._dot(reference.value, axis)
        for bound in (reference.low, reference.high):
            row = None if bound is None else self._dot(bound, axis)
            if row is not None and (middle is None or abs(row - middle) >= BOUND_DISTANCE):
                bits[row] = _dashes(BOUND_DASHES, width)
        if middle is not None:
            bits[middle] = _dashes(VALUE_DASHES, width)
        canvas.stroke(self.layout.top, self.layout.left, cells(bits), ink=ink.REFERENCE)

    def _label_references(self, canvas: Canvas, axis: Axis) -> None:
        """Name each line at its right end, where no curve is hidden if there is such a place."""
        left, top, columns, rows, _ = self.layout
        taken: set[int] = set()
        for reference in self.references:
            dot = self._dot(reference.value, axis)
            if dot is None:
                continue
            label = shortened_name(reference.label, columns)
            start = left + columns - cell_len(label)
            row = top + dot // DOWN
            candidates = [p for p in (row - 1, row + 1, row) if top <= p < top + rows]
            candidates = [p for p in candidates if p not in taken] or [row]
            free = [p for p in candidates if canvas.free(p, start, cell_len(label))]
            chosen = (free or candidates[-1:])[0]
            taken.add(chosen)
            canvas.write(chosen, start, label, ink.REFERENCE)

    def _draw_y_axis(self, canvas: Canvas, axis: Axis, ticks: list[Tick]) -> None:
        left, top, _, rows, x_rows = self.layout
        canvas.rule(left - 1, top, top + rows, ink.AXIS)
        if x_rows == 2:
            canvas.write(top + rows, left - 1, "└", ink.AXIS)
        dots = self._dots(np.array([tick.value for tick in ticks]), axis)
        for tick, dot in zip(ticks, dots.tolist(), strict=True):
            row = top + round(dot) // DOWN
            canvas.write(row, left - 1, "┤", ink.AXIS)
            canvas.write(row, left - 2 - len(tick.label), tick.label, ink.AXIS)

    def _draw_x_axis(self, canvas: Canvas, axis: Axis) -> None:
        left, top, columns, rows, x_rows = self.layout
        label_row = top + rows + x_rows - 1
        if x_rows == 2:
            canvas.write(top + rows, left, "─" * columns, ink.AXIS)
        cursor = self.window.cursor
        taken = range(0)
        if cursor is not None and axis.low <= cursor <= axis.high:
            label = iterations(cursor)
            along = (cursor - axis.low) / (axis.high - axis.low) * columns
            start = _centred(left + int(along), len(label), canvas.width)
            taken = range(start - 1, start + len(label) + 1)
            canvas.write(label_row, start, label, ink.CURSOR)
        end = -2
        for tick in x_ticks(axis, max(1, min(8, columns // 10))):
            along = (tick.value - axis.low) / (axis.high - axis.low) * columns
            column = left + min(int(along), columns - 1)
            start = _centred(column, len(tick.label), canvas.width)
            if start < end + 2:
                continue
            end = start + len(tick.label)
            if start >= taken.stop or end <= taken.start:
                canvas.write(label_row, start, tick.label, ink.AXIS)
            if x_rows == 2:
                canvas.write(top + rows, column, "┬", ink.AXIS)

    def _draw_legend(self, canvas: Canvas, reach: float) -> None:
        """Title, then every curve's line and name, with its value at the cursor if there is one."""
        if not self.layout.top:
            return
        curves = self.window.curves
        if len(curves) > len(DASHES):  # there is no room for all: the ends of the lines name them
            canvas.write(0, 0, shortened_name(visible(self.title), canvas.width), ink.TITLE)
            return
        readings = [self._reading(curve, reach) for curve in curves]
        spare = canvas.width - sum(SAMPLE + 3 + len(reading) for reading in readings)
        names = [visible(curve.label) for curve in curves]
        longest = max((cell_len(name) for name in names), default=0)
        title = visible(self.title)
        if sum(map(cell_len, names)) + cell_len(title) + 2 > spare:
            title = "" if curves else title
        spare -= cell_len(title) + 2 if title else 0
        while longest > 1 and sum(min(cell_len(name), longest) for name in names) > spare:
            longest -= 1
        canvas.write(0, 0, shortened_name(title, canvas.width), ink.TITLE)
        column = cell_len(title) + 2 if title else 0
        for curve, name, reading in zip(curves, names, readings, strict=True):
            name = shortened_name(name, longest)
            colour = ink.RAW if curve.style == "raw" else ink.CURVE + curve.look
            dashes = DASHES[curve.look]
            sample = "".join(
                DASH[dashes[dot : dot + ACROSS]] for dot in range(0, len(dashes), ACROSS)
            )
            canvas.write(0, column, sample, colour)
            if curve.marks:
                canvas.write(0, column + SAMPLE // 2, MARKS[curve.look], colour)
            column += SAMPLE + 1
            canvas.write(0, column, name, ink.TEXT)
            column += cell_len(name)
            canvas.write(0, column, reading, ink.CURSOR)
            column += len(reading) + 2

    def _reading(self, curve: Curve, reach: float) -> str:
        """The value of the point next to the cursor, always equally wide; empty without a cursor.

        Args:
            reach: how far the cursor may lie beside the curve's ends.
        """
        cursor = self.window.cursor
        if cursor is None:
            return ""
        x = curve.series.x
        value = math.nan
        if len(x) and x[0] - reach <= cursor <= x[-1] + reach:
            averaged = curve.series.smoothed(0.0 if curve.style == "raw" else curve.smooth)
            value = float(averaged[nearest(x, cursor)])
        if math.isnan(value):
            return f"{'–':>9}"
        if self.percent:
            return f"{100 * value:9.2f}"
        return f"{value:9.4f}" if value == 0 or 1e-3 <= abs(value) < 1000 else f"{value:9.1e}"

    def _say_why_empty(self, canvas: Canvas) -> None:
        curves = self.window.curves
        points = [y for y in (curve.series.y for curve in curves) if len(y)]
        if not points:
            why = "no data yet"
        elif self.log_y and not any(np.fmax.reduce(y) > 0 for y in points):
            why = "no value above zero"
        else:
            why = "nothing here"
        row = self.layout.top + (canvas.height - self.layout.top - 1) // 2
        canvas.write(row, max(0, (canvas.width - len(why)) // 2), why, ink.AXIS)


def _centred(column: int, width: int, inside: int) -> int:
    return max(0, min(column - width // 2, inside - width))


def _dashes(pattern: str, width: int) -> Bits:
    period: NDArray[np.bool_] = np.array([dot == "1" for dot in pattern])
    return np.resize(period, width)
