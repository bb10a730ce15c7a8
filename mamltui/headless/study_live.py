"""The progress of a study as a table that stays in place on a terminal."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Sequence
from contextlib import suppress
from types import TracebackType

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from mamltui.headless.study import HEADER, StudyDisplay, standing_row, state_of
from mamltui.measures import duration, percent
from mamltui.studies.progress import Progress
from mamltui.studies.standing import Standing
from mamltui.text import visible_lines

STYLES = {
    "running": "cyan",
    "testing": "cyan",
    "starting": "cyan",
    "done": "green",
    "trained": "yellow",
    "interrupted": "yellow",
    "diverged": "bold red",
    "failed": "bold red",
    "queued": "dim",
}
LEFT_OUT = (("CORE MIN", 100), ("ITERATIONS", 84), ("VALIDATION", 60), ("TEST %", 48))
"""Columns, and how wide a terminal must be to have each."""
NOT_CELLS = 5
"""Lines besides the cells': two for the whole, an empty one, the header, and what is not shown."""
_FIRST = ("running", "testing", "starting", "diverged", "failed", "trained", "interrupted")
"""What is shown where not all cells have room; then those that wait, then those that are done."""


class StudyTable(StudyDisplay):
    """Cells with their states, the whole, and the time left, drawn anew whenever it is shown.

    Args:
        console: the terminal, usually on stderr.
        title: of the study, and what works on it.
    """

    def __init__(
        self, console: Console, title: str, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._console = console
        self._title = title
        self._clock = clock
        self._began = clock()
        self._stopping = False
        self._frame: RenderableType = Text("")
        self._live = Live(
            console=console,
            get_renderable=lambda: self._frame,
            auto_refresh=False,
            vertical_overflow="crop",
            redirect_stdout=False,
            transient=True,  # the table of all cells follows it
        )

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._live.stop()

    def show(
        self, standings: Sequence[Standing], progress: Progress, working: Collection[str]
    ) -> None:
        self._frame = self.frame(standings, progress, working)
        if self._live.is_started:
            self._live.refresh()
        else:
            self._live.start(refresh=True)

    def tell(self, text: str) -> None:
        self._console.print(visible_lines(text), style="yellow", markup=False, highlight=False)

    def stopping(self) -> None:
        # This is called from a signal handler: the next frame shows it.
        self._stopping = True
        self._live.transient = False
        with suppress(OSError, ValueError):
            self._console.show_cursor(True)

    def frame(
        self, standings: Sequence[Standing], progress: Progress, working: Collection[str]
    ) -> RenderableType:
        """The table as it is now, no higher and no wider than the terminal."""
        states = [state_of(standing, working) for standing in standings]
        room = max(1, self._console.height - NOT_CELLS)
        shown = _most_wanted(states, room)
        hidden = [state for index, state in enumerate(states) if index not in shown]
        cells = _cells([(standings[index], states[index]) for index in shown], self._console.width)
        return Group(*self._whole(progress), Text(""), cells, _hidden(hidden))

    def _whole(self, progress: Progress) -> tuple[RenderableType, RenderableType]:
        headline = Table.grid(expand=True, padding=(0, 1))
        headline.add_column(no_wrap=True, overflow="ellipsis", ratio=1)
        headline.add_column(no_wrap=True, justify="right")
        over = f"{progress.over} of {progress.cells} cells over"
        state = Text("stopping: saving checkpoints", "yellow") if self._stopping else Text(over)
        headline.add_row(Text(self._title, style="bold"), state)
        times = f"{percent(progress.fraction)}  elapsed {duration(self._clock() - self._began)}"
        times += f"  left {duration(progress.seconds_left)}"
        line = Table.grid(padding=(0, 1))
        line.add_column()
        line.add_column(no_wrap=True, overflow="ellipsis")
        bar = ProgressBar(
            total=1.0,
            completed=progress.fraction,
            width=max(4, self._console.width - len(times) - 2),
            complete_style="cyan",
            finished_style="green",
        )
        line.add_row(bar, Text(times))
        return headline, line


def _most_wanted(states: Sequence[str], room: int) -> list[int]:
    """Places of the cells that are shown, in the study's order."""

    def rank(index: int) -> tuple[int, int]:
        state = states[index]
        if state in _FIRST:
            return (_FIRST.index(state), index)
        # Of those that are done, the last ones.
        return (len(_FIRST), index) if state == "queued" else (len(_FIRST) + 1, -index)

    return sorted(sorted(range(len(states)), key=rank)[:room])


def _cells(cells: Sequence[tuple[Standing, str]], width: int) -> Table:
    columns = [
        index
        for index, name in enumerate(HEADER)
        if all(name != other or width >= least for other, least in LEFT_OUT)
    ]
    rows = [
        [standing_row(standing, state)[index] for index in columns] for standing, state in cells
    ]
    header = [HEADER[index] for index in columns]
    widths = [max(map(len, column)) for column in zip(header, *rows, strict=True)]
    room = max(1, width - sum(widths[1:]) - 2 * (len(columns) - 1))
    table = Table.grid(padding=(0, 2))
    for name in header:
        is_words = name in ("CELL", "STATE")
        table.add_column(no_wrap=True, overflow="crop", justify="left" if is_words else "right")
    table.add_row(*(Text(name, style="dim") for name in header))
    for row, (_, state) in zip(rows, cells, strict=True):
        style = STYLES.get(state, "")
        texts = [Text(_middle_left_out(row[0], room)), Text(row[1], style=style)]
        table.add_row(*texts, *(Text(cell) for cell in row[2:]))
    return table


def _middle_left_out(name: str, room: int) -> str:
    """Names of cells begin with the base and end with the seed."""
    if len(name) <= room:
        return name
    tail = (room - 1) // 2
    return f"{name[: room - 1 - tail]}…{name[len(name) - tail :]}"


def _hidden(states: Sequence[str]) -> Text:
    if not states:
        return Text("")
    counts = ", ".join(f"{states.count(state)} {state}" for state in dict.fromkeys(states))
    return Text(f"not shown: {counts}", style="dim", no_wrap=True, overflow="ellipsis")
