"""Runs that are compared: what is known of each, and their histories, read in the background."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

from mamltui.curves import Series
from mamltui.curves.history import Newest, RunHistory
from mamltui.profiles import Profile
from mamltui.results import Evaluation, StepResult
from mamltui.runs import ListedRun, RunCatalogue, RunFolder, RunInfo
from mamltui.score import Metric
from mamltui.tui.session.following import Follower

LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
MOST = len(LETTERS)
"""Runs that can be chosen: beyond six the letter at the end of a curve tells it apart."""
SETTLED_SECONDS = 1.0
"""A run that is over and said nothing for so long has said everything: its files are let go."""
LIVE = ("running", "paused")


class Compared:
    """A chosen run.

    Args:
        listed: the run as the list has it.
        slot: from 0; keeps the run's letter and colour as others come and go.
    """

    def __init__(self, listed: ListedRun, slot: int) -> None:
        self.listed = listed
        self.slot = slot
        self._follower: Follower | None = None
        self._is_settled = False
        """The run is over and read to its end; the follower is closed."""
        self._nothing = RunHistory()
        self._newest = (self._nothing, -1, Newest())
        """What of a history at one of its versions is known."""
        self._heard = (0, 0.0)
        """The newest version of the history, and the clock when it came."""

    @property
    def name(self) -> str:
        """To be shown literally."""
        return self.listed.name

    @property
    def title(self) -> str:
        """What people call it, to be shown literally."""
        return self.listed.title

    @property
    def profile(self) -> Profile | None:
        """None: it cannot be read."""
        return self.listed.profile

    @property
    def letter(self) -> str:
        return LETTERS[self.slot]

    @property
    def history(self) -> RunHistory:
        return self._follower.history if self._follower else self._nothing

    @property
    def newest(self) -> Newest:
        """What the history says of the present; asked for once a version, for it is not cheap."""
        history = self.history
        if self._newest[:2] != (history, history.version):
            self._newest = (history, history.version, history.newest())
        return self._newest[2]

    def curve(self, metric: str) -> Series:
        """One of the history's metrics."""
        return self.history.curve(metric)

    @property
    def is_waiting(self) -> bool:
        """The files were not opened yet."""
        return self._follower is None

    @property
    def is_loaded(self) -> bool:
        """All that was in the files when they were opened is in ``history``."""
        return self._follower is not None and self._follower.is_loaded

    @property
    def is_reading(self) -> bool:
        return self._follower is not None and not self._follower.is_loaded

    @property
    def problem(self) -> str:
        """What of the run cannot be read, in words; empty if all can."""
        following = self._follower.problem if self._follower else ""
        return self.listed.damage or self.listed.profile_problem or following

    @property
    def info(self) -> RunInfo | None:
        """The newer of what the list and the follower know."""
        known = [self._follower.info if self._follower else None, self.listed.info]
        if self._is_settled:
            known.reverse()  # of equally old ones the first is taken
        return max((info for info in known if info), key=lambda info: info.updated, default=None)

    @property
    def state(self) -> str:
        """In one word."""
        info = self.info
        if info is None or self.listed.problem or (self._follower and self._follower.problem):
            return "damaged"
        return "training" if info.state == "running" else info.state

    @property
    def iteration(self) -> int:
        """Meta-iterations done."""
        info = self.info
        return max(self.newest.iteration, info.iteration if info else 0)

    @property
    def metric(self) -> Metric:
        """What its scores are."""
        return self.listed.metric

    @property
    def best(self) -> float | None:
        """The best validation score."""
        validated = self.newest.best
        if validated is not None:
            return validated.score.value
        info = self.info
        return info.best.score.value if info and info.best else None

    @property
    def evaluation(self) -> Evaluation | None:
        """The newest test by the profile's own protocol, or without one by another."""
        return self.listed.newest_test

    @property
    def departures(self) -> str:
        """What of it was measured otherwise than the profile says, in words."""
        return ", ".join(self.listed.departures)

    @property
    def test(self) -> StepResult | None:
        """The headline of ``evaluation``."""
        return self.evaluation.headline() if self.evaluation else None

    @property
    def elapsed(self) -> float | None:
        """Seconds of training."""
        info = self.info
        known = max(self.newest.elapsed, info.elapsed if info else 0.0)
        return known or None

    @property
    def version(self) -> tuple[object, ...]:
        """Another value whenever something has changed that can be shown."""
        history = self.history
        heard = (id(history), history.version, self.is_loaded, self.info)
        return (*heard, self.listed, self.state, self.problem)

    def follow(self) -> None:
        """Read the run's files, and what is added to them."""
        self._is_settled = False
        self._follower = Follower(RunFolder(self.listed.path)).start()

    def tend(self) -> None:
        """Let the files go when nothing more will come, take them up when the run goes on."""
        follower = self._follower
        if follower is None or not follower.is_loaded:
            return
        now = time.monotonic()
        listed_live = self.listed.state in LIVE
        if self._is_settled:
            if listed_live and not follower.problem:
                self.follow()
        elif follower.history.version != self._heard[0] or self.state in ("training", "paused"):
            self._heard = (follower.history.version, now)
        elif now - self._heard[1] > SETTLED_SECONDS and not listed_live:
            self._is_settled = True
            follower.close()

    def close(self) -> None:
        """Read no more."""
        if self._follower is not None:
            self._follower.close()


class Comparison:
    """Which runs are compared, and with which; used from the app's thread unless said.

    Args:
        root: the folder of the run folders.
    """

    def __init__(self, root: Path) -> None:
        self.runs: tuple[ListedRun, ...] | None = None
        """All there are; None until they were read."""
        self.runs_problem = ""
        self.baseline: str | None = None
        """The name of a chosen run."""
        self._chosen: dict[str, Compared] = {}
        self._catalogue = RunCatalogue(root, references=True)

    @property
    def chosen(self) -> list[Compared]:
        """The baseline first, the others in the order of their letters."""
        return sorted(self._chosen.values(), key=lambda run: (run.name != self.baseline, run.slot))

    def get(self, name: str) -> Compared | None:
        """The chosen run of that name."""
        return self._chosen.get(name)

    def choose(self, name: str) -> str:
        """Compare this run too; why not, in words, if that cannot be."""
        listed = next((run for run in self.runs or () if run.name == name), None)
        if listed is None:
            return "there is no such run any more"
        if listed.info is None:
            return listed.damage
        if name in self._chosen:
            return ""
        free = [slot for slot in range(MOST) if slot not in self._slots()]
        if not free:
            return f"{MOST} runs are chosen already: take another away first"
        self._chosen[name] = Compared(listed, free[0])
        return ""

    def _slots(self) -> Iterator[int]:
        return (run.slot for run in self._chosen.values())

    def leave_out(self, name: str) -> None:
        """Compare this run no longer."""
        run = self._chosen.pop(name, None)
        if run is not None:
            run.close()
        if self.baseline == name:
            self.baseline = None

    def close(self) -> None:
        """Read no more."""
        for run in self._chosen.values():
            run.close()

    def tend(self) -> None:
        """Read the histories one after another: six at once would leave the screen no time."""
        for run in self._chosen.values():
            run.tend()
        if any(run.is_reading for run in self._chosen.values()):
            return
        waiting = next((run for run in self.chosen if run.is_waiting), None)
        if waiting is not None:
            waiting.follow()

    def read(self) -> tuple[ListedRun, ...]:
        """The runs as they are now; from one thread.

        Raises:
            RunError: the folder of the runs cannot be read.
        """
        return tuple(run.load() for run in self._catalogue.read())

    def take(self, runs: tuple[ListedRun, ...]) -> None:
        """Know what was read; chosen runs that are gone are left out."""
        self.runs, self.runs_problem = runs, ""
        listed = {run.name: run for run in runs}
        for name in list(self._chosen):
            if name not in listed:
                self.leave_out(name)
        for name, run in self._chosen.items():
            run.listed = listed[name]

    def take_problem(self, problem: str) -> None:
        """Know that the runs cannot be read, and why."""
        self.take(())
        self.runs_problem = problem
