"""The app in tests: a folder with a tiny profile and run, and no state but the test's own."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from textual.app import App
from textual.pilot import Pilot
from textual.widget import Widget

from mamltui.cli import main
from mamltui.commands import CommonOptions
from mamltui.runs import RunFolder
from mamltui.tui.app import MamltuiApp
from mamltui.tui.session.options import Options
from tests.cli.run_folders import trained_run
from tests.cli.tiny import RUN, copy_place, make_place

SECONDS = 60.0
"""Long enough for a machine that has something else to do."""
SIZES = [(20, 5), (80, 24), (160, 45)]


@pytest.fixture(autouse=True)
def _pilots_wait_for_settled_screens(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let every key, click and pause of a pilot wait until the app has done all it has to do.

    Textual's own pilots take a process that uses no processor time for idle. It uses none either
    while another program has the processor, and always some while a thread trains.
    """
    presses = MamltuiApp._press_keys

    async def press_one_by_one(app: MamltuiApp, keys: Iterable[str]) -> None:
        for key in keys:
            await presses(app, [key])
            await settled(app)

    async def wait_for_screen(pilot: Pilot[Any], timeout: float = SECONDS) -> bool:
        await settled(pilot.app, timeout)
        return True

    async def at_once(min_sleep: float = 0, max_sleep: float = 0) -> None:
        await asyncio.sleep(min(min_sleep, max_sleep))

    monkeypatch.setattr(App, "_press_keys", press_one_by_one)
    monkeypatch.setattr(Pilot, "_wait_for_screen", wait_for_screen)
    monkeypatch.setattr("textual.pilot.wait_for_idle", at_once)
    monkeypatch.setattr("textual.app.wait_for_idle", at_once)


async def settled(app: App[Any], seconds: float = SECONDS) -> None:
    """Wait until the app has handled every message, and laid out and painted what they changed."""
    limit = time.monotonic() + seconds
    while app._running and app._exception is None:
        if time.monotonic() > limit:
            raise AssertionError(f"never at rest:\n{screen_text(app)}")
        await _queues_processed(app)
        if not app._running or not app.screen_stack:
            return
        app.screen._on_timer_update()
        if not _has_work(app):
            return


async def _queues_processed(app: App[Any]) -> None:
    """Wait until each widget has handled the messages that wait for it now."""
    waiting = asyncio.Event()
    count = 0

    def handled() -> None:
        nonlocal count
        count -= 1
        if count == 0:
            waiting.set()

    nodes = [app, *(app.screen.walk_children(with_self=True) if app.screen_stack else ())]
    count = sum(node.call_later(handled) for node in nodes)
    while count and app._running and app._exception is None:
        with suppress(asyncio.TimeoutError):
            await asyncio.wait_for(waiting.wait(), 0.05)
        count = count if all(node.is_running for node in nodes) else 0
    await asyncio.sleep(0)


def _has_work(app: App[Any]) -> bool:
    """Whether a message waits, or something is to be laid out, painted or called afterwards."""
    screen = app.screen
    nodes = [app, *screen.walk_children(with_self=True)]
    return bool(
        any(not node._message_queue.empty() or node._next_callbacks for node in nodes)
        or any(
            widget._layout_required or widget._repaint_required or widget._recompose_required
            for widget in nodes[1:]
            if isinstance(widget, Widget)
        )
        or screen._dirty_widgets
        or screen._callbacks
    )


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A place with one finished and evaluated tiny run."""
    folder = make_place(tmp_path_factory.mktemp("trained"))
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.delenv("MAMLTUI_RUNS_DIR", raising=False)
        assert main(RUN) == 0
    return folder


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, with ``tiny.toml`` and its characters, no runs, nothing remembered."""
    folder = make_place(tmp_path / "place")
    _enter(folder, tmp_path, monkeypatch)
    return folder


@pytest.fixture
def tiny_run(trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of a finished run in ``runs`` of the current folder, which is like ``place``."""
    folder = copy_place(trained, tmp_path / "place")
    _enter(folder, tmp_path, monkeypatch)
    (run,) = (folder / "runs").iterdir()
    return run


def _enter(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    monkeypatch.setenv("MAMLTUI_STATE_DIR", str(tmp_path / "state"))
    monkeypatch.delenv("MAMLTUI_RUNS_DIR", raising=False)
    monkeypatch.setenv("TEXTUAL_ANIMATIONS", "none")


@pytest.fixture
def make_run(place: Path) -> Callable[..., RunFolder]:
    """Makes a finished run in ``runs`` of the place; its name begins with the one given."""

    def make(name: str, **changes: Any) -> RunFolder:
        return trained_run(place / "runs", place / "characters", name, **changes)

    return make


@pytest.fixture
def make_app() -> Callable[..., MamltuiApp]:
    """Makes the app with these ``Options``, on the CPU."""

    def make(**options: Any) -> MamltuiApp:
        options.setdefault("common", CommonOptions(device="cpu"))
        return MamltuiApp(Options(**options))

    return make


async def until(pilot: Pilot[Any], condition: Callable[[], object]) -> None:
    """Wait until ``condition`` holds; fail with the screen's text when time runs out."""
    limit = time.monotonic() + SECONDS
    while not condition():
        if time.monotonic() > limit:
            raise AssertionError(f"timed out at:\n{screen_text(pilot.app)}")
        await pilot.pause()
        await asyncio.sleep(0.01)


def screen_text(app: Any) -> str:
    """What a person would read on the screen, line by line."""
    width, height = app.size
    lines = app.screen._compositor.render_strips(app.size) if width and height else []
    return "\n".join("".join(segment.text for segment in strip).rstrip() for strip in lines)


async def final_text(app: MamltuiApp) -> str:
    """What is on the screen when nothing is read any more and another redraw changes nothing."""
    limit = time.monotonic() + SECONDS
    before, text = None, screen_text(app)
    while before != text or any(thread.name == "background" for thread in threading.enumerate()):
        if time.monotonic() > limit:
            raise AssertionError(f"never stands still:\n{text}")
        await asyncio.sleep(0.01)
        app._tick()
        await settled(app)
        before, text = text, screen_text(app)
    return text
