"""The list of runs to choose from: marks, a filter, and why some cannot be chosen."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from rich.segment import Segment
from rich.style import Style
from textual import events
from textual.binding import Binding, BindingType
from textual.geometry import Region, Size
from textual.message import Message
from textual.strip import Strip
from textual.widget import Widget

from mamltui.tui.evaluate.candidates import Candidate, Kind
from mamltui.tui.shared.fitting import fitted, fitted_name

MARK = "●"
STATE, TRAIN, BEST = 12, 6, 10
TASK = (0, 24)
"""Cells for the task: left out where the name would have less than ``NAME`` cells."""
NAME = 24


class RunChoice(Widget, can_focus=True):
    """A line a run. Those marked are chosen, or the one at the cursor while none is."""

    COMPONENT_CLASSES: ClassVar[set[str]] = {
        "choice--muted",
        "choice--mark",
        "choice--cursor",
        "choice--cursor-blurred",
    }
    DEFAULT_CSS = """
    RunChoice { height: auto; }
    RunChoice > .choice--muted { color: $foreground-muted; }
    RunChoice > .choice--mark { color: $accent; }
    RunChoice > .choice--cursor { background: $accent 20%; text-style: bold; }
    RunChoice > .choice--cursor-blurred { background: $panel; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up,k", "move(-1)", "Up", show=False),
        Binding("down,j", "move(1)", "Down", show=False),
        Binding("pageup", "move(-10)", "Ten up", show=False),
        Binding("pagedown", "move(10)", "Ten down", show=False),
        Binding("home", "move(-1000000)", "First", show=False),
        Binding("end", "move(1000000)", "Last", show=False),
        Binding("space", "mark", "Mark"),
    ]

    class Changed(Message):
        """Other runs are chosen."""

    class Refused(Message):
        """A run cannot be marked."""

        def __init__(self, run: Candidate, reason: str) -> None:
            super().__init__()
            self.run = run
            self.reason = reason

    def __init__(self, *, id: str) -> None:
        super().__init__(id=id)
        self._runs: Sequence[Candidate] | None = None
        self._checkpoint: Kind = "best"
        self._filter = ""
        self._found: list[Candidate] = []
        self._marked: set[str] = set()
        self._cursor = self._top = 0
        self._base = Style.null()

    def show(self, runs: Sequence[Candidate], checkpoint: Kind) -> None:
        """Show these; marks and cursor stay on the runs that are still there."""
        if runs == self._runs and checkpoint == self._checkpoint:
            return
        self._runs, self._checkpoint = runs, checkpoint
        self._marked &= {run.name for run in runs}
        self._find()

    def mark(self, names: Sequence[str]) -> None:
        """Mark these runs and no others; those that cannot be evaluated are left out."""
        runs = {run.name: run for run in self._runs or ()}
        self._marked = {
            name for name in names if name in runs and not runs[name].refusal(self._checkpoint)
        }
        self._changed()

    @property
    def filter(self) -> str:
        return self._filter

    def set_filter(self, text: str) -> None:
        """Show only the runs whose name, task or state holds all words of ``text``."""
        self._filter = text
        self._find()

    @property
    def chosen(self) -> list[Candidate]:
        """The marked runs, or the one at the cursor; in the order of the list."""
        marked = [run for run in self._runs or () if run.name in self._marked]
        return marked or self._found[self._cursor : self._cursor + 1]

    @property
    def has_marks(self) -> bool:
        return bool(self._marked)

    def _find(self) -> None:
        words = self._filter.casefold().split()
        at = self._found[self._cursor].name if self._cursor < len(self._found) else None
        self._found = [
            run
            for run in self._runs or ()
            if all(word in f"{run.name} {run.task} {run.state}".casefold() for word in words)
        ]
        names = [run.name for run in self._found]
        self._cursor = names.index(at) if at in names else min(self._cursor, max(0, len(names) - 1))
        self.refresh(layout=True)
        self.post_message(self.Changed())

    def _changed(self) -> None:
        self.refresh()
        self.post_message(self.Changed())

    # Drawing

    def get_content_height(self, container: Size, viewport: Size, width: int) -> int:  # noqa: ARG002
        """A header and a line a run, or a line that says that there are none."""
        return 1 + max(1, len(self._found))

    def render_lines(self, crop: Region) -> list[Strip]:
        """The lines of a part of the widget; what all of them need is found out once."""
        self._base = self.rich_style
        rows = max(1, self.size.height - 1)
        self._top = max(self._cursor - rows + 1, min(self._top, self._cursor))
        self._top = min(self._top, max(0, len(self._found) - rows))
        return super().render_lines(crop)

    def render_line(self, y: int) -> Strip:
        """One line of the widget."""
        width, base = self.size.width, self._base
        segments = self._header() if y == 0 else self._segments(y - 1)
        strip = Strip([Segment(text, base + style) for text, style in segments])
        return strip.adjust_cell_length(width, base)

    def _style(self, name: str) -> Style:
        # A colour with transparency is blended with the background in a whole style only.
        return self.get_component_rich_style(f"choice--{name}", partial="cursor" in name)

    @property
    def _columns(self) -> tuple[int, int]:
        """Cells for the name and the task."""
        rest = self.size.width - 2 - STATE - TRAIN - BEST
        task = TASK[1] if rest - TASK[1] >= NAME else TASK[0]
        return max(4, rest - task), task

    def _header(self) -> list[tuple[str, Style]]:
        name, task = self._columns
        runs = len(self._runs or ())
        title = f"{runs} run{'' if runs == 1 else 's'}"
        if self._filter:
            title = f"{len(self._found)} of {title}"
        if self._marked:
            title += f", {len(self._marked)} marked"
        elif len(self._found) > self.size.height - 1 > 0:
            title += f", {self._cursor + 1} of {len(self._found)}"
        cells = fitted("task", task) + fitted("state", STATE)
        cells += f"{'train':>{TRAIN}}{'valid. %':>{BEST}}"
        return [(fitted(f"  {title}", name + 2) + cells, self._style("muted"))]

    def _segments(self, y: int) -> list[tuple[str, Style]]:
        muted = self._style("muted")
        place = self._top + y
        if not self._found and y == 0:
            return [(f"  {self._nothing()}", muted)]
        if place >= len(self._found):
            return []
        run = self._found[place]
        marked = run.name in self._marked
        refusal = run.refusal(self._checkpoint)
        style = muted if refusal else Style.null()
        if place == self._cursor:
            style += self._style("cursor" if self.has_focus else "cursor-blurred")
        mark = style + self._style("mark") if marked else style
        return [(MARK if marked else " ", mark), (" " + self._text(run, refusal), style)]

    def _text(self, run: Candidate, refusal: str) -> str:
        name, task = self._columns
        start = fitted_name(run.name, name - 1) + " "
        rest = task + STATE + TRAIN + BEST
        if refusal:
            return start + fitted(f"{run.state}: {refusal}", rest)
        train = "" if run.profile is None else str(run.profile.inner.steps)
        best = run.info.best if run.info else None
        accuracy = "" if best is None else f"{100 * best.accuracy:.2f}"
        return (
            start
            + fitted(run.task, task)
            + fitted(run.state, STATE)
            + (f"{train:>{TRAIN}}{accuracy:>{BEST}}")
        )

    def _nothing(self) -> str:
        if self._runs is None:
            return "reading the runs ..."
        if self._filter:
            return "no run has that in its name, task or state"
        return "no runs yet: train a profile from Home (1)"

    # Moving and marking

    def action_move(self, lines: int) -> None:
        """Move the cursor, as far as there are runs."""
        self._move_to(min(max(self._cursor + lines, 0), max(0, len(self._found) - 1)))

    def _move_to(self, place: int) -> None:
        if place != self._cursor:
            self._cursor = place
            self._changed()

    def action_mark(self) -> None:
        """Mark the run at the cursor, or take its mark away, and go on to the next."""
        if self._cursor >= len(self._found):
            return
        run = self._found[self._cursor]
        reason = run.refusal(self._checkpoint)
        if run.name in self._marked:
            self._marked.remove(run.name)
        elif reason:
            self.post_message(self.Refused(run, reason))
            return
        else:
            self._marked.add(run.name)
        self._cursor = min(self._cursor + 1, len(self._found) - 1)
        self._changed()

    def on_click(self, event: events.Click) -> None:
        place = self._top + event.y - 1
        if event.y > 0 and place < len(self._found):
            self._move_to(place)
            if event.x < 2 or event.chain == 2:
                self.action_mark()

    def on_mouse_scroll_down(self, event: events.MouseScrollDown) -> None:
        event.stop()
        self.action_move(1)

    def on_mouse_scroll_up(self, event: events.MouseScrollUp) -> None:
        event.stop()
        self.action_move(-1)
