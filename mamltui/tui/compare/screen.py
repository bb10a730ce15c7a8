"""Compare: the curves of several runs over each other, and what differs between them."""

from __future__ import annotations

import shlex
import time
from typing import ClassVar

from textual import events, on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Container, Vertical
from textual.content import Content
from textual.widgets import Input

from mamltui.commands import CommonOptions
from mamltui.errors import MamltuiError, RunError
from mamltui.measures import counted
from mamltui.results.comparison import ENDINGS, comparison_text
from mamltui.runs import ListedRun
from mamltui.runs.differing import told_apart
from mamltui.text import visible
from mamltui.tui.compare.column_table import ColumnTable, turned
from mamltui.tui.compare.comparison import MOST, Compared, Comparison
from mamltui.tui.compare.presentation import Presentation
from mamltui.tui.compare.proposal import Proposal
from mamltui.tui.compare.rows import COLUMNS, LOOKS, list_row, one_line
from mamltui.tui.shared.background import Newest
from mamltui.tui.shared.chart.chart import Chart
from mamltui.tui.shared.files import ask_and_write
from mamltui.tui.shared.filter_input import QUERY_HINT, FilterInput, matching
from mamltui.tui.shared.lines import Lines
from mamltui.tui.shared.row_list import MARGIN, RowList
from mamltui.tui.shared.screen import AppScreen

REFRESH_SECONDS = 3.0
HURRY_SECONDS = 0.05
"""Until the next of several histories is read."""


class CompareScreen(AppScreen):
    """Runs beside each other, each a column, or a row where they are many."""

    CSS_PATH = "compare.tcss"
    MORE_KEYS = ("E", "y", "S")
    CHANGES = frozenset({"export"})
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("space", "choose", "Choose"),
        Binding("b", "baseline", "Baseline"),
        Binding("m", "metric", "Metric"),
        Binding("s", "smooth", "Smooth"),
        Binding("f", "fold", "Seeds", tooltip="Take runs that differ in the seed together"),
        Binding("y", "log_axis", "Log axis", show=False),
        Binding("E", "export", "Export", show=False, tooltip="Write the table to a file"),
        Binding("t", "show_table", "Table"),
        Binding("slash", "filter", "Filter"),
        Binding("left_square_bracket", "zoom(-1)", "Zoom out", show=False),
        Binding("right_square_bracket", "zoom(1)", "Zoom in", show=False),
        Binding("backslash", "zoom(0)", "All", show=False, tooltip="Show everything"),
    ]
    HELP = """## Compare

Curves of runs over each other, the letter of each at its end, and a column for each: how far it is,
its best accuracy on the validation classes, its newest result on the test classes with the 95 %
interval, the time it trained; below them only those keys of the profiles that differ. Of more than
six each is a row. Runs marked in Home are chosen at first, or without marks the run that is open
and the one of its profile before it; those that still train are followed.

Runs that differ in the seed alone are taken together by `f`: the mean of the seeds with its 95 %
interval (Student's), in the chart with a band from the lowest to the highest.

| key | does |
|---|---|
| space | choose the run at the cursor, or leave it out |
| b | make it the baseline: the others show their difference to it; again: none |
| m | validation accuracy, validation loss, query loss, query accuracy, gradient norm |
| f | runs that differ in the seed alone together, or each by itself |
| s | smoothing: none, 0.6, 0.9, 0.98 (weight of the moving average) |
| y | logarithmic axis |
| [ ] | zoom out, zoom in; \\\\ shows all; the mouse wheel zooms at the pointer |
| t | the table instead of the chart |
| / | only runs with these words; Enter keeps the filter, Escape ends it |
| Enter | open the run |
| S, O | sort the list by the next column, the other way |
| E | write the table to a file: .md, .tex or .csv |
| Tab | to the list, the chart (left and right read values), the table |

The interval of a difference is that of two results on different episodes.
"""

    def __init__(self) -> None:
        super().__init__()
        self._shown: object = None
        self._proposal = Proposal()
        self._readings = Newest(self, self._work, self._take, self._fail)
        self._hurries = False
        self._read_at = 0.0
        self._asked = ""
        """The query that the list is filtered by."""
        self._told: set[tuple[str, str]] = set()
        """Names and problems that were told of already."""

    def body(self) -> ComposeResult:
        self._list = RowList("Runs", COLUMNS, id="runs")
        self._filter_input = FilterInput(self._list, placeholder=QUERY_HINT)
        self._note, self._chart = Lines(id="note"), Chart(id="chart")
        self._table = ColumnTable(id="table")
        with Container(id="compare"):
            with Vertical(id="left"):
                yield self._list
                yield self._filter_input
            with Vertical(id="right"):
                yield self._note
                yield self._chart
                yield self._table

    def on_mount(self) -> None:
        self._comparison = Comparison(self.session.options.runs)
        self._presentation = Presentation(self.session.memory)
        self._chart.log_y = self.session.memory.get("compare.log_axis", False)
        self._list.focus()
        self._come()

    def on_screen_resume(self) -> None:
        super().on_screen_resume()
        if self.is_mounted:
            self._come()

    def on_unmount(self) -> None:
        self._comparison.close()

    def on_resize(self) -> None:
        self._shown = None
        self.call_after_refresh(self.redraw)

    # Reading.

    def _come(self) -> None:
        """Take over the marks of Home if there are others than before, and look for runs."""
        self._proposal.heed_marks(self.session.marked)
        self._read()

    def _read(self) -> None:
        """Read the list and the profiles of the chosen runs in the background."""
        self._readings.ask(object())

    def _work(self, _request: object) -> tuple[ListedRun, ...]:
        return self._comparison.read()

    def _take(self, _request: object, runs: tuple[ListedRun, ...]) -> None:
        self._read_at = time.monotonic()
        if not self.is_attached:
            return
        self._comparison.take(runs)
        watched = self.session.watched
        run = watched.run.name if watched is not None and watched.run is not None else ""
        is_chosen = bool(self._comparison.chosen)
        is_new = self._proposal.heed_open_run(run, runs, is_chosen=is_chosen)
        if proposed := self._proposal.take():
            self._choose_all(proposed)
        self.redraw()
        if is_new:
            self._list.go_to(run)

    def _choose_all(self, names: list[str]) -> None:
        """Compare these runs, as far as there is room, and no others."""
        for run in self._comparison.chosen:
            if run.name not in names:
                self._comparison.leave_out(run.name)
        for name in names[:MOST]:
            self._say(name, self._comparison.choose(name))
        if len(names) > MOST:
            self.notify(f"Of {len(names)} marked runs the first {MOST} are shown.", markup=False)
        self._read()

    def _fail(self, _request: object, error: Exception) -> None:
        self._read_at = time.monotonic()
        if isinstance(error, RunError):
            self._comparison.take_problem(visible(str(error)))
            self.redraw()
        else:
            self.host.report("The runs cannot be read", error)

    # Showing.

    def redraw(self) -> None:
        comparison = self._comparison
        comparison.tend()
        age = time.monotonic() - self._read_at
        if age > REFRESH_SECONDS and not self._readings.is_busy:
            self._read()
        chosen = comparison.chosen
        if not self._hurries and not all(run.is_loaded for run in chosen):
            self._hurries = True
            self.set_timer(HURRY_SECONDS, self._go_on)
        shown = (
            comparison.runs,
            comparison.baseline,
            [(run.name, run.slot, run.version) for run in chosen],
            (self._presentation.settings, self._asked),
        )
        if shown == self._shown:
            return
        self._shown = shown
        self._presentation.show(chosen, to_baseline=bool(comparison.baseline))
        self._show_runs()
        self._show_chart()
        self._show_table()
        self._show_note(chosen)

    def _go_on(self) -> None:
        """Read the next history, sooner than at the next redraw."""
        self._hurries = False
        if self.is_current:
            self.redraw()

    def _show_runs(self) -> None:
        runs = self._comparison.runs
        matches, problem = matching(runs or (), self._asked)
        if runs is None:
            empty = "reading ..."
        elif self._comparison.runs_problem:
            empty = self._comparison.runs_problem
        else:
            empty = (
                problem or "no run fits the filter"
                if runs
                else "none yet: train a profile from Home (1)"
            )
        count = len(self._comparison.chosen)
        title = f"{count} of {len(runs or ())} runs chosen" if runs else "Runs"
        differing = told_apart(runs or ())
        rows = [
            list_row(run, self._comparison.get(run.name), differing[run.name]) for run in matches
        ]
        self._list.show(rows, title=title, empty=empty)

    def _show_chart(self) -> None:
        self._chart.percent = self._presentation.is_percent
        self._chart.show(self._presentation.curves())

    def _show_table(self) -> None:
        heads, rows = self._presentation.table()
        self._table.show(*(turned(heads, rows) if len(heads) > LOOKS else (heads, rows)))

    def _show_note(self, chosen: list[Compared]) -> None:
        """What the chart shows, and what cannot be read, is being read, or can be done."""
        for run in chosen:
            if run.problem and (run.name, run.problem) not in self._told:
                self._told.add((run.name, run.problem))
                title = f"{visible(run.name)} cannot be read"
                text = "\n".join(map(visible, run.problem.splitlines()))
                self.session.tell(title, text, severity="error")
        problems = [f"{run.letter}: {one_line(run.problem)}" for run in chosen if run.problem]
        reading = [run.letter for run in chosen if not run.is_loaded]
        if problems:
            note = Content.styled(visible("   ".join(problems)), "$error")
        elif reading:
            note = Content.styled(f"reading {', '.join(reading)} ...", "$text-muted")
        elif not chosen:
            note = Content.styled("space chooses the run at the cursor", "$warning")
        elif self._proposal.unasked == [run.name for run in chosen]:
            words = "the open run" + (" and the one before it" if len(chosen) > 1 else "")
            note = Content.styled(words, "$text-muted")
        else:
            note = Content("")
        shown = self._presentation.words(log_axis=self._chart.log_y)
        line = Content.assemble(("   ".join(shown), "bold"), "   ", note)
        self._note.show([line])

    def headless_command(self) -> str | None:
        chosen = self._comparison.chosen
        if not chosen:
            return None
        common = self.session.options.common
        return shlex.join(
            [
                *("mamltui", "runs", "compare" if len(chosen) > 1 else "show"),
                *CommonOptions(common.runs).options(),
                *(["--"] if any(run.name.startswith("-") for run in chosen) else []),
                *(run.name for run in chosen),
            ]
        )

    # Choosing.

    @property
    def _at_cursor(self) -> str | None:
        row = self._list.row
        return row.key if row else None

    def _say(self, name: str, refusal: str) -> bool:
        """Show why a run was not chosen; whether it was."""
        if refusal:
            self.notify(refusal, title=visible(name), severity="warning", markup=False)
        return not refusal

    def action_choose(self) -> None:
        """Compare the run at the cursor too, or no longer."""
        name = self._at_cursor
        if name is None:
            return
        if self._comparison.get(name) is not None:
            self._comparison.leave_out(name)
        elif self._say(name, self._comparison.choose(name)):
            self._read()
        self.redraw()

    def action_baseline(self) -> None:
        """Show differences to the run at the cursor; if it is the baseline, values again."""
        name, comparison = self._at_cursor, self._comparison
        if name is None:
            return
        if comparison.baseline == name:
            comparison.baseline = None
        elif self._say(name, comparison.choose(name)):
            comparison.baseline = name
            self._read()
        self.redraw()

    @on(RowList.Opened)
    def _open(self, event: RowList.Opened) -> None:
        key = event.rows.row.key if event.rows.row else None
        matches = [run for run in self._comparison.runs or () if run.name == key]
        if not matches:
            return
        try:
            self.session.watch(matches[0].folder)
        except MamltuiError as error:
            self.host.report("The run cannot be opened", error)
        else:
            self.host.go("train")

    def on_click(self, event: events.Click) -> None:
        """A click before a name chooses the run."""
        if isinstance(event.widget, RowList) and event.y > 0:
            offset = event.get_content_offset(event.widget)
            if offset is not None and offset.x < MARGIN and offset.y > 0:
                self.action_choose()

    def action_filter(self) -> None:
        """Type the words to look for."""
        self._filter_input.open()

    @on(Input.Changed)
    def _filter(self, event: Input.Changed) -> None:
        self._asked = event.value
        self.redraw()

    def action_export(self) -> None:
        """Ask where to, and write the table there."""
        heads, rows = self._presentation.table()
        if not heads:
            self.notify("space chooses runs to compare.", markup=False)
            return
        names = [head.name for head in heads]
        cells = [[row.label, *(cell.text for cell in row.cells)] for row in rows]
        ask_and_write(
            self,
            "Table",
            f"Table of {counted(len(names), 'column')}, written to (.md, .tex or .csv)",
            "comparison.tex",
            lambda path: comparison_text(names, cells, ENDINGS[path.suffix]),
            endings=ENDINGS,
        )

    # The chart.

    def action_fold(self) -> None:
        """Take runs that differ in the seed alone together, or each by itself."""
        self._presentation.fold()
        self.redraw()

    def action_metric(self) -> None:
        """Another metric in the chart."""
        self._presentation.next_metric()
        self.redraw()

    def action_smooth(self) -> None:
        """More smoothing, then none."""
        self._presentation.smooth_more()
        self.redraw()

    def action_log_axis(self) -> None:
        """A logarithmic axis, or a linear one."""
        chart = self._chart
        chart.log_y = not chart.log_y
        self.session.memory.set("compare.log_axis", chart.log_y)
        self._show_note(self._comparison.chosen)

    def action_zoom(self, direction: int) -> None:
        """In, out, or all."""
        chart = self._chart
        {1: chart.zoom_in, -1: chart.zoom_out, 0: chart.reset_zoom}[direction]()

    def action_show_table(self) -> None:
        """The table instead of the chart."""
        self.toggle_class("-table")
        if self.has_class("-table"):
            self.call_after_refresh(self._table.focus)
        else:
            self.call_after_refresh(self._list.focus)
