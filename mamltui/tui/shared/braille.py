"""Dots packed into braille characters: two columns and four rows of them to a cell."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

ACROSS = 2
DOWN = 4
BLANK = 0x2800
"""The braille character without a dot; the dots of a cell are added to it."""

Bits = NDArray[np.bool_]
_WEIGHTS = ((0x01, 0x08), (0x02, 0x10), (0x04, 0x20), (0x40, 0x80))


def cells(bits: Bits) -> NDArray[np.uint8]:
    """``[4 * rows, 2 * columns] bool`` as the dot patterns of ``[rows, columns]`` cells."""
    dots = bits.view(np.uint8)
    pattern = np.zeros((bits.shape[0] // DOWN, bits.shape[1] // ACROSS), np.uint8)
    for down, weights in enumerate(_WEIGHTS):
        for across, weight in enumerate(weights):
            pattern |= dots[down::DOWN, across::ACROSS] * np.uint8(weight)
    return pattern


def lines_of(bits: Bits) -> list[str]:
    """``[height, width] bool`` as ceil(height / 4) lines of ceil(width / 2) characters."""
    height, width = bits.shape
    padded = np.pad(bits, ((0, -height % DOWN), (0, -width % ACROSS)))
    codes = BLANK + cells(padded).astype("<u4")
    return [row.tobytes().decode("utf-32-le") for row in codes]


def bits_of(lines: Sequence[str]) -> Bits:
    """What :func:`lines_of` packed: ``[4 * lines, 2 * characters] bool``."""
    codes = np.array([[ord(character) - BLANK for character in line] for line in lines])
    bits = np.zeros((len(lines) * DOWN, codes.shape[1] * ACROSS), np.bool_)
    for down, weights in enumerate(_WEIGHTS):
        for across, weight in enumerate(weights):
            bits[down::DOWN, across::ACROSS] = codes & weight != 0
    return bits


def shrunk(values: NDArray[Any], largest: int, reduce: np.ufunc) -> NDArray[Any]:
    """``values`` with no side longer than ``largest``: each is ``reduce`` of a block."""
    scale = min(1.0, largest / max(values.shape))
    for axis, side in enumerate(values.shape):
        wanted = max(1, round(side * scale))
        starts = np.arange(wanted) * side // wanted
        values = reduce.reduceat(values, starts, axis=axis)
    return values


def enlarged(lines: Sequence[str]) -> list[str]:
    """The same picture twice as wide and high: half a cell for each dot."""
    bits = bits_of(lines)
    upper, lower = bits[::2], bits[1::2]
    return [
        "".join(" ▀▄█"[top + 2 * bottom] for top, bottom in zip(*pair, strict=True))
        for pair in zip(upper.tolist(), lower.tolist(), strict=True)
    ]
