"""Lines of text that are drawn again only when they have changed."""

from __future__ import annotations

from collections.abc import Sequence

from textual.content import Content
from textual.widget import Widget


class Lines(Widget):
    """Shows lines as they are: no wrapping, what is too long or too many is cut off."""

    def __init__(self, *, id: str | None = None, classes: str | None = None) -> None:
        super().__init__(id=id, classes=classes)
        self._lines: list[Content] = []

    def show(self, lines: Sequence[Content]) -> None:
        """Show these lines from now on."""
        if len(lines) == len(self._lines) and all(map(Content.is_same, lines, self._lines)):
            return
        more = len(lines) != len(self._lines)
        self._lines = list(lines)
        self.refresh(layout=more and self.styles.is_auto_height)

    def render(self) -> Content:
        width = self.size.width
        return Content("\n").join(
            line.truncate(width, ellipsis=True) for line in self._lines[: self.size.height or 1]
        )

    def get_content_height(self, container: object, viewport: object, width: int) -> int:  # noqa: ARG002
        return len(self._lines)
