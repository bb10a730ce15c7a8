"""What is known of one thing, in aligned columns whose last one is wrapped."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.content import Content
from textual.widgets import Static

GAP = 2
WIDEST = 0.55
"""The part of the width that the columns before the last take at most."""
READABLE = 120
"""Cells of the longest line of text."""


@dataclass(frozen=True)
class Entry:
    """A line of details: cells in columns, or one text alone. No cells: an empty line."""

    cells: tuple[Content, ...] = ()

    @classmethod
    def of(cls, *cells: tuple[str, str] | str) -> Entry:
        """From texts, shown literally, each alone or with its style."""
        return cls(
            tuple(
                Content(cell) if isinstance(cell, str) else Content.styled(cell[0], cell[1])
                for cell in cells
            )
        )


class Details(VerticalScroll):
    """Entries, scrolled with the arrows; all that have as many cells are aligned."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("k", "scroll_up", "Up", show=False),
        Binding("j", "scroll_down", "Down", show=False),
        Binding("g", "scroll_home", "First", show=False),
        Binding("G", "scroll_end", "Last", show=False),
    ]
    DEFAULT_CSS = """
    Details {
        scrollbar-size-vertical: 1; scrollbar-gutter: stable;
        scrollbar-color: $foreground 30%; scrollbar-background: $background;
        & > Static { width: 1fr; height: auto; }
    }
    """

    def __init__(self, *, id: str) -> None:
        super().__init__(Static(id=f"{id}-text"), id=id)
        self._entries: tuple[Entry, ...] = ()
        self._of = ""
        self._width = 0

    def show(self, entries: Sequence[Entry], of: str) -> None:
        """Show these entries from now on; another ``of`` than before starts at the top."""
        if of != self._of:
            self.scroll_home(animate=False)
        elif _are_same(entries, self._entries):
            return
        self._of, self._entries = of, tuple(entries)
        self._draw()

    def on_resize(self) -> None:
        if self.scrollable_content_region.width != self._width:
            self._draw()

    def _draw(self) -> None:
        self._width = self.scrollable_content_region.width
        lines = laid_out(self._entries, self._width)
        self.query_one(Static).update(Content("\n").join(lines))


def laid_out(entries: Sequence[Entry], width: int) -> list[Content]:
    """The lines of the entries on ``width`` cells."""
    widths: dict[int, list[int]] = {}
    for count in {len(entry.cells) for entry in entries}:
        most = max(1, int(width * WIDEST / max(1, count - 1)))
        rows = [entry.cells for entry in entries if len(entry.cells) == count]
        widths[count] = [
            min(most, max(cells[index].cell_length for cells in rows)) for index in range(count - 1)
        ]
    lines: list[Content] = []
    for entry in entries:
        before = widths[len(entry.cells)]
        room = max(1, min(width - sum(before) - GAP * len(before), READABLE))
        lines += _wrapped(entry.cells, before, room) if entry.cells else [Content("")]
    return lines


def _wrapped(cells: tuple[Content, ...], widths: list[int], room: int) -> list[Content]:
    """One entry: the last cell is wrapped, and the lines after the first begin below it."""
    head = [
        cell.truncate(width, ellipsis=True, pad=True)
        for cell, width in zip(cells, widths, strict=False)
    ]
    space = " " * GAP
    first, *others = cells[-1].wrap(room)
    indent = " " * (sum(widths) + GAP * len(widths))
    parts = [part for cell in head for part in (cell, space)]
    return [Content.assemble(*parts, first), *(Content.assemble(indent, line) for line in others)]


def _are_same(some: Sequence[Entry], others: Sequence[Entry]) -> bool:
    return len(some) == len(others) and all(
        len(one.cells) == len(other.cells)
        and all(mine.is_same(theirs) for mine, theirs in zip(one.cells, other.cells, strict=True))
        for one, other in zip(some, others, strict=True)
    )
