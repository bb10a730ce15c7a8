"""The list of rows with a cursor."""

from __future__ import annotations

import pytest
from rich.color import Color
from textual.app import App, ComposeResult

from mamltui.tui.app import MamltuiApp
from mamltui.tui.session.options import Options
from mamltui.tui.shared.row_list import Row, RowList
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
