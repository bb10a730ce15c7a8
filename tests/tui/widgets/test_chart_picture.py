"""The drawn chart, character by character."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pytest

from mamltui.curves import Series
from mamltui.tui.shared.chart.canvas import CURVE, FAINT, REFERENCE, Canvas
from mamltui.tui.shared.chart.content import CURVE_STYLES, Curve, Reference
from mamltui.tui.shared.chart.picture import Picture
from mamltui.tui.shared.chart.trace import trace
from mamltui.tui.shared.fitting import shortened_name

HILL = Series(range(11), [0, 2, 4, 6, 8, 10, 8, 6, 4, 2, 0])


def picture(
    *curves: Curve,
    references: Sequence[Reference] = (),
    title: str = "loss",
    percent: bool = False,
    log_y: bool = False,
) -> Picture:
    made = Picture()
    made.window.curves, made.references = curves, references
    made.title, made.percent, made.log_y = title, percent, log_y
    return made


def inks(canvas: Canvas, row: int) -> list[int]:
    """The ink of every cell of a row."""
    return [ink for text, ink in canvas.lines([row])[0] for _ in text]


def golden(text: str) -> str:
    return text.strip("\n")


def test_a_small_curve_is_drawn_dot_by_dot() -> None:
    expected = """
loss  ⠒⠒⠒⠒ a
10 ┤           ⢀⠔⠑⢄
 8 ┤         ⢠⠊⠁   ⠑⡄
 6 ┤       ⢀⠔⠁      ⠈⠢⡀
   │     ⢀⠔⠁          ⠈⠢⡀
 4 ┤   ⢀⠔⠁              ⠈⠢⡀
 2 ┤  ⡠⠊                  ⠑⢄
 0 ┤⡠⠊                      ⠑⢄
   └┬────────────┬───────────┬
    0            5          10
"""
    assert picture(Curve("a", HILL)).draw(30, 10).text() == golden(expected)


def test_a_log_axis_draws_an_exponential_as_a_straight_line_through_its_decades() -> None:
    x = np.arange(1, 3001)
    expected = """
loss  ⠒⠒⠒⠒ training
    1 ┤⠙⠒⠦⠤⣄⣀
      │     ⠈⠉⠓⠲⠤⣄⣀⡀
  0.1 ┤            ⠉⠙⠒⠦⢤⣀⣀
      │                  ⠈⠉⠓⠲⠤⣄⣀
      │                        ⠈⠉⠙⠒⠦⢤⣀⡀
 0.01 ┤                               ⠉⠉⠓⠲⠤⣄⣀
      │                                     ⠈⠉⠓⠒⠦⢤⣀⡀
      │                                            ⠉⠙⠒⠲⠤⣄⣀
0.001 ┤                                                  ⠈⠉⠓
      └┬────────────────┬─────────────────┬────────────────┬
       0              1,000             2,000          3,000
"""
    curve = Curve("training", Series(x, np.exp(-x / 420)))
    assert picture(curve, log_y=True).draw(60, 12).text() == golden(expected)


def test_points_are_marked_and_dashes_tell_curves_apart_without_colour() -> None:
    texts = set()
    for style in CURVE_STYLES:
        drawn = picture(Curve("a", HILL, style, marks=True)).draw(40, 10).text()
        texts.add(drawn)
        assert sum(drawn.count(mark) for mark in "●◆▲■▼○") == 1 + len(HILL)
    assert len(texts) == len(CURVE_STYLES)


def test_marks_of_many_points_leave_room_and_stay_when_points_come() -> None:
    series = Series(range(900), np.linspace(0, 1, 900))
    shown = picture(Curve("a", series, marks=True), title="")
    before = shown.draw(60, 12).text().split("\n")[1:]
    assert 5 <= sum(line.count("●") for line in before) <= 10
    series.extend(range(900, 950), np.linspace(0.9, 1, 50))
    after = shown.draw(60, 12).text().split("\n")[1:]
    kept = [(r, c) for r, line in enumerate(before) for c, char in enumerate(line) if char == "●"]
    assert all(after[row][column] == "●" for row, column in kept)


@pytest.mark.parametrize("value", [2.0, 5.0, 9.0])
def test_a_reference_lies_on_its_row_with_its_label_at_the_right(value: float) -> None:
    shown = picture(Curve("a", HILL), references=[Reference("paper", value)])
    canvas = shown.draw(50, 20)
    rows = canvas.height - 3
    row = 1 + int((rows * 4 - 1) * (1 - value / 10) + 0.5) // 4
    assert inks(canvas, row).count(REFERENCE) > 15
    lines = canvas.text().split("\n")
    assert next(r for r, line in enumerate(lines) if line.endswith("paper")) in (row - 1, row + 1)


def test_a_reference_beyond_the_data_widens_the_axis_to_show_it() -> None:
    shown = picture(Curve("a", HILL), references=[Reference("paper", 30.0)])
    assert any(REFERENCE in inks(shown.draw(50, 20), row) for row in range(1, 5))


def test_the_interval_of_a_reference_is_drawn_where_it_can_be_told_from_the_value() -> None:
    def reference_rows(low: float, high: float) -> int:
        reference = Reference("", 5.0, low, high)
        canvas = picture(Curve("a", HILL), references=[reference]).draw(50, 20)
        return sum(REFERENCE in inks(canvas, row) for row in range(1, 18))

    assert reference_rows(4.95, 5.05) == 1
    assert reference_rows(3.0, 7.0) == 3


def test_faint_values_give_way_to_their_average_and_curves_share_cells() -> None:
    noise = Series(range(4000), np.random.default_rng(0).normal(0, 1, 4000))
    canvas = picture(Curve("a", noise, smooth=0.95)).draw(60, 12)
    found = {ink for row in range(1, 10) for ink in inks(canvas, row)}
    assert {CURVE, FAINT} <= found
    crossing = Series([0, 10], [0.0, 10.0]), Series([0, 10], [10.0, 0.0])
    both = picture(Curve("a", crossing[0]), Curve("b", crossing[1], "fourth")).draw(30, 10)
    one = picture(Curve("a", crossing[0])).draw(30, 10)
    other = picture(Curve("b", crossing[1], "fourth")).draw(30, 10)
    shared = 0
    rows = zip(*(c.text().split("\n")[1:8] for c in (both, one, other)), strict=True)
    for merged, first, second in rows:
        for column, (a, b) in enumerate(zip(first[4:], second[4:], strict=False), 4):
            if min(a, b) > "⠀":
                shared += 1
                assert ord(merged[column]) == ord(a) | ord(b)
    assert shared


def test_a_spike_of_one_point_among_a_million_is_seen() -> None:
    y = np.zeros(1_000_000)
    y[654_321] = 1.0
    canvas = picture(Curve("a", Series(np.arange(len(y)), y))).draw(80, 20)
    axis, plot = canvas.text().split("\n")[1].split("┤")
    columns = 80 - len(axis) - 1
    assert plot.strip() != ""
    assert plot.index(plot.strip()) == int(0.654_321 * columns)


def test_a_line_between_points_outside_a_zoomed_window_crosses_it() -> None:
    shown = picture(Curve("a", Series([0, 1000], [0.0, 10.0])))
    shown.window.zoomed = (400, 600)
    lines = shown.draw(40, 10).text().split("\n")
    assert all(any(char > "⠀" and char < "⣿" for char in line) for line in lines[2:7])


def test_nothing_to_show_is_said_in_one_line() -> None:
    def words(shown: Picture) -> list[str]:
        return [line.strip() for line in shown.draw(40, 9).text().split("\n")[1:] if line.strip()]

    assert words(picture()) == words(picture(Curve("a", Series()))) == ["no data yet"]
    assert words(picture(Curve("a", Series([1, 2], [-1, 0])), log_y=True)) == [
        "no value above zero"
    ]


@pytest.mark.parametrize("count", [1, 5])
def test_equal_values_and_a_single_point_are_visible(count: int) -> None:
    drawn = picture(Curve("a", Series(range(count), [0.5] * count))).draw(40, 10).text()
    assert any(("●" if count == 1 else "⠤") in line for line in drawn.split("\n")[1:])


def test_values_that_are_not_finite_leave_the_rest_as_it_is() -> None:
    with_holes = Series(range(11), [0, 2, math.nan, 6, 8, 10, math.inf, 6, 4, 2, 0])
    x = [0, 1, 3, 4, 5, 7, 8, 9, 10]
    without = Series(x, [float(HILL.y[i]) for i in x])
    drawn = [picture(Curve("a", series)).draw(40, 12).text() for series in (with_holes, without)]
    assert drawn[0] == drawn[1]


def test_the_axis_rests_until_data_leave_it() -> None:
    series = Series([0, 10, 20], [0.21, 0.5, 0.68])
    shown = picture(Curve("a", series), percent=True)
    labels = [line[:4] for line in shown.draw(60, 12).text().split("\n")]
    series.append(30, 0.69)
    assert [line[:4] for line in shown.draw(60, 12).text().split("\n")] == labels
    series.append(40, 0.95)
    assert [line[:4] for line in shown.draw(60, 12).text().split("\n")] != labels


def test_extreme_values_are_drawn_without_a_fault() -> None:
    with np.errstate(all="raise", under="ignore"):
        for y in ([-1e308, 1e308], [0, 5e-324], [1e-320, 1e300], [1e-9, 1e9, 1e-9]):
            for log_y in (False, True):
                curve = Curve("a", Series(range(len(y)), y))
                assert picture(curve, log_y=log_y).draw(60, 12).text()


def test_names_are_shown_literally_and_wide_characters_keep_the_columns() -> None:
    shown = picture(
        Curve("[red]x[/]\x1b[31m", HILL),
        Curve("曲線", HILL, "second"),
        references=[Reference("論文 [b]", 5.0)],
    )
    canvas = shown.draw(60, 10)
    assert "[red]x[/]\\x1b[31m" in canvas.text() and "曲線" in canvas.text()
    assert "論文 [b]" in canvas.text() and "\x1b" not in canvas.text()


@pytest.mark.parametrize("width", range(9))
def test_a_long_name_keeps_both_ends_in_any_width(width: int) -> None:
    short = shortened_name("5way5shot-3f9a", width)
    assert len(short) == width
    if width >= 3:
        assert short[0] == "5" and short[-1] == "a" and "…" in short


def test_a_steep_curve_is_connected_and_a_flat_one_is_thin() -> None:
    rows = np.array([0.0, 39.0, 39.0, 39.0])
    bits = trace(np.arange(4.0), rows, rows, 4, 40)
    assert bits.sum(axis=0).tolist() == [20, 20, 1, 1]
    assert bits[:20, 0].all() and bits[20:, 1].all()


def test_every_size_can_be_drawn() -> None:
    values = Series(range(300), np.linspace(0.01, 2, 300))
    shown = picture(
        Curve("training", values, smooth=0.9),
        Curve("validation", Series([0, 100], [0.2, 0.4]), "second", marks=True),
        references=[Reference("published", 0.9, 0.5, 1.2)],
        percent=True,
    )
    for cursor in (None, 150.0):
        for log_y in (False, True):
            shown.window.cursor, shown.log_y = cursor, log_y
            for width in range(1, 31):
                for height in range(1, 9):
                    canvas = shown.draw(width, height)
                    lines = canvas.lines(range(height))
                    assert [sum(len(text) for text, _ in line) for line in lines] == [
                        width
                    ] * height


def test_marks_of_several_curves_stand_beside_each_other_where_they_would_hide() -> None:
    points = Series([0, 5, 10], [1, 2, 3])
    curves = [
        Curve(name, points, style, marks=True)
        for name, style in zip("abc", CURVE_STYLES, strict=False)
    ]
    text = picture(*curves).draw(40, 12).text()
    plot = "\n".join(line[4:] for line in text.splitlines()[1:])
    assert [plot.count(mark) for mark in "●◆▲"] == [3, 3, 3]


def test_the_ends_of_the_lines_are_named_each_beside_its_own() -> None:
    short = Series([0, 5], [9, 9])
    curves = [Curve("up", HILL, end="A"), Curve("same", HILL, "second", end="B")]
    lines = (
        picture(*curves, Curve("short", short, "third", end="C")).draw(40, 12).text().splitlines()
    )
    ends = {end: next(y for y, line in enumerate(lines) if end in line) for end in "ABC"}
    assert lines[ends["A"]].index("A") == lines[ends["B"]].index("B") == 39
    assert abs(ends["A"] - ends["B"]) == 1 and ends["A"] > 7
    assert lines[ends["C"]].index("C") < 30 and ends["C"] < 4


def test_a_band_reaches_from_the_lowest_to_the_highest_around_its_curve() -> None:
    x = range(11)
    band = Series(x, [4] * 11), Series(x, [8] * 11)
    canvas = picture(Curve("mean", Series(x, [6] * 11), band=band)).draw(30, 10)
    filled = [y for y in range(1, 8) if FAINT in inks(canvas, y)]
    middle = [y for y in range(1, 8) if CURVE in inks(canvas, y)]
    assert filled and min(filled) < min(middle) <= max(middle) < max(filled)


def test_of_more_curves_than_looks_the_legend_is_left_to_the_ends() -> None:
    curves = [Curve(f"run {k}", Series([0, 1], [k, k]), end=chr(65 + k)) for k in range(8)]
    text = picture(*curves).draw(40, 20).text()
    assert "run 0" not in text and all(chr(65 + k) in text for k in range(8))
