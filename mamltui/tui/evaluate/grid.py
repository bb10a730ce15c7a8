"""Grids of results, train steps by test steps: a cursor, fixed row labels, quick to redraw."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from rich.cells import cell_len
from rich.segment import Segment
from rich.style import Style
from textual import events
from textual.binding import Binding, BindingType
from textual.geometry import Region
from textual.message import Message
from textual.strip import Strip
from textual.widget import Widget

from mamltui.results import GridRow, StepResult
from mamltui.text import visible
from mamltui.tui.evaluate.cells import (
    UNKNOWN_STEPS,
    Section,
    Shown,
    best_column,
    best_row,
    cell_parts,
    is_measured,
)
from mamltui.tui.shared.fitting import fitted, fitted_name

SHADES = 0.35
"""Of the accent in the background of the best cell."""
BEST_OF_ALL, BEST_OF_ROW, HEADLINE = "◆", "◇", "†"
NAME, TRAIN, STATUS = (10, 20, 30), 6, 10
"""Cells for a run's name, at least, at ease and at most; its train steps; how far it is."""


@dataclass(frozen=True)
class Line:
    """A line of the widget: the title of a section, or a row."""

    section: Section
    row: GridRow | None = None
    best: int | None = None
    """The column with the row's best score."""
    is_best: bool = False
    """That score is the best of the section's runs."""
    worst_and_best: tuple[float, float] | None = None
    """Accuracies of the section; None: nothing is measured."""

    @property
    def key(self) -> tuple[str, str, str, int] | None:
        """The same for the same row when other rows come and go; None for a title."""
        if self.row is None:
            return None
        grid = self.section.grid
        return grid.task, grid.split, self.row.label, self.row.train_steps


class ResultGrid(Widget, can_focus=True):
    """Shows sections one below another; their columns are in line.

    The labels of the rows and the step counts stay where they are while the cells scroll.
    """

    COMPONENT_CLASSES: ClassVar[set[str]] = {
        "grid--title",
        "grid--muted",
        "grid--best",
        "grid--cursor",
        "grid--cursor-blurred",
    }
    DEFAULT_CSS = """
    ResultGrid { height: 1fr; }
    ResultGrid > .grid--title { color: $accent; }
    ResultGrid > .grid--muted { color: $foreground-muted; }
    ResultGrid > .grid--best { color: $success; text-style: bold; }
    ResultGrid > .grid--cursor { text-style: reverse; }
    ResultGrid > .grid--cursor-blurred { background: $panel; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("left,h", "move(0, -1)", "Left", show=False),
        Binding("right,l", "move(0, 1)", "Right", show=False),
        Binding("up,k", "move(-1, 0)", "Up", show=False),
        Binding("down,j", "move(1, 0)", "Down", show=False),
        Binding("home", "move(0, -1000)", "First column", show=False),
        Binding("end", "move(0, 1000)", "Last column", show=False),
        Binding("pageup", "move(-10, 0)", "Ten rows up", show=False),
        Binding("pagedown", "move(10, 0)", "Ten rows down", show=False),
        Binding("enter", "open", "Episodes", show=False),
    ]

    class Moved(Message):
        """The cursor is on another cell."""

    class Opened(Message):
        """A cell is to be looked into."""

        def __init__(self, row: GridRow, steps: int) -> None:
            super().__init__()
            self.row = row
            self.steps = steps

    def __init__(self, *, id: str) -> None:
        super().__init__(id=id)
        self._sections: tuple[Section, ...] = ()
        self._shown: Shown = "accuracy"
        self._lines: list[Line] = []
        self._steps: list[int] = []
        self._cursor = (0, 0)
        self._top = self._left = 0
        self._widths = (0, 0)
        self._base = Style.null()

    def show(self, sections: Sequence[Section], shown: Shown) -> None:
        """Show these; the cursor stays on its row and step count as long as they are there."""
        if (tuple(sections), shown) == (self._sections, self._shown):
            return
        before = self._key_and_step()
        if shown != self._shown:
            self._widths = (0, 0)
        self._sections, self._shown = tuple(sections), shown
        self._lines = [line for section in sections for line in _lines(section, shown)]
        self._steps = sorted({step for section in sections for step in section.grid.steps})
        parts = [
            cell_parts(cell, shown, line.section.reference)
            for line in self._lines
            if line.row
            for cell in line.row.cells
        ]
        # Columns only grow: nothing jumps while the values change.
        least = (5, 4 + 1) if shown == "accuracy" else (6, 0)
        value, interval = (
            max([least[part], self._widths[part], *(len(texts[part]) for texts in parts)])
            for part in (0, 1)
        )
        self._widths = (value, interval)
        self._restore(*before)
        self.refresh()

    @property
    def selected(self) -> tuple[Section, GridRow, int] | None:
        """The section, the row and the step count at the cursor; None if there are no cells."""
        key, step = self._key_and_step()
        if key is None or step is None:
            return None
        line = self._lines[self._cursor[0]]
        assert line.row is not None
        return line.section, line.row, step

    def _key_and_step(self) -> tuple[tuple[str, str, str, int] | None, int | None]:
        line, column = self._cursor
        if line >= len(self._lines) or column >= len(self._steps):
            return None, None
        return self._lines[line].key, self._steps[column]

    def _restore(self, key: tuple[str, str, str, int] | None, step: int | None) -> None:
        """Put the cursor where it was, else on the first row's headline."""
        rows = [index for index, line in enumerate(self._lines) if line.row is not None]
        if not rows or not self._steps:
            self._cursor = (0, 0)
            return
        index = next((index for index in rows if self._lines[index].key == key), None)
        if index is None:
            index = min(rows, key=lambda row: abs(row - self._cursor[0])) if key else rows[0]
        if key is None or step not in self._steps:
            row = self._lines[index].row
            step = row.headline if row and row.headline in self._steps else self._steps[0]
        self._cursor = (index, self._steps.index(step))

    # Geometry

    @property
    def _cell_width(self) -> int:
        return 2 + sum(self._widths)

    @property
    def _label_width(self) -> int:
        """Of the row labels: what all the columns leave, within limits."""
        left = self.size.width - len(self._steps) * self._cell_width
        if left < NAME[1] + TRAIN:  # the columns have to be scrolled anyway
            left = self.size.width // 4
        return max(NAME[0] + TRAIN, min(self._name_width + TRAIN + STATUS, left))

    @property
    def _name_width(self) -> int:
        """Of the longest name, within limits."""
        names = [
            cell_len(visible(line.section.label(line.row))) for line in self._lines if line.row
        ]
        return min(max([NAME[0], *(name + 1 for name in names)]), NAME[2])

    @property
    def _has_status(self) -> bool:
        """There is room for a column that says how far each run is."""
        return self._label_width - TRAIN - STATUS >= min(self._name_width, NAME[1])

    @property
    def _columns(self) -> int:
        """How many columns fit."""
        return max(1, (self.size.width - self._label_width) // self._cell_width)

    def _scroll_to_cursor(self) -> None:
        line, column = self._cursor
        rows, columns = max(1, self.size.height - 1), self._columns
        # A row shows its section's title, too, if it is the first one.
        above = line - 1 if line > 0 and self._lines[line - 1].row is None and rows > 1 else line
        self._top = max(line - rows + 1, min(self._top, above, max(0, len(self._lines) - rows)))
        self._left = max(
            column - columns + 1, min(self._left, column, max(0, len(self._steps) - columns))
        )

    # Drawing

    def render_lines(self, crop: Region) -> list[Strip]:
        """The lines of a part of the widget; what all of them need is found out once."""
        self._base = self.rich_style
        self._scroll_to_cursor()
        return super().render_lines(crop)

    def render_line(self, y: int) -> Strip:
        """One line of the widget."""
        width, base = self.size.width, self._base
        segments = self._header() if y == 0 else self._segments(self._top + y - 1)
        strip = Strip([Segment(text, base + style) for text, style in segments])
        return strip.adjust_cell_length(width, base)

    def _style(self, name: str) -> Style:
        # A colour with transparency is blended with the background in a whole style only.
        return self.get_component_rich_style(f"grid--{name}", partial="cursor" in name)

    def _header(self) -> list[tuple[str, Style]]:
        muted = self._style("muted")
        if not self._lines:
            return [("", muted)]
        rows = sum(line.row is not None for line in self._lines)
        hidden = len(self._lines) > self.size.height - 1
        number = sum(line.row is not None for line in self._lines[: self._cursor[0] + 1])
        name = f"run {number} of {rows}" if hidden else "run"
        words = " trained with \\ tested after"
        if self._label_width < len(words) + len(name) + 1:
            words = " train\\test"
        label = fitted(name, self._label_width - len(words)) + words
        steps = self._steps[self._left : self._left + self._columns]
        cells = "".join(f" {step:>{self._widths[0]}}".ljust(self._cell_width) for step in steps)
        if self._left:
            cells = "‹" + cells[1:]
        if self._left + len(steps) < len(self._steps):
            cells = cells[:-1] + "›"
        return [(label + cells, muted)]

    def _segments(self, index: int) -> list[tuple[str, Style]]:
        if index >= len(self._lines):
            return []
        line = self._lines[index]
        if line.row is None:
            return [(fitted(line.section.title, self.size.width), self._style("title"))]
        row, section = line.row, line.section
        status = section.status.get(row.label, "") if row.headline is not None else "published"
        plain = Style.null() if row.headline is not None else self._style("muted")
        segments = [(self._label(section.label(row), row, status), plain)]
        cells = dict(zip(section.grid.steps, row.cells, strict=True))
        best = None if line.best is None else section.grid.steps[line.best]
        for column in range(self._left, min(self._left + self._columns, len(self._steps))):
            step = self._steps[column]
            style = plain + self._shade(line, cells.get(step))
            style += self._style("best") if step == best and line.is_best else Style.null()
            if (index, column) == self._cursor:
                style += self._style("cursor" if self.has_focus else "cursor-blurred")
            text = self._cell(line, step, cells.get(step), step == best)
            if column == self._left and line.best is None and not self._has_status:
                text = fitted(f" {status}", len(text)) if status else text
            segments.append((text, style))
        return segments

    def _shade(self, line: Line, cell: StepResult | None) -> Style:
        """A background by how good the score is among those of the section."""
        if cell is None or not is_measured(cell) or line.worst_and_best is None:
            return Style.null()
        accent = self.get_visual_style("grid--title").foreground
        worst, best = line.worst_and_best
        share = (cell.score.value - worst) / (best - worst) if best != worst else 0.0
        if accent is None:
            return Style.null()
        shade = self.background_colors[1].blend(accent, SHADES * share)
        return Style(bgcolor=shade.rich_color)

    def _label(self, label: str, row: GridRow, status: str) -> str:
        width = self._label_width - TRAIN
        if not self._has_status:
            return f"{fitted_name(label, width - 1)} {_trained(row):>{TRAIN - 1}} "
        name = fitted_name(label, width - STATUS - 1)
        return f"{name} {fitted(status, STATUS - 1)} {_trained(row):>{TRAIN - 1}} "

    def _cell(self, line: Line, step: int, cell: StepResult | None, is_best: bool) -> str:
        assert line.row is not None
        value, interval = cell_parts(cell, self._shown, line.section.reference)
        headline = HEADLINE if step == line.row.headline else " "
        best = (BEST_OF_ALL if line.is_best else BEST_OF_ROW) if is_best else " "
        is_published = line.row.headline is None  # its only number is no best of several
        if is_published or not is_measured(cell) or not value:
            best = " "
        return f"{headline}{value:>{self._widths[0]}}{interval:<{self._widths[1]}}{best}"

    # Moving

    def action_move(self, rows: int, columns: int) -> None:
        """Move the cursor by so many rows and columns, as far as there are any."""
        indices = [index for index, line in enumerate(self._lines) if line.row is not None]
        if not indices:
            return
        line, column = self._cursor
        index = min(max(indices.index(line) + rows, 0), len(indices) - 1)
        self._move_to(indices[index], min(max(column + columns, 0), len(self._steps) - 1))

    def _move_to(self, line: int, column: int) -> None:
        if (line, column) != self._cursor:
            self._cursor = (line, column)
            self.refresh()
            self.post_message(self.Moved())

    def action_open(self) -> None:
        """Look into the cell at the cursor."""
        if (selected := self.selected) is not None:
            self.post_message(self.Opened(selected[1], selected[2]))

    def on_click(self, event: events.Click) -> None:
        line = self._top + event.y - 1
        column = self._left + (event.x - self._label_width) // self._cell_width
        if event.y == 0 or line >= len(self._lines) or self._lines[line].row is None:
            return
        if event.x >= self._label_width and column < len(self._steps):
            self._move_to(line, column)
            if event.chain == 2:
                self.action_open()

    def on_mouse_scroll_down(self, event: events.MouseScrollDown) -> None:
        event.stop()
        self.action_move(*((0, 1) if event.shift else (1, 0)))

    def on_mouse_scroll_up(self, event: events.MouseScrollUp) -> None:
        event.stop()
        self.action_move(*((0, -1) if event.shift else (-1, 0)))


def _trained(row: GridRow) -> str:
    """The inner steps in training; nothing where they are not known."""
    return "" if row.train_steps == UNKNOWN_STEPS else str(row.train_steps)


def _lines(section: Section, shown: Shown) -> list[Line]:
    rows = section.grid.rows
    best = best_row(rows, shown)
    scores = [cell.score.value for row in rows for cell in row.cells if cell and is_measured(cell)]
    scores.sort(key=section.grid.metric.rank, reverse=True)
    ends = (scores[0], scores[-1]) if scores else None
    return [
        Line(section),
        *(
            Line(section, row, best_column(row, shown), index == best, ends)
            for index, row in enumerate(rows)
        ),
    ]
