"""The last line of every screen: its keys, and what they do."""

from __future__ import annotations

from textual import events
from textual.binding import Binding
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
        """The keys that are shown, in their order; those that cannot be taken now are dim."""
        shown: dict[str, tuple[Binding, bool]] = {}
        for _, binding, enabled, _ in self.screen.active_bindings.values():
            if binding.show:
                shown.setdefault(binding.action, (binding, enabled))
        parts: list[tuple[str, str]] = []
        self._spans, column = [], 0
        for binding, enabled in shown.values():
            key, dim = self.app.get_key_display(binding), "" if enabled else " dim"
            words = f" {binding.description}" if binding.description else ""
            parts += [(key, f"bold $footer-key-foreground{dim}"), (f"{words} ", dim)]
            end = column + Content(f"{key}{words}").cell_length
            self._spans.append((column, end, binding.key))
            column = end + 1
        return Content.assemble(*parts)

    def on_click(self, event: events.Click) -> None:
        for start, end, key in self._spans:
            if start <= event.x < end:
                self.app.simulate_key(key)
