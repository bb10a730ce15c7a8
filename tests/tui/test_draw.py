"""The draw screen: by mouse and by keys, answered while one draws."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from textual.events import MouseMove
from textual.pilot import Pilot, _get_mouse_message_arguments

from mamltui.cli import main
from mamltui.errors import ExitCode
from mamltui.runs import find_run
from mamltui.tui.app import MamltuiApp
from mamltui.tui.draw.canvas import Canvas
from mamltui.tui.draw.drawings import QUERY, Slot
from mamltui.tui.draw.ink import SIZE, Drawing
from mamltui.tui.draw.screen import DrawScreen
from tests.tui.conftest import screen_text, settled, until
from tests.tui.home_place import go_to, listed

MakeApp = Callable[..., MamltuiApp]
Cell = tuple[int, int]
REFERENCE = Path(__file__).parents[2] / "runs" / "reference"
CORNER: list[list[Cell]] = [[(8, 4), (29, 4), (29, 15)]]
CROSS: list[list[Cell]] = [[(6, 9), (31, 9)], [(18, 3), (18, 16)]]
RING: list[list[Cell]] = [[(12, 4), (25, 4), (29, 9), (25, 14), (12, 14), (8, 9), (12, 4)]]


@pytest.fixture
def shipped(place: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, without runs but those that come with mamltui."""
    monkeypatch.setenv("MAMLTUI_REFERENCE_DIR", str(REFERENCE))
    return place


async def opened(pilot: Pilot[Any]) -> DrawScreen:
    """The draw screen, when it knows its run."""
    await pilot.press("8")
    await until(pilot, lambda: isinstance(pilot.app.screen, DrawScreen))
    await until(pilot, lambda: "fast-5way1shot" in screen_text(pilot.app))
    screen = pilot.app.screen
    assert isinstance(screen, DrawScreen)
    return screen


async def drag(pilot: Pilot[Any], cells: list[Cell], button: int = 1) -> None:
    """Draw through cells of the canvas, a straight line from each to the next."""
    canvas = pilot.app.screen.query_one(Canvas)
    await pilot.mouse_down(canvas, cells[0], button=button)
    for (x, y), (to_x, to_y) in pairwise(cells):
        steps = max(abs(to_x - x), abs(to_y - y))
        for step in range(1, steps + 1):
            at = (x + round((to_x - x) * step / steps), y + round((to_y - y) * step / steps))
            _move(canvas, at, button)
    await settled(pilot.app)
    await pilot.mouse_up(canvas, cells[-1])


def _move(canvas: Canvas, at: Cell, button: int = 1) -> None:
    """The pointer goes on to a cell, faster than a pilot who waits for everything."""
    event = MouseMove(**_get_mouse_message_arguments(canvas, at, button))
    canvas.screen._forward_event(event)


async def draw(pilot: Pilot[Any], shape: list[list[Cell]], shift: int = 0) -> None:
    for stroke in shape:
        await drag(pilot, [(x + shift, y) for x, y in stroke])


@pytest.mark.usefixtures("shipped")
async def test_classes_drawn_by_mouse_and_by_keys_are_told_apart_while_a_query_is_drawn(
    make_app: MakeApp,
) -> None:
    app = make_app()
    async with app.run_test(size=(80, 24), notifications=True) as pilot:
        screen = await opened(pilot)
        await draw(pilot, CORNER)
        assert "Draw at least two classes" in screen_text(app)
        await pilot.press("tab")
        await draw(pilot, CROSS)
        await pilot.press("tab")
        # A ring with five corners, by keys: the cursor begins in the middle.
        keys = "uuuuuu rrrrrrddd dddddd llllllddd lllllluuu uuuuuu rrrrrruuu"
        names = {"u": "up", "d": "down", "l": "left", "r": "right"}
        for part in keys.split():
            await pilot.press(*(names[key] for key in part), "space")
        assert screen.query_one(Canvas).is_down
        await pilot.press("enter")
        assert "pen down" not in screen_text(app)
        await pilot.press("q")
        assert "the query" in screen_text(app)
        canvas = screen.query_one(Canvas)
        await pilot.mouse_down(canvas, (19, 4))
        answers = []
        for y in range(5, 16):
            _move(canvas, (19, y))
            await settled(app)
            await until(pilot, lambda: _is_answered(screen))
            answers.append(screen._answer)
        assert len({id(each) for each in answers}) == len(answers)  # while the button is held
        await pilot.mouse_up(canvas, (19, 15))
        await drag(pilot, [(8, 10), (30, 10)])
        await until(pilot, lambda: "3: B" in screen_text(app))
        assert "support statistics" in screen_text(app)
        answer = screen._answer
        assert answer is not None
        assert answer.probabilities[1][-1] > 0.8
        await pilot.press("c")
        await draw(pilot, RING, shift=1)
        await until(pilot, lambda: "3: C" in screen_text(app))
        assert "bars: probability after 0 to 3 steps" in screen_text(app)


def _is_answered(screen: DrawScreen) -> bool:
    query = screen._drawings.query.ink.tobytes()
    return screen._answer is not None and screen._answer.question.query == query


@pytest.mark.usefixtures("shipped")
async def test_the_tools_and_the_keys_of_the_slots(make_app: MakeApp) -> None:
    app = make_app()
    async with app.run_test(size=(160, 45), notifications=True) as pilot:
        screen = await opened(pilot)
        canvas = screen.query_one(Canvas)
        await drag(pilot, [(20, 20), (60, 20)])
        line = canvas.drawing.ink
        assert line[52].sum() > 45
        await drag(pilot, [(40, 15), (40, 25)], button=3)  # the right button erases
        assert canvas.drawing.ink.sum() < line.sum()
        await pilot.press("u")
        assert np.array_equal(canvas.drawing.ink, line)
        await pilot.press("x")
        assert "eraser" in screen_text(app).splitlines()[1]
        await drag(pilot, [(20, 20), (60, 20)])
        assert canvas.drawing.is_blank
        await pilot.press("u", "x", "c")
        assert canvas.drawing.is_blank
        await pilot.press("ctrl+z")
        assert np.array_equal(canvas.drawing.ink, line)
        await pilot.press("a")
        assert "drawing 2 of 2" in screen_text(app)
        assert screen._slot == Slot(0, 1)
        await pilot.press("a")  # the one that is blank still
        assert screen._slot == Slot(0, 1)
        await pilot.press("shift+tab")
        assert canvas.drawing.ink is line
        await pilot.press("b")
        assert screen._slot == QUERY
        await pilot.press("n")
        assert screen._slot == Slot(0)
        cards = screen.query_one("#cards")
        await pilot.click(cards, offset=(45, 2))
        assert screen._slot == Slot(1)
        await pilot.click(cards, offset=(45, 20))
        assert screen._slot == QUERY
        await pilot.press("space", "right", "shift+down")
        assert canvas.drawing.ink.any()
        await pilot.press("escape")  # the stroke, not the screen
        assert canvas.drawing.is_blank
        await pilot.press("escape")
        await until(pilot, lambda: app.current_mode == "home")


async def test_drawings_are_saved_and_opened_and_the_command_is_copied(
    shipped: Path, make_app: MakeApp
) -> None:
    app = make_app()
    async with app.run_test(size=(80, 24)) as pilot:
        screen = await opened(pilot)
        await pilot.press("C")
        run = find_run("fast-5way1shot").name
        assert app.clipboard == f"mamltui draw {run} --device cpu"
        for shape in (CORNER, CROSS):
            await draw(pilot, shape)
            await pilot.press("tab")
        await pilot.press("q")
        await draw(pilot, CROSS, shift=1)
        await pilot.press("shift+tab", "b", "b", "b", "N")
        await pilot.press("backspace", *"plus", "enter")
        await pilot.press("s")
        await until(pilot, lambda: "new folder" in screen_text(app))
        await pilot.press("enter")
        await until(pilot, lambda: (shipped / "drawings" / "query.png").exists())
        names = sorted(each.name for each in (shipped / "drawings").iterdir())
        assert names == ["A", "plus", "query.png"]
        await pilot.press("C")
        assert app.clipboard == (
            f"mamltui adapt {run} --support drawings --query drawings/query.png"
        )
        before = screen._drawings
        await pilot.press("o")
        await until(pilot, lambda: "in place of what is drawn" in screen_text(app))
        await pilot.press("enter")
        await until(pilot, lambda: screen._drawings is not before)
        assert [each.name for each in screen._drawings.classes] == ["A", "plus"]
        await until(pilot, lambda: "3: plus" in screen_text(app))
        await pilot.press("s")
        await until(pilot, lambda: "drawings-2" in screen_text(app))
        await pilot.press("escape")


@pytest.mark.usefixtures("shipped")
async def test_the_number_of_classes_and_of_steps_is_as_the_run_allows(make_app: MakeApp) -> None:
    app = make_app()
    async with app.run_test(size=(80, 24), notifications=True) as pilot:
        screen = await opened(pilot)
        await until(pilot, lambda: screen._answer is not None)
        await pilot.press("w")
        await until(pilot, lambda: "trained with 5" in screen_text(app))
        await pilot.press("backspace", "6")
        await until(pilot, lambda: "learned for tasks of 5 classes, not of 6" in screen_text(app))
        await pilot.press("backspace", "2", "enter")
        await until(pilot, lambda: len(screen._drawings.classes) == 2)
        for shape in (CORNER, CROSS, CROSS):
            await draw(pilot, shape)
            await pilot.press("tab")
        await until(pilot, lambda: "3: B" in screen_text(app))
        await pilot.press("plus")
        await until(pilot, lambda: "4: B" in screen_text(app))
        await pilot.press("minus", "minus")
        await until(pilot, lambda: "3: B" not in screen_text(app))


@pytest.mark.usefixtures("shipped")
async def test_home_opens_it_for_the_run_at_the_cursor(make_app: MakeApp) -> None:
    app = make_app()
    async with app.run_test(size=(80, 24), notifications=True) as pilot:
        await listed(pilot)
        await pilot.press("d")
        await until(pilot, lambda: "d draws for a run" in screen_text(app))
        await pilot.press("tab")
        run = find_run("fast-20way1shot").name
        await go_to(pilot, run)
        await pilot.press("d")
        await until(pilot, lambda: app.current_mode == "draw")
        await until(pilot, lambda: run in screen_text(app))


@pytest.mark.usefixtures("shipped")
async def test_a_named_run_is_opened_at_once(make_app: MakeApp) -> None:
    app = make_app(attach="fast-meta-curvature", screen="draw")
    async with app.run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: app.current_mode == "draw")
        await until(pilot, lambda: "fast-meta-curvature" in screen_text(app))


async def test_without_a_run_it_says_what_to_do(place: Path, make_app: MakeApp) -> None:
    assert place.exists()
    app = make_app()
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("8")
        await until(pilot, lambda: "No run has learned from drawings yet" in screen_text(app))
        await draw(pilot, CORNER)  # one may draw all the same
        assert "⠉" in screen_text(app) or "⣀" in screen_text(app) or "⣿" in screen_text(app)


@pytest.mark.usefixtures("shipped")
@pytest.mark.parametrize("size", [(1, 1), (20, 5), (61, 9), (120, 36)])
async def test_it_draws_at_every_size(size: Cell, make_app: MakeApp) -> None:
    app = make_app(attach="fast-5way1shot", screen="draw")
    async with app.run_test(size=size) as pilot:
        await until(pilot, lambda: app.current_mode == "draw")
        screen = app.screen
        assert isinstance(screen, DrawScreen)
        screen._drawings.set_way(26)
        screen._drawings.query = Drawing(np.ones((SIZE, SIZE), np.bool_))
        for _ in range(30):
            screen.action_slot(1)
        await pilot.press("space", "right", "down", "enter")
        await pilot.resize_terminal(80, 24)
        await until(pilot, lambda: "›" in screen_text(app))


@pytest.mark.usefixtures("shipped")
def test_the_command_names_what_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    assert main(["draw"]) == ExitCode.USAGE
    assert "the app needs a terminal" in capsys.readouterr().err
    assert main(["draw", "nowhere"]) == ExitCode.UNAVAILABLE
    assert "there is no run 'nowhere'" in capsys.readouterr().err
    monkeypatch.setenv("MAMLTUI_REFERENCE_DIR", str(tmp_path / "none"))
    assert main(["draw"]) == ExitCode.UNAVAILABLE
    stderr = capsys.readouterr().err
    assert "no run has learned from drawings" in stderr
    assert "mamltui run quickstart" in stderr
