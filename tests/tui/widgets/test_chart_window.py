"""Zooming, panning and reading out."""

from __future__ import annotations

import pytest

from mamltui.curves import Series
from mamltui.tui.shared.chart.content import Curve
from mamltui.tui.shared.chart.window import LEAST_SPAN, Window


@pytest.fixture
def window() -> Window:
    made = Window()
    made.curves = (Curve("a", Series(range(0, 1001, 10), range(101))),)
    return made


def test_zooming_in_keeps_the_place_pointed_at_and_ends_at_the_least_span(window: Window) -> None:
    window.zoom(0.5, at=250)
    assert window.zoomed == (125, 625)
    for _ in range(20):
        window.zoom(0.5, at=250)
    low, high = window.limits
    assert high - low == pytest.approx(LEAST_SPAN) and low < 250 < high


def test_zooming_without_a_place_keeps_the_cursor_else_the_middle(window: Window) -> None:
    window.zoom(0.5)
    assert window.zoomed == (250, 750)
    window.zoomed, window.cursor = None, 100.0
    window.zoom(0.5)
    assert window.zoomed == (50, 550)


def test_zooming_out_ends_at_everything(window: Window) -> None:
    window.zoom(0.25, at=0)
    assert window.zoomed == (0, 250)
    window.zoom(2)
    assert window.zoomed == (0, 500)
    window.zoom(2)
    assert window.zoomed is None


def test_panning_moves_by_a_quarter_and_stops_at_the_ends(window: Window) -> None:
    window.pan(1)
    assert window.zoomed is None
    window.zoomed = (400, 600)
    window.pan(1)
    assert window.zoomed == (450, 650)
    for _ in range(20):
        window.pan(1)
    assert window.zoomed == (800, 1000)
    for _ in range(20):
        window.pan(-1)
    assert window.zoomed == (0, 200)


def test_everything_follows_new_points_and_a_zoomed_window_stays(window: Window) -> None:
    assert window.limits == (0, 1000)
    series = window.curves[0].series
    series.append(5000, 1.0)
    assert window.limits == (0, 5000)
    window.zoomed = (100, 200)
    series.append(9000, 1.0)
    assert window.limits == (100, 200)


def test_the_cursor_first_appears_at_the_last_point_then_moves_by_columns(window: Window) -> None:
    window.step_cursor(-1, 20)
    assert window.cursor == 1000
    window.step_cursor(-1, 20)
    assert window.cursor == 950
    window.step_cursor(1, 20)
    window.step_cursor(1, 20)
    assert window.cursor == 1000


def test_the_cursor_moves_to_the_next_point_where_points_are_far_apart(window: Window) -> None:
    window.cursor = 500.0
    window.step_cursor(1, 1000)
    assert window.cursor == 510
    window.step_cursor(-1, 1000)
    window.step_cursor(-1, 1000)
    assert window.cursor == 490


def test_the_cursor_stays_in_a_zoomed_window(window: Window) -> None:
    window.zoomed = (200, 300)
    window.step_cursor(1, 10)
    assert window.cursor == 300
    for _ in range(50):
        window.step_cursor(-1, 10)
    assert window.cursor == 200


def test_the_cursor_goes_to_the_nearest_point(window: Window) -> None:
    for x, nearest in ((-5, 0), (4, 0), (6, 10), (994, 990), (2000, 1000)):
        window.point_cursor(x)
        assert window.cursor == nearest


def test_without_points_there_is_nothing_to_read_or_zoom() -> None:
    empty = Window()
    empty.step_cursor(1, 10)
    empty.point_cursor(3.0)
    empty.zoom(0.5)
    assert empty.cursor is None and empty.zoomed is None and empty.limits == (0, 1)
