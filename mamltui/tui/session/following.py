"""Watching a run by its files: one that another process trains, or that is over."""

from __future__ import annotations

import threading
import traceback
from heapq import merge

from mamltui.curves.history import RunHistory
from mamltui.errors import MamltuiError
from mamltui.events import Event
from mamltui.results import Evaluation
from mamltui.runs import START, ListedRun, Position, RunFolder, RunInfo
from mamltui.runs.listing import RunStamp

PAGE_BYTES = 2**20
POLL_SECONDS = 0.25


class Reader:
    """Brings a history up to what is in a run folder, a page at a time."""

    def __init__(self, run: RunFolder, history: RunHistory) -> None:
        self._run, self._history = run, history
        self._metrics: Position = START
        self._events: Position = START

    def read_on(self) -> bool:
        """Read a page of each file, in the order of the iterations; whether there was anything.

        Raises:
            RunError: a file cannot be read, or a line is damaged.
        """
        steps = self._run.read_metrics(self._metrics, PAGE_BYTES)
        events = self._run.read_events(self._events, PAGE_BYTES)
        if steps.restarted or events.restarted:
            self._history.clear()
            self._metrics = self._events = START
            return True
        self._metrics, self._events = steps.position, events.position
        stepped = ((step.iteration, step, "") for step in steps.records)
        logged = ((entry.event.iteration, entry.event, entry.time) for entry in events.records)
        happened: list[tuple[int, Event, str]] = list(
            merge(stepped, logged, key=lambda item: item[0])
        )
        for _, event, time in happened:
            self._history.add(event, time)
        return bool(happened)


def replay(run: RunFolder, history: RunHistory) -> None:
    """Take in all that a run's files hold."""
    reader = Reader(run, history)
    while reader.read_on():
        pass


class Follower:
    """Follows a run in a thread of its own, until ``close``.

    Attributes:
        history: what the run has said so far.
        info: ``run.json``, not older than a second or two; None until it was read.
        problem: why the run cannot be followed; empty while it can.
    """

    def __init__(self, run: RunFolder) -> None:
        self.run = run
        self.history = RunHistory()
        self.info: RunInfo | None = None
        self.test: Evaluation | None = None
        """Its test by the profile's own protocol, not older than a second or two."""
        self.problem = ""
        self.traceback = ""
        self.is_loaded = False
        """All that was in the files at the start is in ``history``."""
        self._tested: tuple[int, ...] | None = None
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._follow, name="following", daemon=True)

    def start(self) -> Follower:
        self._thread.start()
        return self

    def close(self) -> None:
        """Stop following; does not wait."""
        self._closed.set()

    def _follow(self) -> None:
        reader = Reader(self.run, self.history)
        try:
            self._read_state()
            quiet = 0
            while not self._closed.is_set():
                if reader.read_on():
                    continue
                self.is_loaded = True
                quiet += 1
                if quiet % 4 == 0:
                    self._read_state()
                self._closed.wait(POLL_SECONDS)
        except MamltuiError as error:
            self.problem = str(error)
        except Exception as error:
            self.problem = f"{type(error).__name__}: {error}"
            self.traceback = traceback.format_exc()
        finally:
            self.is_loaded = True

    def _read_state(self) -> None:
        self.info = self.run.info()
        stamp = RunStamp.of(self.run.path).evaluation
        if stamp != self._tested:
            self._tested = stamp
            self.test = ListedRun.read(self.run.path).headline
