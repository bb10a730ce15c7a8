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
    ink: str = "muted"
    """Of the label."""


@dataclass(frozen=True)
class Head:
    """What stands above a column: a sign in the ink of its curve, and below it the name."""

    sign: str
    ink: str
    note: str
    name: str


def turned(heads: Sequence[Head], rows: Sequence[TableRow]) -> tuple[list[Head], list[TableRow]]:
    """The same with a row for each head and a column for each row."""
    return (
        [Head("", "", "", row.label) for row in rows],
        [
            TableRow(
                f"{head.sign} {head.note.strip()} {head.name}".replace("  ", " "),
                [row.cells[index] for row in rows],
                f"{head.ink} strong".strip(),
            )
            for index, head in enumerate(heads)
        ],
    )


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
        self._values: list[int] = []
        """The widest cell of each column so far: columns only grow while the values change."""
        self._numbers: list[int] = []
        """The widest of each so far that may be a number, which is never cut as a text is."""

    def show(self, heads: Sequence[Head], rows: Sequence[TableRow]) -> None:
        """Show these from now on."""
        if (tuple(heads), tuple(rows)) == (self._heads, self._rows):
            return
        if len(heads) != len(self._heads):
            least = LEAST if any(head.sign for head in heads) else 0
            self._values, self._numbers = [least] * len(heads), [least] * len(heads)
        self._heads, self._rows = tuple(heads), tuple(rows)
        for index in range(len(heads)):
            lengths = [cell_len(row.cells[index].text) for row in rows]
            self._values[index] = min(MOST, max([self._values[index], *lengths]))
            numbers = [length for length in lengths if length <= NUMBER]
            self._numbers[index] = max([self._numbers[index], *numbers])
        self._left = min(self._left, self._last_left())
        self.set_count(len(rows))

    @property
    def _label_width(self) -> int:
        """Cells of the labels."""
        most = LABEL_MOST if any(head.sign for head in self._heads) else max(LABEL, self.width // 3)
        return min(max([LABEL, *(cell_len(row.label) for row in self._rows)]), most)

    @property
    def _widths(self) -> list[int]:
        """Cells of each column: names and texts are shown as far as there is room."""
        columns = max(1, len(self._heads))
        room = (self.width - self._label_width) // columns - GAP
        widths = []
        for head, value, number in zip(self._heads, self._values, self._numbers, strict=True):
            if head.sign:
                wanted = max(value, min(cell_len(head.name), MOST))
                widths.append(max(number, min(room, wanted)))
            else:
                widths.append(max(number, min(cell_len(head.name), NUMBER), min(value, NUMBER + 8)))
        return widths

    def _fitting(self, left: int) -> int:
        """Columns that can be seen at once from one on."""
        room, count = self.width - self._label_width, 0
        for width in self._widths[left:]:
            room -= GAP + width
            if room < 0:
                break
            count += 1
        return max(1, count)

    def _last_left(self) -> int:
        """The first column that is seen when the last one is."""
        left = max(0, len(self._heads) - 1)
        while left and left - 1 + self._fitting(left - 1) >= len(self._heads):
            left -= 1
        return left

    @property
    def _seen(self) -> range:
        return range(self._left, min(len(self._heads), self._left + self._fitting(self._left)))

    def on_resize(self, _: events.Resize) -> None:
        self._left = min(self._left, self._last_left())
        self.refresh()

    def head(self, y: int) -> list[Piece]:
        label, widths = self._label_width, self._widths
        if y == 0:
            pieces = [(fitted(self._hidden(), label), "muted")]
            for index in self._seen:
                head = self._heads[index]
                width = max(0, widths[index] - cell_len(head.sign) - cell_len(head.note))
                pieces += [
                    (" " * (GAP + width) + head.note, "muted"),
                    (head.sign, f"{head.ink} strong".strip()),
                ]
            return pieces
        pieces = [(" " * label, "")]
        for index in self._seen:
            name = fitted_name(self._heads[index].name, widths[index]).rstrip()
            pieces.append((" " * (GAP + widths[index] - cell_len(name)) + name, "muted"))
        return pieces

    def _hidden(self) -> str:
        """How many columns there are to the left and to the right of those that are seen."""
        before, after = self._left, len(self._heads) - self._seen.stop
        return f"{f'← {before}' if before else ''}{f'  {after} →' if after else ''}".strip()

    def line(self, row_number: int) -> list[Piece]:
        widths = self._widths
        row = self._rows[row_number]
        # Of a run the end of what it is called says most: what differs, and the seed.
        fit = fitted if any(head.sign for head in self._heads) else fitted_name
        pieces = [(fit(row.label, self._label_width), row.ink)]
        for index in self._seen:
            cell = row.cells[index]
            text = fitted(cell.text, widths[index]).rstrip()
            pieces.append((" " * (GAP + widths[index] - cell_len(text)) + text, cell.ink))
        return pieces

    def action_move_columns(self, columns: int) -> None:
        """Go left or right."""
        self._left = max(0, min(self._left + columns, self._last_left()))
        self.refresh()
