"""Curves as dots: two columns and four rows of them to a cell of braille."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mamltui.curves.series import Floats
from mamltui.tui.shared.braille import Bits

Rows = NDArray[np.intp]


def trace(column: Floats, top: Floats, bottom: Floats, width: int, height: int) -> Bits:
    """The dots of a curve, connected and as thin as its values allow.

    Args:
        column: ``[points]``, ascending dot columns; the first and last may lie outside the plot,
            every other one is whole and inside.
        top: ``[points]``, the dot row of a point's largest value, counted downwards.
        bottom: ``[points]``, the dot row of its smallest value.

    Returns:
        ``[height, width] bool``.
    """
    first = max(0, int(np.ceil(column[0])))
    last = min(width - 1, int(np.floor(column[-1])))
    if last < first:
        return np.zeros((height, width), np.bool_)
    along = np.arange(first, last + 1)
    middle = np.interp(along, column, (top + bottom) / 2)
    highest, lowest = middle, middle.copy()
    inside = (column >= first) & (column <= last) & (column % 1 == 0)
    at = column[inside].astype(np.intp) - first
    highest[at], lowest[at] = top[inside], bottom[inside]
    span = np.zeros((2, width), np.intp)
    span[1] = -1
    span[:, first : last + 1] = _connected(_dot(highest, height), _dot(lowest, height))
    row = np.arange(height)[:, None]
    dots: Bits = (row >= span[0]) & (row <= span[1])
    return dots


def _dot(rows: Floats, height: int) -> Rows:
    return np.rint(np.clip(rows, -height, 2 * height)).astype(np.intp)


def _connected(top: Rows, bottom: Rows) -> tuple[Rows, Rows]:
    """Lengthen neighbouring columns towards each other until their dots touch."""
    longer_top, longer_bottom = top.copy(), bottom.copy()
    left_top, right_top = longer_top[:-1], longer_top[1:]
    left_bottom, right_bottom = longer_bottom[:-1], longer_bottom[1:]

    falls = top[1:] - bottom[:-1] > 1
    middle = (top[1:] + bottom[:-1]) // 2
    np.maximum(left_bottom, middle, out=left_bottom, where=falls)
    np.minimum(right_top, middle + 1, out=right_top, where=falls)

    rises = top[:-1] - bottom[1:] > 1
    middle = (top[:-1] + bottom[1:]) // 2
    np.minimum(left_top, middle + 1, out=left_top, where=rises)
    np.maximum(right_bottom, middle, out=right_bottom, where=rises)
    return longer_top, longer_bottom
