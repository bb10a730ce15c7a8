"""Home: the profiles and the runs, what is known of each, and what can be done with it."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal
from textual.content import Content
from textual.widgets import Input, Label

from mamltui.errors import MamltuiError
from mamltui.tui.home.about import About
from mamltui.tui.home.listing import Listing, ListingReader
from mamltui.tui.home.lists import HomeLists
from mamltui.tui.shared.background import Newest
from mamltui.tui.shared.details import Details
from mamltui.tui.shared.lines import Lines
from mamltui.tui.shared.row_list import RowList
from mamltui.tui.shared.screen import AppScreen

if TYPE_CHECKING:  # these import pydantic, which the first paint does without
    from mamltui.runs import ListedRun
    from mamltui.tui.home.launcher import Launcher

REFRESH_SECONDS = 3.0
TORCH_SECONDS = 0.3
"""From the first lists to the import of torch, which slows down whatever happens meanwhile: the
terminal draws them, and answers the first key."""
AGE_SECONDS = 20.0
"""How long an age on the screen may be behind."""


class HomeScreen(AppScreen):
    """The profiles and the runs."""

    CSS_PATH = "home.tcss"
    # Side by side only where a run has room for its name, what differs and its curve.
    HORIZONTAL_BREAKPOINTS = [(0, "-narrow"), (60, "-normal"), (140, "-wide")]  # noqa: RUF012
    MORE_KEYS = ("R", "d", "D", "s", "t", "f", "a", "m", "N", "S")
    CHANGES = frozenset({"run", "resume", "new", "edit", "annotate", "remove"})
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("r", "run", "Run"),
        Binding("n", "new", "New"),
        Binding("e", "edit", "Edit"),
        Binding("slash", "filter", "Filter"),
        Binding("space", "mark", "Mark"),
        Binding("c", "compare", "Compare"),
        Binding("R", "resume", "Resume", show=False),
        Binding("f", "fold", "Fold seeds", show=False),
        Binding("s", "annotate('star')", "Star", show=False),
        Binding("t", "annotate('tag')", "Tags", show=False, tooltip="Tag the marked runs"),
        Binding(
            "a", "annotate('archive')", "Archive", show=False, tooltip="Archive the marked runs"
        ),
        Binding("N", "annotate('rename')", "Rename", show=False, tooltip="Rename the run"),
        Binding("m", "annotate('note')", "Notes", show=False, tooltip="Write notes about the run"),
        Binding("d", "draw", "Draw", show=False, tooltip="Draw for the run at the cursor"),
        Binding("D,delete", "remove", "Remove", show=False),
        Binding("tab", "pane(1)", "Next pane", show=False),
        Binding("shift+tab", "pane(-1)", "Previous pane", show=False),
        Binding("h,left", "list('profiles')", "Profiles", show=False),
        Binding("l,right", "list('runs')", "Runs", show=False),
        Binding("down", "list('')", "To the list", show=False),
        Binding("escape", "clear_filter", "Clear the filter", show=False),
    ]
    HELP = """## Home

Profiles describe experiments; runs are what became of them. Below is what is known of the one under
the cursor: every value of a profile with its meaning, `*` where it is not the default, and what is
published for its task. A run shows its accuracy on the test classes (*test*), else its best on the
validation classes (*valid.*), and one that may go on how much of it is *done*.

| key | does |
|---|---|
| Enter | open: a profile to run it, a run to look at it |
| r | run the profile now; during a training: queue it |
| R | resume the run; from the profiles, the newest interrupted one |
| n | new profile from the one under the cursor, or from the run's |
| e | edit the profile; a packaged one becomes a new one |
| / | filter both lists by words, runs by `test>95 state:failed way=20 tag:paper`; Escape clears |
| space | mark runs, for Compare and Evaluate |
| c | compare the marked runs |
| d | draw classes yourself, and have the run at the cursor answer |
| D | remove the marked runs, or the one at the cursor, after asking |
| f | fold runs that differ in the seed alone into one row: mean, 95 % interval, number |
| s, t, a | star, tag, archive the same runs; archived ones are listed by `/ archived=yes` |
| N, m | rename the run at the cursor; write notes about it |
| S, O | sort by the next column, the other way; so does a click on its title |
| Tab, h, l | profiles, runs, details |
| arrows, j, k, g, G | move |
"""

    def __init__(self) -> None:
        super().__init__()
        self._listing: Listing | None = None
        self._readings = Newest(self, self._work, self._take, self._fail)
        self._read_at = self._filled_at = 0.0
        self._problem = ""
        self._wanted: Path | None = None
        """A profile just saved: the cursor goes to it when it is listed."""

    def body(self) -> ComposeResult:
        yield Lines(id="line")
        with Horizontal(id="filter"):
            yield Label("/")
            yield Input(id="words", compact=True, placeholder="words to look for")
        yield HomeLists(id="lists")
        yield About(id="about")

    @property
    def _lists(self) -> HomeLists:
        return self.query_one(HomeLists)

    def on_mount(self) -> None:
        self._reader = ListingReader(self.session.options)
        self._lists.say("reading ...")
        self._lists.take_focus()
        self.call_after_refresh(self._read)

    def on_screen_resume(self) -> None:
        super().on_screen_resume()
        if self._listing is not None:
            self._fill()
            self._read()

    def redraw(self) -> None:
        age = time.monotonic() - self._read_at
        if self._read_at and age > REFRESH_SECONDS and not self._readings.is_busy:
            self._read()

    # Reading, in the background.

    def _read(self) -> None:
        """Read all again; what is asked for meanwhile is done once after it."""
        self._readings.ask(object())

    def _work(self, _request: object) -> Listing:
        return self._reader.read()

    def _take(self, request: object, listing: Listing) -> None:
        if not self.query(HomeLists):
            return  # the app is being left
        self._problem = ""
        if listing.is_whole:
            self._end_reading()
        if listing != self._listing or time.monotonic() - self._filled_at > AGE_SECONDS:
            self._listing = listing
            names = {run.name for run in listing.runs}
            self.session.marked[:] = [name for name in self.session.marked if name in names]
            self._fill()
        if not listing.is_whole:
            self.call_after_refresh(self._read)
        if self._wanted is not None and request is self._readings.request:
            wanted, self._wanted = self._wanted, None
            if not self._lists.find_profile(wanted):
                self.action_clear_filter()
                self._lists.find_profile(wanted)
            self._lists.take_focus("profiles")

    def _fail(self, _request: object, error: Exception) -> None:
        self._end_reading()
        if str(error) != self._problem:
            self._problem = str(error)
            self.host.report("The profiles and runs cannot be read", error)
            if self._listing is None:
                self._lists.say("cannot be read: the Log (6) says why")

    def _end_reading(self) -> None:
        self.set_timer(TORCH_SECONDS, self.host.load_torch)
        self._read_at = time.monotonic()

    # Showing what was read.

    @on(Input.Changed)
    def _fill(self) -> None:
        if self._listing is None:
            return
        asked = self.query_one("#words", Input).value
        folded = self.session.memory.get("home.folded", False)
        if not self._listing.is_whole and (asked.strip() or folded):
            return  # what that takes is being read
        self._filled_at = time.monotonic()
        self._lists.show(self._listing, asked, set(self.session.marked), folded=folded)
        self._show_current()

    @on(HomeLists.Changed)
    def _show_current(self) -> None:
        """What is known of the item under the cursor, and the offer to resume."""
        if self._listing is None:
            return
        from mamltui.runs import ListedRun

        self._show_offer(self._listing.interrupted)
        listed = self._lists.current
        group = self._lists.group if isinstance(listed, ListedRun) else None
        self.query_one(About).show(listed, group)

    def _show_offer(self, interrupted: list[ListedRun]) -> None:
        """Say which run can be resumed, if one can."""
        from mamltui.tui.shared.fitting import shortened_name

        line = self.query_one("#line", Lines)
        if not interrupted:
            line.show([])
            return
        offered, count = interrupted[0], len(interrupted)
        here = self._lists.at_hand == "profiles" or self._lists.run == offered
        can_resume = here and not self.session.options.read_only
        key = "R resumes  " if can_resume else "interrupted  "
        rest = f" at {offered.done}{f', newest of {count}' if count > 1 else ''}"
        name = shortened_name(offered.title, max(9, line.size.width - len(key) - len(rest)))
        line.show([Content.assemble((key, "$warning"), f"{name}{rest}")])

    # Moving and filtering.

    def action_list(self, name: str) -> None:
        """To a list, or back to the one at hand."""
        self._lists.take_focus(name)

    def action_pane(self, direction: int) -> None:
        """To the next of profiles, runs, details."""
        details = self.query_one(Details)
        panes = ["profiles", "runs", *(["details"] if self.query_one("#about").display else [])]
        here = "details" if details.has_focus else self._lists.at_hand
        there = panes[(panes.index(here) + direction) % len(panes)]
        if there == "details":
            details.focus()
        else:
            self._lists.take_focus(there)

    def action_filter(self) -> None:
        """Type words to look for."""
        self._show_filter(True)
        # Not focus(), which waits for its turn: what is typed meanwhile would go to the list.
        self.set_focus(self.query_one("#words", Input))

    def _show_filter(self, shown: bool) -> None:
        self.query_one("#filter").display = shown
        self.query_one("#line").display = not shown

    @on(Input.Submitted)
    def _filter_done(self) -> None:
        if not self.query_one("#words", Input).value.strip():
            self._show_filter(False)
        self._lists.take_focus()

    def action_clear_filter(self) -> None:
        """Show all again."""
        self.query_one("#words", Input).value = ""
        self._show_filter(False)
        self._fill()
        self._lists.take_focus()

    # What can be done.

    def headless_command(self) -> str | None:
        listed = self._lists.current
        return None if listed is None else self._launcher.command(listed)

    @property
    def _launcher(self) -> Launcher:
        from mamltui.tui.home.launcher import Launcher

        return Launcher(self.host)

    @on(RowList.Opened)
    def _open(self) -> None:
        if (listed := self._lists.current) is not None:
            self._launcher.open(listed)

    def action_run(self) -> None:
        """Train the profile now."""
        listed = self._lists.profile
        if self._lists.at_hand == "runs" or listed is None:
            self.notify("r runs a profile; R resumes a run.", markup=False)
        else:
            self._launcher.run(listed)

    def action_resume(self) -> None:
        """Go on with the run at hand, or from the profiles with the one that is offered."""
        interrupted = self._listing.interrupted if self._listing else []
        offered = interrupted[0] if interrupted else None
        run = self._lists.run if self._lists.at_hand == "runs" else offered
        if run is None:
            self.notify("There is no interrupted run.", markup=False)
        elif not run.can_resume:
            self.notify(f"This run is {run.what}: it cannot be resumed.", markup=False)
        else:
            self._launcher.resume(run)

    def action_new(self) -> None:
        """A new profile from the one at hand, or from the run's."""
        self._edit(as_new=True)

    def action_edit(self) -> None:
        """Edit the profile at hand."""
        if self._lists.at_hand == "runs":
            self.notify("A run keeps its profile; n makes a new one from it.", markup=False)
            return
        listed = self._lists.profile
        if listed is not None and listed.is_packaged:
            self.notify("A packaged profile stays as it is: this is a new one.", markup=False)
        self._edit(as_new=listed is None or listed.is_packaged)

    def _edit(self, *, as_new: bool) -> None:
        from mamltui.tui.home.drafts import new_draft, open_draft
        from mamltui.tui.home.editor import EditorScreen

        listed, own = self._lists.current, self._lists.profile
        try:
            draft = new_draft(listed) if as_new or own is None else open_draft(own)
        except MamltuiError as error:
            self.host.report("Cannot be edited", error)
            return
        self.app.push_screen(EditorScreen(draft), self._edited)

    def _edited(self, saved: Path | None) -> None:
        self._wanted = saved
        self._read()

    def action_mark(self) -> None:
        """Mark the run, or no longer."""
        names, marked = [run.name for run in self._lists.runs], self.session.marked
        if self._lists.at_hand == "profiles" or not names:
            self.notify("Runs can be marked: Tab goes to them.", markup=False)
            return
        others = [name for name in names if name not in marked]
        if others:
            marked += others
        else:
            marked[:] = [name for name in marked if name not in names]
        self._fill()
        self._lists.step_down()

    def action_fold(self) -> None:
        """Have runs that differ in the seed alone share a row, or each have its own."""
        memory = self.session.memory
        memory.set("home.folded", not memory.get("home.folded", False))
        self._fill()

    def action_compare(self) -> None:
        """To the marked runs."""
        self.host.go("compare")

    def action_draw(self) -> None:
        """Draw for the run at hand."""
        run = self._lists.run if self._lists.at_hand == "runs" else None
        if run is None:
            text = "d draws for a run: Tab goes to them. 8 takes one that suits."
            self.notify(text, markup=False)
        elif not run.checkpoints:
            self.notify("This run has no parameters that could answer yet.", markup=False)
        else:
            self._launcher.draw(run)

    def action_remove(self) -> None:
        """Delete the marked runs, or the one at hand, after asking."""
        from mamltui.tui.home.removal import ask_to_remove

        runs = self._chosen_runs()
        if not runs:
            self.notify("Select a run to remove; profiles are files.", markup=False)
            return
        ask_to_remove(self.app, runs, are_marked=bool(self.session.marked), changed=self._read)

    # What people say of runs.

    def action_annotate(self, what: str) -> None:
        """Star, tag or archive the marked runs or the one at hand; rename or note that one."""
        from mamltui.tui.home.annotations import Annotations

        runs = self._own_runs(at_hand=what in ("rename", "note"))
        if what == "archive":  # what is not seen shall not be removed by its mark
            names = {run.name for run in runs}
            self.session.marked[:] = [name for name in self.session.marked if name not in names]
        annotations = Annotations(self.app, self._read)
        write: Callable[[Sequence[ListedRun]], None] = getattr(annotations, what)
        write(runs)

    def _own_runs(self, *, at_hand: bool = False) -> list[ListedRun]:
        """The marked runs or the one at hand, those that can be written to.

        Args:
            at_hand: the one under the cursor whatever is marked.
        """
        run = self._lists.run if self._lists.at_hand == "runs" else None
        runs = ([run] if run else []) if at_hand else self._chosen_runs()
        own = [run for run in runs if not run.is_reference and run.info is not None]
        if not runs:
            self.notify("Select a run: Tab goes to them.", markup=False)
        elif len(own) < len(runs):
            text = "Runs that came with mamltui, and damaged ones, stay as they are."
            self.notify(text, markup=False)
        return own

    def _chosen_runs(self) -> list[ListedRun]:
        """The marked runs, or without marks the one under the cursor of the runs."""
        marked = set(self.session.marked)
        runs = self._listing.runs if self._listing else ()
        if marked:
            return [run for run in runs if run.name in marked]
        return self._lists.runs if self._lists.at_hand == "runs" else []
