"""The chart in a running app: keys, mouse, colours, and painting no more than what changed."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any, ClassVar

import pytest
from textual import events
from textual.app import App, ComposeResult
from textual.containers import Vertical
from textual.pilot import Pilot
from textual.screen import Screen

from mamltui.curves import Series
from mamltui.tui.shared.chart.canvas import INKS
from mamltui.tui.shared.chart.chart import Chart, Curve, Reference

SECONDS = 10.0


class EscapableScreen(Screen[None]):
    """A screen that has its own use for escape."""

    BINDINGS: ClassVar = [("escape", "app.note_escape", "Back")]


class ChartApp(App[None]):
    """One chart of a curve y = x / 100 and of a validation point every 100 iterations."""

    CSS = "Vertical { padding: 1 2; border: solid $accent; } .bordered { border: round $panel; }"

    def __init__(self) -> None:
        super().__init__()
        self.training = Series(range(1001), [step / 1000 for step in range(1001)])
        self.validation = Series(range(0, 1001, 100), [0.5] * 11)
        self.chart = Chart(title="query accuracy %", percent=True, classes="bordered")
        self.escaped = 0

    def compose(self) -> ComposeResult:
        with Vertical():
            yield self.chart

    def on_mount(self) -> None:
        self.show()
        self.chart.focus()

    def action_note_escape(self) -> None:
        self.escaped += 1

    def show(self) -> None:
        self.chart.show(
            [
                Curve("training", self.training),
                Curve("validation", self.validation, "second", marks=True),
            ],
            references=[Reference("published 98.7", 0.987)],
        )

    def get_default_screen(self) -> Screen[None]:
        return EscapableScreen()


def screen(app: App[Any]) -> str:
    strips = app.screen._compositor.render_strips(app.size)
    return "\n".join("".join(segment.text for segment in strip) for strip in strips)


async def until(pilot: Pilot[Any], condition: Callable[[], object]) -> None:
    limit = time.monotonic() + SECONDS
    while not condition():
        assert time.monotonic() < limit, f"timed out at:\n{screen(pilot.app)}"
        await pilot.pause()
        await asyncio.sleep(0.01)


async def test_the_keys_move_a_cursor_that_reads_out_the_nearest_point() -> None:
    app = ChartApp()
    async with app.run_test(size=(90, 20)) as pilot:
        await until(pilot, lambda: "published 98.7" in screen(app))
        assert "100.00" not in screen(app)
        await pilot.press("left")
        await until(pilot, lambda: "training   100.00" in screen(app))
        assert "validation    50.00" in screen(app)
        await pilot.press("left")
        await until(pilot, lambda: app.chart.cursor != 1000)
        step = app.chart.cursor
        assert step is not None and 980 <= step < 1000
        await until(pilot, lambda: f"training{step / 10:9.2f}" in screen(app))
        assert f" {step:.0f}" in screen(app).split("└")[1]
        await pilot.press("right")
        await until(pilot, lambda: app.chart.cursor == 1000)


async def test_escape_hides_the_cursor_and_is_the_screens_without_one() -> None:
    app = ChartApp()
    async with app.run_test(size=(90, 20)) as pilot:
        await pilot.press("left")
        await until(pilot, lambda: "100.00" in screen(app))
        await pilot.press("escape")
        await until(pilot, lambda: app.chart.cursor is None and "100.00" not in screen(app))
        assert app.escaped == 0
        await pilot.press("escape")
        await until(pilot, lambda: app.escaped == 1)


async def test_the_mouse_reads_out_what_it_points_at_and_hides_it_when_it_leaves() -> None:
    app = ChartApp()
    async with app.run_test(size=(90, 20)) as pilot:
        await until(pilot, lambda: "published" in screen(app))
        middle = app.chart.region.width // 2
        await pilot.hover(app.chart, offset=(middle, 6))
        await until(pilot, lambda: app.chart.cursor is not None)
        found = app.chart.cursor
        assert found is not None and 400 < found < 600
        await until(pilot, lambda: f"{found / 10:.2f}" in screen(app) and "│" in screen(app))
        await pilot.hover(offset=(0, 0))
        await until(pilot, lambda: app.chart.cursor is None)


async def test_keys_and_wheel_zoom_and_pan() -> None:
    app = ChartApp()
    async with app.run_test(size=(90, 20)) as pilot:
        await until(pilot, lambda: "published" in screen(app))
        await pilot.press("plus")
        await until(pilot, lambda: app.chart.zoomed == (250, 750))
        await until(pilot, lambda: "300" in screen(app))
        await pilot.press("shift+right")
        await until(pilot, lambda: app.chart.zoomed == (375, 875))
        await pilot.press("minus")
        await until(pilot, lambda: app.chart.zoomed is None)
        await pilot.press("plus", "0")
        await until(pilot, lambda: app.chart.zoomed is None)
        await pilot._post_mouse_events(
            [events.MouseScrollUp], widget=app.chart, offset=(80, 5), button=0
        )
        await until(pilot, lambda: app.chart.zoomed is not None)
        low, high = app.chart.zoomed or (0, 0)
        assert 600 < high - low < 800 and low > 1000 - high
        await pilot._post_mouse_events(
            [events.MouseScrollDown], widget=app.chart, offset=(80, 5), button=0
        )
        await until(pilot, lambda: app.chart.zoomed is None)


async def test_new_points_are_drawn_and_only_changed_lines_are_painted_again() -> None:
    app = ChartApp()
    async with app.run_test(size=(90, 24)) as pilot:
        await until(pilot, lambda: "published" in screen(app))
        painted: list[int] = []
        drawn = app.chart.render_line
        app.chart.render_line = lambda y: painted.append(y) or drawn(y)  # type: ignore[method-assign]
        app.show()
        await pilot.pause()
        assert painted == []
        app.training.append(1100, 0.9)
        app.show()
        await until(pilot, lambda: "1,200" in screen(app))
        assert len(set(painted)) > 10
        painted.clear()
        app.training.append(1101, 0.9)
        app.training.append(1150, 0.9)
        app.show()
        await until(pilot, lambda: painted)
        assert len(set(painted)) < app.chart.size.height / 2
        fresh = screen(app)
        app.chart.refresh()
        await pilot.pause()
        assert screen(app) == fresh


async def test_switching_to_a_log_axis_and_a_title_redraws() -> None:
    app = ChartApp()
    async with app.run_test(size=(90, 24)) as pilot:
        await until(pilot, lambda: "published" in screen(app))
        app.chart.log_y = True
        app.chart.title = "log [b]accuracy[/b]"
        await until(pilot, lambda: " 0.1 ┤" in screen(app) or "  1 ┤" in screen(app))
        assert "log [b]accuracy[/b]" in screen(app)


@pytest.mark.parametrize("theme", ["textual-dark", "textual-light", "ansi-dark"])
async def test_colours_follow_the_theme(theme: str) -> None:
    app = ChartApp()
    async with app.run_test(size=(90, 20)) as pilot:
        await until(pilot, lambda: "published" in screen(app))
        app.theme = theme
        accent = app.chart.get_visual_style("chart--curve-1").rich_style

        def training_is_drawn_in_the_accent() -> bool:
            styles = [
                s.style for y in range(15) for s in app.chart.render_line(y) if s.text.strip()
            ]
            return accent.color in [style.color for style in styles if style]

        await pilot.pause()
        accent = app.chart.get_visual_style("chart--curve-1").rich_style
        await until(pilot, training_is_drawn_in_the_accent)
        colours = {
            name: app.chart.get_visual_style(f"chart--{name}").rich_style.color for name in INKS
        }
        if theme != "ansi-dark":
            assert len({colours[f"curve-{number}"] for number in range(1, 6)}) >= 4
            assert colours["faint-1"] != colours["curve-1"]


@pytest.mark.parametrize("size", [(1, 1), (20, 5), (80, 24), (160, 45)])
async def test_the_chart_lives_at_any_terminal_size(size: tuple[int, int]) -> None:
    app = ChartApp()
    async with app.run_test(size=size) as pilot:
        await pilot.press("left", "plus", "minus", "0", "shift+left")
        await pilot.resize_terminal(81, 25)
        await until(pilot, lambda: "published" in screen(app))
        await pilot.resize_terminal(*size)
        await pilot.pause()
        assert app.is_running


async def test_without_colour_the_average_and_the_curves_can_be_told_apart(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    app = ChartApp()
    async with app.run_test(size=(90, 20)) as pilot:
        await until(pilot, lambda: "published" in screen(app))
        shown = screen(app)
        assert "⠒⠒⠒⠒ training" in shown and "⠒⠒◆  validation" in shown
        assert shown.count("◆") > 3
