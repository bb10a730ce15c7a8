"""The checkpoints that make an ensemble, read while others are written and deleted."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from mamltui.errors import CheckpointError
from mamltui.maml.inner import InnerLoop
from mamltui.maml.learner import Learner
from mamltui.runs import Best, Checkpoint, RunFolder, checkpoint
from mamltui.runs.kept import keep_only, kept_iterations, load_kept
from tests.runs.conftest import NETWORK, make_checkpoint

LEARNER = Learner(NETWORK, InnerLoop(1, 0.4))


def keep(run: RunFolder, iteration: int, *kept: int) -> None:
    """As a training keeps one when these are the choice."""
    choice = tuple(Best(iteration=each, accuracy=0.5, loss=1.5) for each in kept)
    run.save_checkpoint(iteration, replace(make_checkpoint(iteration), kept=choice))


def iterations(checkpoints: list[Checkpoint]) -> list[int]:
    return [each.iteration for each in checkpoints]


def test_those_on_the_disk_are_found_in_order_and_nothing_else(run: RunFolder) -> None:
    for iteration in (100, 20, 3):
        keep(run, iteration, iteration)
    run.save_checkpoint("best", make_checkpoint())
    for name in (".top-7.safetensors.1-0.part", "top-x.safetensors", "top-8.txt"):
        (run.path / "checkpoints" / name).touch()
    assert kept_iterations(run) == [3, 20, 100]


def test_the_event_names_the_file(run: RunFolder) -> None:
    run.save_checkpoint(20, make_checkpoint(20))
    (event,) = run.take_arrived()
    assert (event.kind, event.iteration) == ("top", 20)
    assert (run.path / event.path).is_file()


def test_one_that_the_newest_put_out_is_left_out(run: RunFolder) -> None:
    keep(run, 20, 20)
    keep(run, 30, 30, 20)
    keep(run, 40, 30, 40)
    assert iterations(load_kept(run, LEARNER)) == [30, 40]


def test_one_that_is_missing_is_left_out(run: RunFolder) -> None:
    keep(run, 40, 20, 30, 40)
    keep(run, 30, 20, 30)
    assert iterations(load_kept(run)) == [30, 40]


def test_one_that_is_deleted_while_they_are_read_is_no_error(
    run: RunFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    keep(run, 20, 20)
    keep(run, 30, 20, 30)
    load: Callable[..., Checkpoint] = checkpoint.load_checkpoint

    def meanwhile(path: Path, expect: Learner | None, waiting: bytes | None) -> Checkpoint:
        if path == run.checkpoint_path(20):
            keep(run, 40, 30, 40)
            keep_only(run, {30, 40})
        return load(path, expect, waiting=waiting)

    monkeypatch.setattr(checkpoint, "load_checkpoint", meanwhile)
    assert iterations(load_kept(run)) == [30, 40]


def test_none_is_an_error_with_a_hint(run: RunFolder) -> None:
    with pytest.raises(CheckpointError, match="only its best") as caught:
        load_kept(run)
    assert "validation.keep" in str(caught.value.hint)


def test_one_of_another_network_is_refused(run: RunFolder) -> None:
    keep(run, 20, 20)
    with pytest.raises(CheckpointError, match="another network"):
        load_kept(run, replace(LEARNER, network=replace(NETWORK, filters=5)))


def test_only_some_are_left(run: RunFolder) -> None:
    for iteration in (20, 30, 40):
        keep(run, iteration, iteration)
    run.save_checkpoint("last", make_checkpoint())
    keep_only(run, {30, 99})
    assert kept_iterations(run) == [30]
    assert run.checkpoint_path("last").is_file()
