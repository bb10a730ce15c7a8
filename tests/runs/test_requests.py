"""A training is asked to do something by another process."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import pytest

from mamltui.errors import RunError
from mamltui.profiles import Profile
from mamltui.runs import RunFolder
from mamltui.runs.requests import FILE, WISHES, ask, obeyed


class Noting:
    """Notes what it is asked."""

    def __init__(self) -> None:
        self.heard: list[str] = []

    def pause(self) -> None:
        self.heard.append("pause")

    def resume(self) -> None:
        self.heard.append("resume")

    def checkpoint(self) -> None:
        self.heard.append("checkpoint")

    def stop(self, reason: str) -> None:
        self.heard.append(f"stop, {reason}")


def until(condition: Callable[[], bool]) -> None:
    limit = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < limit
        time.sleep(0.01)


def test_what_is_asked_is_passed_on_in_turn(root: Path) -> None:
    run, control = RunFolder.create(Profile(), root), Noting()
    (run.path / FILE).write_text("stop\n")  # asked of an earlier sitting
    with obeyed(run, control):
        for wish in WISHES:
            heard = len(control.heard)
            ask(RunFolder(run.path), wish)
            until(lambda heard=heard: len(control.heard) > heard)
        (run.path / FILE).write_text("explode\n")
        until(lambda: not (run.path / FILE).exists())
    words = ["pause", "resume", "stop, stopped from another process", "checkpoint"]
    assert control.heard == words
    run.release()


def test_a_run_that_nobody_trains_is_asked_nothing(root: Path) -> None:
    run = RunFolder.create(Profile(), root)
    run.update(state="finished")
    with pytest.raises(RunError, match="nobody trains this run: it is finished"):
        ask(run, "pause")
    run.update(state="running")
    run.release()
    with pytest.raises(RunError, match="it is interrupted"):
        ask(run, "stop")
    assert not (run.path / FILE).exists()
