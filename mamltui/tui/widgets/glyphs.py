"""Images as braille characters: two by four pixels a character, so 28x28 is 14 columns, 7 rows."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

LARGEST = 28
"""Pixels a side that are drawn one by one."""
DOTS = np.array([[0x01, 0x08], [0x02, 0x10], [0x04, 0x20], [0x40, 0x80]], dtype=np.uint32)
"""What each of a character's dots adds to U+2800, the one without dots."""
ROWS, COLUMNS = DOTS.shape


class Glyph(NamedTuple):
    """An image that is drawn."""

    lines: list[str]
    note: str
    """What the drawing leaves out, in words; empty if nothing."""


def braille(image: NDArray[Any]) -> list[str]:
    """Draw a binary image [height, width], a dot for each pixel that is not 0.

    Returns:
        ceil(height / 4) lines of ceil(width / 2) characters.
    """
    height, width = image.shape
    padded = np.pad(image != 0, ((0, -height % ROWS), (0, -width % COLUMNS)))
    cells = padded.reshape(padded.shape[0] // ROWS, ROWS, padded.shape[1] // COLUMNS, COLUMNS)
    codes = 0x2800 + np.einsum("yrxc,rc->yx", cells, DOTS)
    return [row.tobytes().decode("utf-32-le") for row in codes.astype("<u4")]


def draw(image: NDArray[np.floating[Any]]) -> Glyph:
    """Draw an image [channels, height, width] of values from 0 (paper) to 1 (stroke).

    Colours are averaged, and a dot stands for at least 0.5. A side longer than ``LARGEST`` is
    scaled down; a dot then stands for a block in which any pixel is at least 0.5, so that thin
    strokes stay.
    """
    notes = []
    if image.shape[0] > 1:
        notes.append("colours as grey")
    grey = image.mean(axis=0)
    binary = grey >= 0.5
    if not np.array_equal(grey, binary):
        notes.append("dots from half grey on")
    height, width = binary.shape
    if max(height, width) > LARGEST:
        scale = LARGEST / max(height, width)
        shrunk = [max(1, round(side * scale)) for side in (height, width)]
        for axis, (side, wanted) in enumerate(zip((height, width), shrunk, strict=True)):
            starts = np.arange(wanted) * side // wanted
            binary = np.logical_or.reduceat(binary, starts, axis=axis)
        notes.append(f"scaled down from {width}x{height}")
    return Glyph(braille(binary), ", ".join(notes))
