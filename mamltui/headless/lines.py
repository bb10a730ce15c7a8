"""A training as plain lines, for a log file or a pipe."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable
from contextlib import suppress

from mamltui.events import (
    Checkpointed,
    DiskFailing,
    DiskRestored,
    Diverged,
    Event,
    Finished,
    Notice,
    Paused,
    Resumed,
    Started,
    Step,
    Stopped,
    Validated,
)
from mamltui.headless.display import Display
from mamltui.measures import Pace, duration, validation_text

LINE_SECONDS = 10.0
"""Lines come at each validation, and between validations at most this often."""


class LineDisplay(Display):
    """One line at a time, for a log file or a pipe.

    Args:
        write: takes each line, without its end.
        title: what is trained, e.g. ``5-way 1-shot on strokes``.
        every_step: a line for each logged step, not only for validations and now and then.
        clock: seconds that only go up; what limits the lines between validations.
    """

    def __init__(
        self,
        write: Callable[[str], None],
        title: str,
        *,
        every_step: bool = False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._write = write
        self._title = title
        self._every_step = every_step
        self._clock = clock
        self._last_line = -math.inf
        self._iterations = 0
        self._step: Step | None = None
        self._pace = Pace()

    def show(self, event: Event) -> None:
        self._pace.note(event)
        match event:
            case Started():
                self._iterations = event.iterations
                span = f"iterations {event.iteration:,} to {event.iterations:,}"
                verb = "resumed" if event.resumed else "started"
                self._say(
                    f"{verb} {event.run}: {self._title}, {event.parameters:,} parameters, "
                    f"{event.device}, {span}"
                )
            case Step():
                self._step = event
                if self._every_step or self._clock() - self._last_line >= LINE_SECONDS:
                    self._say(self._progress(event.iteration))
            case Validated():
                best = "  best so far" if event.is_best else ""
                self._say(
                    f"{self._progress(event.iteration)}  validation {validation_text(event)}{best}"
                )
            case Checkpointed():
                if self._every_step:
                    self._say(f"checkpoint {event.kind}: {event.path}")
            case Paused():
                self._say("paused")
            case Resumed():
                self._say("resumed")
            case Notice() | DiskFailing() | DiskRestored():
                self._say(event.message)
            case Diverged() | Stopped():
                self._say(f"{event.name}: {event.reason}")
            case Finished():
                score = event.best_score
                self._say(
                    f"finished in {duration(event.elapsed)}: best validation {score.metric.name} "
                    f"{score.text} at iteration {event.best_iteration:,}"
                )

    def evaluating(self, done: int, episodes: int) -> None:
        if done == 0:
            self._say(f"evaluating the best checkpoint on {episodes} episodes of the test split")

    def stopping(self) -> None:
        # Not through ``write``: a signal may have come in the middle of it.
        with suppress(OSError):
            os.write(2, b"stopping after a checkpoint; a second interrupt ends at once\n")

    def _progress(self, iteration: int) -> str:
        width = len(f"{self._iterations:,}")
        parts = [f"iteration {iteration:>{width},} / {self._iterations:,}"]
        if self._step:
            score = self._step.score
            if not score.metric.is_error:
                parts.append(f"loss {self._step.query_loss:.4f}")
            parts += [
                f"{score.metric.name} {score.text:>7}",
                f"{self._step.iterations_per_second:.1f} it/s",
            ]
        parts.append(f"left {duration(self._pace.seconds_left(iteration, self._iterations))}")
        return "  ".join(parts)

    def _say(self, text: str) -> None:
        self._last_line = self._clock()
        self._write(f"{time.strftime('%H:%M:%S')}  {text}")
