"""A table with a column for each thing that is compared: the labels and the heads stay in sight."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from rich.cells import cell_len
from textual import events
from textual.binding import Binding, BindingType

from mamltui.tui.shared.fitting import fitted, fitted_name
from mamltui.tui.shared.line_view import LineView, Piece

GAP = 2
LEAST, MOST = 13, 32
"""Cells of a column."""
NUMBER = 16
"""Cells of the longest number with its interval; what is longer is a text."""
LABEL = 17
"""Cells of the labels, at least; they are widened up to ``LABEL_MOST`` where there is room."""
LABEL_MOST = 24


@dataclass(frozen=True)
class Cell:
    """A text, shown literally, and its ink."""

    text: str
    ink: str = ""


@dataclass(frozen=True)
class TableRow:
    """A label and a cell for each column."""

    label: str
    cells: Sequence[Cell]


@dataclass(frozen=True)
class Head:
    """What stands above a column: a sign in the ink of its curve, and below it the name."""

    sign: str
    ink: str
    note: str
    name: str


class ColumnTable(LineView):
    """Shows columns; what has no room is reached sideways, a column at a time."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("left,h", "move_columns(-1)", "Left", show=False),
        Binding("right,l", "move_columns(1)", "Right", show=False),
    ]
    DEFAULT_CSS = """
    ColumnTable { height: 1fr; }
    """

    def __init__(self, *, id: str) -> None:
        super().__init__(id=id, head=2)
        self._heads: tuple[Head, ...] = ()
        self._rows: tuple[TableRow, ...] = ()
        self._left = 0
        self._value = LEAST
        """The widest cell so far: columns only grow while the values change."""
        self._number = LEAST
        """The widest so far that may be a number, which is never cut as a text is."""

    def show(self, heads: Sequence[Head], rows: Sequence[TableRow]) -> None:
        """Show these from now on."""
        if (tuple(heads), tuple(rows)) == (self._heads, self._rows):
            return
        if len(heads) != len(self._heads):
            self._value = self._number = LEAST
        self._heads, self._rows = tuple(heads), tuple(rows)
        lengths = [cell_len(cell.text) for row in rows for cell in row.cells]
        self._value = min(MOST, max([self._value, *lengths]))
        numbers = [length for length in lengths if length <= NUMBER]
        self._number = max([self._number, *numbers])
        self._left = min(self._left, max(0, len(heads) - self._fitting))
        self.set_count(len(rows))

    @property
    def _widths(self) -> tuple[int, int]:
        """Cells of the labels, and of a column: names are shown as far as there is room."""
        label = max([LABEL, *(len(row.label) for row in self._rows)])
        label = min(label, LABEL_MOST)
        columns = max(1, len(self._heads))
        room = (self.width - label) // columns - GAP
        name = max((cell_len(head.name) for head in self._heads), default=0)
        wanted = max(self._value, min(name, MOST))
        return label, max(self._number, min(room, wanted))

    @property
    def _fitting(self) -> int:
        """Columns that can be seen at once."""
        label, column = self._widths
        return max(1, (self.width - label) // (GAP + column))

    @property
    def _seen(self) -> range:
        return range(self._left, min(len(self._heads), self._left + self._fitting))

    def on_resize(self, _: events.Resize) -> None:
        self._left = min(self._left, max(0, len(self._heads) - self._fitting))
        self.refresh()

    def head(self, y: int) -> list[Piece]:
        label, column = self._widths
        if y == 0:
            pieces = [(fitted(self._hidden(), label), "muted")]
            for place in self._seen:
                head = self._heads[place]
                width = max(0, column - cell_len(head.sign) - cell_len(head.note))
                pieces += [
                    (" " * (GAP + width) + head.note, "muted"),
                    (head.sign, f"{head.ink} strong".strip()),
                ]
            return pieces
        pieces = [(" " * label, "")]
        for place in self._seen:
            name = fitted_name(self._heads[place].name, column).rstrip()
            pieces.append((" " * (GAP + column - cell_len(name)) + name, "muted"))
        return pieces

    def _hidden(self) -> str:
        """How many columns there are to the left and to the right of those that are seen."""
        before, after = self._left, len(self._heads) - self._seen.stop
        return f"{f'← {before}' if before else ''}{f'  {after} →' if after else ''}".strip()

    def line(self, index: int) -> list[Piece]:
        label, column = self._widths
        row = self._rows[index]
        pieces = [(fitted(row.label, label), "muted")]
        for place in self._seen:
            cell = row.cells[place]
            text = fitted(cell.text, column).rstrip()
            pieces.append((" " * (GAP + column - cell_len(text)) + text, cell.ink))
        return pieces

    def action_move_columns(self, columns: int) -> None:
        """Go left or right."""
        last = max(0, len(self._heads) - self._fitting)
        self._left = max(0, min(self._left + columns, last))
        self.refresh()
