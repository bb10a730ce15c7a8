"""A list of rows in aligned columns, with a cursor and marks, that draws only what is seen."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

from rich.cells import cell_len
from rich.segment import Segment
from rich.style import Style
from textual import events
from textual.binding import Binding, BindingType
from textual.geometry import Size
from textual.message import Message
from textual.scroll_view import ScrollView
from textual.strip import Strip

from mamltui.tui.shared.fitting import fitted, fitted_name

Tone = Literal["plain", "muted", "accent", "good", "warn", "bad"]
TONES: tuple[Tone, ...] = ("plain", "muted", "accent", "good", "warn", "bad")
GAP = 2
MARGIN = 3
"""Cells before the first column: the cursor, the mark, a space."""
_NUMBER = re.compile(r"[+-]?\d[\d,]*(\.\d+)?")
LEAST_NAME = 14
"""Cells that the first column keeps before others are left out."""


@dataclass(frozen=True)
class Column:
    """A column after the first; ``rank`` 1 is the last to be left out where there is no room."""

    title: str
    width: int
    """Cells; of an optional column at most, for it is as narrow as what is in it allows."""
    rank: int
    right: bool = False
    least_name: int = 0
    """It is left out where it would leave the first column fewer cells."""
    optional: bool = False
    """It takes no room while no row has anything in it."""


@dataclass(frozen=True)
class Row:
    """What is shown of an item; texts hold nothing that a terminal would obey."""

    key: str
    """What tells the item from all others."""
    name: str
    cells: tuple[tuple[str, Tone], ...] = ()
    """One a column."""
    note: str = ""
    """Instead of the cells: what is wrong with the item."""
    marked: bool = False
    order: tuple[float | str | None, ...] = ()
    """What the name and each column are sorted by, where that is not the text; None: not known."""


class RowList(ScrollView, can_focus=True):
    """Rows under a line of titles; the cursor stays on its item when the rows change.

    Args:
        title: of the first column, which takes what room is left.
        columns: the others, from left to right.
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter", "open", "Open"),
        Binding("up,k", "move(-1)", "Up", show=False),
        Binding("down,j", "move(1)", "Down", show=False),
        Binding("pageup", "page(-1)", "Page up", show=False),
        Binding("pagedown", "page(1)", "Page down", show=False),
        Binding("home,g", "first", "First", show=False),
        Binding("end,G", "last", "Last", show=False),
        Binding("S", "sort", "Sort", show=False, tooltip="Sort by the next column"),
        Binding("O", "reverse", "Reverse", show=False, tooltip="Sort the other way"),
    ]
    COMPONENT_CLASSES: ClassVar[set[str]] = {
        *(f"row-list--{tone}" for tone in TONES),
        "row-list--title",
        "row-list--name",
        "row-list--cursor",
    }
    DEFAULT_CSS = """
    RowList {
        overflow-x: hidden; scrollbar-size-vertical: 1;
        scrollbar-color: $foreground 30%; scrollbar-background: $background;
        & .row-list--title { color: $text-muted; background: $surface; }
        & .row-list--name { color: $text; background: $surface; }
        & .row-list--cursor { background: $surface; }
        & .row-list--muted { color: $text-muted; }
        & .row-list--accent { color: $accent; }
        & .row-list--good { color: $success; }
        & .row-list--warn { color: $warning; }
        & .row-list--bad { color: $error; }
        &:focus {
            & .row-list--name { color: $accent; text-style: bold; }
            & .row-list--cursor { background: $accent 20%; text-style: bold; }
        }
    }
    """

    class Moved(Message):
        """The cursor is on another item, or the item under it has changed."""

        def __init__(self, rows: RowList) -> None:
            super().__init__()
            self.rows = rows

        @property
        def control(self) -> RowList:
            return self.rows

    class Opened(Moved):
        """Enter, or a double click."""

    def __init__(self, title: str, columns: Sequence[Column], *, id: str) -> None:
        super().__init__(id=id)
        self._title, self._columns = title, tuple(columns)
        self._rows: tuple[Row, ...] = ()
        """In the order that is shown; ``_given`` has them as they came."""
        self._given: tuple[Row, ...] = ()
        self._sort: tuple[int, bool] | None = None
        """What the rows are sorted by: 0 for the name, 1 for the first column; whether down."""
        self._empty = ""
        self._widths = [column.width for column in self._columns]
        """Of the columns, as they are now; 0: an optional one in which no row has anything."""
        self._cursor = 0

    @property
    def row(self) -> Row | None:
        """The row under the cursor; None in an empty list."""
        return self._rows[self._cursor] if self._rows else None

    def show(self, rows: Sequence[Row], *, title: str, empty: str) -> None:
        """Show these rows from now on.

        Args:
            title: of the first column.
            empty: said where there is no row.
        """
        shown = (tuple(rows), title, empty)
        if shown == (self._given, self._title, self._empty):
            return
        self._given, self._title, self._empty = shown
        self._arrange()

    def _arrange(self) -> None:
        """Put the rows in order; the cursor stays on its item."""
        before = self.row
        self._rows = self._given if self._sort is None else in_order(self._given, *self._sort)
        self._widths = [self._width_of(index) for index in range(len(self._columns))]
        indices = {row.key: index for index, row in enumerate(self._rows)}
        same = indices.get(before.key) if before else None
        self._cursor = same if same is not None else max(0, min(self._cursor, len(self._rows) - 1))
        self.virtual_size = Size(self.size.width, max(1, len(self._rows)) + 1)
        self._keep_seen()
        self.refresh()
        if self.row != before:
            self.post_message(self.Moved(self))

    def _width_of(self, index: int) -> int:
        column = self._columns[index]
        if not column.optional:
            return column.width
        texts = {row.cells[index][0] for row in self._rows if row.cells}
        widest = max(map(cell_len, texts), default=0)
        return min(column.width, max(widest, cell_len(column.title))) if widest else 0

    def go_to(self, key: str) -> bool:
        """Put the cursor on an item; whether it is there."""
        for index, row in enumerate(self._rows):
            if row.key == key:
                self._put(index)
                return True
        return False

    def action_move(self, by: int) -> None:
        self._put(self._cursor + by)

    def action_page(self, direction: int) -> None:
        self._put(self._cursor + direction * max(1, self._seen_rows - 1))

    def action_first(self) -> None:
        self._put(0)

    def action_last(self) -> None:
        self._put(len(self._rows) - 1)

    def action_open(self) -> None:
        if self.row is not None:
            self.post_message(self.Opened(self))

    def action_sort(self) -> None:
        """By the name, then by each column that is seen, then as the rows came."""
        width = max(1, self.scrollable_content_region.width - 1)
        columns = [0, *(index + 1 for index in self._shown_columns(width))]
        here = columns.index(self._sort[0]) if self._sort and self._sort[0] in columns else -1
        self._sort_by(columns[here + 1] if here + 1 < len(columns) else None)

    def action_reverse(self) -> None:
        """The same column, the other way."""
        if self._sort is not None:
            self._sort_by(self._sort[0])

    def _sort_by(self, column: int | None) -> None:
        """By a column, numbers from the greatest; by the same again, the other way."""
        if column is None:
            self._sort = None
        elif self._sort and self._sort[0] == column:
            self._sort = (column, not self._sort[1])
        else:
            self._sort = (column, bool(column) and self._columns[column - 1].right)
        self._arrange()

    def _column_at(self, x: int) -> int:
        """Of a cell of the titles: 0 for the name, 1 for the first column."""
        width = max(1, self.scrollable_content_region.width - 1)
        right = width
        for index in reversed(self._shown_columns(width)):
            right -= GAP + self._widths[index]
            if x >= right:
                return index + 1
        return 0

    def on_click(self, event: events.Click) -> None:
        if event.y == 0 and self._rows:
            self._sort_by(self._column_at(event.x))
            return
        index = event.y - 1 + round(self.scroll_y)
        if event.y < 1 or index >= len(self._rows):
            return
        self._put(index)
        if event.chain == 2:
            self.action_open()

    def on_resize(self) -> None:
        self._keep_seen()

    @property
    def _seen_rows(self) -> int:
        return max(1, self.scrollable_content_region.height - 1)

    def _put(self, index: int) -> None:
        index = max(0, min(index, len(self._rows) - 1))
        if index == self._cursor:
            return
        self._cursor = index
        self._keep_seen()
        self.refresh()
        self.post_message(self.Moved(self))

    def _keep_seen(self) -> None:
        """Scroll as far as it takes to see the cursor."""
        first = min(round(self.scroll_y), self._cursor)
        first = max(first, self._cursor - self._seen_rows + 1)
        if first != round(self.scroll_y):
            self.scroll_to(y=first, animate=False)

    def render_line(self, y: int) -> Strip:
        """The titles stay above the rows, whatever is scrolled."""
        # The last cell stays empty, so that no number touches what is beside the list.
        width = max(1, self.scrollable_content_region.width - 1)
        if y == 0:
            return self._titles(width)
        index = y - 1 + round(self.scroll_y)
        if index < len(self._rows):
            return self._line(self._rows[index], index == self._cursor, width)
        empty = self._empty if not self._rows and y == 1 else ""
        text = fitted(" " * MARGIN + empty, width)
        return Strip([Segment(text + " ", self._style("muted"))])

    def _style(self, *names: str) -> Style:
        return self.get_visual_style(*(f"row-list--{name}" for name in names)).rich_style

    def _shown_columns(self, width: int) -> list[int]:
        """The columns that leave the first one room, the lowest ranks first to stay."""
        room = width - MARGIN - LEAST_NAME
        shown = []
        for index in sorted(range(len(self._columns)), key=lambda at: self._columns[at].rank):
            if not self._widths[index]:
                continue
            left = room - GAP - self._widths[index]
            if left < 0:
                break
            if left >= self._columns[index].least_name - LEAST_NAME:
                shown.append(index)
                room = left
        return sorted(shown)

    def _name_width(self, indices: Sequence[int], width: int) -> int:
        """What these columns leave the first one."""
        return width - MARGIN - sum(GAP + self._widths[index] for index in indices)

    def _aligned(self, text: str, index: int) -> str:
        width = self._widths[index]
        if self._columns[index].right and cell_len(text) < width:
            return " " * (width - cell_len(text)) + text
        return fitted(text, width)

    def _titles(self, width: int) -> Strip:
        indices = self._shown_columns(width)
        name = self._name_width(indices, width)
        others = "".join(
            self._mark(index + 1, GAP) + self._aligned(self._columns[index].title, index)
            for index in indices
        )
        return Strip(
            [
                Segment(self._mark(0, MARGIN) + fitted(self._title, name), self._style("name")),
                Segment(others, self._style("title")),
            ]
        ).adjust_cell_length(width + 1, self._style("title"))

    def _mark(self, column: int, width: int) -> str:
        """The space before a title: it says whether the rows are sorted by its column, and how."""
        if self._sort is None or self._sort[0] != column:
            return " " * width
        return f"{'▾' if self._sort[1] else '▴':>{width}}"

    def _line(self, row: Row, is_cursor: bool, width: int) -> Strip:
        under = ("cursor",) if is_cursor else ()
        indices = self._shown_columns(width)
        name = self._name_width(indices, width)
        if row.note:  # it is told whole rather than the name
            name = max(LEAST_NAME, min(name, width - MARGIN - GAP - cell_len(row.note)))
        segments = [
            Segment("›" if is_cursor else " ", self._style(*under, "accent")),
            Segment("● " if row.marked else "  ", self._style(*under, "accent")),
            Segment(fitted_name(row.name, name), self._style(*under, "plain")),
        ]
        if row.note:
            room = width - MARGIN - name - GAP
            text = " " * GAP + fitted(row.note, room) if room > 0 else ""
            segments.append(Segment(text, self._style(*under, "bad")))
        else:
            for index in indices:
                text, tone = row.cells[index]
                segments.append(Segment(" " * GAP, self._style(*under, "plain")))
                segments.append(Segment(self._aligned(text, index), self._style(*under, tone)))
        return Strip(segments).adjust_cell_length(width + 1, self._style(*under, "plain"))


def in_order(rows: Sequence[Row], column: int, descending: bool) -> tuple[Row, ...]:
    """The rows by a column, 0 for the name; those in which it is not known come last."""
    keys = [(row, _key(row, column)) for row in rows]
    known = [(row, key) for row, key in keys if key is not None]
    known.sort(key=lambda pair: pair[1], reverse=descending)
    return tuple([row for row, _ in known] + [row for row, key in keys if key is None])


def _key(row: Row, column: int) -> tuple[float, str] | None:
    """Numbers before texts; None: not known."""
    text: float | str | None = row.name
    if column:
        text = row.cells[column - 1][0] if column <= len(row.cells) else None
    value = row.order[column] if column < len(row.order) else text
    if isinstance(value, str):
        match = _NUMBER.match(value)
        if match is None:
            return (math.inf, value.casefold()) if value.strip("-· ") else None
        value = float(match[0].replace(",", ""))
    return None if value is None else (value, "")
