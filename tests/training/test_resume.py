"""A training that was interrupted, however, ends as one that was not, to the last bit."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from mamltui.errors import CheckpointError, DataError, RunError
from mamltui.events import Checkpointed, Event, Finished, Notice, Paused, Started, Step, Validated
from mamltui.runs import RunFolder
from mamltui.training import Control
from tests.training.small import (
    assert_same_tensors,
    assert_same_training,
    copied,
    interrupted,
    make_bank,
    make_profile,
    make_run,
    make_trainer,
    metrics,
    train,
)

TRAINING = """
import sys
import torch
from pathlib import Path
from tests.training.small import make_trainer
from mamltui.runs import RunFolder
torch.set_num_threads(1)
for event in make_trainer(RunFolder(Path(sys.argv[1]))).train():
    print(event.name, event.iteration, flush=True)
"""
REPOSITORY = Path(__file__).parents[2]
posix = pytest.mark.skipif(os.name != "posix", reason="processes are killed by POSIX signals")


AUGMENTED = ("augment.angle=10", "augment.shift=1", "augment.scale=0.1", "augment.elastic=1")


def test_a_training_on_augmented_drawings_goes_on_to_the_same_end(
    root: Path, unbroken: RunFolder
) -> None:
    profile = make_profile(*AUGMENTED)
    whole = make_run(root / "whole", profile)
    train(whole)
    run = interrupted(root / "parts", Step, 6, profile)
    train(run)
    assert_same_training(run, whole)
    assert metrics(run) != metrics(unbroken)


def notices(events: list[Event]) -> list[str]:
    return [event.message for event in events if isinstance(event, Notice)]


@posix
def test_a_killed_training_goes_on_to_the_same_end(root: Path, unbroken: RunFolder) -> None:
    run = make_run(root)
    run.release()
    with subprocess.Popen(
        [sys.executable, "-c", TRAINING, str(run.path)],
        cwd=REPOSITORY,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert any(line == "step 6\n" for line in process.stdout)
        process.send_signal(signal.SIGKILL)
    assert process.returncode == -signal.SIGKILL
    assert run.info().state == "interrupted"
    events = train(run)
    assert isinstance(events[0], Started)
    assert events[0].resumed
    assert events[0].iteration >= 5
    assert isinstance(events[-1], Finished)
    assert_same_training(run, unbroken)


def kill_points(root: Path, first: int, stride: int, *overrides: str) -> list[Path]:
    """Runs of trainings that were killed at some of their operations on the disk."""
    arguments = (str(root), str(first), str(stride), *overrides)
    done = subprocess.run(
        [sys.executable, "-m", "tests.training.kill_points", *arguments],
        cwd=REPOSITORY,
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    *killed, _ = map(Path, done.stdout.split())
    return killed


def check_kill_points(killed: list[Path], unbroken: RunFolder) -> None:
    started = set()
    for path in killed:
        run = RunFolder(path)
        if run.info().state != "finished":  # killed after the very last rename
            assert run.info().state == "interrupted"
            events = train(run)
            started.add(events[0].iteration)
            assert isinstance(events[-1], Finished), path
        assert_same_training(run, unbroken)
        assert not list(path.glob("**/*.part")), path
    assert len(started) > 2


@posix
def test_a_training_killed_at_some_disk_operations_goes_on_to_the_same_end(
    root: Path, unbroken: RunFolder
) -> None:
    killed = kill_points(root, first=4, stride=13)
    assert len(killed) >= 7
    check_kill_points(killed, unbroken)


@posix
@pytest.mark.long
@pytest.mark.timeout(1800)
def test_a_training_killed_at_any_disk_operation_goes_on_to_the_same_end(
    root: Path, unbroken: RunFolder
) -> None:
    killed = kill_points(root, first=1, stride=1)
    assert len(killed) >= 110
    check_kill_points(killed, unbroken)


@pytest.mark.parametrize(
    ("at", "iteration"),
    [(Started, 0), (Step, 2), (Checkpointed, 4), (Validated, 5), (Step, 10), (Step, 12)],
)
def test_a_training_whose_reader_goes_away_loses_nothing(
    root: Path, unbroken: RunFolder, at: type[Event], iteration: int
) -> None:
    run = interrupted(root, at, iteration)
    assert run.info().state == "interrupted"
    assert not run.held
    assert run.load_checkpoint("last").iteration == iteration
    assert train(run)[0].iteration == iteration
    assert_same_training(run, unbroken)


def test_a_training_may_be_interrupted_many_times(root: Path, unbroken: RunFolder) -> None:
    run = make_run(root)
    sittings = 0
    while run.info().state != "finished":
        control = Control()
        for event in make_trainer(run, control=control).train():
            if isinstance(event, Step):
                control.stop("a step is enough")
        sittings += 1
    assert sittings == 7  # the last one validates what the stop at the last step left
    assert_same_training(run, unbroken)


def test_what_was_written_after_the_checkpoint_is_dropped(root: Path, unbroken: RunFolder) -> None:
    run = copied(unbroken, root)
    stopped = interrupted(root, Step, 6)
    for kind in ("last", "best"):
        stopped.checkpoint_path(kind).replace(run.checkpoint_path(kind))
    run.update(state="running")
    events = make_trainer(run).train()
    assert isinstance(next(events), Started)
    assert [step["iteration"] for step in metrics(run)] == [2, 4, 6]
    *_, end = events
    assert isinstance(end, Finished)
    assert_same_training(run, unbroken)


def test_a_best_checkpoint_that_was_not_written_yet_is_made_from_the_last(
    root: Path, unbroken: RunFolder
) -> None:
    run = interrupted(root, Validated, 5)
    assert run.load_checkpoint("last").best_iteration == 5
    run.checkpoint_path("best").unlink()
    events = make_trainer(run).train()
    next(events)
    best = run.load_checkpoint("best")
    assert best.iteration == 5
    assert_same_tensors(best, run.load_checkpoint("last"))
    for _ in events:
        pass
    assert_same_training(run, unbroken)


def test_a_run_without_a_checkpoint_starts_over(root: Path, unbroken: RunFolder) -> None:
    run = interrupted(root, Step, 2)
    run.checkpoint_path("last").unlink()
    events = train(run)
    assert isinstance(events[0], Started)
    assert not events[0].resumed
    assert notices(events) == ["there is no checkpoint yet: the run starts over"]
    assert_same_training(run, unbroken)


def test_elapsed_time_goes_on(root: Path) -> None:
    run = interrupted(root, Step, 6)
    before = run.load_checkpoint("last")
    assert before.elapsed > 0
    assert before.processor_seconds is not None and before.processor_seconds > 0
    steps = [event for event in train(run) if isinstance(event, Step)]
    assert before.elapsed < steps[0].elapsed < steps[-1].elapsed
    seconds = [step.processor_seconds or 0.0 for step in steps]
    assert before.processor_seconds < seconds[0] < seconds[-1]
    assert seconds[-1] <= (run.info().processor_seconds or 0.0)


def test_the_processors_seconds_stay_unknown_where_an_earlier_version_counted_none(
    root: Path,
) -> None:
    run = interrupted(root, Step, 6)
    last = run.load_checkpoint("last", make_trainer(run).plan.learner)
    run.acquire()
    run.save_checkpoint("last", replace(last, processor_seconds=None))
    run.release()
    steps = [event for event in train(run) if isinstance(event, Step)]
    assert steps
    assert {step.processor_seconds for step in steps} == {None}
    assert run.info().processor_seconds is None
    assert run.info().elapsed > last.elapsed


def test_a_finished_run_has_nothing_to_resume(root: Path, unbroken: RunFolder) -> None:
    run = copied(unbroken, root)
    before = {path: path.read_bytes() for path in run.path.rglob("*") if path.is_file()}
    with pytest.raises(RunError, match="the run is finished: all 12 iterations are done") as caught:
        train(run)
    assert "--set meta.iterations=24" in str(caught.value.hint)
    assert {path: path.read_bytes() for path in before} == before
    assert not run.held


def test_a_finished_run_goes_on_for_more_iterations(root: Path) -> None:
    short = make_run(root, make_profile("meta.iterations=10"))
    train(short)
    long = make_profile("meta.iterations=14")
    events = train(short, long)
    assert notices(events) == ["resumed with other settings: meta.iterations 10 -> 14"]
    assert short.profile == long == RunFolder(short.path).profile
    assert short.info().iterations == 14
    straight = make_run(root, long)
    train(straight)
    assert_same_training(short, straight)


def test_fewer_iterations_than_are_done_are_refused(root: Path) -> None:
    run = interrupted(root, Step, 6)
    with pytest.raises(RunError, match="has done 6 iterations, more than the 5 asked for"):
        train(run, make_profile("meta.iterations=5"))
    assert run.profile.meta.iterations == 12


def test_other_images_are_refused(root: Path) -> None:
    run = interrupted(root, Step, 6)
    before = run.info()
    with pytest.raises(DataError, match="other images: strokes with content hash random-0-40"):
        list(make_trainer(run, bank=make_bank(seed=1)).train())
    assert run.info() == before


def test_another_split_is_refused(root: Path) -> None:
    run = interrupted(root, Step, 6)
    data = run.info().data
    assert data is not None
    run.update(data=data.model_copy(update={"split_hash": "0" * 64}))
    with pytest.raises(DataError, match="other classes in its splits: proportional with hash 0000"):
        train(run)


def test_another_network_is_refused(root: Path) -> None:
    run = interrupted(root, Step, 6)
    with pytest.raises(CheckpointError, match=r"4 filters, 3-way.*not.*6 filters, 3-way"):
        train(run, make_profile("network.filters=6"))
    assert run.info().state == "interrupted"
    assert not run.held


def test_torn_checkpoints_are_refused_and_nothing_else_is_touched(root: Path) -> None:
    run = interrupted(root, Step, 6)
    for path in (run.path / "checkpoints").iterdir():
        path.write_bytes(path.read_bytes()[:-100])
    before = {file: file.read_bytes() for file in run.path.rglob("*") if file.is_file()}
    with pytest.raises(CheckpointError, match="damaged"):
        train(run)
    assert {file: file.read_bytes() for file in before} == before


def test_damaged_metrics_are_refused_by_their_line(root: Path) -> None:
    run = interrupted(root, Step, 6)
    path = run.path / "metrics.jsonl"
    lines = path.read_text().splitlines()
    path.write_text("\n".join([lines[0], "x", *lines[2:]]) + "\n")
    with pytest.raises(RunError, match="damaged") as caught:
        train(run)
    assert caught.value.where == f"{path}:2"


def test_a_run_in_use_is_refused(root: Path) -> None:
    run = make_run(root)
    control = Control()
    control.pause()
    events = make_trainer(run, control=control).train()
    while not isinstance(next(events), Paused):
        pass
    with pytest.raises(RunError, match="in use"):
        train(RunFolder(run.path))
    control.resume()
    *_, end = events
    assert isinstance(end, Finished)


def test_another_machine_is_worth_a_notice(root: Path) -> None:
    run = interrupted(root, Step, 6)
    info = run.info()
    run.update(threads=7, versions={**info.versions, "torch": "1.0"})
    found = notices(train(run))
    assert len(found) == 1
    assert found[0].startswith("resumed with torch 1.0 -> ")
    assert "threads 7 -> 1" in found[0]
    assert "last digits may differ" in found[0]


def test_the_same_machine_is_not_worth_a_notice(root: Path) -> None:
    run = interrupted(root, Step, 6)
    assert notices(train(run)) == []
