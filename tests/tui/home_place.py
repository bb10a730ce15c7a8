"""Runs in all states for Home to list, and the way to its lists."""

from __future__ import annotations

import json
import shutil
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

from textual.pilot import Pilot

from mamltui.tui.home.screen import HomeScreen
from tests.tui.conftest import screen_text, until


def copy_run(run: Path, name: str, **changes: Any) -> Path:
    """A copy of a run beside it, with other values in its ``run.json``."""
    copy = run.with_name(name)
    shutil.copytree(run, copy)
    change_run(copy, **changes)
    return copy


def change_run(run: Path, **changes: Any) -> None:
    """Write other values; the best is not beyond the iteration."""
    path = run / "run.json"
    values = json.loads(path.read_text()) | changes
    if values["best"]:
        best = min(values["best"]["iteration"], values["iteration"])
        values["best"] = {**values["best"], "iteration": best}
    path.write_text(json.dumps(values))


def ago(**units: float) -> str:
    """A time so long ago, as ``run.json`` says it."""
    return (datetime.now(timezone.utc) - timedelta(**units)).isoformat().replace("+00:00", "Z")


def interrupt(run: Path, iteration: int = 4) -> None:
    """As if the process that trained it had been killed."""
    change_run(run, state="running", iteration=iteration)


def home(pilot: Pilot[Any]) -> HomeScreen:
    screen = pilot.app.screen
    assert isinstance(screen, HomeScreen)
    return screen


async def listed(pilot: Pilot[Any]) -> None:
    """Wait until Home has read what there is."""
    await until(pilot, lambda: "reading" not in screen_text(pilot.app))
    await until(pilot, lambda: "›" in screen_text(pilot.app))


def line_of(app: Any, text: str) -> str:
    """The first line of the screen that holds ``text``; empty if there is none."""
    return next((line for line in screen_text(app).splitlines() if text in line), "")


def at_cursor(pilot: Pilot[Any]) -> str:
    """The name under the cursor of the list at hand."""
    current = home(pilot)._lists.current
    return current.name if current else ""


async def go_to(pilot: Pilot[Any], name: str) -> None:
    """Put the cursor of the list at hand on an item, by keys."""
    await pilot.press("g")
    await pilot.pause()
    seen = set()
    while at_cursor(pilot) != name:
        assert at_cursor(pilot) not in seen, f"{name} is not listed"
        seen.add(at_cursor(pilot))
        await pilot.press("j")
        await pilot.pause()
