"""Numbers that a display derives from events: the pace, a metric's history; and how to say them."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Sequence
from datetime import datetime, timedelta
from itertools import pairwise
from typing import TYPE_CHECKING

from mamltui.events import Event, Resumed, Started, Step, Validated

if TYPE_CHECKING:
    from mamltui.profiles import Profile

BARS = "▁▂▃▄▅▆▇█"


class Pace:
    """How fast the training has been lately, validation and checkpoints included."""

    def __init__(self) -> None:
        self._steps: deque[tuple[int, float]] = deque(maxlen=50)
        self._validations: deque[tuple[int, float]] = deque(maxlen=4)
        self._paces: deque[float] = deque(maxlen=50)
        """Seconds an iteration from one logged step to the next, where only steps lay between."""
        self._last: Event | None = None

    def note(self, event: Event) -> None:
        """Take an event; a start or a pause begins a new measurement."""
        match event:
            case Step():
                if isinstance(self._last, Step) and event.iteration > self._last.iteration:
                    done = event.iteration - self._last.iteration
                    self._paces.append((event.elapsed - self._last.elapsed) / done)
                self._steps.append((event.iteration, event.elapsed))
            case Validated():
                self._validations.append((event.iteration, event.elapsed))
            case Started() | Resumed():
                self._steps.clear()
                self._validations.clear()
                self._paces.clear()
        self._last = event

    def seconds_per_iteration(self) -> float | None:
        """None until there are two marks to measure between.

        Whole validation intervals are measured as soon as there is one: a window of training steps
        alone leaves out what validation takes.
        """
        for marks in (self._validations, self._steps):
            if len(marks) >= 2 and marks[-1][0] > marks[0][0]:
                return (marks[-1][1] - marks[0][1]) / (marks[-1][0] - marks[0][0])
        return None

    def seconds_left(self, iteration: int, iterations: int) -> float | None:
        pace = self.seconds_per_iteration()
        return None if pace is None else pace * max(0, iterations - iteration)

    def seconds_left_error(self, iteration: int, iterations: int) -> float | None:
        """Half the 95% interval of ``seconds_left``, from the spread between logged steps.

        None until there are three intervals to compare. It knows of noise in the pace, not of
        another program that will start tomorrow.
        """
        count = len(self._paces)
        if count < 3:
            return None
        mean = sum(self._paces) / count
        variance = sum((pace - mean) ** 2 for pace in self._paces) / (count - 1)
        return 1.96 * math.sqrt(variance / count) * max(0, iterations - iteration)


class History:
    """All values of a metric, averaged so far that at most ``capacity`` numbers are kept."""

    def __init__(self, capacity: int = 256) -> None:
        self._capacity = capacity
        self._means: list[float] = []
        self._stride = 1
        self._sum = 0.0
        self._count = 0

    def append(self, value: float) -> None:
        if not math.isfinite(value):
            return
        self._sum += value
        self._count += 1
        if self._count < self._stride:
            return
        self._means.append(self._sum / self._count)
        self._sum, self._count = 0.0, 0
        if len(self._means) == self._capacity:
            pairs = zip(self._means[::2], self._means[1::2], strict=True)
            self._means = [(a + b) / 2 for a, b in pairs]
            self._stride *= 2

    def sparkline(self, width: int) -> str:
        """The whole history in at most ``width`` characters, lowest to highest."""
        return sparkline(averaged(self._means, width))


def averaged(values: Sequence[float], most: int) -> list[float]:
    """At most so many means of neighbouring values, in their order."""
    columns = min(most, len(values))
    if columns < 1:
        return []
    edges = [round(column * len(values) / columns) for column in range(columns + 1)]
    return [sum(values[start:stop]) / (stop - start) for start, stop in pairwise(edges)]


def sparkline(values: Sequence[float], low: float | None = None, high: float | None = None) -> str:
    """A bar for each value, from ``low`` to ``high``; without them from the least to the greatest.

    What is not finite is drawn as the lowest bar, as is all where there is no difference.
    """
    finite = [value for value in values if math.isfinite(value)]
    low = min(finite, default=0.0) if low is None else low
    high = max(finite, default=0.0) if high is None else high
    scale = (len(BARS) - 1) / (high - low) if high > low else 0.0
    levels = ((value - low) * scale if math.isfinite(value) else 0.0 for value in values)
    return "".join(BARS[min(max(round(level), 0), len(BARS) - 1)] for level in levels)


def counted(count: int, noun: str, plural: str = "") -> str:
    """``1 step``, ``1,200 steps``.

    Args:
        plural: of a noun whose plural is not made by an s.
    """
    return f"{count:,} {noun if count == 1 else plural or f'{noun}s'}"


def queries_text(profile: Profile) -> str:
    """Of a task that is scored: ``5 queries a class``, or of a wave ``10 query points``.

    Where training has another number, it follows: ``1 query a class (trained 5)``.
    """
    trained, scored = profile.task.query, profile.task.at_test.query
    if profile.is_regression:
        text = counted(scored, "query point")
    else:
        text = f"{counted(scored, 'query', 'queries')} a class"
    return text if trained == scored else f"{text} (trained {trained:,})"


def duration(seconds: float | None) -> str:
    """``1:02:11``; days in front when there are any; ``-`` for None."""
    if seconds is None or not math.isfinite(seconds):
        return "-"
    return str(timedelta(seconds=round(seconds)))


def age(created: str, now: datetime) -> str:
    """How long ago, in one unit: ``3 min``, ``2 h``, ``5 d``; empty if that is not known."""
    try:
        then = datetime.fromisoformat(created.replace("Z", "+00:00"))
        seconds = (now - then).total_seconds()
    except (ValueError, TypeError):
        return ""
    for unit, length in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= length:
            return f"{int(seconds // length)} {unit}"
    return "< 1 min"


def percent(fraction: float) -> str:
    return f"{100 * fraction:.1f} %"


def validation_text(event: Validated) -> str:
    """E.g. ``98.2 % ± 0.3``."""
    score = event.score
    decimals = score.metric.decimals if score.metric.is_error else 1
    return f"{score.text} ± {score.metric.number(score.ci95, decimals)}"
