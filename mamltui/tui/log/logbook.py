"""The events of a run and the news of the app as one log, in the order of their time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Generic, TypeVar

from mamltui.events import (
    Checkpointed,
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
    Stopped,
    Validated,
)
from mamltui.measures import duration
from mamltui.runs import LoggedEvent
from mamltui.tui.session.session import News, Severity

Source = TypeVar("Source")
SAVED = "validated ●"
"""Of a validation whose checkpoint is on the disk."""


@dataclass(frozen=True)
class Entry:
    """One thing that happened."""

    time: float
    """Seconds since the epoch; 0 where nobody noted it."""
    iteration: int | None
    """None: it is not of the run."""
    word: str
    """What kind of thing."""
    severity: Severity
    text: str
    """As it was written, perhaps in several lines, with whatever characters."""


class Logbook:
    """All entries, kept up to date."""

    def __init__(self) -> None:
        self.entries: list[Entry] = []
        """In the order of their time."""
        self._events = _Growing(_of_event)
        self._news = _Growing(_of_news)
        self._marked: dict[tuple[int, int], tuple[Entry, Entry, Entry]] = {}
        """By the identity of a validation and of its checkpoint: both, and the one made of them."""

    def update(self, events: Sequence[LoggedEvent], news: Sequence[News]) -> bool:
        """Take in what was added to either, or dropped off its start; whether there was anything.

        Another run's events replace those shown before.
        """
        changed = [self._events.update(events), self._news.update(news)]
        if any(changed):
            entries = self._with_marks(self._events.entries) + self._news.entries
            # The events and the news are nearly sorted each, which costs the sort next to nothing.
            self.entries = sorted(entries, key=_time_of)
        return any(changed)

    def _with_marks(self, entries: Sequence[Entry]) -> list[Entry]:
        """A checkpoint of a validation is told with it; the same entries as long as they are."""
        marked: list[Entry] = []
        known, self._marked = self._marked, {}
        for entry in entries:
            last = marked[-1] if marked else None
            if (
                last is None
                or last.word not in ("validated", SAVED)
                or entry.word != "checkpoint"
                or last.iteration != entry.iteration
            ):
                marked.append(entry)
                continue
            key = (id(last), id(entry))
            both = known.get(key)
            if both is None:
                both = (last, entry, replace(last, word=SAVED))
            self._marked[key] = both
            marked[-1] = both[2]
        return marked


class _Growing(Generic[Source]):
    """Entries of things that are added at the end of a list, while the oldest are dropped."""

    def __init__(self, entry_of: Callable[[Source, float], Entry]) -> None:
        self.entries: list[Entry] = []
        self._entry_of = entry_of
        self._sources: Sequence[Source] = ()

    def update(self, sources: Sequence[Source]) -> bool:
        before, self._sources = self._sources, sources
        overlapping = overlap(before, sources)
        if overlapping == len(before) == len(sources):
            return False
        self.entries = self.entries[len(before) - overlapping :]
        for source in sources[overlapping:]:
            latest = self.entries[-1].time if self.entries else 0.0
            self.entries.append(self._entry_of(source, latest))
        return True


def overlap(before: Sequence[object], now: Sequence[object]) -> int:
    """How many of the last of ``before`` are the very first of ``now``."""
    if not now:
        return 0
    for dropped, source in enumerate(before):
        if source is now[0]:
            overlapping = len(before) - dropped
            return (
                overlapping if overlapping <= len(now) and now[overlapping - 1] is before[-1] else 0
            )
    return 0


def _time_of(entry: Entry) -> float:
    return entry.time


def _of_news(news: News, _: float) -> Entry:
    word = "app" if news.severity == "information" else news.severity
    lines = [text for text in (news.title, news.text, news.details.rstrip()) if text]
    return Entry(news.time, None, word, news.severity, "\n".join(lines))


def _of_event(logged: LoggedEvent, latest: float) -> Entry:
    word, text = _words(logged.event)
    return Entry(
        _seconds(logged.time, latest), logged.event.iteration, word, _severity(logged.event), text
    )


def _seconds(text: str, latest: float) -> float:
    """ISO 8601 as seconds since the epoch; ``latest`` where it is something else."""
    try:
        return datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp()
    except (ValueError, OverflowError):
        return latest


def _severity(event: Event) -> Severity:
    if isinstance(event, Failed | Diverged):
        return "error"
    return "warning" if isinstance(event, Notice | DiskFailing) else "information"


def _words(event: Event) -> tuple[str, str]:
    """The kind of an event, and what it says."""
    match event:
        case Started():
            verb = "resumed" if event.resumed else "started"
            return verb, (
                f"up to iteration {event.iterations:,} on {event.device}, "
                f"{event.parameters:,} parameters"
            )
        case Validated():
            best = ", best so far" if event.is_best else ""
            metric, value, ci95 = event.score.metric, event.score.value, event.score.ci95
            text = f"{metric.number(value):>6} ± {metric.number(ci95)}"
            if metric.is_error:
                return "validated", f"{text} {metric.name}{best}"
            return "validated", f"{text}{metric.unit}, loss {event.loss:.4f}{best}"
        case Checkpointed():
            return "checkpoint", f"{event.kind}: {event.path}"
        case Paused():
            return "paused", "waits to be resumed or stopped"
        case Resumed():
            return "resumed", "goes on after the pause"
        case DiskFailing() | DiskRestored():
            return "disk", event.message
        case Notice():
            return "notice", event.message
        case Diverged() | Stopped():
            return event.name, event.reason
        case Failed():
            return "failed", event.error
        case Finished():
            score = event.best_score
            return "finished", (
                f"best validation {score.full} at {event.best_iteration:,}, "
                f"in {duration(event.elapsed)}"
            )
        case _:
            return event.name, ""
