"""A drawing as Omniglot's are: ink on a square of 105 pixels, by a pen as thick as theirs."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

SIZE = 105
"""Pixels a side, as in Omniglot's files."""
PEN = 2.45
"""Radius in pixels: Omniglot's strokes are about five pixels wide."""
ERASER = 6.0
"""Radius in pixels."""
MOST_UNDONE = 100
"""Changes that can be taken back."""
_SPACING = 0.5
"""Pixels between two dabs of the pen."""

Ink = NDArray[np.bool_]
"""[SIZE, SIZE], by rows from the top."""
Point = tuple[float, float]
"""In pixels from the left and from the top."""


def ink_of(content: bytes) -> Ink:
    """Ink from the bytes that its ``tobytes`` made."""
    return np.frombuffer(content, np.bool_).reshape(SIZE, SIZE)


class Drawing:
    """Ink that is drawn stroke by stroke, and can be taken back."""

    def __init__(self, ink: Ink | None = None) -> None:
        self.ink: Ink = np.zeros((SIZE, SIZE), np.bool_) if ink is None else ink
        self._before: list[Ink] = []

    @property
    def is_blank(self) -> bool:
        return not self.ink.any()

    def begin(self) -> None:
        """Begin a stroke, which :meth:`draw` changes as a whole."""
        self._before = [*self._before[1 - MOST_UNDONE :], self.ink]

    def draw(self, points: Sequence[Point], *, erase: bool = False) -> None:
        """Have the stroke that was begun last go along these points."""
        if erase:
            self.ink = self._before[-1] & ~painted(points, ERASER)
        else:
            self.ink = self._before[-1] | painted(points, PEN)

    def clear(self) -> None:
        """Take all ink away."""
        if not self.is_blank:
            self.begin()
            self.ink = np.zeros_like(self.ink)

    def undo(self) -> bool:
        """Take the last stroke or clearing back; whether there was one."""
        if not self._before:
            return False
        self.ink = self._before.pop()
        return True


def painted(points: Sequence[Point], radius: float) -> Ink:
    """The pixels whose centres a round pen covers on straight lines from point to point."""
    centres = _dabs(np.asarray(points, np.float64).reshape(-1, 2))
    reach = int(radius) + 1
    corner = np.floor(centres)
    column, row = corner.astype(np.int64).T
    off_x, off_y = (centres - corner - 0.5).T
    ink = np.zeros((SIZE, SIZE), np.bool_)
    for down in range(-reach, reach + 1):
        for right in range(-reach, reach + 1):
            x, y = column + right, row + down
            under = (right - off_x) ** 2 + (down - off_y) ** 2 <= radius**2
            under &= (x >= 0) & (x < SIZE) & (y >= 0) & (y < SIZE)
            ink[y[under], x[under]] = True
    return ink


def _dabs(points: NDArray[np.float64]) -> NDArray[np.float64]:
    """[dabs, 2]: the points, and others between them, at most ``_SPACING`` apart."""
    ways = np.diff(points, axis=0)
    counts = np.maximum(1, np.ceil(np.abs(ways).max(axis=1) / _SPACING)).astype(np.int64)
    way = np.repeat(np.arange(len(ways)), counts)
    number = np.arange(len(way)) - (np.cumsum(counts) - counts)[way] + 1
    between = points[way] + ways[way] * (number / counts[way])[:, None]
    return np.concatenate([points[:1], between])


def smoothed(points: Sequence[Point], rounds: int = 2) -> list[Point]:
    """A path that a hand would take through cells of a terminal: corners cut (Chaikin 1974)."""
    path = np.asarray(points, np.float64).reshape(-1, 2)
    for _ in range(rounds):
        if len(path) < 3:
            break
        first, second = 0.75 * path[:-1] + 0.25 * path[1:], 0.25 * path[:-1] + 0.75 * path[1:]
        cut = np.stack([first, second], 1).reshape(-1, 2)
        path = np.concatenate([path[:1], cut[1:-1], path[-1:]])
    return [(float(x), float(y)) for x, y in path]
