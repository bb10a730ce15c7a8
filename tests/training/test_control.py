"""Pause, resume, stop and checkpoint, from other threads and from signal handlers."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from queue import SimpleQueue
from typing import Any

import pytest

from mamltui.events import (
    Checkpointed,
    Event,
    Finished,
    Paused,
    Resumed,
    Started,
    Step,
    Stopped,
    Validated,
)
from mamltui.runs import RunFolder
from mamltui.training import Control, clock
from mamltui.training.control import Request
from mamltui.training.validation import ValidationScores, Validator
from tests.training.small import (
    assert_same_training,
    make_profile,
    make_run,
    make_trainer,
    metrics,
    train,
)

SECONDS = 60
"""Far beyond what any of these waits takes; who waits so long has found a bug."""


class Reader:
    """Runs a training in a thread of its own, and hands its events over."""

    def __init__(self, run: RunFolder, control: Control) -> None:
        self._events: SimpleQueue[Event | None] = SimpleQueue()
        self._thread = threading.Thread(target=self._run, args=(run, control), daemon=True)
        self._thread.start()

    def _run(self, run: RunFolder, control: Control) -> None:
        for event in make_trainer(run, control=control).train():
            self._events.put(event)
        self._events.put(None)

    def wait_for(self, kind: type[Event]) -> Event:
        while True:
            event = self._events.get(timeout=SECONDS)
            assert event is not None, f"the training ended without {kind.name}"
            if isinstance(event, kind):
                return event

    def rest(self) -> list[Event]:
        events = list(iter(lambda: self._events.get(timeout=SECONDS), None))
        self._thread.join(SECONDS)
        assert not self._thread.is_alive()
        return [event for event in events if event is not None]


def until(events: Iterator[Event], kind: type[Event], iteration: int) -> None:
    for event in events:
        if isinstance(event, kind) and event.iteration == iteration:
            return
    raise AssertionError(f"no {kind.name} at {iteration}")


def test_a_pause_holds_the_training_until_it_is_resumed(root: Path, unbroken: RunFolder) -> None:
    run, control = make_run(root), Control()
    control.pause()
    reader = Reader(run, control)
    paused = reader.wait_for(Paused)
    assert run.info().state == "paused"
    assert RunFolder(run.path).read_metrics().records == []
    control.resume()
    assert reader.wait_for(Resumed).iteration == paused.iteration == 0
    assert isinstance(reader.rest()[-1], Finished)
    assert run.info().state == "finished"
    assert_same_training(run, unbroken)


def test_a_pause_uses_no_processor(run: RunFolder) -> None:
    control = Control()
    control.pause()
    events = make_trainer(run, control=control).train()
    until(events, Paused, 0)
    threading.Timer(0.5, control.resume).start()
    wall, processor = time.perf_counter(), time.process_time()
    until(events, Resumed, 0)
    wall, processor = time.perf_counter() - wall, time.process_time() - processor
    assert processor < wall / 2


def test_a_pause_does_not_count_as_elapsed(run: RunFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    later = 0.0
    monkeypatch.setattr(clock, "perf_counter", lambda: time.perf_counter() + later)
    control = Control()
    take = control.take

    def take_long(*, wait: bool = False, seconds: float | None = None) -> Request | None:
        nonlocal later
        later += 10_000.0 if wait else 0.0
        return take(wait=wait, seconds=seconds)

    monkeypatch.setattr(control, "take", take_long)
    control.pause()
    control.resume()
    *_, end = make_trainer(run, control=control).train()
    assert later == 10_000.0
    assert isinstance(end, Finished)
    assert end.elapsed < 10_000.0
    assert all(step.iterations_per_second > 1e-3 for step in run.read_metrics().records)


def test_only_the_work_of_processors_counts_as_theirs(
    run: RunFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    slept, worked = 0.0, 0.0
    monkeypatch.setattr(clock, "perf_counter", lambda: slept + worked)
    monkeypatch.setattr(clock, "process_time", lambda: worked)
    scores = Validator.scores

    def long_scores(*arguments: Any) -> ValidationScores | None:
        nonlocal slept, worked
        slept, worked = slept + 1000.0, worked + 10.0
        return scores(*arguments)

    monkeypatch.setattr(Validator, "scores", long_scores)
    train(run)
    events = [logged.event for logged in run.read_events().records]
    validations = [event for event in events if isinstance(event, Validated)]
    assert [event.processor_seconds for event in validations] == [10.0, 20.0, 30.0]
    assert (run.info().elapsed, run.info().processor_seconds) == (3030.0, 30.0)


def test_validation_counts_as_elapsed_but_not_against_the_pace(
    run: RunFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    later = 0.0
    monkeypatch.setattr(clock, "perf_counter", lambda: time.perf_counter() + later)
    scores = Validator.scores

    def long_scores(*arguments: Any) -> ValidationScores | None:
        nonlocal later
        later += 10_000.0
        return scores(*arguments)

    monkeypatch.setattr(Validator, "scores", long_scores)
    *_, end = make_trainer(run).train()
    assert isinstance(end, Finished)
    assert 30_000.0 < end.elapsed < 40_000.0
    assert all(step.iterations_per_second > 1e-3 for step in run.read_metrics().records)


def test_a_paused_training_can_be_stopped(run: RunFolder) -> None:
    control = Control()
    reader = Reader(run, control)
    reader.wait_for(Step)
    control.pause()
    reader.wait_for(Paused)
    control.stop("enough")
    events = reader.rest()
    assert [event.name for event in events] == ["checkpointed", "stopped"]
    assert run.info().state == "interrupted"


def test_a_paused_training_writes_a_checkpoint_when_asked(run: RunFolder) -> None:
    control = Control()
    reader = Reader(run, control)
    control.pause()
    iteration = reader.wait_for(Paused).iteration
    control.checkpoint()
    assert reader.wait_for(Checkpointed).iteration == iteration
    assert run.load_checkpoint("last").iteration == iteration
    control.resume()
    assert isinstance(reader.rest()[-1], Finished)


def test_a_checkpoint_is_written_when_asked(root: Path) -> None:
    profile = make_profile("run.checkpoint_interval=100", "run.log_interval=1")
    run, control = make_run(root, profile), Control()
    events = make_trainer(run, control=control).train()
    until(events, Step, 3)
    control.checkpoint()
    assert next(events) == Checkpointed(3, "last", "checkpoints/last.safetensors")
    assert run.load_checkpoint("last").iteration == 3


def test_requests_are_obeyed_in_order(run: RunFolder) -> None:
    control = Control()
    for request in (control.resume, control.pause, control.pause, control.resume, control.resume):
        request()
    control.checkpoint()
    control.stop("done with it")
    names = [event.name for event in make_trainer(run, control=control).train()]
    assert names == ["started", "paused", "resumed", "checkpointed", "stopped"]


def test_a_stop_ends_the_training_after_a_checkpoint(run: RunFolder) -> None:
    control = Control()
    events = make_trainer(run, control=control).train()
    until(events, Step, 6)
    control.stop("the user")
    assert [event.to_dict() for event in events] == [
        Checkpointed(6, "last", "checkpoints/last.safetensors").to_dict(),
        Stopped(6, "the user").to_dict(),
    ]
    info = run.info()
    assert (info.state, info.iteration, info.error) == ("interrupted", 6, "the user")
    assert not run.held


def test_a_stop_before_the_first_step_leaves_a_checkpoint(root: Path, unbroken: RunFolder) -> None:
    run, control = make_run(root), Control()
    control.stop("at once")
    *_, end = make_trainer(run, control=control).train()
    assert end == Stopped(0, "at once")
    assert run.load_checkpoint("last").iteration == 0
    started, *_, end = train(run)
    assert isinstance(started, Started)
    assert started.resumed
    assert isinstance(end, Finished)
    assert_same_training(run, unbroken)


@pytest.mark.parametrize("iteration", [5, 12])
def test_a_stop_during_validation_leaves_it_for_the_resume(
    root: Path, unbroken: RunFolder, iteration: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, control = make_run(root), Control()
    trainer = make_trainer(run, control=control)
    batch = trainer._validation_sampler.batch

    def batch_and_stop(first: int, *arguments: object) -> object:
        if trainer._state.iteration == iteration and first > 0:
            control.stop("now")
        return batch(first, *arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(trainer._validation_sampler, "batch", batch_and_stop)
    *_, end = trainer.train()
    assert end == Stopped(iteration, "now")
    assert run.load_checkpoint("last").iteration == iteration
    found = [record.event for record in run.read_events().records]
    assert iteration not in [event.iteration for event in found if isinstance(event, Validated)]
    assert isinstance(train(run)[-1], Finished)
    assert_same_training(run, unbroken)


def test_a_stop_after_the_last_step_lets_the_training_finish(
    root: Path, unbroken: RunFolder
) -> None:
    run, control = make_run(root), Control()
    for event in make_trainer(run, control=control).train():
        if isinstance(event, Validated) and event.iteration == 12:
            control.stop("too late")
    assert isinstance(event, Finished)
    assert_same_training(run, unbroken)


def test_many_threads_may_ask_at_once(run: RunFolder) -> None:
    control = Control()

    def ask() -> None:
        for _ in range(20):
            control.pause()
            control.resume()

    threads = [threading.Thread(target=ask) for _ in range(8)]
    reader = Reader(run, control)
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(SECONDS)
    control.resume()
    assert isinstance(reader.rest()[-1], Finished)
    assert len(metrics(run)) == 6


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="the system has no interval timers")
def test_a_signal_handler_may_stop_a_training_that_waits_in_its_own_thread(
    run: RunFolder,
) -> None:
    control = Control()
    control.pause()
    before = signal.signal(signal.SIGALRM, lambda *_: control.stop("alarm"))
    try:
        events = make_trainer(run, control=control).train()
        until(events, Paused, 0)
        signal.setitimer(signal.ITIMER_REAL, 0.2)
        *_, end = events
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert end == Stopped(0, "alarm")
