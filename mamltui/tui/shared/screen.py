"""What all screens have in common."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, cast

from textual.app import ComposeResult
from textual.screen import Screen
from textual.widgets import Footer

from mamltui.tui.shared.status_line import StatusLine

if TYPE_CHECKING:
    from mamltui.tui.session.session import Session
    from mamltui.tui.shared.host import Host


class AppScreen(Screen[None]):
    """One of the app's screens: a status line, the screen's own ``body``, the keys.

    The app calls ``redraw`` four times a second while the screen is the one that is seen.
    """

    # Lists, and not of the class alone, since Textual declares them so.
    HORIZONTAL_BREAKPOINTS = [(0, "-narrow"), (60, "-normal"), (120, "-wide")]  # noqa: RUF012
    VERTICAL_BREAKPOINTS = [(0, "-low"), (16, "-medium"), (30, "-tall")]  # noqa: RUF012

    HELP: ClassVar[str] = ""
    """Markdown: what the screen shows and what its keys do."""

    @property
    def host(self) -> Host:
        """The app."""
        return cast("Host", self.app)

    @property
    def session(self) -> Session:
        """What the screens share."""
        return self.host.session

    def compose(self) -> ComposeResult:
        yield StatusLine(id="status")
        yield from self.body()
        yield Footer(compact=True, show_command_palette=False)

    def body(self) -> ComposeResult:
        """The widgets between the status line and the keys."""
        yield from ()

    def redraw(self) -> None:
        """Show what has changed since the last time; called at 4 Hz, so look before drawing."""

    def bring_up_to_date(self) -> None:
        """Redraw the screen and its status line, if it has been built and is not being left."""
        if self.is_mounted and self.app.is_running:
            self.redraw()
            self.query_one(StatusLine).update()

    def on_screen_resume(self) -> None:
        """The screen is seen again."""
        self.bring_up_to_date()

    def headless_command(self) -> str | None:
        """The command that does in a shell what the screen shows; None if there is none."""
        return None
