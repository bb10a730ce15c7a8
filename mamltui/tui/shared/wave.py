"""A wave and the curve that is fitted to it, as text."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from mamltui.tui.shared.braille import BLANK, lines_of

if TYPE_CHECKING:  # torch takes a second to import
    from mamltui.waves import Fit

LEVELS = 5.5
"""The highest that is drawn: the waves lie within plus and minus 5."""
MARGIN = 1.1
"""Of the highest of the curves, what is drawn."""
POINT = "o"


def drawn(fit: Fit, step: int, width: int, height: int) -> list[str]:
    """The wave (dotted), the points and the network's curve after so many inner steps.

    Args:
        width: characters of each line.
        height: lines.
    """
    across, down = 2 * width, 4 * height
    bits = np.zeros((down, across), np.bool_)
    curves = np.abs([fit.wave, *fit.fitted])  # of all steps: the scale is the same from one to next
    levels = min(LEVELS, MARGIN * float(curves.max()))

    def row(y: float) -> int:
        return round((levels - min(max(y, -levels), levels)) / (2 * levels) * (down - 1))

    for column, y in enumerate(_resampled(fit.wave, across)):
        if column % 3 == 0:
            bits[row(y), column] = True
    rows = [row(y) for y in _resampled(fit.fitted[step], across)]
    for column, here in enumerate(rows):
        before = rows[max(0, column - 1)]
        # As far as the column before, so that a steep part is a line too.
        joined = before + (here > before) - (here < before)
        top, bottom = min(here, joined), max(here, joined)
        bits[top : bottom + 1, column] = True
    lines = [list(line.replace(chr(BLANK), " ")) for line in lines_of(bits)]
    low, high = fit.x[0], fit.x[-1]
    for x, y in fit.support:
        column = round((x - low) / (high - low) * (across - 1)) // 2
        lines[row(y) // 4][column] = POINT
    return ["".join(line) for line in lines]


def title(fit: Fit, step: int) -> str:
    """What stands above it, in at most 36 characters."""
    error = f"{fit.error(step):.3f}"
    if step == 0:
        return f"before any step: {error}"
    return f"after {step} step{'' if step == 1 else 's'}: squared error {error}"


def _resampled(values: Sequence[float], count: int) -> list[float]:
    """Values that are evenly apart, at ``count`` places from the first to the last."""
    places = np.linspace(0, len(values) - 1, count)
    resampled: list[float] = np.interp(places, np.arange(len(values)), values).tolist()
    return resampled
