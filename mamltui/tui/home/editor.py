"""The profile editor: a text, checked as it is typed, that names the line of every mistake."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, cast

from rich.style import Style
from rich.text import Text
from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal
from textual.content import Content
from textual.screen import Screen
from textual.timer import Timer
from textual.widgets import Input, Label, TextArea

from mamltui.errors import MamltuiError
from mamltui.profiles import Profile
from mamltui.text import same_length, visible
from mamltui.tui.home import drafts
from mamltui.tui.home.drafts import Draft
from mamltui.tui.home.faults import Fault
from mamltui.tui.shared.background import in_background
from mamltui.tui.shared.details import Details, Entry
from mamltui.tui.shared.dialogs import Confirm
from mamltui.tui.shared.key_line import KeyLine
from mamltui.tui.shared.lines import Lines
from mamltui.tui.shared.screen import AppScreen

if TYPE_CHECKING:
    from mamltui.tui.shared.host import Host

CHECK_SECONDS = 0.15
"""From the last key to the check of what was typed."""


class ProfileArea(TextArea):
    """A text of TOML: comments step back, lines with a mistake stand out."""

    COMPONENT_CLASSES: ClassVar[set[str]] = {
        "profile-area--comment",
        "profile-area--section",
        "profile-area--value",
        "profile-area--fault",
    }
    DEFAULT_CSS = """
    ProfileArea {
        & .profile-area--comment { color: $foreground 50%; }
        & .profile-area--section { text-style: bold; }
        & .profile-area--value { color: $accent; }
        & .profile-area--fault { color: $error; text-style: bold underline; }
    }
    """

    faulty: Collection[int] = frozenset()
    """Lines with a mistake, from 0."""

    def show_faulty(self, lines: Collection[int]) -> None:
        """Mark these lines, and no others."""
        if lines != self.faulty:
            self.faulty = lines
            self.notify_style_update()  # which also forgets the lines drawn so far
            self.refresh()

    def get_line(self, line_index: int) -> Text:
        """A line as it is drawn: of as many characters as the text has, all harmless."""
        line = self.document.get_line(line_index)
        text = Text(same_length(line), end="", no_wrap=True)
        if line_index in self.faulty:
            start = len(line) - len(line.lstrip())
            text.stylize(self._style("fault"), start)
        elif line.lstrip().startswith("#"):
            text.stylize(self._style("comment"))
        elif line.lstrip().startswith("["):
            text.stylize(self._style("section"))
        elif "=" in line:
            text.stylize(self._style("value"), line.index("=") + 1)
        return text

    def _style(self, name: str) -> Style:
        return self.get_component_rich_style(f"profile-area--{name}", partial=True)


class EditorScreen(Screen[Path | None]):
    """Edits a profile; dismissed with the file that was written, or None."""

    CSS_PATH = "editor.tcss"
    HORIZONTAL_BREAKPOINTS = AppScreen.HORIZONTAL_BREAKPOINTS
    VERTICAL_BREAKPOINTS = AppScreen.VERTICAL_BREAKPOINTS
    AUTO_FOCUS = "#text"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("ctrl+o", "save", "Save"),
        Binding("ctrl+n", "next_fault", "Next problem"),
        Binding("tab", "switch_field", "File name"),
        Binding("escape", "leave", "Leave"),
    ]

    def __init__(self, draft: Draft) -> None:
        super().__init__()
        self._draft = draft
        self._faults: list[Fault] = []
        self._check_timer: Timer | None = None
        self._checks = 0

    def compose(self) -> ComposeResult:
        yield Lines(id="heading")
        with Horizontal(id="file"):
            yield Label("file")
            yield Input(str(self._draft.path), id="path", compact=True)
        # Textual's highlight of the cursor's line would hide that there is a mistake in it.
        yield ProfileArea(
            self._draft.text,
            id="text",
            show_line_numbers=True,
            highlight_cursor_line=False,
            compact=True,
        )
        yield Lines(id="key")
        yield Details(id="verdict")
        yield KeyLine()

    def on_mount(self) -> None:
        self.query_one("#heading", Lines).show([Content(visible(self._draft.title))])
        self._check()

    def on_resize(self) -> None:
        self._explain()

    @property
    def is_changed(self) -> bool:
        """There is something that leaving would lose."""
        return self._area.text != self._draft.text

    @property
    def _area(self) -> ProfileArea:
        return self.query_one(ProfileArea)

    @property
    def _path(self) -> Path:
        return Path(self.query_one("#path", Input).value.strip())

    # Checking what was typed.

    @on(TextArea.Changed)
    def _typed(self) -> None:
        if self._check_timer is not None:
            self._check_timer.stop()
        self._check_timer = self.set_timer(CHECK_SECONDS, self._check)

    def _check(self) -> None:
        self._checks += 1
        number, text, path = self._checks, self._area.text, self._path

        def done(verdict: Profile | list[Fault]) -> None:
            if number == self._checks and self.query(ProfileArea):  # it may have been left
                self._show_verdict(verdict)

        in_background(self.app, lambda: drafts.checked(text, path), done, self._failed)

    def _failed(self, error: Exception) -> None:
        cast("Host", self.app).report("The profile cannot be checked", error)

    def _show_verdict(self, verdict: Profile | list[Fault]) -> None:
        self._faults = [] if isinstance(verdict, Profile) else verdict
        lines = {fault.line - 1 for fault in self._faults if fault.line is not None}
        self._area.show_faulty(frozenset(lines))
        if isinstance(verdict, Profile):
            length = verdict.meta.iterations
            about = f"{verdict.shape} on {verdict.data.set}, {length:,} iterations"
            entries = [Entry.of(("valid", "$success"), about)]
        else:
            entries = [
                Entry.of((fault.where or "the file", "$error"), visible(fault.text))
                for fault in self._faults
            ]
        self.query_one(Details).show(entries, of="verdict")

    @on(TextArea.SelectionChanged)
    def _explain(self) -> None:
        area = self._area
        text = drafts.explanation(area.document.lines, area.cursor_location[0])
        lines = Content(visible(text)).wrap(max(1, self.size.width - 2))
        self.query_one("#key", Lines).show([*lines, Content(""), Content("")][:2])

    def action_switch_field(self) -> None:
        """From the text to the file's name, and back."""
        path = self.query_one("#path", Input)
        self.set_focus(self._area if path.has_focus else path)

    def action_next_fault(self) -> None:
        """Put the cursor on the next line with a mistake, from the last on to the first."""
        here = self._area.cursor_location[0] + 1
        positions = sorted((fault.line, fault.column or 1) for fault in self._faults if fault.line)
        if not positions:
            self.notify("No line has a mistake.", markup=False)
            return
        line, column = next(
            (position for position in positions if position[0] > here), positions[0]
        )
        self._area.focus()
        self._area.move_cursor((line - 1, column - 1), center=True)

    # Saving and leaving.

    def action_save(self) -> None:
        """Write the file, if the text is a profile; asks before anything is lost."""
        problem = drafts.file_problem(self.query_one("#path", Input).value)
        if problem:
            self._refuse(problem)
            self.query_one("#path", Input).focus()
            return
        verdict = drafts.checked(self._area.text, self._path)
        self._show_verdict(verdict)
        if not isinstance(verdict, Profile):
            self._refuse(str(verdict[0]))
            return
        path = self._path
        own = not self._draft.is_new and path == self._draft.path
        known = self._draft.text if own else None
        if not drafts.stands_in_the_way(path, known):
            self._write(path)
            return
        question = f"Replace {visible(str(path))}?"
        reason = "Another program has changed it since." if own else "There is such a file already."
        self.app.push_screen(
            Confirm(question, f"{reason} What is in it now is lost."),
            lambda yes: self._write(path) if yes else None,
        )

    def _write(self, path: Path) -> None:
        try:
            drafts.save(path, self._area.text)
        except MamltuiError as error:
            cast("Host", self.app).report("Not saved", error)
            return
        self.notify(str(path), title="Saved", markup=False)
        self.dismiss(path)

    def _refuse(self, problem: str) -> None:
        self.notify(visible(problem), title="Not saved", severity="error", markup=False)

    @on(Input.Submitted)
    def _named(self) -> None:
        self._area.focus()

    def action_leave(self) -> None:
        """Back to Home, after asking if something would be lost."""
        if not self.is_changed:
            self.dismiss(None)
            return

        def answered(yes: bool | None) -> None:
            if yes:
                self.dismiss(None)

        self.app.push_screen(Confirm("Leave without saving?", "What was typed is lost."), answered)
