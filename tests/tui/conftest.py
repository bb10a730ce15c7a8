"""The app in tests: a folder with a tiny profile and run, and no state but the test's own."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from textual.pilot import Pilot

from mamltui.cli import main
from mamltui.commands import Place
from mamltui.tui.app import MamltuiApp
from mamltui.tui.options import Options
from tests.cli.tiny import RUN, copy_place, make_place

SECONDS = 60.0
"""Long enough for a machine that has something else to do."""
SIZES = [(20, 5), (80, 24), (160, 45)]


@pytest.fixture(autouse=True)
def _wait_for_the_app_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Textual's pilot waits until the process is idle, which it is not while a thread trains."""
    monkeypatch.setattr("textual.pilot.wait_for_idle", wait_for_idle)


async def wait_for_idle(min_sleep: float = 0.02, max_sleep: float = 1.0) -> None:
    """Wait until this thread, the app's, has nothing to do for a moment."""
    limit = time.monotonic() + max_sleep
    least = time.monotonic() + min_sleep
    while time.monotonic() < limit:
        used = time.thread_time()
        await asyncio.sleep(0.01)
        if time.thread_time() - used < 0.001 and time.monotonic() >= least:
            return


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
def make_app() -> Callable[..., MamltuiApp]:
    """Makes the app with these ``Options``, on the CPU."""

    def make(**options: Any) -> MamltuiApp:
        options.setdefault("place", Place(device="cpu"))
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
