"""Seconds of a training."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from time import perf_counter


class Clock:
    """Goes on from ``elapsed`` seconds of earlier sittings."""

    def __init__(self, elapsed: float) -> None:
        self._start = perf_counter() - elapsed
        self._aside = 0.0

    @property
    def elapsed(self) -> float:
        """All but pauses."""
        return perf_counter() - self._start

    @property
    def stepping(self) -> float:
        """Without what was done aside; only differences mean something."""
        return self.elapsed - self._aside

    @contextmanager
    def paused(self) -> Iterator[None]:
        """The time inside does not count."""
        begun = perf_counter()
        try:
            yield
        finally:
            self._start += perf_counter() - begun

    @contextmanager
    def aside(self) -> Iterator[None]:
        """The time inside is not that of meta-steps: validation, checkpoints."""
        begun = perf_counter()
        try:
            yield
        finally:
            self._aside += perf_counter() - begun
