"""Axes: limits and ticks at numbers that people like, and their labels."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from mamltui.curves.series import Floats

EXTENTS = (1.0, 1.2, 1.5, 2.0, 2.5, 3.0, 4.0, 5.0, 6.0, 8.0, 10.0)
"""Where an axis that follows its data may end, times a power of ten."""

SPARE = 0.4
"""An axis is fitted anew when its data fill less than this part of it."""


class Tick(NamedTuple):
    value: float
    label: str


@dataclass(frozen=True)
class Axis:
    """An interval shown along a number of dots, in equal steps or in equal ratios."""

    low: float
    high: float
    log: bool = False

    def fraction(self, values: Floats) -> Floats:
        """Where ``values`` lie: 0 at ``low``, 1 at ``high``. A log axis takes positive values."""
        if self.log:
            low, high = math.log10(self.low), math.log10(self.high)
            return (np.log10(values) - low) / (high - low)
        return (values - self.low) / (self.high - self.low)

    def holds(self, low: float, high: float) -> bool:
        """Whether data from ``low`` to ``high`` lie on the axis and fill it well enough."""
        if not self.low <= low <= high <= self.high:
            return False
        first, last = self.fraction(np.array([low, high]))
        return bool(last - first >= SPARE)


def nice_step(span: float, most: float) -> float:
    """The smallest of 1, 2, 5 times a power of ten of which ``span`` holds at most ``most``."""
    power = math.floor(math.log10(span / most))
    steps = [digit * 10.0**power for digit in (1, 2, 5, 10)]
    return next((step for step in steps if span / step <= most * (1 + 1e-9)), steps[-1])


def nice_extent(span: float) -> float:
    """The smallest of :data:`EXTENTS` times a power of ten that is at least ``span``."""
    power = 10.0 ** math.floor(math.log10(span))
    return next((e * power for e in EXTENTS if e * power >= span * (1 - 1e-12)), 10 * power)


def x_limits(first: float, last: float) -> tuple[float, float]:
    """From zero, or from ``first`` where the data begin late, to a little after ``last``."""
    low = 0.0 if 0 <= first <= last / 2 or first == last >= 0 else first
    return low, low + (nice_extent(last - low) if last > low else 1.0)


def y_axis(low: float, high: float, *, log: bool, percent: bool) -> Axis:
    """An axis with nice ends around data from ``low`` to ``high``.

    Args:
        log: equal ratios; ``low`` is then positive.
        percent: values are fractions; data within 0 and 1 get an axis within 0 and 1.
    """
    if log and high >= 5 * low:
        return Axis(_ratio_mark(low, down=True), _ratio_mark(high, down=False), log=True)
    bottom, top = low, high
    if high - low <= max(1e-9 * max(abs(low), abs(high)), 1e-300):
        spare = abs(high) / 20 or 1.0
        bottom, top = (0.0 if low == 0 else low - spare), high + spare
    step = nice_step(top - bottom, 10)
    bottom, top = math.floor(bottom / step + 1e-9) * step, math.ceil(top / step - 1e-9) * step
    if percent and low >= 0 and high <= 1:
        bottom, top = max(bottom, 0.0), min(top, 1.0)
    return Axis(min(bottom, low), max(top, high), log)


def _ratio_mark(value: float, *, down: bool) -> float:
    """The next of 1, 2, 5 times a power of ten at or below ``value``, or at or above it."""
    power = math.floor(math.log10(value))
    marks = [float(f"{digit}e{power}") for digit in (1, 2, 5)] + [float(f"1e{power + 1}")]
    if down:
        return max((mark for mark in marks if mark <= value), default=value)
    return min((mark for mark in marks if mark >= value), default=value)


def x_ticks(axis: Axis, most: int) -> list[Tick]:
    """At most ``most`` + 1 whole numbers along the axis."""
    step = max(1.0, nice_step(axis.high - axis.low, most))
    values = _multiples(axis, step)
    thousands = step % 1000 == 0 and max(values, default=0.0) >= 10_000
    return [Tick(value, iterations(value, short=thousands)) for value in values]


def y_ticks(axis: Axis, most: int, *, percent: bool) -> list[Tick]:
    """About ``most`` ticks: whole decades of a log axis where it spans two, else nice numbers."""
    if axis.log:
        values = _ratio_ticks(axis, most)
        if len(values) >= 2:
            return [Tick(value, _power_label(value, percent=percent)) for value in values]
    step = nice_step(axis.high - axis.low, most)
    values = _multiples(axis, step)
    return [
        Tick(value, label)
        for value, label in zip(values, _labels(values, step, percent=percent), strict=True)
    ]


def _multiples(axis: Axis, step: float) -> list[float]:
    first, last = math.ceil(axis.low / step - 1e-9), math.floor(axis.high / step + 1e-9)
    return [count * step for count in range(first, last + 1)]


def _ratio_ticks(axis: Axis, most: int) -> list[float]:
    first = math.floor(math.log10(axis.low) + 1e-9)
    last = math.floor(math.log10(axis.high) + 1e-9)
    inside = (1 - 1e-9) * axis.low, (1 + 1e-9) * axis.high
    for digits in ((1, 2, 5), (1,)):
        marks = [float(f"{digit}e{power}") for power in range(first, last + 1) for digit in digits]
        values = [mark for mark in marks if inside[0] <= mark <= inside[1]]
        if len(values) <= most + 1:
            return values
    stride = -(-len(values) // (most + 1))
    # Counted from the power zero, so that the ticks stay where they are when the axis grows.
    return [value for value in values if round(math.log10(value)) % stride == 0]


def _power_label(value: float, *, percent: bool) -> str:
    shown = 100 * value if percent else value
    if 1e-4 < shown < 1e6:
        return f"{shown:,.{max(0, -math.floor(math.log10(shown) + 1e-9))}f}"
    mantissa, exponent = f"{shown:.0e}".split("e")
    return f"{mantissa}e{int(exponent)}"


def _labels(values: list[float], step: float, *, percent: bool) -> list[str]:
    """All with the same decimals, and with the same power of ten where numbers get long."""
    if percent:
        values, step = [100 * value for value in values], 100 * step
    decimals = max(0, -math.floor(math.log10(step) + 1e-9))
    largest = max((abs(value) for value in values), default=0.0)
    if decimals <= 5 and largest < 1e6:
        return [f"{value + 0.0:,.{decimals}f}" for value in values]
    power = math.floor(math.log10(max(largest, step)) + 1e-9)
    decimals = min(12, max(0, power - math.floor(math.log10(step) + 1e-9)))
    return [f"{value / 10.0**power + 0.0:.{decimals}f}e{power}" for value in values]


def iterations(value: float, *, short: bool = False) -> str:
    """``12,340``, or with ``short`` ``12k`` and ``3M`` where nothing is lost by it."""
    if short and value and value % 1_000_000 == 0:
        return f"{value / 1e6:,.0f}M"
    if short and value and value % 1000 == 0:
        return f"{value / 1e3:,.0f}k"
    return f"{value:,.0f}"
