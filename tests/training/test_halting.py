"""A stop and a pause are obeyed in the middle of a meta-step, which is then redone to the bit."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mamltui.events import Checkpointed, Finished, Paused, Resumed, Step, Stopped
from mamltui.maml import outer
from mamltui.maml.gradient import MetaGradient
from mamltui.profiles import Profile
from mamltui.runs import RunFolder
from mamltui.training import Control, Trainer
from mamltui.training.divergence import Watch
from tests.training.small import (
    assert_same_training,
    make_profile,
    make_run,
    make_trainer,
    metrics,
    train,
)


@pytest.fixture(scope="module")
def one_by_one() -> Profile:
    """Of each meta-step's three tasks one at a time."""
    return make_profile("engine.task_chunk=1")


@pytest.fixture(scope="module")
def unbroken_one_by_one(tmp_path_factory: pytest.TempPathFactory, one_by_one: Profile) -> RunFolder:
    run = make_run(tmp_path_factory.mktemp("unbroken"), one_by_one)
    train(run)
    return run


def in_the_middle(
    monkeypatch: pytest.MonkeyPatch, trainer: Trainer, iteration: int, ask: Callable[[], None]
) -> list[int]:
    """Ask during the second task of a meta-step, once; the iterations of the tasks worked on."""
    true, worked_on, asked = outer.task_gradients, [], False

    def task_gradients(*arguments: Any, **options: Any) -> MetaGradient:
        nonlocal asked
        worked_on.append(trainer._state.iteration + 1)
        if worked_on.count(iteration) == 2 and not asked:
            asked = True
            ask()
        return true(*arguments, **options)

    monkeypatch.setattr(outer, "task_gradients", task_gradients)
    return worked_on


@pytest.mark.parametrize("iteration", [1, 7, 8, 12])
def test_a_stop_leaves_the_meta_step_that_is_under_way(
    root: Path,
    one_by_one: Profile,
    unbroken_one_by_one: RunFolder,
    iteration: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    run, control = make_run(root, one_by_one), Control()
    trainer = make_trainer(run, control=control)
    worked_on = in_the_middle(monkeypatch, trainer, iteration, lambda: control.stop("now"))
    *_, end = trainer.train()
    assert worked_on.count(iteration) == 2
    done = iteration - 1
    assert end == Stopped(done, "now")
    assert run.load_checkpoint("last").iteration == done
    assert [record["iteration"] for record in metrics(run)] == list(range(2, done + 1, 2))
    assert isinstance(train(run)[-1], Finished)
    assert_same_training(run, unbroken_one_by_one)


@pytest.mark.parametrize("iteration", [1, 8, 12])
def test_a_pause_leaves_the_meta_step_that_is_under_way(
    root: Path,
    one_by_one: Profile,
    unbroken_one_by_one: RunFolder,
    iteration: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    run, control = make_run(root, one_by_one), Control()
    trainer = make_trainer(run, control=control)
    worked_on = in_the_middle(monkeypatch, trainer, iteration, control.pause)
    seen = []
    for event in trainer.train():
        seen.append(event)
        if isinstance(event, Paused):
            assert worked_on.count(iteration) == 2
            control.resume()
    assert worked_on.count(iteration) == 2 + 3
    halts = [event for event in seen if isinstance(event, Paused | Resumed)]
    assert halts == [Paused(iteration - 1), Resumed(iteration - 1)]
    assert isinstance(seen[-1], Finished)
    assert_same_training(run, unbroken_one_by_one)


def test_a_stop_while_a_meta_step_is_scored_leaves_it(
    root: Path, unbroken: RunFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, control = make_run(root), Control()
    trainer = make_trainer(run, control=control)
    true = Watch.note

    def note_and_stop(watch: Watch, iteration: int, *arguments: object) -> None:
        """Between the gradient and the scores."""
        true(watch, iteration, *arguments)  # type: ignore[arg-type]
        if iteration == 6:
            control.stop("now")

    monkeypatch.setattr(Watch, "note", note_and_stop)
    *_, end = trainer.train()
    assert end == Stopped(5, "now")
    monkeypatch.undo()
    assert isinstance(train(run)[-1], Finished)
    assert_same_training(run, unbroken)


@pytest.mark.parametrize("iteration", [5, 12])
def test_a_pause_during_validation_leaves_it_until_the_resume(
    root: Path, unbroken: RunFolder, iteration: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, control = make_run(root), Control()
    trainer = make_trainer(run, control=control)
    batch, looks = trainer._validation_sampler.batch, 0

    def batch_and_pause(first: int, *arguments: object) -> object:
        nonlocal looks
        if trainer._state.iteration == iteration and first > 0:
            looks += 1
            if looks == 1:
                control.pause()
        return batch(first, *arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(trainer._validation_sampler, "batch", batch_and_pause)
    names = []
    for event in trainer.train():
        if event.iteration == iteration and not isinstance(event, Step | Checkpointed):
            names.append(event.name)
        if isinstance(event, Paused):
            control.resume()
    assert names[:3] == ["paused", "resumed", "validated"]
    assert isinstance(event, Finished)
    assert_same_training(run, unbroken)
