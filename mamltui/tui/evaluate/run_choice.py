"""The list of runs to choose from: marks, a filter, and why some cannot be chosen."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from textual import events
from textual.binding import Binding, BindingType
from textual.message import Message

from mamltui.runs import ListedRun
from mamltui.runs.differing import told_apart
from mamltui.text import visible
from mamltui.tui.evaluate.candidates import Kind, refusal, task_of
from mamltui.tui.shared.filter_input import matching
from mamltui.tui.shared.row_list import MARGIN, Column, Row, RowList

COLUMNS = (
    Column("differs in", 20, 3, optional=True),
    Column("task", 24, 5, optional=True),
    Column("state", 11, 1),
    Column("train", 5, 4, right=True),
    Column("valid.", 9, 2, right=True),
)


class RunChoice(RowList):
    """A row a run. Those marked are chosen, or the one at the cursor while none is."""

    DEFAULT_CSS = """
    RunChoice { height: auto; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("space", "mark", "Mark"),
        Binding("enter", "mark", "Mark", show=False),
    ]

    class Changed(Message):
        """Other runs are chosen."""

    class Refused(Message):
        """A run cannot be marked."""

        def __init__(self, run: ListedRun, reason: str) -> None:
            super().__init__()
            self.run = run
            self.reason = reason

    def __init__(self, *, id: str) -> None:
        super().__init__("runs", COLUMNS, id=id)
        self._runs: Sequence[ListedRun] | None = None
        self._checkpoint: Kind = "best"
        self._filter = ""
        self._marked: set[str] = set()
        self._fill()

    def show_runs(self, runs: Sequence[ListedRun], checkpoint: Kind) -> None:
        """Show these; marks and cursor stay on the runs that are still there."""
        self._runs, self._checkpoint = runs, checkpoint
        self._marked &= {run.name for run in runs}
        self._changed()

    def mark(self, names: Sequence[str]) -> None:
        """Mark these runs and no others; those that cannot be evaluated are left out."""
        runs = {run.name: run for run in self._runs or ()}
        self._marked = {
            name for name in names if name in runs and not refusal(runs[name], self._checkpoint)
        }
        self._changed()

    @property
    def filter(self) -> str:
        return self._filter

    def set_filter(self, text: str) -> None:
        """Show only the runs that fulfil the query ``text``."""
        self._filter = text
        self._changed()

    @property
    def chosen(self) -> list[ListedRun]:
        """The marked runs, or the one at the cursor; in the order of the list."""
        marked = [run for run in self._runs or () if run.name in self._marked]
        at_cursor = self._at_cursor
        return marked or ([at_cursor] if at_cursor else [])

    @property
    def has_marks(self) -> bool:
        return bool(self._marked)

    @property
    def _at_cursor(self) -> ListedRun | None:
        key = self.row.key if self.row else None
        return next((run for run in self._runs or () if run.name == key), None)

    def _changed(self) -> None:
        self._fill()
        self.post_message(self.Changed())

    def _fill(self) -> None:
        shown, problem = matching(self._runs or (), self._filter)
        differing = told_apart(self._runs or ())
        count = len(self._runs or ())
        title = f"{count} run{'' if count == 1 else 's'}"
        if self._filter:
            title = f"{len(shown)} of {title}"
        if self._marked:
            title += f", {len(self._marked)} marked"
        self.show(
            [self._row(run, differing[run.name]) for run in shown],
            title=title,
            empty=problem or self._nothing(),
        )

    def _row(self, run: ListedRun, differs: str) -> Row:
        name, marked = visible(run.title), run.name in self._marked
        if reason := refusal(run, self._checkpoint):
            return Row(run.name, name, note=visible(f"{run.state}: {reason}"), marked=marked)
        train = "" if run.profile is None else str(run.profile.inner.steps)
        best = run.info.best.score if run.info and run.info.best else None
        return Row(
            run.name,
            name,
            (
                (visible(differs), "accent"),
                (task_of(run), "plain"),
                (run.state, "plain"),
                (train, "plain"),
                ("" if best is None else best.named, "plain"),
            ),
            marked=marked,
            order=(
                name,
                differs or None,
                task_of(run),
                run.state,
                train,
                None if best is None else best.order,
            ),
        )

    def _nothing(self) -> str:
        if self._runs is None:
            return "reading the runs ..."
        if self._filter:
            return "no run fits the filter"
        return "no runs yet: train a profile from Home (1)"

    def action_mark(self) -> None:
        """Mark the run at the cursor, or take its mark away, and go on to the next."""
        run = self._at_cursor
        if run is None:
            return
        reason = refusal(run, self._checkpoint)
        if run.name in self._marked:
            self._marked.remove(run.name)
        elif reason:
            self.post_message(self.Refused(run, reason))
            return
        else:
            self._marked.add(run.name)
        self.action_move(1)
        self._changed()

    def on_row_list_moved(self, event: RowList.Moved) -> None:
        event.stop()
        self.post_message(self.Changed())

    def on_row_list_opened(self, event: RowList.Opened) -> None:
        """A double click marks."""
        event.stop()
        self.action_mark()

    def on_click(self, event: events.Click) -> None:
        """A click before a name marks the run."""
        super().on_click(event)
        if event.x < MARGIN - 1 and event.y > 0 and event.chain == 1:
            self.action_mark()
