"""Images as braille characters: two by four pixels a character, so 28x28 is 14 columns, 7 rows."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from mamltui.tui.shared.braille import lines_of, shrunk

LARGEST = 28
"""Pixels a side that are drawn one by one."""
LUMINANCE = np.array([0.299, 0.587, 0.114], dtype=np.float32)
"""Of red, green and blue."""
BAYER = (np.array([[0, 8, 2, 10], [12, 4, 14, 6], [3, 11, 1, 9], [15, 7, 13, 5]]) + 0.5) / 16
"""From which brightness on there is a dot, by the place of the pixel."""


class Glyph(NamedTuple):
    """An image that is drawn."""

    lines: list[str]
    note: str
    """What the drawing leaves out, in words; empty if nothing."""


def braille(image: NDArray[Any]) -> list[str]:
    """Draw a binary image [height, width], a dot for each pixel that is not 0."""
    return lines_of(image != 0)


def draw(image: NDArray[np.floating[Any]]) -> Glyph:
    """Draw an image [1 or 3, height, width] of values from 0 to 1.

    Grey, 0 is paper and 1 stroke: a dot stands for at least 0.5. A side longer than ``LARGEST`` is
    scaled down; a dot then stands for a block in which any pixel is at least 0.5, so that thin
    strokes stay.

    Red, green and blue are a photograph: as many dots as it is bright (luminance of ITU-R BT.601,
    ordered dithering after Bayer 1973), on the means of blocks where it is scaled down.
    """
    notes = []
    if image.shape[0] == 1:
        grey = image[0]
        binary = grey >= 0.5
        if not np.array_equal(grey, binary):
            notes.append("dots from half grey on")
        binary = shrunk(binary, LARGEST, np.logical_or)
    else:
        notes.append("brightness as dots")
        grey = np.tensordot(LUMINANCE, image, axes=1)
        grey = shrunk(grey, LARGEST, np.add) / shrunk(np.ones_like(grey), LARGEST, np.add)
        rows, columns = np.indices(grey.shape) % len(BAYER)
        binary = grey > BAYER[rows, columns]
    if binary.shape != image.shape[1:]:
        notes.append(f"scaled down from {image.shape[2]}x{image.shape[1]}")
    return Glyph(braille(binary), ", ".join(notes))
