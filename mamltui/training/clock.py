"""Seconds of a training."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from time import perf_counter, process_time
from typing import NamedTuple


class Seconds(NamedTuple):
    """Of a training so far, all sittings together, without pauses."""

    elapsed: float = 0.0
    """By the clock."""
    processor: float | None = 0.0
    """Of all of this process's threads: what other work on the machine hardly adds to. None: an
    earlier sitting did not count them."""


class Clock:
    """Goes on from the seconds of earlier sittings."""

    def __init__(self, earlier: Seconds) -> None:
        self._start = perf_counter() - earlier.elapsed
        self._processor_start = (
            None if earlier.processor is None else process_time() - earlier.processor
        )
        self._aside = 0.0

    @property
    def seconds(self) -> Seconds:
        """All but pauses."""
        start = self._processor_start
        return Seconds(self.elapsed, None if start is None else process_time() - start)

    @property
    def elapsed(self) -> float:
        """By the clock, all but pauses."""
        return perf_counter() - self._start

    @property
    def stepping(self) -> float:
        """Without what was done aside; only differences mean something."""
        return self.elapsed - self._aside

    @contextmanager
    def paused(self) -> Iterator[None]:
        """The time inside does not count."""
        begun, processor_begun = perf_counter(), process_time()
        try:
            yield
        finally:
            self._start += perf_counter() - begun
            if self._processor_start is not None:
                self._processor_start += process_time() - processor_begun

    @contextmanager
    def aside(self) -> Iterator[None]:
        """The time inside is not that of meta-steps: validation, checkpoints."""
        begun = perf_counter()
        try:
            yield
        finally:
            self._aside += perf_counter() - begun
