"""A study that trains in a second or two, worked on to its end at any place."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from mamltui.runs import RunFolder
from mamltui.studies.executors.executor import Executor
from mamltui.studies.queue import Queue
from mamltui.studies.reading import load_study
from mamltui.studies.standing import Standing
from tests.cli.tiny import make_place

STUDY = """
description = "A cell, and more if seeds are asked for."
extends = {extends = "tiny.toml", name = "tiny"}
seeds = 1
[budget]
iterations = 200
[set]
engine.strategy = "autograd"
validation.interval = 100
run.checkpoint_interval = 5
[test]
steps = "0..3"
episodes = 6
"""
SECONDS = 120.0


def make_study(folder: Path, patch: pytest.MonkeyPatch) -> Path:
    patch.chdir(make_place(folder))
    (folder / "study.toml").write_text(STUDY)
    return folder


def work(
    at: Executor, root: Path, watch: Callable[[Queue, list[Standing]], None], told: list[str]
) -> list[Standing]:
    """Have the study worked on to its end, and watch."""
    queue = Queue(load_study("study.toml"), at, root=root, device="cpu", notify=told.append)
    limit = time.monotonic() + SECONDS
    try:
        while True:
            standings, is_over = queue.step()
            watch(queue, standings)
            if is_over:
                return standings
            assert time.monotonic() < limit, (standings, told)
            time.sleep(0.05)
    finally:
        queue.stop(at_once=True)
        queue.close()
        at.close()


def results(run: RunFolder) -> dict[str, bytes]:
    """What an evaluation wrote, without the names and times of the runs."""
    changing = rf"{run.name}|\d{{4}}-\d\d-\d\dT[\d:.]+Z".encode()
    return {
        path.name: re.sub(changing, b"", path.read_bytes()) for path in run.evaluation.iterdir()
    }


def ancestors(pid: int) -> list[int]:
    """Of a process, from its parent upwards."""
    pids = []
    while pid > 1:
        pid = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
        pids.append(pid)
    return pids
