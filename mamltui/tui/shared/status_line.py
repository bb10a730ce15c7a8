"""The first line of every screen: the screens and their keys, and what trains here."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from textual import events
from textual.content import Content
from textual.widget import Widget

if TYPE_CHECKING:
    from mamltui.tui.shared.host import Host

SCREENS = {
    "home": ("1", "Home"),
    "train": ("2", "Train"),
    "episode": ("3", "Episode"),
    "evaluate": ("4", "Evaluate"),
    "compare": ("5", "Compare"),
    "log": ("6", "Log"),
    "study": ("7", "Study"),
    "draw": ("8", "Draw"),
}
"""The modes of the app: the key and the title of each."""


class StatusLine(Widget):
    """One line; a click on a screen's title goes there."""

    DEFAULT_CSS = """
    StatusLine { dock: top; height: 1; background: $panel; color: $text-muted; }
    """

    def __init__(self, *, id: str) -> None:
        super().__init__(id=id)
        self._spans: list[tuple[int, int, str]] = []
        self._shown: Content | None = None

    def render(self) -> Content:
        """The titles, shortened until they fit, and on the right what trains."""
        app = cast("Host", self.app)
        width = self.size.width
        right = app.training_summary(short=width < 100)
        for style in ("long", "current", "keys"):
            parts, spans = self._titles(app.current_mode, style)
            if sum(len(text) for text, _ in parts) + len(right) + 1 <= width or style == "keys":
                break
        self._spans = spans
        left = Content.assemble(*parts)
        room = width - left.cell_length - 1
        if room < 4:
            return left
        right_text = Content.styled(right, "$accent" if app.session.is_training else "")
        right_text = right_text.truncate(room, ellipsis=True)
        return Content.assemble(left, " " * (room - right_text.cell_length), right_text)

    @staticmethod
    def _titles(mode: str, style: str) -> tuple[list[tuple[str, str]], list[tuple[int, int, str]]]:
        parts: list[tuple[str, str]] = []
        spans, column = [], 0
        for name, (key, title) in SCREENS.items():
            current = name == mode
            shown = (
                f" {key} {title} "
                if style == "long" or (style == "current" and current)
                else f" {key} "
            )
            parts.append((shown, "bold $text on $surface" if current else ""))
            spans.append((column, column + len(shown), name))
            column += len(shown)
        return parts, spans

    def update(self) -> None:
        """Draw again if anything has changed."""
        content = self.render()
        if content != self._shown:
            self._shown = content
            self.refresh()

    def on_click(self, event: events.Click) -> None:
        for start, stop, name in self._spans:
            if start <= event.x < stop:
                cast("Host", self.app).go(name)
