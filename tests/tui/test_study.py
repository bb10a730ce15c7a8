"""The Study screen: studies, their cells as they fill, their runs, and what can be done to them."""

from __future__ import annotations

import os
import re
import signal
from collections.abc import Callable
from pathlib import Path

import pytest
from textual.pilot import Pilot

from mamltui.runs import REFERENCE_VARIABLE
from mamltui.runs.lock import Lock
from mamltui.studies.launch import PROCESS, process_note
from mamltui.studies.queue import Queue
from mamltui.studies.reading import load_study, study_folder
from mamltui.tui.app import MamltuiApp
from mamltui.tui.study.screen import StudyScreen
from tests.studies.conftest import use_small_images
from tests.studies.small import Here, write_study
from tests.tui.conftest import screen_text, until

MakeApp = Callable[..., MamltuiApp]


@pytest.fixture
def half_way(place: Path) -> Path:
    """The runs of a study of two cells, of which one is done."""
    study = load_study(str(write_study(place)))
    with pytest.MonkeyPatch.context() as patch:
        use_small_images(patch)
        queue = Queue(
            study,
            Here(),
            root=place / "runs",
            only=["quickstart-steps1"],
            notify=lambda _: None,
        )
        while not queue.step()[1]:
            pass
        queue.close()
    return place / "runs"


async def open_study(app: MamltuiApp, pilot: Pilot[None], name: str) -> StudyScreen:
    await pilot.press("7")
    await until(pilot, lambda: isinstance(app.screen, StudyScreen))
    screen = app.screen
    assert isinstance(screen, StudyScreen)
    await until(pilot, lambda: screen._study_list.go_to(name))
    await pilot.press("enter")
    await until(pilot, lambda: screen._board is not None)
    return screen


async def test_cells_are_listed_drawn_and_reported_half_way(
    half_way: Path, make_app: MakeApp
) -> None:
    app = make_app()
    async with app.run_test(size=(80, 24), notifications=True) as pilot:
        screen = await open_study(app, pilot, "small")
        await until(pilot, lambda: "1 of 2 cells over" in screen_text(app))
        rows = {words[0]: words[1] for words in map(str.split, _rows(screen_text(app)))}
        assert rows == {"quickstart-steps1-seed0": "done", "quickstart-steps2-seed0": "queued"}
        assert "not running" in screen_text(app)
        assert "validation accuracy % over iterations" in screen_text(app)
        await pilot.press("m")
        await until(pilot, lambda: "test accuracy % over inner steps" in screen_text(app))
        await pilot.press("w")
        await until(pilot, lambda: "Report written" in screen_text(app))
        page = study_folder("small", half_way) / "report" / "report.html"
        assert "1 of 2 cells over" in page.read_text()
        await pilot.press("escape")
        await until(pilot, lambda: screen._study_list.has_focus)


def _rows(text: str) -> list[str]:
    return [line.strip(" ›") for line in text.splitlines() if "-seed0 " in line]


async def test_enter_on_a_cell_opens_its_run(half_way: Path, make_app: MakeApp) -> None:
    app = make_app()
    async with app.run_test(size=(120, 36), notifications=True) as pilot:
        screen = await open_study(app, pilot, "small")
        screen._cell_list.go_to("quickstart-steps2-seed0")
        await pilot.press("enter")
        await until(pilot, lambda: "has no run yet" in screen_text(app))
        screen._cell_list.go_to("quickstart-steps1-seed0")
        await pilot.press("enter")
        await until(pilot, lambda: app.current_mode == "train")
        (run,) = (path.name for path in half_way.iterdir() if path.name.startswith("small-"))
        await until(pilot, lambda: run[:30] in screen_text(app))


async def test_run_goes_on_in_a_process_of_its_own_and_stop_asks_it_to_end(
    half_way: Path, make_app: MakeApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[list[str]] = []
    monkeypatch.setattr(
        "mamltui.studies.launch.subprocess.Popen",
        lambda command, **_: started.append(list(command)),
    )
    signals: list[tuple[int, int]] = []
    monkeypatch.setattr(
        "mamltui.studies.launch.os.kill", lambda pid, number: signals.append((pid, number))
    )
    app = make_app()
    async with app.run_test(size=(120, 36), notifications=True) as pilot:
        await open_study(app, pilot, "small")
        await pilot.press("x")
        await until(pilot, lambda: "no process works on this study" in screen_text(app))
        await pilot.press("r")
        await until(pilot, lambda: bool(started))
        assert started[0][1:6] == ["-m", "mamltui", "study", "run", "small"]
        assert "--resume" in started[0]
        folder = study_folder("small", half_way)
        lock = Lock(folder / "lock")
        assert lock.acquire()
        (folder / PROCESS).write_text(process_note())
        await pilot.press("x")
        await until(pilot, lambda: bool(signals))
        assert signals == [(os.getpid(), signal.SIGINT)]
        lock.release()


@pytest.mark.parametrize("size", [(80, 24), (160, 45)])
@pytest.mark.usefixtures("place")
async def test_what_a_study_is_about_is_told_whole(
    size: tuple[int, int], make_app: MakeApp
) -> None:
    app = make_app()
    async with app.run_test(size=size) as pilot:
        await pilot.press("7")
        await until(pilot, lambda: isinstance(app.screen, StudyScreen))
        screen = app.screen
        assert isinstance(screen, StudyScreen)
        await until(pilot, lambda: screen._study_list.go_to("quick"))
        for listed in screen._studies or ():
            screen._study_list.go_to(listed.name)
            assert listed.study is not None
            words = listed.study.description.split()
            await until(pilot, lambda words=words: _note(screen)[: len(words)] == words)


def _note(screen: StudyScreen) -> list[str]:
    """The words beside the list of studies."""
    note = screen._note
    return " ".join(note.render_line(y).text for y in range(note.size.height)).split()


@pytest.mark.usefixtures("half_way")
async def test_only_a_study_that_runs_can_be_stopped_and_escape_leaves_the_list(
    make_app: MakeApp,
) -> None:
    app = make_app()
    async with app.run_test(size=(120, 36)) as pilot:
        await open_study(app, pilot, "small")
        await until(pilot, lambda: "r Run" in screen_text(app).splitlines()[-1])
        foot = screen_text(app).splitlines()[-1]
        assert "Stop" not in foot and "m Metric" in foot
        await pilot.press("escape")
        await until(pilot, lambda: "m Metric" not in screen_text(app))
        await pilot.press("escape")
        await until(pilot, lambda: app.current_mode == "home")


async def test_the_list_says_how_far_each_study_is(
    half_way: Path, make_app: MakeApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    references = Path(__file__).parents[2] / "runs" / "reference"
    monkeypatch.setenv(REFERENCE_VARIABLE, str(references))
    app = make_app()
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("7")
        await until(pilot, lambda: "begun 1 of 2" in screen_text(app))
        assert _states(app)["quick"] == "not begun"
        assert _states(app)["train-steps"] == "reference"  # its runs come with mamltui
        assert "no data yet" not in screen_text(app)  # nothing is drawn of a list
        lock = Lock(study_folder("small", half_way) / "lock")
        assert lock.acquire()
        await until(pilot, lambda: _states(app)["small"] == "running 1 of 2")
        assert isinstance(app.screen, StudyScreen)
        assert app.screen._study_list.go_to("small")
        await until(pilot, lambda: "x Stop" in screen_text(app).splitlines()[-1])
        assert "r Run" not in screen_text(app).splitlines()[-1]
        lock.release()
        await until(pilot, lambda: "r Run" in screen_text(app).splitlines()[-1])
        assert "x Stop" not in screen_text(app).splitlines()[-1]


def _states(app: MamltuiApp) -> dict[str, str]:
    """What the list says of each study, by its name."""
    lines = (re.split(r"  +", line.strip(" ›")) for line in screen_text(app).splitlines())
    return {words[0]: words[-1] for words in lines if len(words) > 2}
