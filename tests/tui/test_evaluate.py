"""The Evaluate screen."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
from textual.pilot import Pilot
from textual.widgets import Input

from mamltui.cli import main
from mamltui.results import kept_evaluations, score_cell
from mamltui.runs import RunFolder
from mamltui.tui.app import MamltuiApp
from mamltui.tui.evaluate.grid import ResultGrid
from mamltui.tui.evaluate.run_choice import RunChoice
from mamltui.tui.evaluate.screen import EvaluateScreen
from mamltui.tui.shared.dialogs import Ask
from tests.tui.conftest import SECONDS, SIZES, screen_text, until
from tests.tui.runs import make_run

MakeApp = Callable[..., MamltuiApp]
ENDLESS = 1_000_000


@contextlib.asynccontextmanager
async def opened(
    make_app: MakeApp, size: tuple[int, int] = (160, 45)
) -> AsyncIterator[tuple[Pilot[Any], EvaluateScreen]]:
    """The screen, its list read and the results of the first run looked for."""
    app = make_app()
    async with app.run_test(size=size, notifications=True) as pilot:
        app.go("evaluate")
        await until(pilot, lambda: isinstance(app.screen, EvaluateScreen))
        screen = app.screen
        assert isinstance(screen, EvaluateScreen)
        await until(pilot, lambda: screen.query(RunChoice))
        await until(pilot, lambda: "reading the runs" not in list_text(screen))
        yield pilot, screen


def list_text(screen: EvaluateScreen) -> str:
    choice = screen.query_one(RunChoice)
    return "\n".join(choice.render_line(y).text for y in range(choice.size.height))


def grid_text(screen: EvaluateScreen) -> str:
    grid = screen.query_one(ResultGrid)
    return "\n".join(grid.render_line(y).text.rstrip() for y in range(grid.size.height))


async def evaluate(pilot: Pilot[Any]) -> None:
    """Press r and wait for the end."""
    await pilot.press("r")
    await until(pilot, lambda: "Evaluation finished" in screen_text(pilot.app))


async def answer(pilot: Pilot[Any], key: str, text: str) -> None:
    """Press a key that asks, and type the answer instead of what is proposed."""
    await pilot.press(key)
    await until(pilot, lambda: isinstance(pilot.app.screen, Ask))
    pilot.app.screen.query_one(Input).value = text
    await pilot.press("enter")


def name_of(run: RunFolder) -> str:
    return run.name


@pytest.mark.parametrize("size", SIZES)
async def test_earlier_results_are_shown_at_once_at_every_size(
    size: tuple[int, int], tiny_run: Path, make_app: MakeApp
) -> None:
    (found,) = kept_evaluations(tiny_run / "evaluation")
    async with opened(make_app, size) as (pilot, screen):
        first = f"{100 * found.transductive[0].accuracy:.2f}"
        await pilot.press("tab", "home")
        await until(pilot, lambda: first in grid_text(screen) or size == SIZES[0])
        assert screen.query_one(RunChoice).display == (size != SIZES[0])
        if size != SIZES[0]:
            assert tiny_run.name in screen_text(pilot.app)
        if size == SIZES[2]:
            headline = score_cell(found.headline(), "±").replace(" ", "")
            assert f"†{headline}" in grid_text(screen)


async def test_marked_runs_are_evaluated_into_one_grid_and_their_results_kept(
    place: Path, make_app: MakeApp
) -> None:
    runs = [make_run(place, name, steps) for name, steps in (("one", 1), ("five", 5))]
    make_run(place, "left")
    async with opened(make_app) as (pilot, screen):
        await until(pilot, lambda: "3 runs" in list_text(screen))
        await pilot.press("down", "space", "space")
        await until(pilot, lambda: "2 marked" in list_text(screen))
        assert "·" in grid_text(screen)
        await evaluate(pilot)
        await until(pilot, lambda: "·" not in grid_text(screen))
        for run in runs:
            (found,) = kept_evaluations(run.evaluation)
            name = run.profile.name
            (line,) = (line for line in grid_text(screen).splitlines() if line.startswith(name))
            assert f"†{score_cell(found.headline()).replace(' ', '')}" in line
        labels = [line.split()[0] for line in grid_text(screen).splitlines()[2:4]]
        assert labels == ["one", "five"]  # by the steps in training
    assert not list((place / "runs").glob("left*/evaluation/*"))


@pytest.mark.parametrize(("key", "option"), [("E", "--csv"), ("M", "--markdown")])
async def test_an_export_has_the_bytes_of_the_command(
    key: str, option: str, place: Path, make_app: MakeApp
) -> None:
    make_run(place, "one")
    make_run(place, "five", 5)
    async with opened(make_app) as (pilot, screen):
        await pilot.press("space", "space")
        await evaluate(pilot)
        await answer(pilot, key, "here.txt")
        await until(pilot, lambda: Path("here.txt").is_file() and Path("here.txt").stat().st_size)
        await until(pilot, lambda: " written" in screen_text(pilot.app))
        command = screen.headless_command()
        names = [run.name for run in screen.query_one(RunChoice).chosen]
    assert command == f"mamltui eval {' '.join(names)} --device cpu"
    assert main(["eval", *names, "--device", "cpu", option, "there.txt"]) == 0
    assert Path("here.txt").read_bytes() == Path("there.txt").read_bytes()


async def test_an_export_proposes_a_name_and_never_overwrites(
    tiny_run: Path, make_app: MakeApp
) -> None:
    Path("there.csv").write_text("mine")
    async with opened(make_app) as (pilot, screen):
        await until(pilot, lambda: "◆" in grid_text(screen))
        await answer(pilot, "E", "there.csv")
        await until(pilot, lambda: "nothing is overwritten" in screen_text(pilot.app))
        assert Path("there.csv").read_text() == "mine"
        await pilot.press("escape", "E")
        await until(pilot, lambda: isinstance(pilot.app.screen, Ask))
        await pilot.press("enter")
        # It is there, empty, before its content is.
        await until(pilot, lambda: "CSV written" in screen_text(pilot.app))
    assert tiny_run.name in next(Path().glob("evaluation-*.csv")).read_text()


async def test_the_palette_finds_the_exports(place: Path, make_app: MakeApp) -> None:
    make_run(place, "one")
    async with opened(make_app) as (pilot, screen):
        app = pilot.app
        names = [command.title for command in app.get_system_commands(screen)]
        assert sum(name.startswith("Export the finished rows as ") for name in names) == 2


async def test_without_a_result_nothing_is_exported(place: Path, make_app: MakeApp) -> None:
    make_run(place, "one")
    async with opened(make_app) as (pilot, _):
        await pilot.press("E")
        await until(pilot, lambda: "no finished row" in screen_text(pilot.app))


async def test_cancelling_leaves_the_grid_as_far_as_it_was_and_keeps_nothing(
    place: Path, make_app: MakeApp
) -> None:
    run = make_run(place, "one", engine={"task_chunk": 4})
    async with opened(make_app) as (pilot, screen):
        await answer(pilot, "n", str(ENDLESS))
        await pilot.press("r")
        await until(pilot, lambda: f"of {ENDLESS:,} episodes" in screen_text(pilot.app))
        await until(pilot, lambda: "±" in grid_text(screen))
        await until(pilot, lambda: " left" in screen_text(pilot.app))
        await pilot.press("x")
        await until(pilot, lambda: "Evaluation cancelled" in screen_text(pilot.app))
        assert "cancelled" in grid_text(screen) and "±" in grid_text(screen)
        await pilot.press("E")
        await until(pilot, lambda: "no finished row" in screen_text(pilot.app))
    assert list(run.evaluation.iterdir()) == []


async def test_leaving_the_app_ends_a_sweep(place: Path, make_app: MakeApp) -> None:
    run = make_run(place, "one", engine={"task_chunk": 4})
    async with opened(make_app) as (pilot, screen):
        await answer(pilot, "n", str(ENDLESS))
        await pilot.press("r")
        await until(pilot, lambda: "±" in grid_text(screen))
        sweep = screen._board.sweep
        assert sweep is not None and not sweep.is_over
    assert sweep.wait(SECONDS)
    assert sweep.parts[run.name].state == "cancelled"
    assert list(run.evaluation.iterdir()) == []


async def test_a_failed_run_says_why_and_the_others_are_evaluated(
    place: Path, make_app: MakeApp
) -> None:
    make_run(place, "whole")
    make_run(place, "damaged").checkpoint_path("best").write_bytes(b"nothing")
    async with opened(make_app) as (pilot, screen):
        await pilot.press("space", "space")
        await evaluate(pilot)
        await until(pilot, lambda: "failed" in grid_text(screen) and "◆" in grid_text(screen))
        await pilot.press("tab", "up", "up", "up")
        await until(pilot, lambda: "the checkpoint is damaged" in screen_text(pilot.app))


async def test_steps_are_asked_for_and_refused_in_words(place: Path, make_app: MakeApp) -> None:
    make_run(place, "one")
    async with opened(make_app) as (pilot, screen):
        assert "steps 0..3" in screen_text(pilot.app)
        for key, now in (("e", "0..3"), ("n", "6")):
            await pilot.press(key)
            await until(pilot, lambda: isinstance(pilot.app.screen, Ask))
            assert pilot.app.screen.query_one(Input).value == now
            await pilot.press("enter")
        assert "--" not in (screen.headless_command() or "").replace("--device cpu", "")
        await answer(pilot, "e", "7..5")
        await until(pilot, lambda: "runs backwards" in screen_text(pilot.app))
        pilot.app.screen.query_one(Input).value = "0,5..7"
        await pilot.press("enter")
        # The profile's own test steps are scored as well.
        await until(pilot, lambda: "steps 0,2,5..7" in screen_text(pilot.app))
        assert grid_text(screen).splitlines()[0].split()[-5:] == ["0", "2", "5", "6", "7"]
        assert " --steps 0,5..7" in (screen.headless_command() or "")
        await answer(pilot, "e", "")
        await until(pilot, lambda: "steps 0..3" in screen_text(pilot.app))


async def test_the_headless_command_repeats_the_settings(place: Path, make_app: MakeApp) -> None:
    run = make_run(place, "one")
    async with opened(make_app) as (pilot, screen):
        await answer(pilot, "n", "50")
        await until(pilot, lambda: "50 episodes" in screen_text(pilot.app))
        await pilot.press("d", "o")
        await until(pilot, lambda: "d validation  o last" in screen_text(pilot.app))
        assert screen.headless_command() == (
            f"mamltui eval {run.name} --episodes 50 --split validation --checkpoint last"
            " --device cpu"
        )


async def test_other_statistics_and_values_are_shown_without_a_new_sweep(
    tiny_run: Path, make_app: MakeApp
) -> None:
    (found,) = kept_evaluations(tiny_run / "evaluation")
    async with opened(make_app) as (pilot, screen):
        await until(pilot, lambda: "±" in grid_text(screen))
        await pilot.press("m")
        await until(pilot, lambda: f"†{found.headline().loss:.4f}" in grid_text(screen))
        await pilot.press("v")
        await until(pilot, lambda: f"†{found.headline('support').loss:.4f}" in grid_text(screen))
        assert "support stats" in screen_text(pilot.app)
        await pilot.press("m")
        # Nothing is published for images of one's own.
        await until(pilot, lambda: "to published" in screen_text(pilot.app))
        assert "no published figure for folder 3-way 1-shot" in screen_text(pilot.app)


async def test_runs_that_cannot_be_evaluated_are_shown_and_refused_with_the_reason(
    place: Path, make_app: MakeApp
) -> None:
    (make_run(place, "damaged").path / "run.json").write_text("{")
    make_run(place, "nobest").checkpoint_path("best").unlink()
    async with opened(make_app) as (pilot, screen):
        await until(pilot, lambda: "damaged: " in list_text(screen))
        assert "finished: it has no best checkpoint" in list_text(screen)
        await pilot.press("space")
        await until(pilot, lambda: "press o for its last one" in screen_text(pilot.app))
        assert "marked" not in list_text(screen)
        await pilot.press("o", "space")
        await until(pilot, lambda: "1 marked" in list_text(screen))


async def test_evaluating_a_refused_run_starts_nothing(place: Path, make_app: MakeApp) -> None:
    make_run(place, "nobest").checkpoint_path("best").unlink()
    async with opened(make_app) as (pilot, screen):
        await pilot.press("r")
        await until(pilot, lambda: screen_text(pilot.app).count("it has no best checkpoint") > 1)
        assert screen._board.sweep is None


async def test_the_filter_narrows_the_list_and_escape_takes_it_back(
    place: Path, make_app: MakeApp
) -> None:
    make_run(place, "apple")
    make_run(place, "pear")
    async with opened(make_app) as (pilot, screen):
        await pilot.press("slash", *"app 3-way")
        await until(pilot, lambda: "1 of 2 runs" in list_text(screen))
        assert "apple" in list_text(screen) and "pear" not in list_text(screen)
        await pilot.press("enter")
        await until(pilot, lambda: screen.focused is screen.query_one(RunChoice))
        assert [run.name[:5] for run in screen.query_one(RunChoice).chosen] == ["apple"]
        await pilot.press("escape")
        await until(pilot, lambda: "pear" in list_text(screen))


async def test_tab_goes_to_the_grid_and_enter_opens_the_episodes_of_a_cell(
    tiny_run: Path, make_app: MakeApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[tuple[Path, str, int]] = []
    async with opened(make_app) as (pilot, screen):
        monkeypatch.setattr(
            pilot.app,
            "open_episode",
            lambda run, split, step: seen.append((run.path.resolve(), split, step)),
        )
        await until(pilot, lambda: "±" in grid_text(screen))
        await pilot.press("tab", "l", "enter")
        await until(pilot, lambda: seen)
        await pilot.press("tab")
        await until(pilot, lambda: screen.focused is screen.query_one(RunChoice))
    assert seen == [(tiny_run.resolve(), "test", 3)]


async def test_the_episode_screen_opens_at_the_chosen_run(
    tiny_run: Path, make_app: MakeApp
) -> None:
    async with opened(make_app, (80, 24)) as (pilot, screen):
        await until(pilot, lambda: "±" in grid_text(screen))
        await pilot.press("tab", "enter")
        await until(pilot, lambda: pilot.app.current_mode == "episode")
        await until(pilot, lambda: tiny_run.name in screen_text(pilot.app))


async def test_names_with_markup_and_escapes_are_shown_literally(
    tiny_run: Path, make_app: MakeApp
) -> None:
    tiny_run.rename(tiny_run.with_name("[b]x[y] \x1b[31mred"))
    async with opened(make_app) as (pilot, screen):
        await until(pilot, lambda: "±" in grid_text(screen))
        for text in (list_text(screen), grid_text(screen)):
            assert "[b]x[y] \\x1b[31mred" in text
        await pilot.press("space")
        await until(pilot, lambda: "1 marked" in list_text(screen))


async def test_runs_marked_in_home_are_marked_here(place: Path, make_app: MakeApp) -> None:
    make_run(place, "other")
    run = make_run(place, "wanted")
    app = make_app()
    app.session.marked = [run.name, "gone"]
    async with app.run_test(size=(160, 45)) as pilot:
        app.go("evaluate")
        await until(pilot, lambda: "1 marked" in screen_text(app))
        assert f"● {run.name}" in screen_text(app)


async def test_the_cursor_is_on_the_run_that_is_open(place: Path, make_app: MakeApp) -> None:
    first, last = make_run(place, "first"), make_run(place, "last")
    app = make_app()
    async with app.run_test(size=(120, 36)) as pilot:
        for run in (first, last, first):
            app.session.watch(run)
            app.go("evaluate")
            await until(pilot, lambda: app.screen.query(RunChoice))
            choice = app.screen.query_one(RunChoice)
            await until(
                pilot,
                lambda choice=choice, run=run: (row := choice.row) and row.key == run.name,
            )
            await pilot.press("down", "up", "up")  # nor does it come back by itself
            app.go("home")


async def test_without_runs_a_quiet_line_says_what_to_do(place: Path, make_app: MakeApp) -> None:
    assert not (place / "runs").exists()
    async with opened(make_app, (80, 24)) as (pilot, screen):
        assert "no runs yet" in list_text(screen)
        await pilot.press("r", "x", "E", "m", "tab", "enter", "space")
        await until(pilot, lambda: "No evaluation is running" in screen_text(pilot.app))
        assert screen.headless_command() is None


async def test_a_window_made_small_and_large_again_shows_the_list_again(
    tiny_run: Path, make_app: MakeApp
) -> None:
    async with opened(make_app, (80, 24)) as (pilot, screen):
        await pilot.resize_terminal(40, 10)
        await until(pilot, lambda: not screen.query_one(RunChoice).display)
        await until(pilot, lambda: screen.focused is screen.query_one(ResultGrid))
        await pilot.resize_terminal(80, 24)
        await until(pilot, lambda: screen.query_one(RunChoice).display)
        assert tiny_run.name[-4:] in list_text(screen)


async def test_what_is_known_of_a_cell_is_told_whole_on_a_small_screen(
    place: Path, make_app: MakeApp
) -> None:
    run = make_run(place, "a-name-of-a-run")
    async with opened(make_app, (80, 24)) as (pilot, _):
        whole = f"not measured after 2 inner steps (headline); {run.name}, 1 in training"
        await until(pilot, lambda: whole in " ".join(screen_text(pilot.app).split()))
        assert "transductive statistics." in " ".join(screen_text(pilot.app).split())


async def test_the_grid_keeps_its_rows_beside_a_long_list_and_the_chart(
    place: Path, make_app: MakeApp
) -> None:
    for number in range(12):
        make_run(place, f"run{number}")
    async with opened(make_app, (120, 36)) as (pilot, screen):
        await until(pilot, lambda: "12 runs" in list_text(screen))
        await pilot.press("space", "space")
        await until(pilot, lambda: "2 marked" in list_text(screen))
        await until(pilot, lambda: grid_text(screen).count("run") >= 3)  # and the head
        assert screen.max_scroll_y == 0
        assert "best of all" in screen_text(pilot.app)
