"""A copy of a training's parameters, for who looks on."""

from __future__ import annotations

import threading
from concurrent.futures import Future
from pathlib import Path

import pytest
import torch

from mamltui.errors import RunError
from mamltui.events import Finished, Paused, Step
from mamltui.maml.engine import Engine
from mamltui.runs import RunFolder
from mamltui.training import Control, Snapshot
from tests.training.small import assert_same_training, make_run, make_trainer

SECONDS = 60
"""Far beyond what any of these waits takes."""


def assert_refused(answer: Future[Snapshot]) -> None:
    with pytest.raises(RunError, match="the training has ended"):
        answer.result(SECONDS)


def test_a_snapshot_holds_the_parameters_between_two_meta_steps(
    root: Path, unbroken: RunFolder
) -> None:
    run, control = make_run(root), Control()
    trainer = make_trainer(run, control=control)
    answer: Future[Snapshot] | None = None
    for event in trainer.train():
        if isinstance(event, Step) and event.iteration == 6:
            expected = {name: value.clone() for name, value in trainer._state.parameters.items()}
            answer = control.snapshot()
    assert answer is not None
    snapshot = answer.result(SECONDS)
    assert snapshot.iteration == 6
    assert list(snapshot.parameters) == list(expected)
    for name, value in snapshot.parameters.items():
        # A copy: the training has gone on since.
        assert torch.equal(value, expected[name]), name
        assert value.device.type == "cpu"
    assert_same_training(run, unbroken)


def test_a_paused_training_gives_a_snapshot(run: RunFolder) -> None:
    control = Control()
    control.pause()
    answers: list[Snapshot] = []

    def look_and_resume() -> None:
        answers.append(control.snapshot().result(SECONDS))
        control.resume()

    looker = threading.Thread(target=look_and_resume, daemon=True)
    for event in make_trainer(run, control=control).train():
        if isinstance(event, Paused):
            looker.start()
    looker.join(SECONDS)
    assert isinstance(event, Finished)
    assert [answer.iteration for answer in answers] == [0]


def test_a_snapshot_that_the_end_comes_before_is_refused(run: RunFolder) -> None:
    control = Control()
    events = make_trainer(run, control=control).train()
    next(events)
    control.stop("enough")
    answer = control.snapshot()
    for _ in events:
        pass
    assert_refused(answer)


def test_a_snapshot_of_an_ended_training_is_refused(run: RunFolder) -> None:
    control = Control()
    for _ in make_trainer(run, control=control).train():
        pass
    assert_refused(control.snapshot())


def test_a_snapshot_of_a_training_that_cannot_start_is_refused(run: RunFolder) -> None:
    control = Control()
    answer = control.snapshot()
    trainer = make_trainer(RunFolder(run.path), control=control)
    with pytest.raises(RunError, match="in use"):
        list(trainer.train())
    assert_refused(answer)


def test_a_snapshot_of_a_training_that_fails_is_refused(
    run: RunFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    control = Control()
    trainer = make_trainer(run, control=control)

    def fail(*_: object, **__: object) -> None:
        control.snapshot()
        answers.append(control.snapshot())
        raise ZeroDivisionError

    answers: list[Future[Snapshot]] = []
    monkeypatch.setattr(Engine, "meta_gradient", fail)
    with pytest.raises(ZeroDivisionError):
        list(trainer.train())
    assert_refused(answers[0])


def test_a_cancelled_snapshot_harms_nothing(run: RunFolder) -> None:
    control = Control()
    cancelled, wanted = control.snapshot(), control.snapshot()
    assert cancelled.cancel()
    *_, end = make_trainer(run, control=control).train()
    assert isinstance(end, Finished)
    assert wanted.result(SECONDS).iteration == 0


def test_every_snapshot_is_answered_however_many_threads_ask_around_the_end(
    run: RunFolder,
) -> None:
    control, ended = Control(), threading.Event()
    answers: list[Future[Snapshot]] = []

    def ask() -> None:
        while not ended.is_set():
            answers.append(control.snapshot())
            answers[-1].exception(SECONDS)
        answers.append(control.snapshot())

    threads = [threading.Thread(target=ask, daemon=True) for _ in range(4)]
    for thread in threads:
        thread.start()
    for _ in make_trainer(run, control=control).train():
        pass
    ended.set()
    for thread in threads:
        thread.join(SECONDS)
        assert not thread.is_alive()
    outcomes = [answer.exception(SECONDS) for answer in answers]
    assert None in outcomes
    assert all(outcome is None or isinstance(outcome, RunError) for outcome in outcomes)
