"""A grid of characters, each drawn in one of a few inks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray
from rich.cells import cell_len

from mamltui.tui.shared.braille import BLANK
from mamltui.tui.shared.chart.content import CURVE_STYLES

INKS: Final = (
    "text",
    "title",
    "axis",
    "reference",
    "cursor",
    "raw",
    *(f"curve-{number}" for number in range(1, len(CURVE_STYLES) + 1)),
    *(f"faint-{number}" for number in range(1, len(CURVE_STYLES) + 1)),
)
"""The names of the inks; an ink is known by its index."""

TEXT, TITLE, AXIS, REFERENCE, CURSOR, RAW = range(6)
CURVE: Final = 6
"""The ink of the first curve style."""
FAINT: Final = CURVE + len(CURVE_STYLES)
"""The ink of the values under the first curve style's moving average."""

_SPACE = ord(" ")


def is_faint(ink: int) -> bool:
    """Whether lines in ``ink`` give way to all others."""
    return ink == RAW or ink >= FAINT


class Canvas:
    """``[height, width]`` characters and inks, blank at first."""

    def __init__(self, width: int, height: int) -> None:
        self.width = width
        self.height = height
        self._codes = np.full((height, width), _SPACE, "<u4")
        self._inks = np.zeros((height, width), np.uint8)

    def write(self, row: int, column: int, text: str, ink: int) -> None:
        """Put ``text`` at a place; what would lie outside is left out, a wide character whole."""
        if not 0 <= row < self.height:
            return
        if cell_len(text) == len(text):
            codes = np.frombuffer(text.encode("utf-32-le"), "<u4")[max(0, -column) :]
            column = max(0, column)
            codes = codes[: max(0, self.width - column)]
            self._codes[row, column : column + len(codes)] = codes
            self._inks[row, column : column + len(codes)] = ink
            return
        for character in text:
            wide = cell_len(character)
            if wide and column >= 0 and column + wide <= self.width:
                # A wide character fills its second cell; zero stands for nothing to print there.
                self._codes[row, column : column + wide] = (ord(character), 0)[:wide]
                self._inks[row, column : column + wide] = ink
            column += wide

    def stroke(self, row: int, column: int, patterns: NDArray[np.uint8], *, ink: int) -> None:
        """Lay ``[rows, columns]`` braille cells over what is there, the empty ones excepted.

        Curves that share a cell share their dots; faint lines and references give way.
        """
        area = (
            slice(row, row + patterns.shape[0]),
            slice(column, column + patterns.shape[1]),
        )
        codes, inks = self._codes[area], self._inks[area]
        drawn = patterns > 0
        new = patterns.astype(np.uint32) + BLANK
        shared = drawn & (inks >= CURVE) & (inks < FAINT)
        new[shared] |= codes[shared]
        np.copyto(codes, new, where=drawn)
        np.copyto(inks, np.uint8(ink), where=drawn)

    def mark(self, rows: NDArray[np.intp], columns: NDArray[np.intp], shape: str, ink: int) -> None:
        """Put the character ``shape`` at several places, all inside."""
        self._codes[rows, columns] = ord(shape)
        self._inks[rows, columns] = ink

    def rule(self, column: int, top: int, bottom: int, ink: int) -> None:
        """A vertical line through the blank cells of ``column``; row ``bottom`` is left out."""
        blank = self._codes[top:bottom, column] == _SPACE
        self._codes[top:bottom, column][blank] = ord("│")
        self._inks[top:bottom, column][blank] = ink

    def free(self, row: int, column: int, width: int) -> bool:
        """Whether no curve crosses ``width`` cells of ``row``; faint values count as free."""
        if not 0 <= row < self.height:
            return False
        inks = self._inks[row, max(0, column) : column + width]
        return not ((inks >= CURVE) & (inks < FAINT)).any()

    def keys(self) -> list[bytes]:
        """A key for each row: rows of the same key look alike."""
        return [
            codes.tobytes() + inks.tobytes()
            for codes, inks in zip(self._codes, self._inks, strict=True)
        ]

    def lines(self, rows: Sequence[int]) -> list[list[tuple[str, int]]]:
        """Some rows, each as runs of text in one ink, as few as possible."""
        codes = self._codes[rows]
        # A blank cell looks alike in every ink, so it takes that of the cell before it.
        latest = np.where(codes != _SPACE, np.arange(self.width), 0)
        np.maximum.accumulate(latest, axis=1, out=latest)
        inks = np.take_along_axis(self._inks[rows], latest, axis=1)
        lines = []
        for text, row in zip(codes, inks.tolist(), strict=True):
            characters = text.tobytes().decode("utf-32-le")
            runs, start = [], 0
            for end in range(1, self.width + 1):
                if end == self.width or row[end] != row[start]:
                    runs.append((characters[start:end].replace("\0", ""), row[start]))
                    start = end
            lines.append(runs)
        return lines

    def text(self) -> str:
        """The characters alone, a line a row."""
        lines = self.lines(range(self.height))
        return "\n".join("".join(run for run, _ in line).rstrip() for line in lines)
