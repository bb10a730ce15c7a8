"""The table with a column for each run that is compared."""

from __future__ import annotations

import pytest
from textual.app import App, ComposeResult

from mamltui.tui.compare.column_table import Cell, ColumnTable, Head, TableRow, turned
from tests.tui.conftest import settled

DESCRIPTION = "a description that goes on and on, as descriptions do when nobody stops them"
ROWS = [
    TableRow("iterations", [Cell("60,000"), Cell("60,800")]),
    TableRow("test %", [Cell("98.21 ± 0.31"), Cell("94.96 ± 0.44")]),
    TableRow("description", [Cell(DESCRIPTION), Cell("short")]),
    *(TableRow(f"key {number}", [Cell("1"), Cell("4.96")]) for number in range(30)),
]
HEADS = [Head(f"{letter} ●", "accent", "", f"run-{letter}") for letter in "AB"]


class Shown(App[None]):
    def compose(self) -> ComposeResult:
        yield ColumnTable(id="table")


@pytest.mark.parametrize("size", [(80, 24), (69, 30), (50, 10)])
async def test_both_columns_and_their_last_digits_are_seen_beside_the_scrollbar(
    size: tuple[int, int],
) -> None:
    app = Shown()
    async with app.run_test(size=size):
        table = app.query_one(ColumnTable)
        table.show(HEADS, ROWS)
        await settled(app)
        assert table.show_vertical_scrollbar
        lines = [table.render_line(y).text for y in range(table.size.height)]
        assert all(len(line) <= table.scrollable_content_region.width for line in lines)
        assert lines[0].split() == ["A", "●", "B", "●"]
        assert lines[2].split()[-2:] == ["60,000", "60,800"]
        assert lines[3].split()[-3:] == ["94.96", "±", "0.44"]
        assert "…" in lines[4] and lines[4].split()[-1] == "short"
        assert lines[5].split()[-1] == "4.96"


def test_runs_become_rows_with_a_column_for_each_of_what_is_told() -> None:
    heads, rows = turned(HEADS, ROWS[:2])
    assert [head.name for head in heads] == ["iterations", "test %"]
    assert [row.label for row in rows] == ["A ● run-A", "B ● run-B"]
    assert [cell.text for cell in rows[1].cells] == ["60,800", "94.96 ± 0.44"]
