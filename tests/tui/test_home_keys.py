"""Home: what its keys and the mouse do."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from mamltui.runs import RunFolder
from mamltui.tui.app import MamltuiApp
from mamltui.tui.shared.dialogs import Confirm
from tests.tui.conftest import screen_text, until
from tests.tui.home_place import (
    ago,
    at_cursor,
    change_run,
    copy_run,
    go_to,
    interrupt,
    line_of,
    listed,
)

MakeApp = Callable[..., MamltuiApp]


@pytest.mark.usefixtures("place")
async def test_enter_on_a_profile_shows_it_ready_to_run(make_app: MakeApp) -> None:
    app = make_app()
    async with app.run_test(size=(80, 24)) as pilot:
        await listed(pilot)
        await go_to(pilot, "tiny")
        await pilot.press("enter")
        await until(pilot, lambda: app.current_mode == "train")
        watched = app.session.watched
        assert watched is not None
        assert (watched.state, watched.profile.name, watched.source) == (
            "ready",
            "tiny",
            "tiny.toml",
        )


async def test_enter_on_a_run_watches_it(tiny_run: Path, make_app: MakeApp) -> None:
    app = make_app()
    async with app.run_test(size=(80, 24)) as pilot:
        await listed(pilot)
        await pilot.press("tab")
        await until(pilot, lambda: at_cursor(pilot) == tiny_run.name)
        await pilot.press("enter")
        await until(pilot, lambda: app.current_mode == "train")
        watched = app.session.watched
        assert watched is not None and watched.run is not None
        assert watched.run.path.resolve() == tiny_run.resolve()


async def test_a_double_click_opens_what_is_under_the_mouse(
    tiny_run: Path, make_app: MakeApp
) -> None:
    app = make_app()
    async with app.run_test(size=(80, 24)) as pilot:
        await listed(pilot)
        await pilot.click("#runs", offset=(5, 1))
        await until(pilot, lambda: at_cursor(pilot) == tiny_run.name)
        await pilot.click("#profiles", offset=(5, 2))
        await until(pilot, lambda: at_cursor(pilot) == "tiny")
        await pilot.click("#profiles", offset=(5, 2), times=2)
        await until(pilot, lambda: app.current_mode == "train")
        assert app.session.watched is not None
        assert app.session.watched.profile.name == "tiny"


@pytest.mark.usefixtures("place")
async def test_r_trains_the_profile_and_the_run_is_listed(make_app: MakeApp) -> None:
    app = make_app()
    async with app.run_test(size=(80, 24)) as pilot:
        await listed(pilot)
        await go_to(pilot, "tiny")
        await pilot.press("r")
        await until(pilot, lambda: app.current_mode == "train")
        training = app.session.training
        assert training is not None and training.profile.name == "tiny"
        await until(pilot, lambda: training.is_over)
        await pilot.press("1")
        await until(pilot, lambda: "Runs 1" in screen_text(app))
        await until(pilot, lambda: "finished" in screen_text(app))


async def test_an_interrupted_run_is_offered_and_resumed(tiny_run: Path, make_app: MakeApp) -> None:
    interrupt(tiny_run, iteration=4)
    app = make_app()
    async with app.run_test(size=(80, 24)) as pilot:
        await listed(pilot)
        offer = line_of(app, "R resumes").split()
        assert offer == ["R", "resumes", tiny_run.name, "at", "4", "of", "6"]
        await pilot.press("R")
        await until(pilot, lambda: app.current_mode == "train")
        training = app.session.training
        assert training is not None
        await until(pilot, lambda: training.run is not None)
        assert training.run is not None
        assert training.run.path.resolve() == tiny_run.resolve()
        await until(pilot, lambda: training.is_over)
        assert training.error is None


async def test_a_finished_run_is_not_resumed(tiny_run: Path, make_app: MakeApp) -> None:
    app = make_app()
    async with app.run_test(size=(80, 24), notifications=True) as pilot:
        await listed(pilot)
        await pilot.press("R")
        await until(pilot, lambda: "There is no interrupted run" in screen_text(app))
        await pilot.press("l")
        await until(pilot, lambda: at_cursor(pilot) == tiny_run.name)
        await pilot.press("R")
        await until(pilot, lambda: "This run is finished" in screen_text(app))
        assert app.session.training is None


async def test_space_marks_runs_in_the_order_of_marking_and_c_goes_to_compare(
    tiny_run: Path, make_app: MakeApp
) -> None:
    for name, minutes in (("first", 1), ("second", 2), ("third", 3)):
        copy_run(tiny_run, name, created=ago(minutes=minutes))
    change_run(tiny_run, created=ago(hours=1))
    tiny_run.rename(tiny_run.with_name("fourth"))
    app = make_app()
    async with app.run_test(size=(80, 24)) as pilot:
        await listed(pilot)
        await pilot.press("l")
        await go_to(pilot, "second")
        await pilot.press("space")  # which moves on to the third
        await until(pilot, lambda: at_cursor(pilot) == "third")
        await pilot.press("space")
        await go_to(pilot, "first")
        await pilot.press("space")
        assert app.session.marked == ["second", "third", "first"]
        await until(pilot, lambda: "● third" in screen_text(app))
        await go_to(pilot, "third")
        await pilot.press("space")
        assert app.session.marked == ["second", "first"]
        await pilot.press("c")
        await until(pilot, lambda: app.current_mode == "compare")


async def test_a_run_is_removed_only_after_asking(tiny_run: Path, make_app: MakeApp) -> None:
    app = make_app()
    async with app.run_test(size=(80, 24)) as pilot:
        await listed(pilot)
        await pilot.press("l")
        await until(pilot, lambda: at_cursor(pilot) == tiny_run.name)
        await pilot.press("space", "D")
        await until(pilot, lambda: f"Remove {tiny_run.name}?" in screen_text(app))
        await pilot.press("n")
        await until(pilot, lambda: not isinstance(app.screen, Confirm))
        assert tiny_run.is_dir()
        await pilot.press("D")
        await until(pilot, lambda: isinstance(app.screen, Confirm))
        await pilot.press("y")
        await until(pilot, lambda: not tiny_run.exists())
        await until(pilot, lambda: "Runs 0" in screen_text(app))
        assert app.session.marked == []


async def test_with_marks_the_marked_runs_are_removed_and_no_other(
    tiny_run: Path, make_app: MakeApp
) -> None:
    marked = [copy_run(tiny_run, name) for name in ("one", "two")]
    app = make_app()
    app.session.marked = [run.name for run in marked]
    async with app.run_test(size=(80, 24)) as pilot:
        await listed(pilot)
        await pilot.press("l")
        await go_to(pilot, tiny_run.name)
        await pilot.press("D")
        await until(pilot, lambda: "Remove the 2 marked runs?" in screen_text(app))
        await pilot.press("y")
        await until(pilot, lambda: not any(run.exists() for run in marked))
        assert tiny_run.is_dir()


async def test_a_run_in_use_is_not_removed(tiny_run: Path, make_app: MakeApp) -> None:
    change_run(tiny_run, state="running")
    run = RunFolder(tiny_run)
    run.acquire()
    app = make_app()
    async with app.run_test(size=(80, 24), notifications=True) as pilot:
        await listed(pilot)
        await pilot.press("l")
        await until(pilot, lambda: at_cursor(pilot) == tiny_run.name)
        assert "running" in line_of(app, tiny_run.name)
        await pilot.press("D", "y")
        await until(pilot, lambda: "the run is running" in screen_text(app))
        assert tiny_run.is_dir()
    run.release()


async def test_the_command_of_what_is_under_the_cursor_is_copied(
    tiny_run: Path, make_app: MakeApp
) -> None:
    interrupt(tiny_run)
    app = make_app()
    async with app.run_test(size=(80, 24)) as pilot:
        await listed(pilot)
        await pilot.press("C")
        assert app.clipboard == "mamltui run quickstart --headless --device cpu"
        await go_to(pilot, "tiny")
        await pilot.press("C")
        assert app.clipboard == "mamltui run tiny.toml --headless --device cpu"
        await pilot.press("l")
        await until(pilot, lambda: at_cursor(pilot) == tiny_run.name)
        await pilot.press("C")
        profile = f"runs/{tiny_run.name}/profile.toml"
        assert app.clipboard == (
            f"mamltui run {profile} --headless --device cpu --resume {tiny_run.name}"
        )


@pytest.mark.usefixtures("place")
async def test_tab_goes_round_profiles_runs_and_details(make_app: MakeApp) -> None:
    app = make_app()
    async with app.run_test(size=(80, 24)) as pilot:
        await listed(pilot)
        for there in ("runs", "details", "profiles"):
            await pilot.press("tab")
            await until(pilot, lambda there=there: app.focused and app.focused.id == there)
        for there in ("details", "runs", "profiles"):
            await pilot.press("shift+tab")
            await until(pilot, lambda there=there: app.focused and app.focused.id == there)
