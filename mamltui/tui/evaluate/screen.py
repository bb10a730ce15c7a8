"""The Evaluate screen: a grid of train steps by test steps that fills while runs are scored."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import ClassVar, TypeVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.content import Content
from textual.events import Resize
from textual.widgets import Input, Static

from mamltui.commands import eval_command
from mamltui.profiles import Profile, parse_steps
from mamltui.profiles.steps import steps_text
from mamltui.results import (
    STATISTICS,
    Evaluation,
    csv_text,
    markdown_text,
)
from mamltui.runs import ListedRun, RunCatalogue
from mamltui.text import visible
from mamltui.tui.evaluate.answers import episodes_problem, steps_problem
from mamltui.tui.evaluate.board import Board
from mamltui.tui.evaluate.candidates import KINDS, SPLITS, Settings, refusal
from mamltui.tui.evaluate.cells import SHOWN, Shown
from mamltui.tui.evaluate.grid import BEST_OF_ALL, BEST_OF_ROW, HEADLINE, ResultGrid
from mamltui.tui.evaluate.lines import cell_lines, problem_line, progress_line, settings_line
from mamltui.tui.evaluate.run_choice import RunChoice
from mamltui.tui.evaluate.steps_chart import StepsChart
from mamltui.tui.evaluate.sweep import Sweep, tell_end
from mamltui.tui.shared.background import in_background
from mamltui.tui.shared.dialogs import Ask
from mamltui.tui.shared.files import ask_and_write
from mamltui.tui.shared.filter_input import QUERY_HINT, FilterInput
from mamltui.tui.shared.screen import AppScreen

DETAILS = 4
"""Lines about the cell at the cursor, as in the style sheet."""


class EvaluateScreen(AppScreen):
    """Runs to choose above, their results below."""

    CSS_PATH = "evaluate.tcss"
    MORE_KEYS = ("n", "d", "o", "v", "m", "M", "S")
    HELP = f"""## Evaluate

Mark runs above and score them below: a row a run, a column for each number of inner steps at test.
Results that a run folder already holds are shown at once. Each episode is adapted to once, and
scored after every step. The test classes decide nothing: the headline ({HEADLINE}) is read at the
profile's own test steps, wherever the best cell ({BEST_OF_ROW} of a row, {BEST_OF_ALL} of all) is.

| key | does |
|---|---|
| Tab | between the list and the grid |
| arrows, h j k l | move |
| Space | mark a run; without marks the run at the cursor is taken |
| / | filter the list by words or a query such as `test>95 way=20`; Escape clears it |
| r | evaluate the chosen runs that have no result yet, or all of them again |
| x | cancel: finished runs keep their results |
| Enter | on a cell: look at its episodes |
| e | inner steps at test, such as 0..10 or 1,3,5 |
| n | number of episodes |
| d | split: test, validation, train |
| o | checkpoint: best, last, or the ensemble of those kept |
| v | query images normalised together (transductive) or by the support set |
| m | what a cell shows: accuracy, loss, difference to the published accuracy |
| E, M | export finished rows as CSV, as Markdown |
"""
    CHANGES = frozenset({"sweep", "cancel", "export_csv", "export_markdown"})
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("r", "sweep", "Run"),
        Binding("x", "cancel", "Cancel"),
        Binding("slash", "filter", "Filter"),
        Binding("escape", "forget_filter", "No filter", show=False),
        Binding("e", "ask_steps", "Steps"),
        Binding("n", "ask_episodes", "Episodes", show=False),
        Binding("d", "split", "Split", show=False),
        Binding("o", "checkpoint", "Checkpoint", show=False),
        Binding("v", "statistics", "Statistics", show=False),
        Binding("m", "shown", "Show", show=False),
        Binding("E", "export_csv", "CSV", tooltip="Export the finished rows as CSV"),
        Binding(
            "M",
            "export_markdown",
            "Markdown",
            show=False,
            tooltip="Export the finished rows as Markdown",
        ),
    ]

    def __init__(self) -> None:
        super().__init__()
        self._settings = Settings()
        self._board = Board()
        self._statistics = STATISTICS[0]
        self._shown: Shown = SHOWN[0]
        self._runs: list[ListedRun] | None = None
        self._seen = (-1, "")
        self._opened = ""
        """The run that was open when the cursor was last put on it."""
        # Kept, not looked up: results still arrive while the app is left.
        self._choice = RunChoice(id="runs")
        self._grid = ResultGrid(id="grid")
        self._chart = StepsChart(id="by-steps")
        self._filter = FilterInput(self._choice, placeholder=QUERY_HINT)
        self._lines = {
            name: Static(id=name, markup=False) for name in ("settings", "details", "progress")
        }
        self._texts: dict[str, Content] = {}

    def body(self) -> ComposeResult:
        yield self._choice
        yield self._filter
        yield self._lines["settings"]
        yield self._grid
        yield self._chart
        yield self._lines["details"]
        yield self._lines["progress"]

    # Following what happens

    def on_mount(self) -> None:
        self._catalogue = RunCatalogue(self.session.options.runs, references=True)
        memory = self.session.memory
        if (statistics := memory.get("evaluate.statistics", "")) in STATISTICS:
            self._statistics = statistics
        self._shown = next(
            (shown for shown in SHOWN if shown == memory.get("evaluate.shown", "")), SHOWN[0]
        )
        self._choice.focus()

    def on_screen_resume(self) -> None:
        super().on_screen_resume()
        self._read_runs()

    def on_unmount(self) -> None:
        if self._board.sweep is not None:
            self._board.sweep.cancel()

    def on_resize(self, event: Resize) -> None:
        width, height = event.size
        tiny = width < 60 or height < 16
        self.set_class(tiny, "tiny")
        self.set_class(height < 30, "short")
        if tiny and self.focused is not self._grid:
            self._grid.focus()
        self.call_after_refresh(self._show)

    def redraw(self) -> None:
        sweep, training = self._board.sweep, self.session.training
        seen = (sweep.version if sweep else -1, training.state if training else "")
        if seen[1] != self._seen[1]:
            self._read_runs()
        if seen != self._seen:
            self._seen = seen
            self._show()
        elif sweep is not None and not sweep.is_over:
            self._show_progress()

    def _read_runs(self) -> None:
        """Read the runs again, and the results in their folders."""
        catalogue = self._catalogue

        def read() -> list[ListedRun]:
            return [run.load() for run in catalogue.read()]

        def done(runs: list[ListedRun]) -> None:
            first = self._runs is None
            self._runs = runs
            self._choice.show_runs(runs, self._settings.checkpoint)
            if first:
                self._choice.mark(self.session.marked)
            self._go_to_open_run()
            self._show()

        in_background(
            self.app, read, done, lambda error: self.host.report("The runs cannot be listed", error)
        )

    def _go_to_open_run(self) -> None:
        """Put the cursor on the run that is open, when another one is than before."""
        watched = self.session.watched
        run = watched.run if watched is not None else None
        if run is not None and run.name != self._opened and self._choice.go_to(run.name):
            self._opened = run.name

    @on(RunChoice.Changed)
    def _chosen(self) -> None:
        self._show()

    @on(RunChoice.Refused)
    def _refused(self, message: RunChoice.Refused) -> None:
        self.notify(
            f"{visible(message.run.name)}: {message.reason}", severity="warning", markup=False
        )

    # Showing

    def _show(self) -> None:
        """Bring everything up to date."""
        runs = self._choice.chosen
        self._grid.show(self._board.sections(runs, self._settings, self._statistics), self._shown)
        profiles = [run.profile for run in runs if run.profile is not None]
        self._update(
            "settings", settings_line(self._settings, profiles, self._statistics, self._shown)
        )
        self._show_details()
        self._show_progress()

    def _update(self, name: str, content: Content) -> None:
        if self._texts.get(name) != content:
            self._texts[name] = content
            self._lines[name].update(content)

    @on(ResultGrid.Moved)
    def _show_details(self) -> None:
        cell = self._grid.selected
        lines: list[Content] = []
        if cell is not None:
            run = None if cell[1].headline is None else self._run_named(cell[1].label)
            can_run = not self.session.options.read_only
            lines = cell_lines(
                self._board, self._settings, self._statistics, cell, run, can_run=can_run
            )
        else:
            problems = (refusal(run, self._settings.checkpoint) for run in self._choice.chosen)
            lines = [problem_line(problem) for problem in problems if problem]
        width = max(1, self.size.width - 2)
        if self._chart.display:
            self._chart.show_section(cell[0] if cell is not None else None)
        whole = [part for line in lines for part in line.wrap(width)]
        if len(whole) > DETAILS:
            whole = [line.truncate(width, ellipsis=True) for line in lines[:DETAILS]]
        self._update("details", Content("\n").join(whole))

    def _show_progress(self) -> None:
        self._update("progress", progress_line(self._board.sweep))

    def _run_named(self, name: str) -> ListedRun | None:
        return next((run for run in self._choice.chosen if run.name == name), None)

    # Keys

    def action_filter(self) -> None:
        self._filter.open()

    @on(Input.Changed, "#filter")
    def _narrow(self, event: Input.Changed) -> None:
        self._choice.set_filter(event.value)

    def action_forget_filter(self) -> None:
        """Take the filter back."""
        self._filter.action_forget()

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Escape goes back from the screen while there is no filter to take back."""
        if action == "forget_filter":
            return bool(self._choice.filter)
        return super().check_action(action, parameters)

    def applies(self, action: str) -> bool:
        """Only an evaluation that goes on can be cancelled, and then no other is begun."""
        sweep = self._board.sweep
        is_at_work = sweep is not None and not sweep.is_over
        return {"cancel": is_at_work, "sweep": not is_at_work}.get(action, True)

    def action_split(self) -> None:
        self._set_settings(split=_after(SPLITS, self._settings.split))

    def action_checkpoint(self) -> None:
        self._set_settings(checkpoint=_after(KINDS, self._settings.checkpoint))

    def action_statistics(self) -> None:
        self._statistics = _after(STATISTICS, self._statistics)
        self.session.memory.set("evaluate.statistics", self._statistics)
        self._show()

    def action_shown(self) -> None:
        self._shown = _after(SHOWN, self._shown)
        self.session.memory.set("evaluate.shown", self._shown)
        self._show()

    def action_ask_steps(self) -> None:
        self._ask_setting(
            "Inner steps at test, such as 0..10 or 1,3,5 (empty: each profile's own)",
            lambda profile: steps_text(self._settings.steps_of(profile)),
            steps_problem,
            lambda text: self._set_settings(steps=parse_steps(text) if text.strip() else None),
        )

    def action_ask_episodes(self) -> None:
        self._ask_setting(
            "Episodes to average over (empty: each profile's own)",
            lambda profile: str(self._settings.episodes_of(profile)),
            episodes_problem,
            lambda text: self._set_settings(episodes=int(text) if text.strip() else None),
        )

    def _ask_setting(
        self,
        question: str,
        text_of: Callable[[Profile], str],
        problem: Callable[[str], str],
        accept: Callable[[str], None],
    ) -> None:
        """Ask, beginning with what is measured now if that is the same of all chosen runs."""
        texts = {text_of(run.profile) for run in self._choice.chosen if run.profile is not None}
        now = texts.pop() if len(texts) == 1 else ""

        def answered(text: str | None) -> None:
            if text is not None and text != now:  # what is each profile's own stays so
                accept(text)

        self.app.push_screen(Ask(question, now, problem), answered)

    def _set_settings(self, **changes: object) -> None:
        self._settings = replace(self._settings, **changes)  # type: ignore[arg-type]
        self._choice.show_runs(self._runs or [], self._settings.checkpoint)
        self._show()

    def action_sweep(self) -> None:
        """Evaluate the chosen runs that have no result, or all if each has one."""
        if self._board.sweep is not None and not self._board.sweep.is_over:
            self.notify("An evaluation is running: x cancels it.", markup=False)
            return
        runs = self._choice.chosen
        refusals = {run.name: refusal(run, self._settings.checkpoint) for run in runs}
        ready = [run for run in runs if not refusals[run.name]]
        for name, reason in refusals.items():
            if reason:
                self.notify(f"{visible(name)}: {reason}", severity="warning", markup=False)
        if not ready:
            return
        missing = [run for run in ready if self._board.finished(run, self._settings) is None]
        if not self._choice.has_marks:
            self._choice.mark([run.name for run in ready])
        session = self.session
        self._board.sweep = Sweep(
            missing or ready,
            self._settings,
            banks=session.banks,
            device=session.options.common.device,
            ended=lambda sweep: tell_end(sweep, session),
        ).start()
        self._show()

    def action_cancel(self) -> None:
        sweep = self._board.sweep
        if sweep is None or sweep.is_over:
            self.notify("No evaluation is running.", markup=False)
        else:
            sweep.cancel()
            self._show_progress()

    @on(ResultGrid.Opened)
    def _open(self, message: ResultGrid.Opened) -> None:
        run = self._run_named(message.row.label) if message.row.headline is not None else None
        if run is None:
            self.notify("A published row: its episodes are not here.", markup=False)
            return
        self.host.open_episode(run.folder, self._settings.split, message.steps)

    def action_export_csv(self) -> None:
        self._export("CSV", "csv", csv_text)

    def action_export_markdown(self) -> None:
        self._export("Markdown", "md", markdown_text)

    def _export(self, kind: str, ending: str, text: Callable[[Sequence[Evaluation]], str]) -> None:
        """Ask where to, and write what ``mamltui eval`` would of the finished rows."""
        runs = self._choice.chosen
        evaluations = [self._board.finished(run, self._settings) for run in runs]
        finished = [evaluation for evaluation in evaluations if evaluation is not None]
        if not finished:
            self.notify("There is no finished row yet: r evaluates.", markup=False)
            return
        of = "" if len(finished) == len(runs) else f" of {len(runs)}"
        question = f"{kind} of {len(finished)}{of} run{'' if len(runs) == 1 else 's'}, written to"
        ask_and_write(self, kind, question, f"evaluation.{ending}", lambda _: text(finished))

    def headless_command(self) -> str | None:
        runs = [run.name for run in self._choice.chosen]
        if not runs:
            return None
        return eval_command(runs, self.session.options.common, more=self._settings.options())


Choice = TypeVar("Choice")


def _after(choices: Sequence[Choice], choice: Choice) -> Choice:
    return choices[(choices.index(choice) + 1) % len(choices)]
