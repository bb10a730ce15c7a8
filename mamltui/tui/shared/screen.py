"""What all screens have in common."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, ClassVar, cast

from rich.cells import cell_len
from textual.app import ComposeResult
from textual.binding import ActiveBinding, Binding
from textual.screen import Screen

from mamltui.tui.shared.key_line import KeyLine
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
    CHANGES: ClassVar[frozenset[str]] = frozenset()
    """Actions that train, steer or write: an app that only reads does not have them."""
    MORE_KEYS: ClassVar[tuple[str, ...]] = ()
    """Of the keys that the foot of the screen leaves out, those that it names where it can."""

    _applying: Sequence[bool] = ()
    """Which of ``_actions`` applied at the last redraw."""

    @property
    def _actions(self) -> list[str]:
        bindings = (each for each in self.BINDINGS if isinstance(each, Binding))
        return [each.action.partition("(")[0] for each in bindings]

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
        yield KeyLine()

    @property
    def active_bindings(self) -> dict[str, ActiveBinding]:
        """As Textual has them; of ``MORE_KEYS`` as many are shown as there is room for.

        Keys of actions that do not apply are not shown; pressed, they say why.
        """
        bindings = super().active_bindings
        idle = {key: each for key, each in bindings.items() if not self._applies(each)}
        for key, unused in idle.items():
            bindings[key] = unused._replace(binding=replace(unused.binding, show=False))
        shown = {each.binding.action: each for each in bindings.values() if each.binding.show}
        room = self.size.width - sum(self._foot_width(each) for each in shown.values())
        for key in (*self.MORE_KEYS, "C"):
            each = bindings.get(key)
            if each is None or each.binding.show or key in idle:
                continue
            room -= self._foot_width(each)
            if room < 0:
                break
            bindings[key] = each._replace(binding=replace(each.binding, show=True))
        return bindings

    def _applies(self, active: ActiveBinding) -> bool:
        return active.node is not self or self.applies(active.binding.action.partition("(")[0])

    def applies(self, action: str) -> bool:  # noqa: ARG002
        """Whether an action of this screen has something to act on as things are."""
        return True

    def _foot_width(self, active: ActiveBinding) -> int:
        """Cells of a key with what it does at the foot of the screen."""
        key = self.app.get_key_display(active.binding)
        return cell_len(key) + cell_len(active.binding.description) + 2

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Whether an action can be taken now."""
        if action in self.CHANGES and self.session.options.read_only:
            return False
        return super().check_action(action, parameters)

    def body(self) -> ComposeResult:
        """The widgets between the status line and the keys."""
        yield from ()

    def redraw(self) -> None:
        """Show what has changed since the last time; called at 4 Hz, so look before drawing."""

    def bring_up_to_date(self) -> None:
        """Redraw the screen and its status line, if it has been built and is not being left."""
        if self.is_mounted and self.app.is_running:
            self.redraw()
            applying = [self.applies(name) for name in self._actions]
            if applying != self._applying:
                self._applying = applying
                self.refresh_bindings()
            self.query_one(StatusLine).update()

    def on_screen_resume(self) -> None:
        """The screen is seen again."""
        self.bring_up_to_date()

    def headless_command(self) -> str | None:
        """The command that does in a shell what the screen shows; None if there is none."""
        return None
