"""Each signal at each moment of a training by the real command: what is kept, and what is said."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from mamltui.runs import RunFolder
from tests.cli.tiny import RUN, make_place, only_run
from tests.e2e.process import SECONDS, read_until, start, wait_for

pytestmark = pytest.mark.skipif(os.name != "posix", reason="this system has no such signals")

LONG = "1000000"
STOPPING = ("SIGINT", "SIGTERM", "SIGHUP")
SIGNALS = (*STOPPING, "SIGUSR1")


@dataclass(frozen=True)
class Moment:
    """A part of a training that lasts until it is ended."""

    settings: tuple[str, ...]
    """What makes it last."""
    wait: Callable[[subprocess.Popen[str], Path], object]
    """Until it has come."""
    state: str
    """Of the run after a signal that stops it; empty: there is none yet."""
    says: str = ""
    """What the command says then."""


def words(text: str) -> Callable[[subprocess.Popen[str], Path], object]:
    return lambda process, _: read_until(text, process.stderr)


def a_logged_step(process: subprocess.Popen[str], place: Path) -> None:
    wait_for(
        lambda: any(path.stat().st_size for path in place.glob("runs/*/metrics.jsonl")), process
    )


SLOW_MODULE = """
import importlib, pathlib, sys, time
place = pathlib.Path(__file__).parent
(place / "begun").touch()
while not (place / "go").exists():
    time.sleep(0.01)
sys.path.remove(str(place))
del sys.modules[__name__]
sys.modules[__name__] = importlib.import_module(__name__)
"""
"""Stands before one that training needs, so that the start takes until it is told to go on."""


def begun(process: subprocess.Popen[str], place: Path) -> None:
    wait_for((place.parent / "slow" / "begun").exists, process)


MOMENTS = {
    "start": Moment((), begun, ""),
    "compiling": Moment(
        ("network.filters=16", "engine.strategy=native", f"meta.iterations={LONG}"),
        words("compiling"),
        "interrupted",
        "stopped at iteration 0",
    ),
    "training": Moment(
        (f"meta.iterations={LONG}", f"validation.interval={LONG}"),
        a_logged_step,
        "interrupted",
        "a checkpoint is saved",
    ),
    "validation": Moment(
        ("validation.interval=1", f"validation.episodes={LONG}"),
        a_logged_step,
        "interrupted",
        "stopped at iteration 1",
    ),
    "evaluation": Moment(
        (f"evaluation.episodes={LONG}",),
        words("evaluating the best checkpoint"),
        "finished",
        "the training is finished and saved, its evaluation is not",
    ),
    "shutdown": Moment((), words("kept in"), "finished"),
}


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """With a compiler that is never done, and no kernels from before."""
    path = tmp_path / "compiler"
    path.write_text("#!/bin/sh\n[ $1 = --version ] && exit 0\nexec sleep 1000\n")
    path.chmod(0o755)
    monkeypatch.setenv("CXX", str(path))
    monkeypatch.setenv("MAMLTUI_CACHE_DIR", str(tmp_path / "cache"))
    return make_place(tmp_path / "place")


def send(moment: Moment, place: Path, *names: str) -> tuple[int, str, str]:
    """The exit code, and what was printed, after signals a moment apart."""
    settings = [part for setting in moment.settings for part in ("--set", setting)]
    slow = place.parent / "slow"
    with pytest.MonkeyPatch.context() as patch:
        if moment is MOMENTS["start"]:
            slow.mkdir()
            (slow / "safetensors.py").write_text(SLOW_MODULE)
            patch.setenv("PYTHONPATH", str(slow), prepend=os.pathsep)
        process = start([*RUN, *settings], place)
    try:
        moment.wait(process, place)
        for name in names:
            process.send_signal(signal.Signals[name])
            time.sleep(0.05)
        if slow.exists():
            (slow / "go").touch()
        out, error = process.communicate(timeout=SECONDS)
    finally:
        process.kill()
    return process.returncode, out, error


def check_left(moment: Moment, place: Path) -> None:
    """Nothing half made, and a run that says how far it is."""
    assert not [*place.parent.rglob(".*.part")]
    runs = list(place.glob("runs/*/run.json"))
    assert len(runs) == (1 if moment.state else 0)
    for path in runs:
        run = RunFolder(path.parent)
        info = run.info()
        assert info.state == moment.state
        if info.iteration:
            assert run.load_checkpoint("last").iteration == info.iteration


def check_stop(name: str, place: Path, by: str) -> None:
    moment = MOMENTS[name]
    number = signal.Signals[by]
    code, out, error = send(moment, place, by)
    assert "Traceback" not in out + error
    if name == "start":
        assert code in (-number, 128 + number)
    elif name == "shutdown":  # the work is done, and perhaps the process as well
        assert code in (0, -number, 128 + number)
    else:
        assert code == 128 + number
        assert f"{by}: " in error and moment.says in error
    check_left(moment, place)


def check_second_stop(name: str, place: Path, by: str) -> None:
    moment = MOMENTS[name]
    number = signal.Signals[by]
    code, out, error = send(moment, place, by, by)
    assert "Traceback" not in out + error
    # A second SIGINT ends the process at once, whatever it does; others are passed over until all
    # is saved, and then end what is left of it.
    at_once = by == "SIGINT" or name in ("start", "shutdown")
    assert code in (128 + number, -number) or (at_once and code == 0)
    if not at_once:
        assert "stopped at iteration" in error or "the training is finished and saved" in error
    if code == 128 + number:
        check_left(moment, place)


def check_warning(name: str, place: Path) -> None:
    """SIGUSR1 ends nothing; a training that has begun saves a checkpoint, now or when it can."""
    moment = MOMENTS[name]
    if name in ("start", "shutdown"):
        code, out, error = send(moment, place, "SIGUSR1")
        assert code == 0, error
        assert "3-way 1-shot" in out
        assert RunFolder(only_run(place)).info().state == "finished"
        return
    code, out, error = send(moment, place, "SIGUSR1", "SIGUSR1", "SIGTERM")
    assert code == 143, error
    assert "Traceback" not in out + error
    check_left(moment, place)


@pytest.mark.parametrize(
    ("name", "by"),
    [("start", "SIGINT"), ("compiling", "SIGTERM"), ("validation", "SIGHUP")],
)
def test_a_signal_ends_a_training_in_order(place: Path, name: str, by: str) -> None:
    check_stop(name, place, by)


def test_a_second_signal_in_the_evaluation_is_passed_over(place: Path) -> None:
    check_second_stop("evaluation", place, "SIGTERM")


def test_a_warning_at_the_start_ends_nothing(place: Path) -> None:
    check_warning("start", place)


@pytest.mark.long
@pytest.mark.parametrize("by", STOPPING)
@pytest.mark.parametrize("name", MOMENTS)
def test_every_signal_ends_every_part_of_a_training_in_order(
    place: Path, name: str, by: str
) -> None:
    check_stop(name, place, by)


@pytest.mark.long
@pytest.mark.parametrize("by", STOPPING)
@pytest.mark.parametrize("name", MOMENTS)
def test_every_second_signal_does_no_harm(place: Path, name: str, by: str) -> None:
    check_second_stop(name, place, by)


@pytest.mark.long
@pytest.mark.parametrize("name", MOMENTS)
def test_a_warning_ends_no_part_of_a_training(place: Path, name: str) -> None:
    check_warning(name, place)
