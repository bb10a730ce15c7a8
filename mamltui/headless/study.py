"""The progress of a study: a live table on a terminal, a line for every change elsewhere."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Sequence

from mamltui.headless.display import Shown
from mamltui.measures import duration, percent
from mamltui.studies.progress import Progress
from mamltui.studies.standing import Standing

LINE_SECONDS = 60.0
"""Without a change of any cell, a line comes at most this often."""


def state_of(standing: Standing, working: Collection[str]) -> str:
    """The state in a word; a cell that is trained and in work is being tested."""
    if standing.cell.name in working and standing.state == "trained":
        return "testing"
    if standing.cell.name in working and standing.state in ("queued", "interrupted", "failed"):
        return "starting"
    return standing.state


def standing_row(standing: Standing, state: str) -> tuple[str, ...]:
    """Cell, state, iterations, minutes of a core, best validation accuracy, test accuracy."""
    of = standing.iterations
    info, evaluation = standing.info, standing.evaluation
    iterations = f"{standing.iteration:,}" + (f" / {of:,}" if of else "") if info else ""
    test = ""
    if evaluation is not None:
        score = evaluation.headline()
        test = score.score.with_interval
    return (
        standing.cell.name,
        state,
        iterations or (f"{of:,}" if of else "to be timed"),
        f"{standing.core_minutes:.1f}" if info else "",
        info.best.score.text if info and info.best else "",
        test,
    )


class StudyDisplay(Shown):
    """Shows nothing of a study; the others override what they show."""

    def show(
        self, standings: Sequence[Standing], progress: Progress, working: Collection[str]
    ) -> None:
        """Take where the cells stand now.

        Args:
            working: names of the cells that are worked on.
        """

    def tell(self, text: str) -> None:
        """Say in words what has happened."""

    def stopping(self) -> None:
        """A stop was asked for, by a signal: all cells end after a checkpoint."""


HEADER = ("CELL", "STATE", "ITERATIONS", "CORE MIN", "VALIDATION", "TEST %")


class StudyLines(StudyDisplay):
    """A line for each change of a cell's state, and one for the whole now and then."""

    def __init__(
        self, write: Callable[[str], None], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._write = write
        self._clock = clock
        self._states: dict[str, str] = {}
        self._last = -LINE_SECONDS

    def show(
        self, standings: Sequence[Standing], progress: Progress, working: Collection[str]
    ) -> None:
        changed = False
        for standing in standings:
            name, state = standing.cell.name, state_of(standing, working)
            if self._states.get(name, "queued") != state:
                changed = True
                self._say(_change(standing, state))
            self._states[name] = state
        if changed or self._clock() - self._last >= LINE_SECONDS:
            self._last = self._clock()
            left = duration(progress.seconds_left)
            self._say(f"{percent(progress.fraction)} of the work, left {left}; {progress.words}")

    def tell(self, text: str) -> None:
        self._write(text)

    def _say(self, text: str) -> None:
        self._write(f"{time.strftime('%H:%M:%S')}  {text}")


def _change(standing: Standing, state: str) -> str:
    _, _, iterations, minutes, validation, test = standing_row(standing, state)
    text = f"{standing.cell.name}: {state}"
    if state == "running":
        text += f", iteration {iterations}"
    elif state == "done":
        text += f", {test} % on the test split, {minutes} core minutes"
    elif standing.why:
        text += f": {standing.why}"
    elif validation and state in ("testing", "interrupted"):
        text += f", best validation {validation}"
    return text
