"""The last line of every screen: its keys, and what they do."""

from __future__ import annotations

from textual import events
from textual.binding import ActiveBinding
from textual.content import Content
from textual.screen import Screen
from textual.widget import Widget


class KeyLine(Widget):
    """One line; a click on a key is as if it were pressed.

    Textual's ``Footer`` makes a widget for each key, and all of them anew at every change of the
    focus: a fifth of what a start takes, and tens of milliseconds that a training would miss.
    """

    DEFAULT_CSS = """
    KeyLine {
        dock: bottom; height: 1; background: $panel; color: $footer-description-foreground;
    }
    """

    def __init__(self) -> None:
        super().__init__()
        self._spans: list[tuple[int, int, str]] = []

    def on_mount(self) -> None:
        self.screen.bindings_updated_signal.subscribe(self, self._update)

    def _update(self, screen: Screen[object]) -> None:
        if self.is_attached and screen is self.screen:
            self.refresh()

    def render(self) -> Content:
        """The keys that are shown, in their order; those that cannot be taken now are dim.

        Where there is too little room the last of the screen's own are left out, not the app's,
        which say how to get help and how to leave.
        """
        shown: dict[str, ActiveBinding] = {}
        for active in self.screen.active_bindings.values():
            if active.binding.show:
                shown.setdefault(active.binding.action, active)
        keys = [(active, self._content(active)) for active in shown.values()]
        excess = sum(content.cell_length for _, content in keys) - 1 - self.size.width
        for key in [key for key in keys if key[0].node is not self.app][::-1]:
            if excess <= 0:
                break
            keys.remove(key)
            excess -= key[1].cell_length
        self._spans, column = [], 0
        for active, content in keys:
            end = column + content.cell_length
            self._spans.append((column, end - 1, active.binding.key))
            column = end
        return Content.assemble(*(content for _, content in keys))

    def _content(self, active: ActiveBinding) -> Content:
        """A key, what it does, and a space."""
        dim = "" if active.enabled else " dim"
        key = (self.app.get_key_display(active.binding), f"bold $footer-key-foreground{dim}")
        return Content.assemble(key, (f" {active.binding.description} ", dim.strip()))

    def on_click(self, event: events.Click) -> None:
        for start, end, key in self._spans:
            if start <= event.x < end:
                self.app.simulate_key(key)
