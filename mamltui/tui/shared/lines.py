"""Lines of text, each of which is drawn again only when it has changed."""

from __future__ import annotations

from collections.abc import Sequence

from rich.segment import Segment
from textual.content import Content
from textual.geometry import Region
from textual.strip import Strip
from textual.widget import Widget


class Lines(Widget):
    """Shows lines as they are: no wrapping, what is too long or too many is cut off.

    A Rich table, or Textual's own text, is laid out and drawn as a whole at every change: several
    milliseconds four times a second, which a training on the same cores would miss.
    """

    def __init__(self, *, id: str | None = None, classes: str | None = None) -> None:
        super().__init__(id=id, classes=classes)
        self._lines: list[Content] = []
        self._strips: dict[int, Strip] = {}

    def show(self, lines: Sequence[Content]) -> None:
        """Show these lines from now on."""
        before, self._lines = self._lines, list(lines)
        if len(before) != len(lines):
            self._strips.clear()
            # Textual keeps sizes by this number, which two refreshes in a row raise only once.
            self._layout_updates += 1
            self.refresh(layout=self.styles.is_auto_height)
            return
        for y, (old, new) in enumerate(zip(before, lines, strict=True)):
            if not old.is_same(new):
                self._strips.pop(y, None)
                self.refresh(Region(0, y, self.size.width, 1))

    def render_line(self, y: int) -> Strip:
        """One line of the widget."""
        strip = self._strips.get(y)
        if strip is None or strip.cell_length != self.size.width:
            self._strips[y] = strip = self._draw(y)
        return strip

    def _draw(self, y: int) -> Strip:
        width, base = self.size.width, self.visual_style
        if y >= len(self._lines):
            return Strip.blank(width, base.rich_style)
        line = self._lines[y].truncate(width, ellipsis=True)
        pieces = line.render(base, "", self._get_style)
        strip = Strip([Segment(text, style.rich_style) for text, style in pieces])
        return strip.adjust_cell_length(width, base.rich_style)

    def notify_style_update(self) -> None:
        """Draw in the new colours when the theme changes."""
        self._strips.clear()
        super().notify_style_update()

    def get_content_height(self, container: object, viewport: object, width: int) -> int:  # noqa: ARG002
        return len(self._lines)
