"""Study: sets of experiments, their cells as they are worked on, and their curves filling."""

from __future__ import annotations

import shlex
import textwrap
import time
from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Container, Vertical
from textual.content import Content

from mamltui.errors import MamltuiError
from mamltui.measures import duration, percent
from mamltui.studies.launch import start_queue, stop_queue
from mamltui.studies.reading import is_begun, study_folder
from mamltui.text import visible
from mamltui.tui.shared.background import in_background
from mamltui.tui.shared.chart.chart import Chart, Curve
from mamltui.tui.shared.chart.content import CURVE_STYLES, CurveStyle
from mamltui.tui.shared.lines import Lines
from mamltui.tui.shared.row_list import RowList
from mamltui.tui.shared.screen import AppScreen
from mamltui.tui.study.board import Board, BoardReader, ListedStudy
from mamltui.tui.study.rows import CELL_COLUMNS, STUDY_COLUMNS, cell_row, study_row

STYLES: tuple[CurveStyle, ...] = CURVE_STYLES
READ_SECONDS = 1.5
"""From the end of one reading to the next."""
METRICS = {
    "validation": "validation accuracy % over iterations",
    "by_steps": "test accuracy % over inner steps",
}


class StudyScreen(AppScreen):
    """The list of studies, or the cells of one."""

    CSS_PATH = "study.tcss"
    CHANGES = frozenset({"run", "stop", "write_report"})
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "back", "Studies", show=False),
        Binding("r", "run", "Run"),
        Binding("x", "stop", "Stop"),
        Binding("w", "write_report", "Report"),
        Binding("m", "metric", "Metric"),
    ]
    HELP = """## Study

A study is a set of experiments in one file; each of its cells is an ordinary run. Enter opens a
study: its cells with their state, how far they are, and their accuracies, which fill while it is
worked on, here or by `mamltui study run` in another terminal. The chart shows the cells of the same
base and seed as the one at the cursor.

| key | does |
|---|---|
| Enter | open the study; on a cell, open its run |
| Escape | back to the list of studies |
| r | run the study, or go on with it, in a process of its own that outlives the app |
| x | stop it after checkpoints |
| w | write its report, of all that is there so far |
| m | validation accuracy, or test accuracy by inner steps |
"""

    def __init__(self) -> None:
        super().__init__()
        self._studies: tuple[ListedStudy, ...] | None = None
        self._board: Board | None = None
        self._opened = ""
        """Of the study that is open; empty: the list."""
        self._metric = "validation"
        self._reading = False
        self._read_at = 0.0
        self._shown: object = None

    def body(self) -> ComposeResult:
        self._study_list = RowList("Studies", STUDY_COLUMNS, id="studies")
        self._cell_list = RowList("Cells", CELL_COLUMNS, id="cells")
        self._note, self._chart = Lines(id="note"), Chart(id="chart")
        with Container(id="study"):
            with Vertical(id="lists"):
                yield self._study_list
                yield self._cell_list
            with Vertical(id="right"):
                yield self._note
                yield self._chart

    def on_mount(self) -> None:
        self._reader = BoardReader(self.session.options.runs)
        self._chart.percent = True
        self._study_list.focus()
        self._read()

    def on_resize(self) -> None:
        self._shown = None
        self.call_after_refresh(self.redraw)

    # Reading.

    def _read(self) -> None:
        if self._reading:
            return
        self._reading = True
        reader, name, counted = self._reader, self._opened, self._studies is not None

        def work() -> tuple[tuple[ListedStudy, ...] | None, Board | None]:
            return (None, reader.board(name)) if name else (reader.studies(counted=counted), None)

        in_background(self.app, work, lambda read: self._take(name, *read), self._fail)

    def _take(
        self, name: str, studies: tuple[ListedStudy, ...] | None, board: Board | None
    ) -> None:
        self._reading, self._read_at = False, time.monotonic()
        if not self.is_attached:
            return
        is_first = self._studies is None
        if studies is not None:
            self._studies = studies
        if name == self._opened:
            self._board = board
        if name != self._opened or is_first:  # another was opened, or no cells were counted yet
            self._read()
        self._shown = None
        self.redraw()

    def _fail(self, error: Exception) -> None:
        self._reading, self._read_at = False, time.monotonic()
        self.host.report("The study cannot be read", error)
        self._show_studies()

    # Showing.

    def redraw(self) -> None:
        if time.monotonic() - self._read_at > READ_SECONDS:
            self._read()
        key = self._cell_list.row.key if self._cell_list.row else None
        shown = (self._studies, self._board, self._opened, self._metric, key)
        if shown == self._shown:
            return
        self._shown = shown
        self.set_class(bool(self._opened), "-cells")
        if self._opened:
            self._show_cells()
        else:
            rows = [study_row(listed) for listed in self._studies or ()]
            self._study_list.show(rows, title="Studies", empty="reading ...")
            self._show_description()

    def _show_description(self) -> None:
        listed, text = self._listed, ""
        if listed is not None:
            text = listed.study.description if listed.study else listed.problem
        words = textwrap.wrap(visible(" ".join(text.splitlines()[:1])), self._note.size.width or 80)
        room = max(1, self._note.size.height - 1)
        if len(words) > room:
            words[room - 1 :] = [" ".join(words[room - 1 :])]  # which is cut
        lines = [Content.styled(line, "$text-muted") for line in words]
        hint = Content.styled("Enter opens the study, r runs it, ? explains", "$text-muted")
        self._note.show([*lines, hint])

    def _show_cells(self) -> None:
        board = self._board
        if board is None:
            self._cell_list.show([], title=visible(self._opened), empty="reading ...")
            self._note.show([])
            self._chart.show([])
            return
        self._cell_list.show(
            [cell_row(each) for each in board.standings],
            title=visible(board.study.name),
            empty="no cells",
        )
        self._show_chart(board)
        self._show_progress(board)

    def _show_progress(self, board: Board) -> None:
        progress, width = board.progress, self._note.content_size.width
        state, style = ("running", "$accent") if board.is_worked_on else ("not running", "")
        if progress.over == progress.cells:
            state, style = "over", "$success"
        parts = [
            f"{state}  {progress.over} of {progress.cells} cells over",
            f"{percent(progress.fraction)} of the work",
        ]
        if progress.over < progress.cells and progress.seconds_left is not None:
            parts.append(f"one worker needs {duration(progress.seconds_left)}")
        lines = textwrap.wrap("; ".join(parts), width or 80)
        head = Content(lines[0]).stylize(style or "$text-muted", 0, len(state))
        row = self._cell_list.row
        standing = next((e for e in board.standings if row and e.cell.name == row.key), None)
        if standing is not None and standing.why:
            below = Content.styled(visible(" ".join(standing.why.split())), "$error")
        else:
            states = ", ".join(f"{count} {name}" for name, count in progress.states.items())
            if len(states) + 3 + len(self._chart.title) <= width:  # where a chart is low
                states, self._chart.title = f"{states}   {self._chart.title}", ""
            below = Content.styled(states, "$text-muted")
        self._note.show([head, *map(Content, lines[1:]), below])

    def _show_chart(self, board: Board) -> None:
        row = self._cell_list.row
        cells = [each.cell for each in board.standings]
        chosen = next((cell for cell in cells if row and cell.name == row.key), None)
        series = board.validation if self._metric == "validation" else board.by_steps
        beside = [
            cell
            for cell in cells
            if chosen is not None
            and (cell.base.name, cell.seed) == (chosen.base.name, chosen.seed)
            and cell.name in series
        ]
        if chosen in beside[len(CURVE_STYLES) - 1 :] and chosen is not None:
            beside = [*beside[: len(CURVE_STYLES) - 1], chosen]
        curves = [
            Curve(visible(cell.title), series[cell.name], style, marks=True)
            for cell, style in zip(beside, STYLES, strict=False)
        ]
        self._chart.title = METRICS[self._metric]
        self._chart.show(curves)

    def headless_command(self) -> str | None:
        name = self._opened or (self._study_list.row.key if self._study_list.row else "")
        if not name:
            return None
        return shlex.join(["mamltui", "study", "run", name, *self.session.options.common.options()])

    # Choosing.

    @on(RowList.Moved)
    def _moved(self) -> None:
        self.redraw() if self._opened else self._show_description()

    @on(RowList.Opened)
    def _open(self, event: RowList.Opened) -> None:
        key = event.rows.row.key if event.rows.row else ""
        if event.rows is self._study_list:
            self._opened, self._board, self._shown = key, None, None
            self.redraw()
            self._cell_list.focus()
            self._read()
            return
        standings = self._board.standings if self._board else ()
        run = next((each.run for each in standings if each.cell.name == key), None)
        if run is None:
            self.notify("This cell has no run yet.", markup=False)
            return
        try:
            self.session.watch(run)
        except MamltuiError as error:
            self.host.report("The run cannot be opened", error)
        else:
            self.host.go("train")

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Escape goes back from the screen while no study is open."""
        if action == "back":
            return bool(self._opened)
        return super().check_action(action, parameters)

    def applies(self, action: str) -> bool:
        """Only a study that is worked on can be stopped; the list of studies draws nothing."""
        if action in ("run", "stop"):
            chosen = self._board if self._opened else self._listed
            return chosen is not None and chosen.is_worked_on == (action == "stop")
        return action != "metric" or bool(self._opened)

    def action_back(self) -> None:
        """The list of studies."""
        self._show_studies()

    def _show_studies(self) -> None:
        if self._opened:
            self._opened, self._board, self._shown = "", None, None
            self.redraw()
            self._study_list.focus()
            self._reader.count_again()
            self._read()

    # Working.

    @property
    def _listed(self) -> ListedStudy | None:
        """The study at the cursor of the list."""
        row = self._study_list.row
        return next((each for each in self._studies or () if row and each.name == row.key), None)

    @property
    def _chosen(self) -> str:
        """The study that is open, or at the cursor."""
        return self._opened or (self._study_list.row.key if self._study_list.row else "")

    def action_run(self) -> None:
        """Run the study in a process of its own."""
        name = self._chosen
        if not name:
            return
        common = self.session.options.common
        begun = is_begun(name, common.runs)
        try:
            start_queue(name, common, resume=begun)
        except MamltuiError as error:
            self.host.report("The study cannot be started", error)
            return
        self.notify(
            f"{visible(name)} is run by a process of its own, which writes to queue.log.",
            markup=False,
        )
        if not self._opened:
            self._study_list.action_open()

    def action_stop(self) -> None:
        """Stop it after checkpoints."""
        try:
            stop_queue(self._chosen, self.session.options.common.runs)
        except MamltuiError as error:
            self.host.report("Not stopped", error)
        else:
            self.notify("It stops after checkpoints.", markup=False)

    def action_write_report(self) -> None:
        """Write the report in the background."""
        name, root = self._chosen, self.session.options.runs
        if not name:
            return

        def write() -> str:
            from mamltui.studies.report import make_report
            from mamltui.studies.standing import known_study

            study, standings = known_study(name, root)
            folder = study_folder(study.name, root) / "report"
            return str(make_report(study, standings).write(folder)[-1])

        in_background(
            self.app,
            write,
            lambda path: self.notify(visible(path), title="Report written", markup=False),
            lambda error: self.host.report("The report cannot be written", error),
        )

    def action_metric(self) -> None:
        """The other metric in the chart."""
        names = list(METRICS)
        self._metric = names[(names.index(self._metric) + 1) % len(names)]
        self.redraw()
