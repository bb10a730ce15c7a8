"""Questions and pages over a screen: how they are answered, and that nothing in them is obeyed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from textual.containers import VerticalScroll
from textual.widgets import Input

from mamltui.profiles import Profile
from mamltui.tui.app import MamltuiApp
from mamltui.tui.help import Page
from mamltui.tui.shared.dialogs import Ask, Confirm
from mamltui.tui.shared.screen import AppScreen
from tests.tui.conftest import SIZES, screen_text, until
from tests.tui.home_place import listed

MakeApp = Callable[..., MamltuiApp]
HOSTILE = "[bold]really[/] [@click=app.quit]this[/]?"
pytestmark = pytest.mark.usefixtures("place")


@pytest.mark.parametrize(
    ("key", "answer"), [("y", True), ("enter", True), ("n", False), ("escape", False)]
)
async def test_a_question_is_answered_by_its_keys(
    key: str, answer: bool, make_app: MakeApp
) -> None:
    app = make_app()
    answers: list[Any] = []
    async with app.run_test(size=(80, 24)) as pilot:
        app.push_screen(Confirm(HOSTILE, "What [b]follows[/b]."), answers.append)
        await until(pilot, lambda: HOSTILE in screen_text(app))
        assert "What [b]follows[/b]." in screen_text(app)
        await pilot.press(key)
        await until(pilot, lambda: answers == [answer])
        assert isinstance(app.screen, AppScreen)


async def test_a_text_is_asked_for_until_it_is_right(make_app: MakeApp) -> None:
    app = make_app()
    answers: list[Any] = []

    def problem(text: str) -> str:
        return "" if text.isdigit() else f"[b]{text}[/b] is no number"

    async with app.run_test(size=(80, 24)) as pilot:
        app.push_screen(Ask("How [i]many[/i]?", "1x", problem), answers.append)
        await until(pilot, lambda: "How [i]many[/i]?" in screen_text(app))
        await pilot.press("end", "y")
        await until(pilot, lambda: "[b]1xy[/b] is no number" in screen_text(app))
        await pilot.press("enter")
        await pilot.pause()
        assert isinstance(app.screen, Ask)
        app.screen.query_one(Input).value = "12"
        await until(pilot, lambda: "is no number" not in screen_text(app))
        await pilot.press("enter")
        await until(pilot, lambda: answers == ["12"])
        app.push_screen(Ask("Again?"), answers.append)
        await until(pilot, lambda: isinstance(app.screen, Ask))
        await pilot.press("escape")
        await until(pilot, lambda: answers == ["12", None])


@pytest.mark.parametrize("size", SIZES)
async def test_a_page_is_scrolled_and_closed_by_its_keys(
    size: tuple[int, int], make_app: MakeApp
) -> None:
    app = make_app()
    text = "\n\n".join(f"line {number}" for number in range(100))
    async with app.run_test(size=size) as pilot:
        for close in ("escape", "q", "question_mark"):
            app.push_screen(Page(text))
            await until(
                pilot,
                lambda: isinstance(app.screen, Page) and bool(app.screen.query(VerticalScroll)),
            )
            scroll = app.screen.query_one(VerticalScroll)
            await until(pilot, lambda scroll=scroll: scroll.max_scroll_y > 0 and scroll.has_focus)
            await pilot.press("j", "down")
            await until(pilot, lambda scroll=scroll: scroll.scroll_y == 2)
            await pilot.press("k")
            await until(pilot, lambda scroll=scroll: scroll.scroll_y == 1)
            await pilot.press(close)
            await until(pilot, lambda: isinstance(app.screen, AppScreen))


@pytest.mark.parametrize("size", SIZES)
async def test_an_open_question_keeps_the_keys_of_the_screens_to_itself(
    size: tuple[int, int], make_app: MakeApp
) -> None:
    app = make_app()
    async with app.run_test(size=size) as pilot:
        await listed(pilot)
        app.push_screen(Confirm("Sure?", "It is done."))
        await until(pilot, lambda: isinstance(app.screen, Confirm))
        await pilot.press("6", "r", "question_mark")
        await pilot.pause()
        assert app.current_mode == "home"
        assert isinstance(app.screen, Confirm)
        assert app.session.training is None


async def test_the_help_of_home_names_every_key_of_home(make_app: MakeApp) -> None:
    app = make_app()
    async with app.run_test(size=(160, 45)) as pilot:
        await listed(pilot)
        screen = app.screen
        assert isinstance(screen, AppScreen)
        keys = [
            line.split("|")[1].strip() for line in screen.HELP.splitlines() if line.startswith("| ")
        ]
        named = {part for key in keys for part in key.replace(",", " ").split()}
        for key in ("Enter", "r", "R", "n", "e", "/", "space", "c", "D", "Tab"):
            assert key in named
        await pilot.press("question_mark")
        await until(pilot, lambda: "filter both lists by words" in screen_text(app))


async def test_the_palette_finds_a_screen_by_a_part_of_its_name(make_app: MakeApp) -> None:
    app = make_app()
    async with app.run_test(size=(80, 24)) as pilot:
        await listed(pilot)
        await pilot.press("ctrl+p", *"compar")
        await until(pilot, lambda: "Go to Compare" in screen_text(app))
        await pilot.press("down", "enter")
        await until(pilot, lambda: app.current_mode == "compare")


async def test_the_palette_copies_the_command_of_the_screen(make_app: MakeApp) -> None:
    app = make_app()
    async with app.run_test(size=(80, 24)) as pilot:
        await listed(pilot)
        await pilot.press("ctrl+p", *"copy comm")
        await until(pilot, lambda: "Copy command" in screen_text(app))
        await pilot.press("down", "enter")
        await until(
            pilot,
            lambda: app.clipboard == "mamltui run quickstart --headless --device cpu",
        )


async def test_the_queue_counts_what_is_in_it(make_app: MakeApp) -> None:
    app = make_app()
    async with app.run_test(size=(80, 24)) as pilot:
        await listed(pilot)
        for count in ("1 training ", "2 trainings "):
            app.session.queue.add(Profile(name="later"))
            await pilot.press("Q")
            await until(pilot, lambda count=count: count in screen_text(app))
            await pilot.press("escape")
            await until(pilot, lambda: isinstance(app.screen, AppScreen))


async def test_the_palette_opens_the_queue_and_the_help_names_its_key(make_app: MakeApp) -> None:
    app = make_app()
    async with app.run_test(size=(80, 40)) as pilot:
        await listed(pilot)
        await pilot.press("ctrl+p", *"queue")
        await until(pilot, lambda: "The trainings that wait, run and are done" in screen_text(app))
        await pilot.press("down", "enter")
        await until(pilot, lambda: "nothing waits" in screen_text(app))
        await pilot.press("escape")
        await until(pilot, lambda: isinstance(app.screen, AppScreen))
        await pilot.press("question_mark", "G", "end")
        await until(pilot, lambda: "the queue: trainings that wait" in screen_text(app))
