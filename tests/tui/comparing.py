"""The way to the Compare screen, and what it shows."""

from __future__ import annotations

from collections.abc import Callable

from textual.pilot import Pilot

from mamltui.runs import RunFolder
from mamltui.tui.app import MamltuiApp
from mamltui.tui.compare.column_table import ColumnTable
from mamltui.tui.compare.screen import CompareScreen
from mamltui.tui.shared.chart.chart import Chart
from tests.tui.conftest import final_text, until

MakeApp = Callable[..., MamltuiApp]
MakeRun = Callable[..., RunFolder]


def screen_of(app: MamltuiApp) -> CompareScreen:
    assert isinstance(app.screen, CompareScreen)
    return app.screen


async def open_compare(app: MamltuiApp, pilot: Pilot[None], *marked: RunFolder) -> None:
    """With these runs marked in Home; waits until all is read."""
    app.session.marked[:] = [run.name for run in marked]
    app.go("compare")
    await until(pilot, lambda: isinstance(app.screen, CompareScreen) and app.screen.is_mounted)
    await until(pilot, lambda: screen_of(app)._comparison.runs is not None)
    await settled(app, pilot, len(marked))


async def settled(app: MamltuiApp, pilot: Pilot[None], count: int) -> None:
    """Wait until so many runs are chosen and read."""

    def is_read() -> bool:
        chosen = screen_of(app)._comparison.chosen
        known = all(run.is_loaded and (run.profile or run.listed.profile_problem) for run in chosen)
        return len(chosen) == count and known and len(heads(app)) == count

    await until(pilot, is_read)
    await final_text(app)


def heads(app: MamltuiApp) -> list[str]:
    """The letters above the columns."""
    return [head.sign[0] for head in screen_of(app).query_one(ColumnTable)._heads]


def table(app: MamltuiApp) -> dict[str, list[str]]:
    """The cells of each row of the table, whether they are seen or not."""
    rows = screen_of(app).query_one(ColumnTable)._rows
    return {row.label: [cell.text for cell in row.cells] for row in rows}


def labels(app: MamltuiApp) -> list[str]:
    """The labels of the curves."""
    return [curve.label for curve in screen_of(app).query_one(Chart)._picture.window.curves]
