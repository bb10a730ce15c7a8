"""Lines that are drawn when they are seen, however many there are."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Final

from rich.segment import Segment
from rich.style import Style
from textual.binding import Binding, BindingType
from textual.geometry import Size
from textual.scroll_view import ScrollView
from textual.strip import Strip

INKS: Final = ("muted", "strong", "accent", "success", "warning", "error")
"""What text may be drawn in, besides plain."""

Piece = tuple[str, str]
"""A text, shown literally, and none, one or several of ``INKS``."""


class LineView(ScrollView, can_focus=True):
    """Shows ``head`` above lines that scroll; subclasses say what is in a line.

    A line is asked for whenever it is drawn, so ``refresh`` is all that a change takes, and
    ``set_count`` where there are more lines or fewer.
    """

    COMPONENT_CLASSES: ClassVar[set[str]] = {f"line-view--{ink}" for ink in INKS}
    DEFAULT_CSS = """
    LineView {
        overflow-x: hidden;
        overflow-y: auto;
        scrollbar-size-vertical: 1;
        scrollbar-gutter: stable;
        scrollbar-background: $background;
        scrollbar-color: $panel;
        & > .line-view--muted { color: $text-muted; }
        & > .line-view--strong { text-style: bold; }
        & > .line-view--accent { color: $accent; }
        & > .line-view--success { color: $success; }
        & > .line-view--warning { color: $warning; }
        & > .line-view--error { color: $error; }
    }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up,k", "move(-1)", "Up", show=False),
        Binding("down,j", "move(1)", "Down", show=False),
        Binding("pageup", "move_page(-1)", "Page up", show=False),
        Binding("pagedown", "move_page(1)", "Page down", show=False),
        Binding("home,g", "move_to_end(-1)", "First", show=False),
        Binding("end,G", "move_to_end(1)", "Last", show=False),
    ]

    def __init__(self, *, id: str, head: int = 0) -> None:
        super().__init__(id=id)
        self._head = head
        self._count = 0
        self._inks: dict[str, Style] = {}

    def head(self, y: int) -> list[Piece]:
        """What is in line ``y`` of the head, which does not scroll."""
        raise NotImplementedError

    def line(self, index: int) -> list[Piece]:
        """What is in a line; asked only for those below ``count``."""
        raise NotImplementedError

    @property
    def count(self) -> int:
        """Lines that scroll."""
        return self._count

    def set_count(self, count: int) -> None:
        """Have this many lines, and draw those that are seen."""
        self._count = count
        self.virtual_size = Size(1, self._head + count)
        self.refresh()

    @property
    def width(self) -> int:
        """Cells of a line: those beside the scrollbar."""
        return self.scrollable_content_region.width

    @property
    def top(self) -> int:
        """The first line that is seen."""
        return self.scroll_offset.y

    @property
    def rows(self) -> int:
        """Lines that can be seen at once."""
        return max(1, self.size.height - self._head)

    @property
    def is_at_end(self) -> bool:
        return self.top + self.rows >= self._count

    def show_from(self, index: int) -> None:
        """Have ``index`` be the first line that is seen, as far as there are lines below it."""
        self.scroll_to(y=max(0, index), animate=False, force=True)

    def render_line(self, y: int) -> Strip:
        """One line of the widget."""
        if y < self._head:
            return self.strip_of(self.head(y))
        index = self.top + y - self._head
        return self.strip_of(self.line(index) if index < self._count else ())

    def strip_of(self, pieces: Sequence[Piece]) -> Strip:
        """The pieces in their inks, as wide as the widget."""
        strip = Strip([Segment(text, self.ink(name)) for text, name in pieces if text])
        return strip.adjust_cell_length(max(1, self.width), self.ink(""))

    def ink(self, name: str) -> Style:
        """The style of an ink, or of several with spaces between."""
        if name not in self._inks:
            self._inks[name] = sum(map(self._ink, name.split()), start=self.rich_style)
        return self._inks[name]

    def _ink(self, name: str) -> Style:
        # Only a whole style has its colour blended with the background.
        return self.get_component_rich_style(f"line-view--{name}", partial=name == "strong")

    def notify_style_update(self) -> None:
        """Draw in the new colours when the theme changes."""
        self._inks.clear()
        super().notify_style_update()

    def action_move(self, lines: int) -> None:
        """Go up or down."""
        self.show_from(self.top + lines)

    def action_move_page(self, pages: int) -> None:
        """Go up or down by what is seen."""
        self.action_move(pages * max(1, self.rows - 1))

    def action_move_to_end(self, direction: int) -> None:
        """Go to the first line or the last."""
        self.action_move(direction * (self._count + 1))
