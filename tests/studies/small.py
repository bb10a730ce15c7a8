"""A study that trains in seconds, and an executor that works in this process."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

from mamltui.profiles import Profile
from mamltui.studies import worker
from mamltui.studies.executors.executor import Assignment, Job

SMALL = """
description = "Small enough for a test."
extends = "quickstart"
seeds = 1

[budget]
iterations = 4

[set]
data.split = "proportional"
data.image_size = 8
network.filters = 4
network.layers = 2
meta.batch = 1
validation.interval = "50 %"
validation.episodes = 2
run.log_interval = 1
engine.strategy = "autograd"

[grid]
inner.steps = [1, 2]

[test]
steps = "0..2"
episodes = 4
"""


def write_study(folder: Path, text: str = SMALL, name: str = "small") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}.toml"
    path.write_text(text)
    return path


class Ended:
    """A job that is over."""

    why = ""

    def __init__(self, code: int) -> None:
        self.code = code

    def poll(self) -> int | None:
        return self.code

    def stop(self, *, at_once: bool = False) -> None:  # noqa: ARG002
        raise AssertionError("it is over")


class Here:
    """Works on each cell at once, in this process.

    Args:
        before: called with the cell's name; an exit code instead of None is all that happens.
    """

    workers = 1
    threads = 1

    def __init__(self, before: Callable[[str], int | None] = lambda _: None) -> None:
        self.started: list[str] = []
        self._before = before

    def options(self) -> list[str]:
        return []

    def prepare(self, study: Path, profiles: Sequence[Profile], data: Path | None) -> None:
        assert study.is_dir() and profiles and data is None

    def together(self) -> AbstractContextManager[None]:
        return nullcontext()

    def close(self) -> None:
        pass

    def start(self, assignment: Assignment, log: Path) -> Job:
        name = assignment.profile.stem
        self.started.append(name)
        log.parent.mkdir(parents=True, exist_ok=True)
        log.write_text(f"the last words of {name}\n")
        code = self._before(name)
        return Ended(worker.main(assignment.command()[3:]) if code is None else code)
