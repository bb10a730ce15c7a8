"""The frame of the app: its screens, help, palette, commands to copy, and the way out."""

from __future__ import annotations

import asyncio
import gc
import json
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from mamltui.errors import RunError
from mamltui.runs import find_run
from mamltui.tui.app import MamltuiApp
from mamltui.tui.help import Page
from mamltui.tui.shared.background import in_background
from mamltui.tui.shared.screen import AppScreen
from mamltui.tui.shared.status_line import SCREENS
from tests.tui.conftest import SIZES, screen_text, until

MakeApp = Callable[..., MamltuiApp]
ENDLESS = ("meta.iterations=1000000", "validation.interval=1000000")


@pytest.mark.parametrize("size", SIZES)
async def test_every_screen_opens_by_its_key_at_every_size(
    size: tuple[int, int], tiny_run: Path, make_app: MakeApp
) -> None:
    app = make_app(attach=tiny_run.name)
    async with app.run_test(size=size) as pilot:
        await until(pilot, lambda: app.current_mode == "train")
        for name, (key, _) in SCREENS.items():
            await pilot.press(key)
            await until(pilot, lambda name=name: app.current_mode == name)
            assert isinstance(app.screen, AppScreen)
            assert not app.screen.show_vertical_scrollbar
            await pilot.resize_terminal(30, 8)
            await pilot.resize_terminal(*size)
            await pilot.pause()


@pytest.mark.parametrize("attached", [True, False])
async def test_garbage_is_looked_for_whichever_screen_comes_first(
    attached: bool, tiny_run: Path, make_app: MakeApp
) -> None:
    gc.disable()  # as the command does before it makes the app
    try:
        app = make_app(attach=tiny_run.name if attached else None)
        async with app.run_test(size=(80, 24)) as pilot:
            await until(pilot, gc.isenabled)
    finally:
        gc.enable()


async def test_an_app_that_is_left_follows_no_run(tiny_run: Path, make_app: MakeApp) -> None:
    app = make_app(attach=tiny_run.name)
    async with app.run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: app.session.watched is not None)
        assert app.session.watched is not None
        follower = app.session.watched.follower
    assert follower is not None
    follower._thread.join(30)
    assert not follower._thread.is_alive()


@pytest.mark.usefixtures("place")
async def test_a_click_on_a_title_goes_to_its_screen(make_app: MakeApp) -> None:
    app = make_app()
    async with app.run_test(size=(80, 24), notifications=True) as pilot:
        column = screen_text(app).splitlines()[0].index("Log")
        await pilot.click("#status", offset=(column, 0))
        await until(pilot, lambda: app.current_mode == "log")


async def test_help_explains_the_screen_at_hand(tiny_run: Path, make_app: MakeApp) -> None:
    app = make_app(attach=tiny_run.name)
    async with app.run_test(size=(160, 45), notifications=True) as pilot:
        for key, title in SCREENS.values():
            await pilot.press(key)
            await pilot.press("question_mark")
            await until(pilot, lambda: isinstance(app.screen, Page))
            await until(pilot, lambda title=title: title in screen_text(app).partition("\n")[2])
            await pilot.press("escape")
            await until(pilot, lambda: isinstance(app.screen, AppScreen))


async def test_the_palette_goes_to_a_screen(tiny_run: Path, make_app: MakeApp) -> None:
    app = make_app(attach=tiny_run.name)
    async with app.run_test(size=(80, 24), notifications=True) as pilot:
        await until(pilot, lambda: app.current_mode == "train")
        await pilot.press("ctrl+p")
        await pilot.press(*"go to log")
        await until(pilot, lambda: "Go to Log" in screen_text(app))
        await pilot.press("enter")
        await pilot.press("enter")
        await until(pilot, lambda: app.current_mode == "log")


async def test_the_command_that_repeats_the_screen_is_copied(
    tiny_run: Path, make_app: MakeApp
) -> None:
    app = make_app(profile="tiny.toml", overrides=("inner.steps=2",))
    async with app.run_test(size=(80, 24), notifications=True) as pilot:
        await until(pilot, lambda: app.current_mode == "train")
        await pilot.press("C")
        assert app.clipboard == "mamltui run tiny.toml --headless --set inner.steps=2 --device cpu"
        app.session.watch(find_run(tiny_run.name))
        await pilot.press("C")
        profile = Path("runs") / tiny_run.name / "profile.toml"
        assert app.clipboard == f"mamltui run {profile} --headless --device cpu"


@pytest.mark.usefixtures("place")
async def test_the_theme_is_remembered(make_app: MakeApp) -> None:
    first = make_app()
    async with first.run_test():
        assert first.theme == "mamltui-dark"
        first.theme = "mamltui-light"
    second = make_app()
    async with second.run_test():
        assert second.theme == "mamltui-light"


@pytest.mark.usefixtures("place")
async def test_a_missing_run_is_told_and_the_app_lives_on(make_app: MakeApp) -> None:
    app = make_app(attach="nothing-there")
    async with app.run_test(size=(80, 24), notifications=True) as pilot:
        await until(pilot, lambda: "there is no run 'nothing-there'" in screen_text(app))
        assert app.current_mode == "home"


@pytest.mark.usefixtures("place")
async def test_news_is_shown_without_markup_and_kept_for_the_log(make_app: MakeApp) -> None:
    app = make_app()
    async with app.run_test(size=(80, 24), notifications=True) as pilot:
        app.session.tell_error("It [b]failed[/b]", RunError("no [i]such[/i] thing"))
        await until(pilot, lambda: "no [i]such[/i] thing" in screen_text(app))
        assert "It [b]failed[/b]" in screen_text(app)
        assert [news.title for news in app.session.log] == ["It [b]failed[/b]"]


@pytest.mark.usefixtures("place")
async def test_a_bug_brings_its_traceback_to_the_log(make_app: MakeApp) -> None:
    app = make_app()
    async with app.run_test(size=(80, 24), notifications=True) as pilot:
        try:
            raise ZeroDivisionError("by zero")
        except ZeroDivisionError as error:
            app.session.tell_error("It failed", error)
        await until(pilot, lambda: "The traceback is on the Log screen" in screen_text(app))
        assert "raise ZeroDivisionError" in app.session.log[0].details


@pytest.mark.usefixtures("place")
async def test_quitting_without_a_training_asks_nothing(make_app: MakeApp) -> None:
    app = make_app()
    async with app.run_test(size=(80, 24), notifications=True) as pilot:
        await pilot.press("ctrl+q")
        await until(pilot, lambda: not app.is_running or app._exit)


@pytest.mark.usefixtures("place")
async def test_quitting_while_training_asks_and_saves_a_checkpoint(make_app: MakeApp) -> None:
    settings = (*ENDLESS, "run.checkpoint_interval=1000000")
    app = make_app(profile="tiny.toml", overrides=settings, run_now=True)
    async with app.run_test(size=(80, 24), notifications=True) as pilot:
        training = app.session.training
        await until(
            pilot, lambda: app.session.training and app.session.training.history.newest().step
        )
        training = app.session.training
        assert training is not None
        await pilot.press("ctrl+q")
        await until(pilot, lambda: "A training is running" in screen_text(app))
        await pilot.press("n")
        await until(pilot, lambda: isinstance(app.screen, AppScreen))
        assert not training.is_stopping
        await pilot.press("ctrl+q")
        await until(pilot, lambda: "A training is running" in screen_text(app))
        start = asyncio.get_running_loop().time()
        await pilot.press("y")
        await until(pilot, lambda: app._exit)
        assert asyncio.get_running_loop().time() - start < 10
    assert training.run is not None
    info = json.loads((training.run.path / "run.json").read_text())
    assert info["state"] == "interrupted"
    assert training.run.load_checkpoint("last").iteration == info["iteration"]


async def test_a_finished_training_is_news_on_every_screen(
    tiny_run: Path, make_app: MakeApp
) -> None:
    assert tiny_run.exists()
    app = make_app(profile="tiny.toml", run_now=True)
    async with app.run_test(size=(80, 24), notifications=True) as pilot:
        await until(pilot, lambda: app.current_mode == "train")
        await pilot.press("6")
        await until(pilot, lambda: "test accuracy" in screen_text(app))
        assert app.current_mode == "log"


@pytest.mark.usefixtures("place")
async def test_what_ends_in_the_background_after_the_app_was_left_is_told_to_nobody(
    make_app: MakeApp,
) -> None:
    app, left, told = make_app(), threading.Event(), list[object]()
    async with app.run_test() as pilot:
        in_background(app, left.wait, told.append, told.append)
        before = {thread for thread in threading.enumerate() if thread.name == "background"}
        await pilot.press("ctrl+q")
        await until(pilot, lambda: not app.is_running)
    left.set()
    await asyncio.to_thread(lambda: [thread.join() for thread in before])
    assert told == []


@pytest.mark.usefixtures("place")
async def test_more_keys_are_named_at_the_foot_where_there_is_room(make_app: MakeApp) -> None:
    app = make_app()
    async with app.run_test(size=(160, 45)) as pilot:
        await until(
            pilot, lambda: "D Remove" in screen_text(app) and "N Rename" in screen_text(app)
        )
        await pilot.resize_terminal(80, 24)
        await until(pilot, lambda: "D Remove" not in screen_text(app))
        await until(pilot, lambda: "r Run" in screen_text(app).splitlines()[-1])
        await pilot.press("f6")
        await until(pilot, lambda: app.current_mode == "log")


@pytest.mark.usefixtures("place")
async def test_letters_of_a_cyrillic_layout_are_the_keys_they_are_on(make_app: MakeApp) -> None:
    app = make_app()
    async with app.run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: "quickstart" in screen_text(app))
        await pilot.press("о", "о")  # j
        await until(pilot, lambda: "›  5way1shot" in screen_text(app))
        await pilot.press("slash", "т", "у")  # typed, not taken for keys
        await until(pilot, lambda: "ту" in screen_text(app))


@pytest.mark.usefixtures("place")
async def test_a_click_on_a_key_at_the_foot_is_as_the_key(make_app: MakeApp) -> None:
    app = make_app()
    async with app.run_test(size=(120, 36), notifications=True) as pilot:
        for word in ("? Help", "Help"):
            await until(pilot, lambda word=word: word in screen_text(app).splitlines()[-1])
            await pilot.click(offset=(screen_text(app).splitlines()[-1].index(word), 35))
            await until(pilot, lambda: isinstance(app.screen, Page))
            await pilot.press("escape")
            await until(pilot, lambda: isinstance(app.screen, AppScreen))


@pytest.mark.parametrize("width", [160, 80, 40])
async def test_the_keys_for_help_and_the_way_out_are_at_every_foot(
    width: int, tiny_run: Path, make_app: MakeApp
) -> None:
    app = make_app(attach=tiny_run.name)
    async with app.run_test(size=(width, 24)) as pilot:
        for name, (key, _) in SCREENS.items():
            await pilot.press(key)
            await until(pilot, lambda name=name: app.current_mode == name)
            await until(pilot, lambda: "^q Quit ? Help" in screen_text(app).splitlines()[-1])


async def test_the_palette_offers_each_thing_once(tiny_run: Path, make_app: MakeApp) -> None:
    app = make_app(attach=tiny_run.name)
    async with app.run_test(size=(80, 24)) as pilot:
        for name, (key, _) in SCREENS.items():
            await pilot.press(key)
            await until(pilot, lambda name=name: app.current_mode == name)
            titles = [command.title for command in app.get_system_commands(app.screen)]
            assert len(titles) == len(set(titles)), name
