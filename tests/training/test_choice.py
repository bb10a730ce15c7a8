"""Which engine a training gets, what is remembered of the choice, and what a resume keeps."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from mamltui import compiled
from mamltui.cli import main
from mamltui.errors import UsageError
from mamltui.events import Event, Finished, Notice, Paused, Step, Stopped
from mamltui.maml.calibration import Shape, Trial, calibrate
from mamltui.maml.chunks import Interrupted
from mamltui.maml.strategies import Case
from mamltui.runs import RunFolder
from mamltui.training import Control, choice
from tests.cli.tiny import RUN, make_place
from tests.training.small import assert_same_training, make_profile, make_run, make_trainer, train

REPOSITORY = Path(__file__).parents[2]
KILLED = """
import os, signal, sys
from pathlib import Path
import torch
from mamltui.runs import RunFolder
from mamltui.training import Control
from tests.training.small import make_trainer
torch.set_num_threads(1)
control = Control()
asked = 0
def second_task():
    global asked
    asked += trainer._state.iteration == 6
    if asked == 2:
        os.kill(os.getpid(), signal.SIGKILL)
    return False
control.is_halting = second_task
trainer = make_trainer(RunFolder(Path(sys.argv[1])), control=control)
for _ in trainer.train():
    pass
"""
"""A training that is killed between two tasks of meta-iteration 7."""
COVERED = "network.filters=16"
"""By native as well as by analytic: ``auto`` has to choose."""
ONE = "meta.iterations=1"
NATIVE = make_profile(COVERED, "engine.strategy=native")
ONE_BY_ONE = make_profile(COVERED, "engine.strategy=native", "engine.task_chunk=1")


class Trials:
    """Stands for the trial of strategies, and counts how often it was asked for."""

    def __init__(self) -> None:
        self.asked = 0
        self.best = Trial("analytic", 0, 0.25)
        self.meanwhile: Callable[[], None] = lambda: None

    def __call__(self, case: Case, shape: Shape, should_stop: Callable[[], bool]) -> list[Trial]:
        assert case.network.filters == 16
        assert shape.tasks <= 7
        self.asked += 1
        self.meanwhile()
        if should_stop():
            raise Interrupted
        return [self.best, Trial("autograd", 0, None)]


@pytest.fixture
def trials(monkeypatch: pytest.MonkeyPatch, cache_dir: Path) -> Trials:  # noqa: ARG001
    trials = Trials()
    monkeypatch.setattr(choice, "calibrate", trials)
    return trials


def notices(events: list[Event]) -> list[str]:
    return [event.message for event in events if isinstance(event, Notice)]


def kept_trials(cache_dir: Path) -> list[Path]:
    return sorted((cache_dir / "calibration").iterdir())


def stopped_at(run: RunFolder, iteration: int) -> None:
    """Train until a step was logged."""
    control = Control()
    for event in make_trainer(run, control=control).train():
        if isinstance(event, Step) and event.iteration == iteration:
            control.stop("enough")
    assert event == Stopped(iteration, "enough")


def test_the_run_records_its_strategy(root: Path, run: RunFolder) -> None:
    assert run.info().strategy is None
    train(run)
    assert run.info().strategy == "analytic"
    assert json.loads((run.path / "run.json").read_text())["strategy"] == "analytic"
    other = make_run(root, NATIVE)
    train(other)
    assert other.info().strategy == "native"


def test_strategies_are_timed_once_for_all_trainings_of_a_kind(
    root: Path, trials: Trials, cache_dir: Path
) -> None:
    profile = make_profile(COVERED)
    first, second = make_run(root, profile), make_run(root, profile)
    timing = "timing the ways to compute the meta-gradient here"
    assert timing in notices(train(first))
    (path,) = kept_trials(cache_dir)
    content = path.read_text()
    assert timing not in notices(train(second))
    assert trials.asked == 1
    assert path.read_text() == content
    assert first.info().strategy == second.info().strategy == "analytic"
    assert_same_training(first, second)


def test_other_step_sizes_share_a_trial(root: Path, trials: Trials) -> None:
    for changes in ((), ("inner.alpha=0.01",), ("meta.label_smoothing=0.1",)):
        train(make_run(root, make_profile(COVERED, ONE, *changes)))
    assert trials.asked == 1
    train(make_run(root, make_profile(COVERED, ONE, "inner.steps=3")))
    assert trials.asked == 2


def test_a_trial_of_last_month_is_made_again(root: Path, trials: Trials, cache_dir: Path) -> None:
    profile = make_profile(COVERED, ONE)
    train(make_run(root, profile))
    (path,) = kept_trials(cache_dir)
    a_month_ago = time.time() - 30 * 24 * 3600
    os.utime(path, (a_month_ago, a_month_ago))
    trials.best = Trial("native", 0, 0.25)
    run = make_run(root, profile)
    train(run)
    assert trials.asked == 2
    assert run.info().strategy == "native"
    train(make_run(root, profile))
    assert trials.asked == 2


def test_the_fastest_is_taken_whichever_it_is(root: Path, trials: Trials) -> None:
    for strategy, batch in (("native", 2), ("analytic", 3)):
        trials.best = Trial(strategy, 0, 0.25)
        run = make_run(root, make_profile(COVERED, f"meta.batch={batch}", ONE))
        train(run)
        assert run.info().strategy == strategy
    assert trials.asked == 2  # another shape, another trial


def test_a_real_trial_is_kept_and_read_back(
    root: Path, monkeypatch: pytest.MonkeyPatch, cache_dir: Path
) -> None:
    asked = 0

    def counted(*arguments: object) -> list[Trial]:
        nonlocal asked
        asked += 1
        return calibrate(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(choice, "calibrate", counted)
    runs = [make_run(root, make_profile(COVERED)) for _ in range(2)]
    for run in runs:
        train(run)
    assert asked == 1
    (path,) = kept_trials(cache_dir)
    fastest, *others = json.loads(path.read_text())
    assert {fastest[0]} == {run.info().strategy for run in runs} <= {"native", "analytic"}
    assert all(fastest[2] <= 1.06 * (seconds or float("inf")) for _, _, seconds in others)


def test_nothing_is_timed_where_only_one_strategy_would_do(run: RunFolder, trials: Trials) -> None:
    assert notices(train(run)) == []
    assert trials.asked == 0


def test_nothing_is_timed_where_the_profile_names_the_strategy(root: Path, trials: Trials) -> None:
    train(make_run(root, NATIVE))
    assert trials.asked == 0


@pytest.mark.parametrize(
    "damage",
    [
        b"",
        b'[["analy',
        b"\xff\xfe\x00",
        b"null",
        b"[]",
        b"{}",
        b'[["analytic"]]',
        b'["analytic"]',
        b'[["guesswork", 0, 0.1]]',
        b'[["analytic", "many", 0.1]]',
    ],
)
def test_a_damaged_file_of_trials_is_made_anew(
    root: Path, trials: Trials, cache_dir: Path, damage: bytes
) -> None:
    profile = make_profile(COVERED, ONE)
    train(make_run(root, profile))
    (path,) = kept_trials(cache_dir)
    content = path.read_bytes()
    path.write_bytes(damage)
    run = make_run(root, profile)
    assert isinstance(train(run)[-1], Finished)
    assert run.info().strategy == "analytic"
    assert trials.asked == 2
    assert path.read_bytes() == content


def test_trials_that_cannot_be_kept_are_made_each_time(
    root: Path, trials: Trials, cache_dir: Path
) -> None:
    profile = make_profile(COVERED, ONE)
    cache_dir.mkdir()
    (cache_dir / "calibration").touch()
    for _ in range(2):
        assert isinstance(train(make_run(root, profile))[-1], Finished)
    assert trials.asked == 2


@pytest.mark.parametrize(("before", "now"), [("analytic", "native"), ("native", "analytic")])
def test_a_resumed_training_keeps_its_strategy_whatever_a_trial_would_say_now(
    root: Path, trials: Trials, cache_dir: Path, before: str, now: str
) -> None:
    profile = make_profile(COVERED)
    trials.best = Trial(before, 0, 0.25)
    whole, broken = make_run(root, profile), make_run(root, profile)
    train(whole)
    stopped_at(broken, 6)
    (path,) = kept_trials(cache_dir)
    path.unlink()
    trials.best = Trial(now, 0, 0.25)
    assert isinstance(train(broken)[-1], Finished)
    assert trials.asked == 1
    assert broken.info().strategy == before
    assert_same_training(whole, broken)


def test_a_resumed_training_keeps_the_chunk_that_the_trial_found(
    root: Path, trials: Trials
) -> None:
    """Other chunks add in another order, so the last digits would differ."""
    profile = make_profile(COVERED, "meta.batch=7", "meta.iterations=8")
    trials.best = Trial("analytic", 2, 0.25)
    whole, broken = make_run(root, profile), make_run(root, profile)
    train(whole)
    stopped_at(broken, 6)
    train(broken)
    assert_same_training(whole, broken)


@pytest.mark.usefixtures("trials")
def test_a_strategy_that_does_not_apply_here_is_not_kept(root: Path) -> None:
    """The run began on a machine with a GPU, say."""
    run = make_run(root, make_profile(COVERED))
    stopped_at(run, 6)
    run.update(strategy="graph")
    assert isinstance(train(run)[-1], Finished)
    assert run.info().strategy == "analytic"


def test_the_profile_may_name_another_strategy_for_a_resume(root: Path) -> None:
    run = make_run(root, NATIVE)
    stopped_at(run, 6)
    assert run.info().strategy == "native"
    train(run, make_profile(COVERED, "engine.strategy=analytic"))
    assert run.info().strategy == "analytic"


def test_a_stop_is_obeyed_while_strategies_are_timed(
    root: Path, trials: Trials, cache_dir: Path
) -> None:
    run, control = make_run(root, make_profile(COVERED, ONE)), Control()
    trials.meanwhile = lambda: control.stop("at once")
    *_, end = make_trainer(run, control=control).train()
    assert end == Stopped(0, "at once")
    assert run.info().strategy is None
    assert not (cache_dir / "calibration").exists()
    assert isinstance(train(run)[-1], Finished)
    assert run.info().strategy == "analytic"


def test_a_pause_while_strategies_are_timed_leaves_them_for_the_resume(
    root: Path, trials: Trials
) -> None:
    run, control = make_run(root, make_profile(COVERED, ONE)), Control()

    def pause_once() -> None:
        if trials.asked == 1:
            control.pause()

    trials.meanwhile = pause_once
    for event in make_trainer(run, control=control).train():
        if isinstance(event, Paused):
            assert event.iteration == 0
            assert trials.asked == 1
            control.resume()
    assert isinstance(event, Finished)
    assert trials.asked == 2
    assert run.info().strategy == "analytic"


@pytest.fixture
def no_compiler(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """There is none, and what one has made is forgotten."""

    monkeypatch.setattr(compiled, "find_compiler", lambda: None)
    monkeypatch.setattr(compiled, "_loaded", {})
    compiled._compiler_identity.cache_clear()
    yield
    compiled._compiler_identity.cache_clear()


@pytest.mark.usefixtures("no_compiler")
def test_without_a_compiler_another_strategy_trains(root: Path) -> None:
    run = make_run(root, make_profile(COVERED, ONE))
    assert isinstance(train(run)[-1], Finished)
    assert run.info().strategy == "analytic"


@pytest.mark.usefixtures("no_compiler")
def test_without_a_compiler_it_is_told_what_that_costs(root: Path) -> None:
    (told,) = notices(train(make_run(root, make_profile(COVERED, ONE))))
    assert told == (
        "without the kernels, which train 2 to 4 times as fast: there is no C++ compiler (c++, "
        "g++ or clang++) on the path"
    )


@pytest.mark.usefixtures("no_compiler")
def test_without_a_compiler_who_asked_for_another_strategy_is_told_nothing(root: Path) -> None:
    profile = make_profile(COVERED, ONE, "engine.strategy=analytic")
    assert notices(train(make_run(root, profile))) == []


@pytest.fixture
def failing_compiler(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cache_dir: Path) -> None:  # noqa: ARG001
    """One that tells its version and nothing more, and no library from before."""
    path = tmp_path / "compiler"
    path.write_text('#!/bin/sh\n[ "$1" = --version ] && exit 0\necho "out of order" >&2\nexit 1\n')
    path.chmod(0o755)
    monkeypatch.setenv("CXX", str(path))
    monkeypatch.setattr(compiled, "_loaded", {})
    monkeypatch.setattr(compiled, "_refused", {})
    compiled._compiler_identity.cache_clear()


@pytest.mark.skipif(os.name != "posix", reason="the compiler is a shell script")
@pytest.mark.usefixtures("failing_compiler")
def test_where_the_kernels_cannot_be_compiled_another_strategy_trains(root: Path) -> None:
    run = make_run(root, make_profile(COVERED, ONE))
    events = train(run)
    compiling, refused = notices(events)
    assert compiling.startswith("compiling the kernels")
    assert refused.endswith("failed: out of order")
    assert isinstance(events[-1], Finished)
    assert run.info().strategy == "analytic"


@pytest.mark.skipif(os.name != "posix", reason="the compiler is a shell script")
@pytest.mark.usefixtures("failing_compiler")
def test_a_run_that_asks_for_kernels_that_cannot_be_compiled_says_why(root: Path) -> None:
    run = make_run(root, NATIVE)
    with pytest.raises(UsageError, match=r"native .* failed: out of order"):
        train(run)
    assert run.info().state == "failed"


@pytest.mark.skipif(os.name != "posix", reason="processes are killed by POSIX signals")
def test_native_killed_in_the_middle_goes_on_to_the_same_end(root: Path) -> None:
    whole, broken = make_run(root, ONE_BY_ONE), make_run(root, ONE_BY_ONE)
    train(whole)
    broken.release()
    killed = subprocess.run(
        [sys.executable, "-c", KILLED, str(broken.path)], cwd=REPOSITORY, check=False
    )
    assert killed.returncode == -signal.SIGKILL
    assert broken.load_checkpoint("last").iteration == 5
    assert broken.info().state == "interrupted"
    assert isinstance(train(broken)[-1], Finished)
    assert broken.info().strategy == "native"
    assert_same_training(whole, broken)


@pytest.mark.parametrize("iteration", [1, 7, 12])
def test_native_stopped_within_a_meta_step_goes_on_to_the_same_end(
    root: Path, monkeypatch: pytest.MonkeyPatch, iteration: int
) -> None:
    whole, broken, control = make_run(root, ONE_BY_ONE), make_run(root, ONE_BY_ONE), Control()
    train(whole)
    true, asked = control.is_halting, 0

    def second_task() -> bool:
        nonlocal asked
        asked += trainer._state.iteration + 1 == iteration
        if asked == 2:
            control.stop("now")
        return true()

    monkeypatch.setattr(control, "is_halting", second_task)
    trainer = make_trainer(broken, control=control)
    *_, end = trainer.train()
    assert end == Stopped(iteration - 1, "now")
    assert asked == 2
    assert isinstance(train(broken)[-1], Finished)
    assert_same_training(whole, broken)


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ("engine.strategy=graph", "it runs on CUDA devices only"),
        ("engine.precision=tf32", "only CUDA devices have TF32"),
        ("engine.strategy=native", "fewer than 16 filters leave"),
    ],
)
def test_what_does_not_apply_here_is_refused_before_a_run_is_made(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    setting: str,
    words: str,
) -> None:
    monkeypatch.chdir(make_place(tmp_path))
    assert main([*RUN, "--set", setting]) == 2
    captured = capsys.readouterr()
    key, value = setting.split("=")
    assert words in " ".join(captured.err.split())
    assert f"{key} {value}" in captured.err or f"precision {value}" in captured.err
    assert "--set engine.strategy=auto" in captured.err
    assert "Traceback" not in captured.err
    assert captured.out == ""
    assert not (tmp_path / "runs").exists()
