"""The grid of results: what its cells say, and how it moves."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import pytest
from textual.app import App, ComposeResult

from mamltui.results import Grid, GridRow, StepResult
from mamltui.tui.evaluate.cells import Section, Shown, best_column, best_row, cell_parts
from mamltui.tui.evaluate.grid import ResultGrid
from mamltui.tui.shared.fitting import fitted, fitted_name
from tests.tui.conftest import screen_text, until

NAN = math.nan


def cell(steps: int, accuracy: float, loss: float = 0.5, ci95: float = 0.01) -> StepResult:
    return StepResult(steps, accuracy, ci95, loss, 0.1)


def row(label: str, accuracies: Sequence[float | None], **changes: Any) -> GridRow:
    """A row whose profile tests with 2 steps; loss falls as accuracy grows unless given."""
    cells = tuple(
        None if accuracy is None else cell(step, accuracy, 1 - accuracy)
        for step, accuracy in enumerate(accuracies)
    )
    return GridRow(label, 1, changes.pop("headline", 2), changes.pop("cells", cells))


def section(*rows: GridRow, task: str = "omniglot 5-way 1-shot", **more: Any) -> Section:
    steps = tuple(range(len(rows[0].cells)))
    return Section(Grid(task, "test", "transductive", steps, rows), f"{task}, test split", **more)


class Shows(App[None]):
    """Nothing but a grid; notes what it opens."""

    def __init__(self, *sections: Section, shown: Shown = "accuracy") -> None:
        super().__init__()
        self.sections, self.shown = sections, shown
        self.opened: list[tuple[str, int]] = []

    def compose(self) -> ComposeResult:
        yield ResultGrid(id="grid")

    def on_mount(self) -> None:
        self.grid.show(self.sections, self.shown)
        self.grid.focus()

    @property
    def grid(self) -> ResultGrid:
        return self.query_one(ResultGrid)

    @property
    def at(self) -> tuple[str, int]:
        selected = self.grid.selected
        assert selected is not None
        return selected[1].label, selected[2]

    def on_result_grid_opened(self, message: ResultGrid.Opened) -> None:
        self.opened.append((message.row.label, message.steps))


ONE = section(
    row("first", (0.2, 0.9, 0.95, 0.94)),
    row("second", (0.2, 0.97, 0.9, 0.8)),
    row("a study", (0.1, 0.5, None, 0.99), headline=None),
)


async def test_cells_show_accuracy_and_interval_with_the_best_and_the_headline_marked() -> None:
    app = Shows(ONE)
    async with app.run_test(size=(80, 8)):
        lines = screen_text(app).splitlines()
    assert lines[0].split()[0] == "run" and lines[0].split()[-4:] == ["0", "1", "2", "3"]
    assert lines[1] == "omniglot 5-way 1-shot, test split"
    assert "20.00±1.00  90.00±1.00 †95.00±1.00◇ 94.00±1.00" in lines[2]
    assert "20.00±1.00  97.00±1.00◆†90.00±1.00  80.00±1.00" in lines[3]
    # The published row competes with nobody, and what it lacks is left open.
    assert "99.00±1.00" in lines[4] and not set("◆◇†") & set(lines[4])


async def test_values_of_one_column_stand_below_each_other() -> None:
    grid = section(row("a", (0.05, 1.0, 0.5)), row("b", (0.5, 0.05, 1.0)))
    app = Shows(grid)
    async with app.run_test(size=(80, 6)):
        lines = screen_text(app).splitlines()
    dots = [[place for place, char in enumerate(line) if char == "."] for line in lines[2:4]]
    assert dots[0] == dots[1]


async def test_columns_scroll_while_the_labels_stay() -> None:
    app = Shows(section(row("name", [step / 20 for step in range(12)])))
    async with app.run_test(size=(50, 5)) as pilot:
        await pilot.press("home")
        await until(pilot, lambda: screen_text(app).splitlines()[0].endswith("›"))
        await pilot.press("end")
        await until(pilot, lambda: " 11" in screen_text(app).splitlines()[0])
        header, _, cells = screen_text(app).splitlines()[:3]
        assert "‹" in header and not header.endswith("›")
        assert cells.startswith("name") and "55.00±1.00◆" in cells and "45.00" not in cells


async def test_rows_scroll_and_the_header_says_where() -> None:
    app = Shows(section(*(row(f"run{place}", (0.1, 0.2, 0.3)) for place in range(30))))
    async with app.run_test(size=(80, 6)) as pilot:
        await pilot.press(*["down"] * 29)
        await until(pilot, lambda: "run29" in screen_text(app))
        assert screen_text(app).splitlines()[0].startswith("run 30 of 30")


@pytest.mark.parametrize("keys", [("left", "down"), ("h", "j")])
async def test_arrows_and_letters_move_from_the_first_headline(keys: tuple[str, str]) -> None:
    app = Shows(ONE)
    async with app.run_test(size=(80, 8)) as pilot:
        assert app.at == ("first", 2)
        await pilot.press(keys[0])
        assert app.at == ("first", 1)
        await pilot.press(keys[1], keys[1], keys[1])
        assert app.at == ("a study", 1)
        await pilot.press("right", "l", "up", "k")
        assert app.at == ("first", 3)


async def test_the_cursor_passes_titles_over() -> None:
    app = Shows(ONE, section(row("other", (0.2, 0.3, 0.4, 0.5)), task="omniglot 20-way 1-shot"))
    async with app.run_test(size=(80, 12)) as pilot:
        await pilot.press("down", "down", "down")
        assert app.at == ("other", 2)


async def test_the_cursor_stays_on_its_cell_when_rows_come_and_columns_grow() -> None:
    app = Shows(section(row("b", (0.1, 0.2, 0.3))))
    async with app.run_test(size=(80, 8)) as pilot:
        await pilot.press("left")
        app.grid.show([section(row("a", (0.1, 0.2, 0.3, 0.4)), row("b", (0.1,) * 4))], "accuracy")
        assert app.at == ("b", 1)
        app.grid.show([section(row("a", (0.1, 0.2, 0.3, 0.4)))], "accuracy")
        assert app.at == ("a", 1)
        app.grid.show([], "accuracy")
        assert app.grid.selected is None
        await pilot.press("down", "right", "enter")
        assert app.opened == []


async def test_enter_opens_the_cell_at_the_cursor() -> None:
    app = Shows(ONE)
    async with app.run_test(size=(80, 8)) as pilot:
        await pilot.press("down", "right", "enter")
        await until(pilot, lambda: app.opened)
    assert app.opened == [("second", 3)]


async def test_a_click_moves_and_a_second_one_opens() -> None:
    app = Shows(ONE)
    async with app.run_test(size=(80, 8)) as pilot:
        column = screen_text(app).splitlines()[3].index("97.00")
        await pilot.click(ResultGrid, offset=(column, 3))
        assert (app.at, app.opened) == (("second", 1), [])
        await pilot.click(ResultGrid, offset=(column, 3), times=2)
        await until(pilot, lambda: app.opened)
    assert app.opened == [("second", 1)]


async def test_what_is_not_measured_says_why_and_leaves_gaps() -> None:
    gaps = tuple(StepResult(step, NAN, NAN, NAN, NAN) for step in range(4))
    app = Shows(section(row("new", (), cells=gaps), status={"new": "waiting"}))
    async with app.run_test(size=(65, 5)):
        line = screen_text(app).splitlines()[2]
    assert line.split() == ["new", "1", "waiting", "·", "†", "·", "·"]


async def test_a_wide_grid_has_a_column_for_how_far_a_run_is() -> None:
    app = Shows(section(row("new", (0.1, 0.2, 0.3)), status={"new": "240 ..."}))
    async with app.run_test(size=(120, 5)):
        assert "new" in (line := screen_text(app).splitlines()[2])
    assert line.index("240 ...") < line.index("10.00")


async def test_names_with_markup_and_escapes_are_shown_literally() -> None:
    name = "[b]x[/] \x1b[31mred"
    app = Shows(section(row(name, (0.1, 0.2, 0.3))))
    async with app.run_test(size=(100, 5)):
        assert "[b]x[/] \\x1b[31mred" in screen_text(app)


@pytest.mark.parametrize("width", [1, 2, 7, 20, 40])
@pytest.mark.parametrize("height", [1, 2, 3])
async def test_no_size_is_too_small(width: int, height: int) -> None:
    app = Shows(ONE)
    async with app.run_test(size=(width, height)) as pilot:
        await pilot.press("end", "down", "down")
        await pilot.pause()
        assert len(screen_text(app).splitlines()) <= height


def test_a_cell_is_its_loss_or_its_distance_from_the_published_accuracy() -> None:
    found = cell(1, 0.9821, loss=0.06125, ci95=0.0031)
    assert cell_parts(found, "accuracy", 98.7) == ("98.21", "±0.31")
    assert cell_parts(found, "loss", 98.7) == ("0.0612", "")
    assert cell_parts(found, "difference", 98.7) == ("-0.49", "")
    assert cell_parts(found, "difference", 98.0) == ("+0.21", "")
    assert cell_parts(found, "difference", None) == ("", "")
    assert cell_parts(cell(1, 0.98, ci95=NAN), "accuracy", None) == ("98.00", "")
    assert cell_parts(None, "accuracy", None) == ("", "")


def test_the_best_cell_is_that_of_the_lowest_loss_where_losses_are_shown() -> None:
    cells = (cell(0, 0.9, loss=0.1), cell(1, 0.95, loss=0.2), cell(2, 0.95, loss=0.15))
    one = row("one", (), cells=cells)
    assert best_column(one, "accuracy") == best_column(one, "difference") == 2
    assert best_column(one, "loss") == 0
    assert best_column(row("none", (None, NAN)), "accuracy") is None


def test_the_best_row_is_never_a_published_one() -> None:
    rows = [row("published", (0.99,), headline=None), row("a", (0.2,)), row("b", (0.3,))]
    assert best_row(rows, "accuracy") == 2
    assert best_row(rows[:1], "accuracy") is None


def test_names_are_cut_in_their_middle_and_wide_characters_counted() -> None:
    assert fitted_name("5way5shot-20260131-142501-3f9a", 16) == "5way5shot…3f9a  "
    assert fitted_name("5way5shot-20260131-142501-3f9a", 12) == "5way5sh…3f9a"
    assert fitted_name("5way5shot-20260131-142501-3f9a", 8) == "5way…f9a"
    assert fitted_name("quite-a-long-name, seed 7", 16) == "quite-a-… seed 7"
    assert fitted_name("short", 8) == "short   "
    assert fitted("文字文字", 6) == "文字 …"
    assert fitted("文字", 6) == "文字  "
    assert fitted("long text", 5) == "long…"
    assert fitted("x", 0) == ""
