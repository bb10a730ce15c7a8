"""Which part of the curves a chart shows, and where its cursor is."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from mamltui.curves.series import Floats
from mamltui.tui.shared.chart.axes import x_limits
from mamltui.tui.shared.chart.content import Curve

LEAST_SPAN = 10.0
"""Iterations that zooming in ends at."""


class Window:
    """The interval of x on the screen: everything, growing with the data, or a part that stays."""

    def __init__(self) -> None:
        self.curves: Sequence[Curve] = ()
        self.cursor: float | None = None
        """The x that is read out; None while nothing is."""
        self.zoomed: tuple[float, float] | None = None

    @property
    def limits(self) -> tuple[float, float]:
        return self.zoomed or self.everything()

    def everything(self) -> tuple[float, float]:
        """The nice limits that hold every point."""
        filled = self.filled()
        if not filled:
            return (0.0, 1.0)
        return x_limits(min(float(x[0]) for x in filled), max(float(x[-1]) for x in filled))

    def filled(self) -> list[Floats]:
        """The x of every curve that has points."""
        return [x for x in (curve.series.x for curve in self.curves) if len(x)]

    def zoom(self, factor: float, at: float | None = None) -> None:
        """Show ``factor`` times the present span; ``at`` keeps its place on the screen.

        Without ``at`` the cursor keeps its place, or else the middle.
        """
        first, last = self.everything()
        low, high = self.limits
        span = max((high - low) * factor, LEAST_SPAN)
        if span >= last - first:
            self.zoomed = None
            return
        if at is None:
            at = (low + high) / 2 if self.cursor is None else self.cursor
        at = min(max(at, low), high)
        self._show(at - (at - low) * span / (high - low), span)

    def pan(self, direction: int) -> None:
        """Move a zoomed window by a quarter of it, at most to the end of the axis."""
        if self.zoomed is not None:
            low, high = self.zoomed
            self._show(low + direction * (high - low) / 4, high - low)

    def _show(self, low: float, span: float) -> None:
        first, last = self.everything()
        low = max(min(low, last - span), first)
        self.zoomed = (low, low + span)

    def point_cursor(self, x: float) -> None:
        """Put the cursor on the point of the first curve that is nearest to ``x``."""
        filled = self.filled()
        if filled:
            self.cursor = float(filled[0][nearest(filled[0], x)])

    def step_cursor(self, direction: int, columns: int) -> None:
        """Move the cursor by one of ``columns``, and at least to the next point of the first curve.

        It first appears at the last point of the window, and stays in the window.
        """
        filled = self.filled()
        if not filled:
            return
        x, (low, high) = filled[0], self.limits
        first = min(int(np.searchsorted(x, low)), len(x) - 1)
        last = max(int(np.searchsorted(x, high, side="right")) - 1, first)
        there = last
        if self.cursor is not None:
            here = x[nearest(x, self.cursor)]
            there = nearest(x, self.cursor + direction * (high - low) / columns)
            if x[there] == here:
                there = (
                    int(np.searchsorted(x, here, side="right"))
                    if direction > 0
                    else int(np.searchsorted(x, here)) - 1
                )
        self.cursor = float(x[min(max(there, first), last)])


def nearest(x: Floats, to: float) -> int:
    """The index of the value of ascending ``x`` that is nearest to ``to``, the first of equals."""
    after = int(np.searchsorted(x, to))
    if after == len(x) or (after and to - x[after - 1] <= x[after] - to):
        return int(np.searchsorted(x, x[after - 1]))
    return after
