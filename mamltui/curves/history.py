"""What a run has said so far, in a form that can be drawn while it goes on."""

from __future__ import annotations

import threading
from collections import deque
from dataclasses import dataclass, field

from mamltui.curves.series import Series
from mamltui.events import (
    DiskFailing,
    DiskRestored,
    Diverged,
    Event,
    Failed,
    Finished,
    Paused,
    Resumed,
    Started,
    Step,
    Stopped,
    Validated,
)
from mamltui.measures import Pace
from mamltui.runs import LoggedEvent

STEP_METRICS = (
    "query_loss",
    "query_accuracy",
    "support_loss",
    "support_accuracy",
    "gradient_norm",
    "learning_rate",
    "iterations_per_second",
)
VALIDATION_METRICS = ("validation_accuracy", "validation_loss")
METRICS = STEP_METRICS + VALIDATION_METRICS

STEPS_KEPT = 512
EVENTS_KEPT = 20_000


@dataclass
class Newest:
    """The newest of everything."""

    state: str = "waiting"
    """Or ``training``, ``paused``, ``stopped``, ``diverged``, ``failed``, ``finished``."""
    iteration: int = 0
    iterations: int = 0
    """Asked for; 0 while unknown."""
    elapsed: float = 0.0
    """Seconds of training, up to the newest event that tells it."""
    started: Started | None = None
    step: Step | None = None
    validated: Validated | None = None
    best: Validated | None = None
    reason: str = ""
    """Why it was stopped, diverged or failed."""
    seconds_left: float | None = None
    seconds_left_error: float | None = None
    """Half the 95% interval of ``seconds_left``."""
    warning: str = ""
    """What is not as it should be just now, in words."""


@dataclass
class _Content:
    """All that ``clear`` forgets."""

    curves: dict[str, Series] = field(default_factory=lambda: {name: Series() for name in METRICS})
    steps: deque[Step] = field(default_factory=lambda: deque(maxlen=STEPS_KEPT))
    validations: list[Validated] = field(default_factory=list)
    events: deque[LoggedEvent] = field(default_factory=lambda: deque(maxlen=EVENTS_KEPT))
    newest: Newest = field(default_factory=Newest)
    pace: Pace = field(default_factory=Pace)


class RunHistory:
    """Curves and events of one run: one thread adds, any number read.

    Every metric of ``METRICS`` is a :class:`Series` over the iterations. Besides the curves, the
    last steps and events are kept whole, and the newest of each kind.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._version = 0
        self._content = _Content()

    @property
    def version(self) -> int:
        """Another number whenever something has changed."""
        return self._version

    def clear(self) -> None:
        """Forget everything: the run's files are read from their start again."""
        with self._lock:
            self._content = _Content()
            self._version += 1

    def add(self, event: Event, time: str = "") -> None:
        """Take an event, in the order of their happening; ``time`` is UTC, ISO 8601."""
        with self._lock:
            self._version += 1
            content, newest = self._content, self._content.newest
            newest.iteration = max(newest.iteration, event.iteration)
            content.pace.note(event)
            if isinstance(event, Step):
                for metric in STEP_METRICS:
                    if (value := getattr(event, metric)) is not None:
                        content.curves[metric].append(event.iteration, value)
                content.steps.append(event)
                newest.step, newest.elapsed = event, event.elapsed
                return
            content.events.append(LoggedEvent(time, event))
            match event:
                case Started():
                    newest.state, newest.started = "training", event
                    newest.reason = newest.warning = ""
                    newest.iteration, newest.iterations = event.iteration, event.iterations
                case Validated():
                    content.validations.append(event)
                    if event.accuracy is not None:
                        curve = content.curves["validation_accuracy"]
                        curve.append(event.iteration, event.accuracy)
                    content.curves["validation_loss"].append(event.iteration, event.loss)
                    newest.validated, newest.elapsed = event, event.elapsed
                    if event.is_best:
                        newest.best = event
                case DiskFailing():
                    newest.warning = event.message
                case DiskRestored():
                    newest.warning = ""
                case Paused():
                    newest.state = "paused"
                case Resumed():
                    newest.state = "training"
                case Stopped() | Diverged():
                    newest.state, newest.reason = event.name, event.reason
                case Failed():
                    newest.state, newest.reason = event.name, event.error
                case Finished():
                    newest.state, newest.elapsed = "finished", event.elapsed

    def curve(self, metric: str) -> Series:
        """The curve of one of ``METRICS``; it grows while it is looked at."""
        return self._content.curves[metric]

    def steps(self, last: int) -> list[Step]:
        """The last logged steps, oldest first; at most ``STEPS_KEPT``."""
        with self._lock:
            steps = self._content.steps
            return [steps[index] for index in range(max(0, len(steps) - last), len(steps))]

    def validations(self, last: int) -> list[Validated]:
        """The last validations, oldest first."""
        with self._lock:
            return self._content.validations[-last:]

    def events(self) -> list[LoggedEvent]:
        """All other events, oldest first, at most the last ``EVENTS_KEPT``."""
        with self._lock:
            return list(self._content.events)

    def newest(self) -> Newest:
        """A copy of the newest of everything."""
        with self._lock:
            now, pace = self._content.newest, self._content.pace
            left = (now.iteration, now.iterations)
            return Newest(
                state=now.state,
                iteration=now.iteration,
                iterations=now.iterations,
                elapsed=now.elapsed,
                started=now.started,
                step=now.step,
                validated=now.validated,
                best=now.best,
                reason=now.reason,
                seconds_left=pace.seconds_left(*left),
                seconds_left_error=pace.seconds_left_error(*left),
                warning=now.warning,
            )
