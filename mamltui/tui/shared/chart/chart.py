"""A chart in braille with real axes, for curves of up to millions of points."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from rich.segment import Segment
from rich.style import Style
from textual import events
from textual.binding import Binding, BindingType
from textual.geometry import Region, Size
from textual.reactive import reactive
from textual.strip import Strip
from textual.widget import Widget

from mamltui.tui.shared.chart.canvas import INKS
from mamltui.tui.shared.chart.content import Curve, CurveStyle, Reference
from mamltui.tui.shared.chart.picture import Picture

__all__ = ["Chart", "Curve", "CurveStyle", "Reference"]

ZOOM = 0.5
"""What one step of zooming in leaves of the window; by the wheel it is its square root."""


class Chart(Widget, can_focus=True):
    """Curves over iterations, with axes, a legend, reference lines, zoom and a cursor.

    What is not finite is left out; on a log axis, so is what is not above zero.
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("left,h", "step_cursor(-1)", "Read left", show=False),
        Binding("right,l", "step_cursor(1)", "Read right", show=False),
        Binding("shift+left,H", "pan(-1)", "Pan left", show=False),
        Binding("shift+right,L", "pan(1)", "Pan right", show=False),
        Binding("plus,equals_sign", "zoom_in", "Zoom in", show=False),
        Binding("minus", "zoom_out", "Zoom out", show=False),
        Binding("0", "reset_zoom", "Show everything", show=False),
        Binding("escape", "hide_cursor", "Hide the cursor", show=False),
    ]
    COMPONENT_CLASSES: ClassVar[set[str]] = {f"chart--{name}" for name in INKS}
    DEFAULT_CSS = """
    Chart {
        height: 1fr;
        width: 1fr;
        & > .chart--text { color: $text-muted; }
        & > .chart--title { color: $text; }
        &:focus > .chart--title { text-style: bold underline; }
        & > .chart--axis { color: $text-muted; }
        & > .chart--reference { color: $text-muted; }
        & > .chart--cursor { color: $text; }
        & > .chart--raw { color: $text-muted 70%; }
        & > .chart--curve-1 { color: $accent; }
        & > .chart--curve-2 { color: $foreground; }
        & > .chart--curve-3 { color: $success; }
        & > .chart--curve-4 { color: $warning; }
        & > .chart--curve-5 { color: $error; }
        & > .chart--curve-6 { color: $text-muted; }
        & > .chart--faint-1 { color: $accent 40%; }
        & > .chart--faint-2 { color: $foreground 40%; }
        & > .chart--faint-3 { color: $success 40%; }
        & > .chart--faint-4 { color: $warning 40%; }
        & > .chart--faint-5 { color: $error 40%; }
        & > .chart--faint-6 { color: $text-muted 40%; }
    }
    """

    title: reactive[str] = reactive("")
    """What the y axis shows, with its unit; shown literally."""
    log_y: reactive[bool] = reactive(False)
    """Equal ratios of y are equally far apart."""
    percent: reactive[bool] = reactive(False)
    """Values are fractions and are shown times 100."""

    _strips: list[Strip] | None = None
    """The lines as they were last drawn; None when all have to be drawn anew."""
    _strips_size = Size(0, 0)

    def __init__(
        self,
        *,
        title: str = "",
        percent: bool = False,
        id: str | None = None,
        classes: str | None = None,
    ) -> None:
        super().__init__(id=id, classes=classes)
        self._picture = Picture()
        self._drawn: dict[bytes, Strip] = {}
        self._styles: list[Style] = []
        self._shown: object = None
        self._cursor_follows_mouse = False
        self.set_reactive(Chart.title, title)
        self.set_reactive(Chart.percent, percent)

    def show(self, curves: Sequence[Curve], *, references: Sequence[Reference] = ()) -> None:
        """Show ``curves``, the later over the earlier; redraws only if there is something new."""
        shown = (
            [(curve, id(curve.series), len(curve.series)) for curve in curves],
            list(references),
        )
        if shown != self._shown:
            self._shown = shown
            self._picture.window.curves = tuple(curves)
            self._picture.references = tuple(references)
            self._redraw()

    def forget_axis(self) -> None:
        """Begin anew with the y axis at the next ``show``; it stays while it suits what is seen."""
        self._shown = None
        self._picture.forget_axis()

    @property
    def cursor(self) -> float | None:
        """The iteration that is read out; None while none is."""
        return self._picture.window.cursor

    @property
    def zoomed(self) -> tuple[float, float] | None:
        """The iterations shown; None while everything is shown and new points are followed."""
        return self._picture.window.zoomed

    def zoom_in(self, at: float | None = None) -> None:
        """Show half as many iterations, around ``at``, else the cursor, else the middle."""
        self._zoom(ZOOM, at)

    def zoom_out(self, at: float | None = None) -> None:
        """Show twice as many iterations, at most everything."""
        self._zoom(1 / ZOOM, at)

    def _zoom(self, factor: float, at: float | None) -> None:
        self._picture.window.zoom(factor, at)
        self._redraw()

    def pan(self, direction: int) -> None:
        """Move a zoomed chart by a quarter of its width: -1 to the left, 1 to the right."""
        self._picture.window.pan(direction)
        self._redraw()

    def reset_zoom(self) -> None:
        """Show everything again, and follow new points."""
        self._picture.window.zoomed = None
        self._redraw()

    def step_cursor(self, direction: int) -> None:
        """Show the cursor, or move it by a column: -1 to the left, 1 to the right."""
        self._cursor_follows_mouse = False
        self._picture.window.step_cursor(direction, self._picture.layout.columns)
        self._redraw()

    def hide_cursor(self) -> None:
        self._picture.window.cursor = None
        self._redraw()

    def action_step_cursor(self, direction: int) -> None:
        self.step_cursor(direction)

    def action_pan(self, direction: int) -> None:
        self.pan(direction)

    def action_zoom_in(self) -> None:
        self.zoom_in()

    def action_zoom_out(self) -> None:
        self.zoom_out()

    def action_reset_zoom(self) -> None:
        self.reset_zoom()

    def action_hide_cursor(self) -> None:
        self.hide_cursor()

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Escape is the screen's while there is no cursor to hide."""
        if action == "hide_cursor":
            return self.cursor is not None
        return super().check_action(action, parameters)

    def on_mouse_move(self, event: events.MouseMove) -> None:
        at = self._x_under(event)
        if at is not None:
            self._cursor_follows_mouse = True
            before = self.cursor
            self._picture.window.point_cursor(at)
            if self.cursor != before:
                self._redraw()

    def on_leave(self, event: events.Leave) -> None:
        if event.node is self and self._cursor_follows_mouse:
            self._cursor_follows_mouse = False
            self.hide_cursor()

    def on_mouse_scroll_up(self, event: events.MouseScrollUp) -> None:
        self._zoom_by_wheel(event, ZOOM**0.5)

    def on_mouse_scroll_down(self, event: events.MouseScrollDown) -> None:
        self._zoom_by_wheel(event, ZOOM**-0.5)

    def _zoom_by_wheel(self, event: events.MouseEvent, factor: float) -> None:
        event.stop()
        self._zoom(factor, self._x_under(event))

    def _x_under(self, event: events.MouseEvent) -> float | None:
        offset = event.get_content_offset(self)
        return None if offset is None else self._picture.x_at(offset.x)

    def refresh(
        self,
        *regions: Region,
        repaint: bool = True,
        layout: bool = False,
        recompose: bool = False,
    ) -> Chart:
        """Have the chart drawn again."""
        self._strips = None
        super().refresh(*regions, repaint=repaint, layout=layout, recompose=recompose)
        return self

    def notify_style_update(self) -> None:
        """Draw in the new colours when the theme or the focus changes."""
        self._strips = None
        super().notify_style_update()

    def _redraw(self) -> None:
        """Draw, and have those lines painted that look different from before."""
        if self._strips is None or self._strips_size != self.size:
            self.refresh()
            return
        before = self._strips
        self._strips = after = self._draw(self._strips_size)
        changed = [y for y, strip in enumerate(after) if strip is not before[y]]
        if changed:
            super().refresh(*(Region(0, y, self._strips_size.width, 1) for y in changed))

    def render_line(self, y: int) -> Strip:
        """One row of the chart; all of them are drawn when the first is asked for."""
        if self._strips is None or self._strips_size != self.size:
            self._drawn.clear()
            self._styles.clear()
            self._strips_size = self.size
            self._strips = self._draw(self.size)
        return self._strips[y] if y < len(self._strips) else Strip.blank(self.size.width)

    def _draw(self, size: Size) -> list[Strip]:
        """The lines of the chart; a line that looks as it did is the strip that it was."""
        picture = self._picture
        picture.title, picture.log_y, picture.percent = self.title, self.log_y, self.percent
        canvas = picture.draw(max(1, size.width), max(1, size.height))
        if not self._styles:
            self._styles = [self.get_visual_style(f"chart--{ink}").rich_style for ink in INKS]
        keys = canvas.keys()
        drawn = {key: self._drawn[key] for key in keys if key in self._drawn}
        new = [row for row, key in enumerate(keys) if key not in drawn]
        for row, line in zip(new, canvas.lines(new), strict=True):
            segments = [Segment(text, self._styles[ink]) for text, ink in line]
            drawn[keys[row]] = Strip(segments, canvas.width)
        self._drawn = drawn
        return [drawn[key] for key in keys]
