"""What the Train screen says, line by line."""

from __future__ import annotations

import math
import re
from dataclasses import replace

import pytest

from mamltui.curves import Series
from mamltui.curves.history import Newest, RunHistory
from mamltui.events import Event, Step, Validated
from mamltui.measures import sparkline
from mamltui.profiles import load_profile
from mamltui.results import StepResult
from mamltui.tui.train import panels


@pytest.fixture
def newest(events: list[Event]) -> Newest:
    history = RunHistory()
    for event in events:
        if event.iteration <= 200:
            history.add(event)
    return history.newest()


def test_the_paper_is_known_for_its_own_tasks_alone() -> None:
    figure = panels.paper_figure(load_profile("5way1shot"))
    assert figure is not None
    assert figure.printed == "98.7 ± 0.4 %"
    assert panels.paper_figure(load_profile("5way1shot", ["task.way=6"])) is None
    assert panels.paper_figure(load_profile("quickstart")) is None


def test_tiles_name_each_number_above_it(newest: Newest) -> None:
    labels, values = (line.plain for line in panels.tiles(newest, None, 78))
    assert labels.split() == ["accuracy", "before", "loss", "valid.", "best", "norm", "it/s"]
    assert values.split() == [
        "55.0",
        "%",
        "20.0",
        "%",
        "0.9600",
        "53.0",
        "%",
        "53.0",
        "%",
        "0.5",
        "10.00",
    ]
    assert len(labels) == len(values) <= 78


def test_the_distance_to_the_paper_is_in_points(newest: Newest) -> None:
    figure = panels.paper_figure(load_profile("5way1shot"))
    labels, values = (line.plain for line in panels.tiles(newest, figure, 158))
    place = labels.index("to the paper")
    assert values[place : place + 12].strip() == "-45.7"


@pytest.mark.parametrize("width", [78, 118, 158])
@pytest.mark.parametrize("accuracy", [0.9532, 1.0])
def test_the_test_tile_says_percent_at_every_width(
    newest: Newest, width: int, accuracy: float
) -> None:
    test = StepResult(1, accuracy, 0.0023, 0.1, 0.01)
    labels, values = (line.plain for line in panels.tiles(newest, None, width, test))
    shown = f"{100 * accuracy:.2f}"
    tile = values[values.index(shown) : values.index(shown) + 16]
    assert "%" in tile.split("  ")[0] or labels.lstrip().startswith("test %")
    assert ("±" in tile) == (width == 158)
    assert len(labels) == len(values) <= width


@pytest.mark.parametrize("width", [-1, 1, 8, 20, 40, 78, 158])
def test_tiles_and_progress_fit_any_width(newest: Newest, width: int) -> None:
    for line in panels.tiles(newest, None, width):
        assert line.cell_length <= max(8, width)
    assert panels.progress(newest, 100.0, 0.0, width).cell_length <= max(25, width)


def test_tiles_keep_their_places_while_values_change(newest: Newest) -> None:
    empty = [line.plain for line in panels.tiles(Newest(), None, 78)]
    full = [line.plain for line in panels.tiles(newest, None, 78)]
    assert empty[0] == full[0]
    assert len(empty[1]) == len(full[1])


def test_progress_says_how_far_how_long_and_how_sure(newest: Newest) -> None:
    line = panels.progress(newest, newest.elapsed + 5, 5.0, 100).plain
    assert "200 / 400    50.0 %" in line
    assert "elapsed 0:00:35" in line
    # 0.15 s an iteration with its validations, 200 left, 5 of those seconds gone.
    assert "left 0:00:25 ± 0:00:00" in line


def test_progress_of_days_leaves_out_how_sure_it_is_before_the_times(newest: Newest) -> None:
    days = replace(newest, iterations=1_000_000, seconds_left=2e5, seconds_left_error=5e4)
    wide, narrow = (panels.progress(days, 3.6e4, 0.0, width).plain for width in (100, 78))
    assert "elapsed 10:00:00" in wide and " ± 13:53:20" in wide
    assert "elapsed 10:00:00   left 2 days, 7:33:20" in narrow and "±" not in narrow


def test_the_step_curve_has_a_row_for_each_inner_step(newest: Newest) -> None:
    lines = [line.plain for line in panels.step_curve(newest, 6, 60)]
    assert [line[:10].rstrip() for line in lines] == ["inner step", "0 before", "1", "2"]
    assert lines[1].split()[2:4] == ["20.0", "20.0"]
    assert lines[3].split()[1:3] == ["-", "53.0"]


def test_the_headers_of_the_tables_end_where_their_numbers_do(
    newest: Newest, events: list[Event]
) -> None:
    def ends(line: str) -> list[int]:
        return [found.end() for found in re.finditer(r"\S+(?: \S+)*", line)]

    head, *rows = (line.plain for line in panels.step_curve(newest, 6, 20))
    assert {tuple(ends(row)[1:]) for row in rows} == {tuple(ends(head)[1:])}
    steps = [event for event in events if isinstance(event, Step)]
    head, row = (line.plain for line in panels.recent_table(steps, [], 1))
    assert ends(row) == ends(head)


def test_many_inner_steps_are_shown_from_the_first_to_the_last(newest: Newest) -> None:
    assert newest.validated is not None
    accuracies = tuple(index / 20 for index in range(21))
    losses = (0.5,) * len(accuracies)
    newest.validated = replace(newest.validated, accuracy_per_step=accuracies, loss_per_step=losses)
    rows = [line.plain.split()[0] for line in panels.step_curve(newest, 6, 60)[1:]]
    assert len(rows) == 5
    assert (rows[0], rows[-1]) == ("0", "20")


def test_a_sparkline_goes_from_the_lowest_to_the_highest() -> None:
    series = Series([1, 2, 3], [5.0, 6.0, 7.0])
    assert sparkline(series.y.tolist()) == "▁▅█"
    assert sparkline([3.0, 3.0]) == "▁▁"
    assert sparkline([0.0, math.nan, 1.0]) == "▁▁█"
    assert sparkline([0.5, 2.0], 0.0, 1.0) == "▅█"
    assert sparkline([]) == ""


def test_the_table_has_steps_and_validations_newest_first(events: list[Event]) -> None:
    steps = [event for event in events if isinstance(event, Step)]
    validations = [event for event in events if isinstance(event, Validated)]
    lines = panels.recent_table(steps, validations, 3)
    assert len({line.cell_length for line in lines}) == 1
    rows = [line.plain.split() for line in lines]
    assert rows[0][:2] == ["iteration", "query"]
    assert [row[0] for row in rows[1:]] == ["400", "400", "390"]
    assert rows[1][-2:] == ["best", "*"]
