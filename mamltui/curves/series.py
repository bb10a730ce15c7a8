"""A growing curve: its values, its moving average, and its extremes in bins."""

from __future__ import annotations

import math
from itertools import accumulate
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]

BLOCK = 64
"""Values that the moving average and the extremes take at once."""

MANY_BLOCKS = 8
"""Blocks in a bin from which on its edges may be moved to those of blocks."""


class _Buffer:
    """A float64 array with room at its end."""

    def __init__(self) -> None:
        self.values: Floats = np.empty(256)

    def put(self, at: int, new: Floats | float) -> None:
        """Write ``new`` from index ``at`` on; what lies before ``at`` is kept.

        A full array is replaced by a longer copy, so that views of the old one stay valid.
        """
        end = at + (1 if isinstance(new, float) else len(new))
        if end > len(self.values):
            longer = np.empty(max(end, 2 * len(self.values)))
            longer[:at] = self.values[:at]
            self.values = longer
        self.values[at:end] = new


class Series:
    """Points (x, y) in the order of their x, usually iterations.

    One thread may append while another one reads: it sees all points up to some moment. Averages
    and extremes belong to the reading thread. A y that is not finite is kept as NaN, which is left
    out of both.
    """

    def __init__(self, x: ArrayLike = (), y: ArrayLike = ()) -> None:
        self._x = _Buffer()
        self._y = _Buffer()
        self._length = 0
        self._extremes = _Extremes()
        self._average: _Average | None = None
        self.extend(x, y)

    def __len__(self) -> int:
        return self._length

    @property
    def x(self) -> Floats:
        """``[points] float64``, ascending; a view, not to be written to."""
        return self.points()[0]

    @property
    def y(self) -> Floats:
        """``[points] float64``, NaN where a value was not finite; a view, not to be written to."""
        return self.points()[1]

    def points(self) -> tuple[Floats, Floats]:
        """``x`` and ``y`` at one moment, equally long."""
        # The length comes first: arrays fetched after it hold at least as many points.
        length = self._length
        return self._x.values[:length], self._y.values[:length]

    def append(self, x: float, y: float) -> None:
        """Add one point.

        Raises:
            ValueError: ``x`` is not finite or lies before the last one.
        """
        length = self._length
        if not math.isfinite(x) or (length and x < self._x.values[length - 1]):
            raise ValueError(f"x must be finite and ascend, got {x}")
        self._x.put(length, float(x))
        self._y.put(length, float(y) if math.isfinite(y) else math.nan)
        self._length = length + 1

    def extend(self, xs: ArrayLike, ys: ArrayLike) -> None:
        """Add points.

        Raises:
            ValueError: ``xs`` and ``ys`` differ in length, or an x is not finite or lies before the
                one in front of it.
        """
        x, y = np.asarray(xs, np.float64), np.asarray(ys, np.float64)
        if x.ndim != 1 or x.shape != y.shape:
            raise ValueError(f"x and y must be equally long, got {x.shape} and {y.shape}")
        if not len(x):
            return
        length = self._length
        ascending = np.isfinite(x).all() and (np.diff(x) >= 0).all()
        if not ascending or (length and x[0] < self._x.values[length - 1]):
            raise ValueError("x must be finite and ascend")
        self._x.put(length, x)
        self._y.put(length, np.where(np.isfinite(y), y, np.nan))
        self._length = length + len(x)

    def smoothed(self, weight: float) -> Floats:
        """The exponential moving average of y, not pulled towards zero at the start.

        Over the finite values ``s = weight * s + (1 - weight) * y`` with ``s = 0`` before the
        first, divided by ``1 - weight ** n`` after ``n`` of them. The average under the last
        weight is kept and continued, so that asking again costs as much as what is new.

        Args:
            weight: from 0 (y itself) to less than 1.

        Returns:
            ``[points] float64``, NaN where y is; a view, not to be written to.

        Raises:
            ValueError: ``weight`` is outside ``[0, 1)``.
        """
        if not 0 <= weight < 1:
            raise ValueError(f"the weight must be at least 0 and less than 1, got {weight}")
        if weight == 0:
            return self.y
        if self._average is None or self._average.weight != weight:
            self._average = _Average(weight)
        return self._average.over(self.y)

    def envelope(
        self, low: float, high: float, columns: int, *, weight: float = 0.0, positive: bool = False
    ) -> Envelope:
        """:func:`envelope` of the points or of their average, whatever their number.

        In bins of very many points the extremes of blocks of :data:`BLOCK` points are compared,
        which are kept and continued as points are added. There a point may count for the bin
        beside its own when it is nearer to it than an eighth of a bin; none is lost.

        Args:
            weight: that of the moving average.
            positive: leave values out that are not above zero.
        """
        x = self.x
        y = self.smoothed(weight)[: len(x)]
        edges = _edges(x, low, high, columns)
        if edges[-1] - edges[0] < MANY_BLOCKS * BLOCK * columns:
            first, last = edges[0], edges[-1]
            inside = y[first:last]
            if positive:
                inside = np.where(inside > 0, inside, np.nan)
            return _between(edges - first, inside, inside)
        extremes = self._extremes if weight == 0 or not self._average else self._average.extremes
        smallest, largest = extremes.over(y, positive=positive)
        edges[-1] += BLOCK - 1
        edges //= BLOCK
        return _between(edges, smallest, largest)


class _Average:
    """The moving average of a growing array under one weight."""

    def __init__(self, weight: float) -> None:
        self.weight = weight
        self.extremes = _Extremes()
        self._length = 0
        self._values = _Buffer()
        self._state = 0.0
        self._count = 0
        powers: Floats = np.power(weight, np.arange(BLOCK + 1), dtype=np.float64)
        lag = np.subtract.outer(np.arange(BLOCK), np.arange(BLOCK))
        self._kernel: Floats = np.where(lag >= 0, (1 - weight) * powers[abs(lag)], 0.0).T
        self._decay = powers[1:]

    def over(self, y: Floats) -> Floats:
        """The average of all of ``y``, which continues what was given before."""
        new = y[self._length :]
        if len(new):
            finite = np.isfinite(new)
            state = self._follow(new[finite])
            average = np.full(len(new), np.nan)
            if len(state):
                count = self._count + np.arange(1, len(state) + 1)
                average[finite] = state / -np.expm1(count * math.log(self.weight))
                self._count += len(state)
                self._state = float(state[-1])
            self._values.put(self._length, average)
            self._length = len(y)
        return self._values.values[: len(y)]

    def _follow(self, values: Floats) -> Floats:
        """The recurrence over finite ``values``: within blocks at once, then block to block."""
        blocks = -(-len(values) // BLOCK)
        padded = np.zeros(blocks * BLOCK)
        padded[: len(values)] = values
        state = padded.reshape(blocks, BLOCK) @ self._kernel
        last = float(self._decay[-1])
        into = accumulate(
            state[:-1, -1].tolist(), lambda carry, end: last * carry + end, initial=self._state
        )
        if blocks:
            state += np.fromiter(into, np.float64, blocks)[:, None] * self._decay
        return state.ravel()[: len(values)]


class _Extremes:
    """The smallest and largest of every :data:`BLOCK` values of a growing array."""

    def __init__(self) -> None:
        self._length = 0
        self._smallest = _Buffer()
        self._smallest_positive = _Buffer()
        self._largest = _Buffer()

    def over(self, y: Floats, *, positive: bool) -> tuple[Floats, Floats]:
        """``[blocks]`` each, NaN where a block has no value; the last block may be short.

        Args:
            positive: take the smallest of what is above zero, and the largest where it is.
        """
        if len(y) > self._length:
            block = self._length // BLOCK
            new = y[block * BLOCK :]
            starts = np.arange(0, len(new), BLOCK)
            smallest = np.fmin.reduceat(new, starts)
            self._smallest.put(block, smallest)
            self._largest.put(block, np.fmax.reduceat(new, starts))
            if not (smallest > 0).all():
                smallest = np.fmin.reduceat(np.where(new > 0, new, np.nan), starts)
            self._smallest_positive.put(block, smallest)
            self._length = len(y)
        blocks = -(-len(y) // BLOCK)
        if positive:
            smallest = self._smallest_positive.values[:blocks]
            return smallest, np.where(np.isnan(smallest), np.nan, self._largest.values[:blocks])
        return self._smallest.values[:blocks], self._largest.values[:blocks]


class Envelope(NamedTuple):
    """The extremes of a curve in those of equal bins that hold a finite value."""

    column: NDArray[np.intp]
    """``[bins with a value]``: which bin, ascending."""
    minimum: Floats
    maximum: Floats


def envelope(x: Floats, y: Floats, low: float, high: float, columns: int) -> Envelope:
    """The smallest and largest y in each of ``columns`` equal bins of ``[low, high]``.

    A spike of a single point is thus never lost, however many points share its bin.

    Args:
        x: ``[points]``, ascending.
        y: ``[points]``; NaN is left out.
    """
    return _between(_edges(x, low, high, columns), y, y)


def _edges(x: Floats, low: float, high: float, columns: int) -> NDArray[np.intp]:
    """``[columns + 1]``: the indices in ``x`` between which the points of each bin lie."""
    edges = np.searchsorted(x, np.linspace(low, high, columns + 1))
    edges[-1] = np.searchsorted(x, high, side="right")
    return edges


def _between(edges: NDArray[np.intp], smallest: Floats, largest: Floats) -> Envelope:
    column = np.flatnonzero(edges[:-1] < edges[1:])
    if not len(column):
        return Envelope(column, np.empty(0), np.empty(0))
    # Between the starts of two bins with points lie the points of the first, and no others.
    starts, end = edges[:-1][column], edges[-1]
    minimum = np.fmin.reduceat(smallest[:end], starts)
    finite = ~np.isnan(minimum)
    maximum = np.fmax.reduceat(largest[:end], starts)
    return Envelope(column[finite], minimum[finite], maximum[finite])
