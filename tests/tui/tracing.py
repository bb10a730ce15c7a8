"""Strokes of a pen that would give a black and white picture: its lines thinned and followed."""

from __future__ import annotations

import numpy as np

from mamltui.tui.draw.ink import Ink, Point

Pixel = tuple[int, int]
_NEAR = [(1, 0), (0, 1), (-1, 0), (0, -1), (1, 1), (-1, 1), (1, -1), (-1, -1)]


def strokes_of(ink: Ink) -> list[list[Point]]:
    """The paths along the middle of what is inked, from pixel centre to pixel centre."""
    line = thinned(ink)
    every = {(int(x), int(y)) for y, x in zip(*np.nonzero(line), strict=True)}
    left, strokes = set(every), []
    while left:
        ends = [pixel for pixel in left if len(_beside(pixel, left)) <= 1]
        path = [min(ends or left)]
        left.discard(path[0])
        while following := _beside(path[-1], left):
            path.append(min(following, key=lambda pixel: _turn(path, pixel)))
            left.discard(path[-1])
        # Joined to what is there already.
        for index, end in ((0, path[0]), (len(path) + 1, path[-1])):
            touching = [pixel for pixel in _beside(end, every) if pixel not in path]
            path[index:index] = touching[:1]
        strokes.append([(x + 0.5, y + 0.5) for x, y in path])
    return strokes


def thinned(ink: Ink) -> Ink:
    """Lines one pixel thick (Zhang and Suen 1984)."""
    left = np.pad(ink, 1).astype(np.uint8)
    gone = np.ones_like(ink, np.bool_)
    while gone.any():
        for parity in (0, 1):
            ring = [
                np.roll(left, shift, (0, 1))
                for shift in ((1, 0), (1, -1), (0, -1), (-1, -1), (-1, 0), (-1, 1), (0, 1), (1, 1))
            ]
            count = sum(each.astype(int) for each in ring)
            turns = sum(((ring[i] == 0) & (ring[(i + 1) % 8] == 1)).astype(int) for i in range(8))
            up, right, down, before = ring[0], ring[2], ring[4], ring[6]
            sides = (
                (up * right * before, up * down * before)
                if parity
                else (up * right * down, right * down * before)
            )
            gone = (left == 1) & (count >= 2) & (count <= 6) & (turns == 1)
            gone &= (sides[0] == 0) & (sides[1] == 0)
            left[gone] = 0
            if not parity:
                first = gone
        gone = gone | first
    thin: Ink = left[1:-1, 1:-1].astype(np.bool_)
    return thin


def _beside(pixel: Pixel, pixels: set[Pixel]) -> list[Pixel]:
    around = [(pixel[0] + x, pixel[1] + y) for x, y in _NEAR]
    return [each for each in around if each in pixels]


def _turn(path: list[Pixel], pixel: Pixel) -> float:
    """How far from straight on it is to go to ``pixel``; a straight line at the beginning."""
    if len(path) < 4:
        return 0.0
    ahead, step = np.subtract(path[-1], path[-4]), np.subtract(pixel, path[-1])
    return -float(ahead @ step / np.linalg.norm(step))


def through_cells(points: list[Point], columns: int, size: int) -> list[Point]:
    """As a mouse gives them that knows the cells of a canvas alone: the middle of each."""
    cells: list[Point] = []
    for x, y in points:
        column, row = int(x / size * columns), int(y / size * columns / 2)
        cell = ((column + 0.5) / columns * size, (row + 0.5) / (columns // 2) * size)
        if not cells or cells[-1] != cell:
            cells.append(cell)
    return cells
