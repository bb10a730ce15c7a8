"""The list of rows with a cursor."""

from __future__ import annotations

from dataclasses import replace

import pytest
from rich.color import Color
from textual.app import App, ComposeResult

from mamltui.tui.app import MamltuiApp
from mamltui.tui.session.options import Options
from mamltui.tui.shared.row_list import Column, Row, RowList, in_order
from mamltui.tui.themes import THEMES
from tests.tui.conftest import settled

LEAST_CONTRAST = 4.5
"""WCAG 2.1 asks for it between text and its background."""


def contrast(one: Color, other: Color) -> float:
    """The ratio of the two relative luminances, from 1 to 21."""
    darker, lighter = sorted(map(luminance, (one, other)))
    return (lighter + 0.05) / (darker + 0.05)


def luminance(color: Color) -> float:
    shares = (part / 255 for part in color.get_truecolor())
    linear = [
        part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in shares
    ]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


class Shown(App[None]):
    def compose(self) -> ComposeResult:
        yield RowList("Runs", (), id="runs")


@pytest.mark.parametrize("has_focus", [True, False])
@pytest.mark.parametrize("theme", [theme.name for theme in THEMES])
async def test_the_row_under_the_cursor_can_be_read(theme: str, has_focus: bool) -> None:
    app = Shown()
    for each in THEMES:
        app.register_theme(each)
    app.theme = theme
    async with app.run_test(size=(60, 6)):
        rows = app.query_one(RowList)
        rows.show([Row("a", "one"), Row("b", "two", note="broken")], title="Runs", empty="")
        app.screen.set_focus(rows if has_focus else None)
        await settled(app)
        for segment in rows.render_line(1):
            style = segment.style
            if segment.text.strip().isalpha() and style and style.color and style.bgcolor:
                assert contrast(style.color, style.bgcolor) >= LEAST_CONTRAST


def test_home_and_evaluate_have_the_same_list() -> None:
    from mamltui.tui.evaluate.run_choice import RunChoice

    assert issubclass(RunChoice, RowList)
    assert MamltuiApp(Options()).session.marked == []


def test_rows_are_sorted_by_any_column_the_unknown_last() -> None:
    rows = [
        Row("a", "beta", (("98.20 %", "plain"), ("test", "muted"), ("3 d", "muted")), order=()),
        Row("b", "Alpha", (("1,000", "plain"), ("", "muted"), ("2 h", "muted"))),
        Row("c", "gamma", (("", "plain"), ("best", "muted"), ("1 w", "muted"))),
    ]

    def keys(column: int, descending: bool = False) -> str:
        return "".join(row.key for row in in_order(rows, column, descending))

    assert (keys(0), keys(0, True)) == ("bac", "cab")
    assert (keys(1), keys(1, True)) == ("abc", "bac")
    assert (keys(2), keys(2, True)) == ("cab", "acb")
    days = {"a": 3.0, "b": 0.1, "c": 7.0}
    rows = [replace(row, order=(row.name, None, None, days[row.key])) for row in rows]
    assert (keys(3), keys(3, True)) == ("bac", "cab")


class Sorted(App[None]):
    def compose(self) -> ComposeResult:
        columns = (Column("result", 7, 1, right=True), Column("of", 6, 2))
        yield RowList("Runs", columns, id="runs")


async def test_a_list_is_sorted_by_keys_and_by_clicks_and_the_cursor_stays_on_its_item() -> None:
    app = Sorted()
    async with app.run_test(size=(60, 6)) as pilot:
        rows = app.query_one(RowList)
        given = [
            Row(name, name, ((result, "plain"), ("test", "muted")))
            for name, result in (("one", "90.0 %"), ("two", "95.0 %"), ("three", ""))
        ]
        rows.show(given, title="Runs", empty="")

        def shown() -> list[str]:
            return [rows.render_line(y).text[3:9].strip() for y in (1, 2, 3)]

        rows.focus()
        await pilot.press("S")
        assert shown() == ["one", "three", "two"] and "▴Runs" in rows.render_line(0).text
        await pilot.press("S")
        assert shown() == ["two", "one", "three"] and "▾ result" in rows.render_line(0).text
        assert rows.row is not None and rows.row.key == "one"
        await pilot.press("O")
        assert shown() == ["one", "two", "three"]
        await pilot.click(RowList, offset=(58, 0))
        assert "▴of" in rows.render_line(0).text
        await pilot.press("S")
        assert shown() == ["one", "two", "three"] and "▴" not in rows.render_line(0).text


async def test_a_column_that_would_squeeze_the_names_waits_for_room() -> None:
    columns = [Column("state", 8, 1), Column("curve", 10, 2, least_name=26)]

    class Narrow(App[None]):
        def compose(self) -> ComposeResult:
            yield RowList("Runs", columns, id="rows")

    app = Narrow()
    async with app.run_test(size=(50, 6)) as pilot:
        await pilot.pause()
        rows = app.query_one(RowList)
        assert rows._shown_columns(50) == [0]
        assert rows._shown_columns(51) == [0, 1]
        assert rows._shown_columns(17) == []


async def test_an_optional_column_is_as_narrow_as_what_is_in_it_and_leaves_names_the_room() -> None:
    columns = [Column("differs in", 20, 1, optional=True)]

    class Narrow(App[None]):
        def compose(self) -> ComposeResult:
            yield RowList("Runs", columns, id="rows")

    name = "train-steps-20way5shot-steps5"
    async with (app := Narrow()).run_test(size=(46, 6)) as pilot:
        rows = app.query_one(RowList)
        for differs, is_whole in (("seed 4", True), ("alpha 0.4, steps 3, seed 4", False)):
            rows.show([Row("a", name, ((differs, "plain"),))], title="Runs", empty="")
            await pilot.pause()
            title, line = rows.render_line(0).text, rows.render_line(1).text
            assert (name in line) == is_whole
            assert title.index("differs in") == line.index(differs[:6])
