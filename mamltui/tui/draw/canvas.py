"""The square that is drawn on, by mouse or by keys."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from rich.segment import Segment
from textual import events
from textual.binding import Binding, BindingType
from textual.geometry import Region
from textual.message import Message
from textual.strip import Strip
from textual.widget import Widget

from mamltui.tui.draw.ink import SIZE, Drawing, Point, smoothed
from mamltui.tui.shared.braille import Bits, lines_of, shrunk

STEP = 5.0
"""Pixels that an arrow key moves the cursor."""
FINE = 1.0
"""The same with shift."""
GUIDE = 1 / 6
"""The margin that characters of Omniglot mostly leave, as a part of the side."""
RIGHT_BUTTON = 3


class Canvas(Widget, can_focus=True):
    """Shows one drawing and changes it.

    The mouse draws while a button is held, the right one erases. By keys a stroke is a line with
    corners: space begins it and sets a corner, Enter ends it.
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        *(
            Binding(keys, f"move({x}, {y})", show=False)
            for keys, x, y in (
                *(("left,h", -STEP, 0), ("right,l", STEP, 0)),
                *(("up,k", 0, -STEP), ("down,j", 0, STEP)),
                *(("shift+left,H", -FINE, 0), ("shift+right,L", FINE, 0)),
                *(("shift+up,K", 0, -FINE), ("shift+down,J", 0, FINE)),
            )
        ),
        Binding("space", "corner", "Pen", tooltip="Put the pen down, or set a corner"),
        Binding("enter", "lift", "Lift", show=False, tooltip="Lift the pen"),
        Binding("escape", "drop", "Drop the stroke", show=False),
        Binding("x", "tool", "Eraser", tooltip="Pen or eraser"),
        Binding("u,ctrl+z", "undo", "Undo"),
        Binding("c", "clear", "Clear"),
    ]
    COMPONENT_CLASSES: ClassVar[set[str]] = {"canvas--ink", "canvas--margin", "canvas--cursor"}
    DEFAULT_CSS = """
    Canvas > .canvas--ink { color: $text; background: $surface; }
    Canvas > .canvas--margin { color: $text; background: $panel; }
    Canvas > .canvas--cursor { color: $background; background: $accent; }
    """

    class Changed(Message):
        """There is other ink."""

    class Moved(Message):
        """The pen is down or up, it is another tool, or the cursor is elsewhere."""

    def __init__(self, *, id: str) -> None:
        super().__init__(id=id)
        self._drawing = Drawing()
        self._lines: list[str] | None = None
        self._corners: list[Point] = []
        """Of a stroke by keys that goes on."""
        self._path: list[Point] | None = None
        """Of a stroke by mouse that goes on."""
        self._erases = False
        """What the stroke that goes on does."""
        self.is_eraser = False
        """What the pen is, but for the right button."""
        self.cursor: Point = (SIZE / 2, SIZE / 2)
        """Where keys draw."""

    @property
    def drawing(self) -> Drawing:
        return self._drawing

    @property
    def is_down(self) -> bool:
        """A stroke goes on."""
        return bool(self._corners) or self._path is not None

    def show(self, drawing: Drawing) -> None:
        """Show and change ``drawing`` from now on; a stroke that goes on ends where it is."""
        if drawing is not self._drawing:
            self._end()
            self._drawing = drawing
            self._changed()

    def _changed(self) -> None:
        """Draw the lines that have changed."""
        before, self._lines = self._lines or [], None
        for y, line in enumerate(self._shown_lines()):
            if y >= len(before) or before[y] != line:
                self.refresh(Region(0, y, self.size.width, 1))

    def _draw(self, points: list[Point]) -> None:
        self._drawing.draw(points, erase=self._erases)
        self._changed()
        self.post_message(self.Changed())

    def _end(self) -> None:
        if self._path is not None:
            self.release_mouse()
        self._path, self._corners = None, []
        self.post_message(self.Moved())

    # By mouse.

    def on_mouse_down(self, event: events.MouseDown) -> None:
        self.focus()
        self._end()
        self._erases = self.is_eraser or event.button == RIGHT_BUTTON
        self._path = [self._point(event)]
        self.capture_mouse()
        self._drawing.begin()
        self._draw(self._path)
        event.stop()

    def on_mouse_move(self, event: events.MouseMove) -> None:
        if self._path is None:
            return
        point = self._point(event)
        if point != self._path[-1]:
            self._path.append(point)
            self._draw(smoothed(self._path))

    def on_mouse_up(self, _: events.MouseUp) -> None:
        if self._path is not None:
            self.cursor = tuple(np.clip(self._path[-1], 0, SIZE).tolist())
            self._end()
            self.refresh()

    def _point(self, event: events.MouseEvent) -> Point:
        """Where the pointer is on the drawing; of a cell its middle, where no more is known."""
        columns, rows = self._extent()
        cell = event.get_content_offset_capture(self)
        x = cell.x + (event.pointer_x % 1 or 0.5)
        y = cell.y + (event.pointer_y % 1 or 0.5)
        return x / max(1, columns) * SIZE, y / max(1, rows) * SIZE

    # By keys.

    def action_move(self, x: float, y: float) -> None:
        """Move the cursor, and the stroke that goes on with it."""
        self.cursor = (
            min(max(self.cursor[0] + x, 0.0), float(SIZE)),
            min(max(self.cursor[1] + y, 0.0), float(SIZE)),
        )
        if self._corners:
            self._draw([*self._corners, self.cursor])
        self.refresh()
        self.post_message(self.Moved())

    def action_corner(self) -> None:
        """Begin a stroke at the cursor, or set a corner of the one that goes on."""
        if not self._corners:
            self._erases = self.is_eraser
            self._drawing.begin()
        self._corners.append(self.cursor)
        self._draw(self._corners)
        self.post_message(self.Moved())

    def action_lift(self) -> None:
        """End the stroke."""
        if self._corners:
            self._end()
            self.refresh()

    def action_drop(self) -> None:
        """Take back the stroke that goes on."""
        self.action_undo()

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Escape goes back from the screen while no stroke goes on."""
        if action == "drop":
            return bool(self._corners)
        return super().check_action(action, parameters)

    def action_tool(self) -> None:
        """The eraser for the pen, or the other way."""
        self._end()
        self.is_eraser = not self.is_eraser
        self.post_message(self.Moved())

    def action_undo(self) -> None:
        """Take back the last change."""
        self._end()
        if self._drawing.undo():
            self._changed()
            self.post_message(self.Changed())

    def action_clear(self) -> None:
        """Take all ink away."""
        self._end()
        if not self._drawing.is_blank:
            self._drawing.clear()
            self._changed()
            self.post_message(self.Changed())

    # Showing.

    def _extent(self) -> tuple[int, int]:
        """Columns and rows of the square: cells are about twice as high as wide."""
        rows = min(self.content_size.height, self.content_size.width // 2)
        return 2 * rows, rows

    def _shown_lines(self) -> list[str]:
        _, rows = self._extent()
        if self._lines is None or len(self._lines) != rows:
            self._lines = lines_of(_dots(self._drawing.ink, 4 * rows)) if rows else []
        return self._lines

    def _cursor_cell(self) -> tuple[int, int] | None:
        """Column and row of the cursor, where it is seen."""
        columns, rows = self._extent()
        if not self.has_focus or self._path is not None or not rows:
            return None
        x, y = self.cursor
        return min(columns - 1, int(x / SIZE * columns)), min(rows - 1, int(y / SIZE * rows))

    def render_line(self, y: int) -> Strip:
        columns, rows = self._extent()
        width, base = self.size.width, self.visual_style.rich_style
        if y >= rows:
            return Strip.blank(width, base)
        line = self._shown_lines()[y]
        low, high = round(GUIDE * columns), round((1 - GUIDE) * columns)
        margin, ink, cursor = (
            self.get_visual_style(f"canvas--{name}").rich_style
            for name in ("margin", "ink", "cursor")
        )
        if not round(GUIDE * rows) <= y < round((1 - GUIDE) * rows):
            ink = margin
        parts = [(0, low, margin), (low, high, ink), (high, columns, margin)]
        strip = Strip([Segment(line[begin:end], style) for begin, end, style in parts], columns)
        at = self._cursor_cell()
        if at is not None and at[1] == y:
            mark = "×" if self._corners else "+"  # seen without colours too
            before, _, after = strip.divide([at[0], at[0] + 1, columns])
            strip = Strip.join([before, Strip([Segment(mark, cursor)], 1), after])
        return strip.adjust_cell_length(width, base)


def _dots(ink: Bits, side: int) -> Bits:
    """``ink`` on ``side`` dots a side: thin strokes stay where it is made smaller."""
    if side <= len(ink):
        small: Bits = shrunk(ink, max(1, side), np.logical_or)
        return small
    nearest = np.arange(side) * len(ink) // side
    return ink[nearest][:, nearest]
