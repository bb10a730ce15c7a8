"""The Compare screen: curves of several runs, their results, what differs in their profiles."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from textual.widgets import Input

from mamltui.commands import CommonOptions
from mamltui.profiles import load_profile
from mamltui.results import write_results
from mamltui.runs import Best, ListedRun, RunFolder
from mamltui.tui.compare.column_table import ColumnTable
from mamltui.tui.compare.comparison import Compared, Comparison
from mamltui.tui.compare.rows import seeds_rows, table_rows
from mamltui.tui.compare.screen import CompareScreen
from mamltui.tui.compare.seeds import folded
from mamltui.tui.shared.chart.chart import Chart
from mamltui.tui.shared.row_list import RowList
from tests.cli.run_folders import trained_run
from tests.results.examples import OWN_PROTOCOL, evaluation, step_result, with_outcomes
from tests.tui.comparing import (
    MakeApp,
    MakeRun,
    heads,
    labels,
    open_compare,
    screen_of,
    settled,
    table,
)
from tests.tui.conftest import SIZES, final_text, screen_text, until

# What is shown.


@pytest.mark.parametrize("size", SIZES)
async def test_runs_marked_in_home_are_chosen_at_first(
    size: tuple[int, int], make_run: MakeRun, make_app: MakeApp
) -> None:
    one, two = make_run("one"), make_run("two", inner={"steps": 5, "test_steps": 2, "alpha": 0.1})
    make_run("three")
    app = make_app()
    async with app.run_test(size=size) as pilot:
        await open_compare(app, pilot, one, two)
        assert heads(app) == ["A", "B"]
        assert labels(app) == ["A one", "B two"]
        assert table(app) == {
            "state": ["finished", "finished"],
            "iterations": ["40", "40"],
            "best validation %": ["91.25", "91.25"],
            "test %": ["-", "-"],
            "time": ["0:00:04", "0:00:04"],
            "name": ["one", "two"],
            "inner.steps": ["1", "5"],
            "inner.alpha": ["0.4", "0.1"],
        }
        text = screen_text(app)
        assert "2 of 3 runs" in text
        if size != (20, 5):
            assert "validation accuracy %" in text and "best validation %" in text
            assert "A ●" in text and "B ◆" in text and "91.25" in text


async def test_without_marks_the_open_run_is_compared_with_the_one_of_its_profile_before_it(
    make_run: MakeRun, make_app: MakeApp
) -> None:
    before, other, mine, later = (make_run(name) for name in ("one", "two", "one", "three"))
    for day, run in enumerate((before, other, mine, later)):
        run.update(created=f"2026-11-0{day + 1}T10:00:00.000Z")
    app = make_app()
    async with app.run_test(size=(120, 36)) as pilot:
        app.session.watch(mine)
        app.go("compare")
        await until(pilot, lambda: isinstance(app.screen, CompareScreen) and app.screen.is_mounted)
        await settled(app, pilot, 2)
        rows = screen_of(app).query_one(RowList)
        assert [run.name for run in screen_of(app)._comparison.chosen] == [mine.name, before.name]
        assert rows.row is not None and rows.row.key == mine.name
        assert "the open run and the one before it" in screen_text(app)
        assert app.session.marked == []  # or D in Home would offer to remove them
        await pilot.press("space")
        await settled(app, pilot, 1)
        assert "the open run" not in screen_text(app)


@pytest.mark.parametrize("size", [(1, 1), (20, 5), (40, 12), (59, 40), (120, 10)])
async def test_no_size_is_too_small(
    size: tuple[int, int], make_run: MakeRun, make_app: MakeApp
) -> None:
    one, two = make_run("one"), make_run("two")
    app = make_app()
    async with app.run_test(size=size) as pilot:
        await open_compare(app, pilot, one, two)
        await pilot.press("t", "b", "y", "s", "m", "tab")
        await pilot.pause()
        assert app.current_mode == "compare"


async def test_test_results_are_shown_with_their_intervals_and_compared_to_the_baseline(
    make_run: MakeRun, make_app: MakeApp
) -> None:
    one = make_run("one", **OWN_PROTOCOL)
    two = make_run("two", **OWN_PROTOCOL | {"inner": {"steps": 5, "test_steps": 3}})
    worse = tuple(step_result(steps, 0.9421, 0.0041) for steps in range(4))
    write_results(one.evaluation, evaluation())
    write_results(two.evaluation, evaluation(transductive=worse))
    two.update(elapsed=65.0)
    app = make_app()
    async with app.run_test(size=(160, 45)) as pilot:
        await open_compare(app, pilot, one, two)
        assert table(app)["test %"] == ["98.21 ± 0.31", "94.21 ± 0.41"]
        await pilot.press("g", "b")  # the newest run is the first: two
        assert heads(app) == ["B", "A"]
        assert "baseline" in screen_text(app)
        assert table(app)["test %"] == ["94.21 ± 0.41", "+4.00 ± 0.51"]
        assert table(app)["best validation %"] == ["91.25", "+0.00"]
        assert table(app)["time"] == ["0:01:05", "-0:01:01"]
        assert table(app)["inner.steps"] == ["5", "1"]
        await pilot.press("b")
        assert heads(app) == ["A", "B"]
        assert table(app)["test %"] == ["98.21 ± 0.31", "94.21 ± 0.41"]


def test_runs_tested_on_the_same_episodes_are_compared_pair_by_pair(make_run: MakeRun) -> None:
    one, two = make_run("one", **OWN_PROTOCOL), make_run("two", **OWN_PROTOCOL)
    right = [5, 5, 4, 5, 3, 5, 5, 4] * 75
    worse = [each - place % 2 for place, each in enumerate(right)]
    for run, outcomes in ((one, right), (two, worse)):
        found = with_outcomes(run.name, outcomes, seed=run.profile.meta.seed)
        write_results(run.evaluation, found)
    runs = [Compared(ListedRun.read(run.path), slot) for slot, run in enumerate((two, one))]
    for run in runs:
        assert run.evaluation is not None, run.listed.evaluations[0].departures(run.listed.profile)
    rows = {
        row.label: [cell.text for cell in row.cells] for row in table_rows(runs, to_baseline=True)
    }
    assert rows["test %"] == ["80.00 ± 1.01", "+10.00 ± 0.80"]
    assert rows["test: better on"] == ["", "75 % of episodes"]
    assert rows["test: Holm's p"] == ["", "p < 0.001"]
    assert "test: better on" not in {row.label for row in table_rows(runs, to_baseline=False)}


def test_a_test_by_another_protocol_is_labelled_and_compared_with_no_other(
    make_run: MakeRun,
) -> None:
    own, other, short = (make_run(name, **OWN_PROTOCOL) for name in ("own", "other", "short"))
    for run, episodes in ((own, 600), (other, 600), (short, 300)):
        right = [5] * (episodes - 1) + [int(run is own)]
        write_results(run.evaluation, with_outcomes(run.name, right))
    runs = [
        Compared(ListedRun.read(run.path), slot) for slot, run in enumerate((own, other, short))
    ]
    for first in range(3):
        chosen = [runs[first], *runs[:first], *runs[first + 1 :]]
        rows = {
            row.label: dict(zip((run.name for run in chosen), row.cells, strict=True))
            for row in table_rows(chosen, to_baseline=True)
        }
        assert rows["test %"][short.name].text == "99.67 ± 1.01 *"
        departures = {name: cell.text for name, cell in rows["* other than profile"].items()}
        assert departures == {own.name: "", other.name: "", short.name: "300 episodes"}
        compared = [cell.text for cell in rows["test %"].values() if cell.text[0] in "+-"]
        assert len(compared) == (0 if chosen[0].name == short.name else 1)


async def test_of_three_profiles_the_baselines_own_values_are_called_the_same(
    make_run: MakeRun, make_app: MakeApp
) -> None:
    runs = [make_run("one", inner={"alpha": alpha, "test_steps": 2}) for alpha in (0.4, 0.1, 0.4)]
    app = make_app()
    async with app.run_test(size=(80, 24)) as pilot:
        await open_compare(app, pilot, *runs)
        await pilot.press("G", "b")
        assert table(app)["inner.alpha"] == ["0.4", "0.1", "same"]


async def test_equal_profiles_are_said_to_be_the_same(make_run: MakeRun, make_app: MakeApp) -> None:
    runs = [make_run("one"), make_run("one")]
    app = make_app()
    async with app.run_test(size=(80, 24)) as pilot:
        await open_compare(app, pilot, *runs)
        assert table(app)["profile"] == ["same", "same"]


async def test_names_are_shown_literally(make_run: MakeRun, make_app: MakeApp) -> None:
    run = make_run("one")
    odd = RunFolder(run.path.rename(run.path.with_name("[b]odd[b] \x1b[31mred")))
    app = make_app()
    async with app.run_test(size=(160, 45)) as pilot:
        await open_compare(app, pilot, odd)
        text = screen_text(app)
        assert text.count("\x1b") == 0
        assert text.count(r"[b]odd[b] \x1b[31mred") >= 2  # in the legend and above the column


# Choosing.


async def test_space_chooses_and_leaves_out_and_letters_stay(
    make_run: MakeRun, make_app: MakeApp
) -> None:
    for name in ("one", "two", "three"):
        make_run(name)
    app = make_app()
    async with app.run_test(size=(80, 24)) as pilot:
        await open_compare(app, pilot)
        assert "space chooses the run" in screen_text(app)
        await pilot.press("space", "down", "space")
        await settled(app, pilot, 2)
        assert [label[:7] for label in labels(app)] == ["A three", "B two"]
        await pilot.press("up", "space")
        await settled(app, pilot, 1)
        assert heads(app) == ["B"]
        await pilot.press("G", "space")
        await settled(app, pilot, 2)
        assert [label[:5] for label in labels(app)] == ["A one", "B two"]


async def test_past_six_runs_each_is_a_row_and_the_ends_of_the_curves_are_named(
    make_run: MakeRun, make_app: MakeApp
) -> None:
    runs = [make_run("one", meta={"seed": seed, "iterations": 40}) for seed in range(7)]
    app = make_app()
    async with app.run_test(size=(80, 24)) as pilot:
        app.session.marked[:] = [run.name for run in runs]
        app.go("compare")
        await until(pilot, lambda: "A ● seed 0" in screen_text(app))
        rows = screen_of(app).query_one(ColumnTable)._rows
        assert [row.label[0] for row in rows] == list("ABCDEFG")
        await until(pilot, lambda: all(run.is_loaded for run in screen_of(app)._comparison.chosen))
        assert [curve.end for curve in screen_of(app).query_one(Chart)._picture.window.curves] == [
            *"ABCDEFG"
        ]
        await pilot.press("f")
        await until(pilot, lambda: "7 seeds" in screen_text(app))
        assert table(app)["best validation %"] == ["91.25 ± 0.00"]
        assert "band: lowest to highest" in screen_text(app)


async def test_past_six_runs_what_differs_is_seen_on_a_small_screen(
    make_run: MakeRun, make_app: MakeApp
) -> None:
    names = ("quite-a-long-name-one", "quite-a-long-name-two")
    runs = [
        make_run(name, meta={"seed": seed, "iterations": 40}) for name in names for seed in range(4)
    ]
    app = make_app()
    async with app.run_test(size=(80, 24)) as pilot:
        app.session.marked[:] = [run.name for run in runs]
        app.go("compare")
        await until(pilot, lambda: "A ●" in screen_text(app).partition("state  iter")[2])
        for label in ("A ● one, seed 0 ", "D ■ one, seed 3 ", "E ▼ two, seed 0 "):
            assert label in screen_text(app)


def test_a_run_too_many_is_refused_in_words(place: Path) -> None:
    comparison = Comparison(place / "runs")
    info = ListedRun.read(trained_run(place / "runs", place / "characters").path).info
    comparison.take(tuple(ListedRun(place / f"run{number}", info) for number in range(27)))
    refusals = [comparison.choose(f"run{number}") for number in range(27)]
    assert refusals[:26] == [""] * 26
    assert "26 runs are chosen already" in refusals[26]


def test_seeds_taken_together_are_a_mean_and_differ_seed_by_seed(make_run: MakeRun) -> None:
    runs = []
    for steps in (1, 5):
        for seed in range(3):
            inner = {"steps": steps, "test_steps": 3}
            meta = {"seed": seed, "iterations": 40}
            run = make_run("one", **OWN_PROTOCOL | {"inner": inner, "meta": meta})
            accuracy = 0.9 + 0.01 * seed + 0.002 * steps + 0.001 * (steps == 5 and seed == 0)
            results = tuple(step_result(each, accuracy) for each in range(4))
            write_results(run.evaluation, evaluation(seed=seed, transductive=results))
            runs.append(Compared(ListedRun.read(run.path), len(runs)))
    seeds = folded(runs, [])
    assert [len(each.runs) for each in seeds] == [3, 3]
    assert folded(runs, seeds) == seeds
    rows = {
        row.label: [cell.text for cell in row.cells] for row in seeds_rows(seeds, to_baseline=False)
    }
    assert rows["seeds"] == ["3 seeds", "3 seeds"]
    assert rows["test %"] == ["91.20 ± 2.48", "92.03 ± 2.36"]
    assert rows["test, lowest to highest"][0] == "90.20 to 92.20"
    assert rows["inner.steps"] == ["1", "5"] and "meta.seed" not in rows
    rows = {
        row.label: [cell.text for cell in row.cells] for row in seeds_rows(seeds, to_baseline=True)
    }
    assert rows["test %"] == ["91.20 ± 2.48", "+0.83 ± 0.14"]


async def test_other_marks_made_in_home_are_taken_over(
    make_run: MakeRun, make_app: MakeApp
) -> None:
    one, two = make_run("one"), make_run("two")
    app = make_app()
    async with app.run_test(size=(80, 24)) as pilot:
        await open_compare(app, pilot, one)
        app.go("home")
        app.session.marked[:] = [two.name]
        app.go("compare")
        await until(pilot, lambda: labels(app) == [f"A {two.name}"] or labels(app)[0][0] == "B")
        assert labels(app)[0].endswith(two.name)


async def test_a_run_that_is_removed_is_left_out(make_run: MakeRun, make_app: MakeApp) -> None:
    one, two = make_run("one"), make_run("two")
    app = make_app()
    async with app.run_test(size=(80, 24)) as pilot:
        await open_compare(app, pilot, one, two)
        shutil.rmtree(one.path)
        await until(pilot, lambda: labels(app) == [f"B {two.name}"])
        assert "1 of 1 runs" in screen_text(app)


@pytest.mark.parametrize("size", SIZES[1:])
async def test_scores_of_both_kinds_name_their_units_in_the_list(
    size: tuple[int, int], make_run: MakeRun, make_app: MakeApp
) -> None:
    make_run("images")
    waves = RunFolder.create(load_profile("sinusoid-5shot"), Path("runs"))
    waves.update(iteration=40, best=Best(iteration=40, accuracy=None, loss=0.5488))
    app = make_app()
    async with app.run_test(size=size) as pilot:
        await open_compare(app, pilot)
        text = await final_text(app)
        assert "91.25 %" in text and "MSE 0.549" in text
        assert "valid. %" not in text and "best %" not in text


async def test_slash_filters_the_list(make_run: MakeRun, make_app: MakeApp) -> None:
    one, _ = make_run("one"), make_run("two")
    app = make_app()
    async with app.run_test(size=(80, 24)) as pilot:
        await open_compare(app, pilot)
        await pilot.press("slash", *"ONE")
        await until(pilot, lambda: "two-2" not in screen_text(app))
        await pilot.press("enter", "space")
        await settled(app, pilot, 1)
        assert labels(app) == [f"A {one.name}"]
        await pilot.press("slash", "escape")
        await until(pilot, lambda: "two-2" in screen_text(app))
        assert not app.screen.query_one(Input).display


async def test_enter_opens_the_run(make_run: MakeRun, make_app: MakeApp) -> None:
    run = make_run("one")
    app = make_app()
    async with app.run_test(size=(80, 24)) as pilot:
        await open_compare(app, pilot)
        await pilot.press("enter")
        await until(pilot, lambda: app.current_mode == "train")
        assert app.session.watched is not None and app.session.watched.name == run.name


async def test_a_click_before_the_name_chooses_the_run(
    make_run: MakeRun, make_app: MakeApp
) -> None:
    make_run("one")
    older = labels
    app = make_app()
    async with app.run_test(size=(80, 24)) as pilot:
        await open_compare(app, pilot)
        await pilot.click("#runs", offset=(2, 1))
        await settled(app, pilot, 1)
        assert older(app)[0].startswith("A one")
        await pilot.click("#runs", offset=(12, 1))
        await pilot.pause()
        assert heads(app) == ["A"]


# The chart.


async def test_m_goes_through_the_metrics_and_the_last_is_remembered(
    make_run: MakeRun, make_app: MakeApp
) -> None:
    run = make_run("one")
    app = make_app()
    async with app.run_test(size=(80, 24)) as pilot:
        await open_compare(app, pilot, run)
        seen = []
        for _ in range(6):
            seen.append(screen_text(app).splitlines()[6].strip())
            await pilot.press("m")
        assert seen[:5] == [
            "validation accuracy %",
            "validation loss, nats",
            "query loss, nats",
            "query accuracy %",
            "norm of the meta-gradient",
        ]
        assert seen[5] == seen[0]
        chart = app.screen.query_one(Chart)
        assert not chart.percent
    app = make_app()
    async with app.run_test(size=(80, 24)) as pilot:
        await open_compare(app, pilot, run)
        assert "validation loss" in screen_text(app)


async def test_smoothing_log_axis_and_zoom(make_run: MakeRun, make_app: MakeApp) -> None:
    run = make_run("one")
    app = make_app()
    async with app.run_test(size=(80, 24)) as pilot:
        await open_compare(app, pilot, run)
        chart = app.screen.query_one(Chart)
        await pilot.press("m", "m", "s", "y")
        await until(
            pilot, lambda: "query loss, nats   smoothing 0.6   log axis" in screen_text(app)
        )
        assert chart.log_y and chart._picture.window.curves[0].smooth == 0.6
        await pilot.press("right_square_bracket")
        assert chart.zoomed is not None
        await pilot.press("left_square_bracket", "left_square_bracket")
        assert chart.zoomed is None


async def test_t_shows_the_table_instead_of_the_chart(make_run: MakeRun, make_app: MakeApp) -> None:
    run = make_run("one")
    app = make_app()
    async with app.run_test(size=(80, 24)) as pilot:
        await open_compare(app, pilot, run)
        before = app.screen.query_one(ColumnTable).size.height
        await pilot.press("t")
        await until(pilot, lambda: app.screen.query_one(ColumnTable).size.height > before)
        assert not app.screen.query_one(Chart).display
        await pilot.press("t")
        await until(pilot, lambda: app.screen.query_one(Chart).display)


async def test_columns_without_room_are_reached_sideways(
    make_run: MakeRun, make_app: MakeApp
) -> None:
    runs = [make_run("one") for _ in range(6)]
    app = make_app()
    async with app.run_test(size=(80, 24)) as pilot:
        await open_compare(app, pilot, *runs)
        assert "2 →" in screen_text(app) and "E ▼ " not in screen_text(app).splitlines()[15]
        app.screen.query_one(ColumnTable).focus()
        await pilot.press("l", "l", "l")
        await until(pilot, lambda: "← 2" in screen_text(app))
        assert "F ○" in screen_text(app).splitlines()[15]
        await pilot.press("h")
        await until(pilot, lambda: "← 1  1 →" in screen_text(app))


async def test_without_runs_it_says_where_they_come_from(place: Path, make_app: MakeApp) -> None:
    app = make_app()
    async with app.run_test(size=(80, 24)) as pilot:
        await open_compare(app, pilot)
        await until(pilot, lambda: "train a profile from Home" in screen_text(app))
        await pilot.press("space", "b", "enter", "m")
        assert (place / "runs").exists() is False


async def test_the_command_compares_the_same_runs_the_baseline_first(
    make_run: MakeRun, make_app: MakeApp, place: Path
) -> None:
    one, two = make_run("one"), make_run("two")
    app = make_app(common=CommonOptions(runs=place / "runs", device="cpu"))
    async with app.run_test(size=(80, 24)) as pilot:
        await open_compare(app, pilot)
        screen, option = screen_of(app), f"--runs-dir {place / 'runs'}"
        assert screen.headless_command() is None
        await pilot.press("G", "space")
        assert screen.headless_command() == f"mamltui runs show {option} {one.name}"
        await pilot.press("g", "b")
        command = f"mamltui runs compare {option} {two.name} {one.name}"
        assert screen.headless_command() == command
