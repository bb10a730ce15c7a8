"""A training as one line that is written over: for scripts and notebooks."""

from __future__ import annotations

import time
from collections.abc import Callable
from types import TracebackType

from mamltui.events import Event, Finished, Step, Validated
from mamltui.headless.display import Display

_SECONDS = 0.2
"""Between two pictures of the bar."""
_CELLS = 20


class BarDisplay(Display):
    """A bar, the iteration, and the latest scores.

    Args:
        write: takes text; a carriage return in it goes back to the start of the line.
        title: what is trained.
        iterations: of the whole training.
    """

    def __init__(self, write: Callable[[str], object], title: str, iterations: int) -> None:
        self._write = write
        self._title = title
        self._iterations = iterations
        self._validation = ""
        self._width = 0
        self._next = 0.0

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._width:
            self._write("\n")

    def show(self, event: Event) -> None:
        if isinstance(event, Validated):
            self._validation = f", validation {event.score.text}"
        if isinstance(event, Finished):
            self._draw(self._iterations, self._iterations, "iterations", "")
        elif isinstance(event, Step) and time.monotonic() >= self._next:
            score = f", training {event.score.text}"
            self._draw(event.iteration, self._iterations, "iterations", score)

    def evaluating(self, done: int, episodes: int) -> None:
        if done == episodes or time.monotonic() >= self._next:
            self._draw(done, episodes, "test episodes", "")

    def _draw(self, done: int, total: int, unit: str, more: str) -> None:
        self._next = time.monotonic() + _SECONDS
        filled = _CELLS * done // max(total, 1)
        bar = "#" * filled + "." * (_CELLS - filled)
        line = f"{self._title} [{bar}] {done:,}/{total:,} {unit}{more}{self._validation}"
        self._write("\r" + line.ljust(self._width))
        self._width = len(line)
