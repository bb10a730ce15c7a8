"""The display that stays in place on a terminal."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterable, Sequence
from contextlib import suppress
from types import TracebackType

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from mamltui.events import (
    DiskFailing,
    DiskRestored,
    Diverged,
    Event,
    Failed,
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
from mamltui.measures import History, Pace, duration, validation_text
from mamltui.score import Score
from mamltui.text import visible_lines

LABEL_WIDTH = 12
VALUE_WIDTH = 9


class LiveDisplay(Display):
    """A display that stays in place on a terminal and is redrawn four times a second.

    Args:
        console: the terminal, usually on stderr.
        title: what is trained, e.g. ``5-way 1-shot on strokes``.
    """

    def __init__(self, console: Console, title: str) -> None:
        self._console = console
        self._title = title
        self._state = "starting"
        self._run = ""
        self._device = ""
        self._iteration = 0
        self._iterations = 0
        self._end = 0
        self._elapsed = 0.0
        self._step: Step | None = None
        self._validated: Validated | None = None
        self._best: tuple[Score, int] | None = None
        self._loss = History()
        self._score = History()
        self._pace = Pace()
        self._clock_at_event = time.monotonic()
        self._running = False
        self._disk_refuses = False
        self._lock = threading.Lock()
        self._live = Live(
            console=console,
            get_renderable=self.frame,
            refresh_per_second=4,
            vertical_overflow="crop",
            redirect_stdout=False,
        )

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._live.stop()

    def show(self, event: Event) -> None:
        # Not before the first event: a run that cannot start shows its error alone.
        if not self._live.is_started:
            self._live.start()
        with self._lock:
            self._iteration = max(self._iteration, event.iteration)
            self._pace.note(event)
            self._take(event)
        if isinstance(event, Notice | DiskFailing | DiskRestored):
            text = visible_lines(event.message)
            self._console.print(text, style="yellow", markup=False, highlight=False)

    def _take(self, event: Event) -> None:
        match event:
            case Started():
                self._run, self._device = event.run, event.device
                self._iteration, self._iterations = event.iteration, event.iterations
                self._end = event.iterations
                self._enter("training")
            case Step():
                self._step = event
                self._loss.append(event.query_loss)
                self._score.append(event.score.value)
                self._tick(event.elapsed)
            case Validated():
                self._validated = event
                if event.is_best:
                    self._best = (event.score, event.iteration)
                self._tick(event.elapsed)
            case DiskFailing() | DiskRestored():
                self._disk_refuses = isinstance(event, DiskFailing)
            case Paused():
                self._enter("paused")
            case Resumed():
                self._enter("training")
            case Diverged():
                self._enter("diverged")
            case Stopped():
                self._enter("stopped")
            case Failed():
                self._enter("failed")
            case Finished():
                self._tick(event.elapsed)
                self._end = event.iteration  # of early stopping, before all are done
                self._best = (event.best_score, event.best_iteration)
                self._enter("finished")

    def _tick(self, elapsed: float) -> None:
        self._elapsed, self._clock_at_event = elapsed, time.monotonic()

    def _enter(self, state: str) -> None:
        self._elapsed = self._elapsed_now()
        self._clock_at_event = time.monotonic()
        self._state = state
        self._running = state == "training"

    def evaluating(self, done: int, episodes: int) -> None:
        with self._lock:
            self._state = f"evaluating {done} / {episodes}" if done < episodes else "finished"
            self._running = False

    def stopping(self) -> None:
        # No lock: this is called from a signal handler, which may interrupt a holder of it.
        self._state = "stopping: saving a checkpoint"
        # A second signal may end the process at once: the cursor must be there then.
        with suppress(OSError, ValueError):
            os.write(self._console.file.fileno(), b"\x1b[?25h")

    def _elapsed_now(self) -> float:
        """Time goes on between two events."""
        since = time.monotonic() - self._clock_at_event if self._running else 0.0
        return self._elapsed + since

    def frame(self) -> RenderableType:
        """The display as it is now: always as many lines, none wider than the terminal."""
        with self._lock:
            width = self._console.width
            return Group(
                self._headline(width),
                self._progress(width),
                self._times(),
                Text(""),
                *self._metrics(width),
            )

    def _headline(self, width: int) -> RenderableType:
        line = Table.grid(expand=True, padding=(0, 1))
        line.add_column(no_wrap=True, overflow="ellipsis", ratio=1)
        line.add_column(no_wrap=True, justify="right")
        what = Text(self._title, style="bold")
        if self._device and width >= 60:
            what.append(f"   {self._device}", style="not bold dim")
        state = Text(self._state, style=_state_style(self._state))
        if self._disk_refuses:
            state.append(", disk refuses", style="bold yellow")
        line.add_row(what, state)
        return line

    def _progress(self, width: int) -> RenderableType:
        counter = f"{self._iteration:,} / {self._iterations:,}"
        line = Table.grid(padding=(0, 1))
        line.add_column()
        line.add_column(no_wrap=True, justify="right")
        bar = ProgressBar(
            total=max(1, self._iterations),
            completed=self._iteration,
            width=max(4, width - len(counter) - 2),
            complete_style="cyan",
            finished_style="green",
        )
        line.add_row(bar, counter)
        return line

    def _times(self) -> Text:
        elapsed = self._elapsed_now()
        left = self._pace.seconds_left(self._iteration, self._end)
        if left is not None:
            left = max(0.0, left - (elapsed - self._elapsed))
        speed = self._step.iterations_per_second if self._step else None
        parts = [
            f"{100 * self._iteration / max(1, self._iterations):5.1f} %",
            f"elapsed {duration(elapsed)}",
            f"left {duration(left)}",
            f"{speed:.1f} it/s" if speed is not None else "- it/s",
        ]
        return _line("   ".join(parts))

    def _metrics(self, width: int) -> Iterable[Text]:
        step, validated = self._step, self._validated
        room = width - LABEL_WIDTH - VALUE_WIDTH - 1
        yield _metric(
            "loss",
            f"{step.query_loss:.4f}" if step else "-",
            self._loss.sparkline(room),
        )
        is_error = step is not None and step.score.metric.is_error
        yield _metric(
            "error" if is_error else "accuracy",
            step.score.text if step else "-",
            self._score.sparkline(room),
        )
        best = f"   best {self._best[0].text} at {self._best[1]:,}" if self._best else ""
        yield _metric("validation", (validation_text(validated) if validated else "-") + best)
        yield _metric(
            "by step",
            _by_step(validated.scores_per_step) if validated else "-",
        )
        yield _metric("gradient", f"norm {step.gradient_norm:.3g}" if step else "-")
        yield _metric("run", self._run or "-")


def _by_step(scores: Sequence[Score]) -> str:
    unit = scores[0].metric.unit if scores else ""
    return "  ".join(score.text.removesuffix(unit) for score in scores) + unit


def _line(text: str, style: str = "") -> Text:
    return Text(text, style=style, no_wrap=True, overflow="ellipsis")


def _metric(label: str, value: str, spark: str = "") -> Text:
    line = Text(no_wrap=True, overflow="ellipsis")
    line.append(f"{label:<{LABEL_WIDTH}}", style="dim")
    line.append(f"{value:<{VALUE_WIDTH}}" if spark else value)
    line.append(f" {spark}" if spark else "", style="cyan")
    return line


def _state_style(state: str) -> str:
    if state in ("diverged", "failed"):
        return "bold red"
    return "yellow" if state.startswith(("stop", "paused")) else "green"
