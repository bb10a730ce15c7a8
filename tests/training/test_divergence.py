"""A training that leaves the finite numbers ends, and what was good of it is kept."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from mamltui.events import Diverged, Event, Step
from mamltui.maml.engine import Engine
from mamltui.maml.gradient import MetaGradient
from mamltui.runs import RunFolder
from mamltui.training import Control
from mamltui.training.divergence import Divergence, Watch
from tests.training.small import (
    CPU,
    assert_same_tensors,
    make_profile,
    make_run,
    make_trainer,
    metrics,
    train,
)

Spoil = Callable[[MetaGradient], MetaGradient]


def spoil_from(monkeypatch: pytest.MonkeyPatch, iteration: int, spoil: Spoil) -> None:
    """Change what engines find in every meta-iteration from ``iteration`` on."""
    true, calls = Engine.meta_gradient, 0

    def meta_gradient(*arguments: Any, **options: Any) -> MetaGradient:
        nonlocal calls
        calls += 1
        found = true(*arguments, **options)
        return spoil(found) if calls >= iteration else found

    monkeypatch.setattr(Engine, "meta_gradient", meta_gradient)


def nan_loss(found: MetaGradient) -> MetaGradient:
    return found._replace(query_loss=found.query_loss * float("nan"))


def infinite_gradient(found: MetaGradient) -> MetaGradient:
    gradient = dict(found.gradient)
    gradient["head.bias"] = gradient["head.bias"] / 0
    return found._replace(gradient=gradient)


def high_loss(found: MetaGradient) -> MetaGradient:
    return found._replace(query_loss=found.query_loss * 0 + 200)


def diverged(events: list[Event]) -> Diverged:
    end = events[-1]
    assert isinstance(end, Diverged)
    return end


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (nan_loss, "the query loss is nan in meta-iteration 7"),
        (infinite_gradient, "the gradient's norm is inf in meta-iteration 7"),
        (high_loss, "the query loss is 200, the limit is 109.9 in meta-iteration 7"),
    ],
)
def test_a_bad_meta_gradient_ends_the_training_before_it_is_applied(
    run: RunFolder,
    unbroken: RunFolder,
    spoil: Spoil,
    reason: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    spoil_from(monkeypatch, 7, spoil)
    end = diverged(train(run))
    assert end.iteration == 6
    assert end.reason.startswith(reason)
    info = run.info()
    assert (info.state, info.iteration, info.error) == ("diverged", 6, end.reason)
    assert not run.held
    assert run.read_events().records[-1].event == end
    assert metrics(run) == metrics(unbroken)[:3]


def test_the_last_good_checkpoint_is_kept(
    run: RunFolder, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    good = make_run(root, make_profile("meta.iterations=5"))
    train(good)
    spoil_from(monkeypatch, 7, nan_loss)
    diverged(train(run))
    for kind in ("last", "best"):
        assert run.load_checkpoint(kind).iteration == 5
        assert_same_tensors(run.load_checkpoint(kind), good.load_checkpoint(kind))


def test_a_real_divergence_is_noticed(root: Path) -> None:
    run = make_run(root, make_profile("meta.learning_rate=1e12", "meta.iterations=50"))
    events = train(run)
    assert diverged(events).iteration < 10
    for event in events:
        assert not isinstance(event, Step) or event.query_loss < 110
    for record in run.read_events().records:
        assert record.event.iteration < 10


@pytest.mark.parametrize("group", ["parameters", "exp_avg", "exp_avg_sq"])
def test_what_is_not_finite_is_never_saved(run: RunFolder, group: str) -> None:
    control = Control()
    trainer = make_trainer(run, control=control)
    for event in trainer.train():
        if isinstance(event, Step) and event.iteration == 6:
            getattr(trainer._state, group)["head.bias"][0] = torch.inf
            control.checkpoint()
    end = diverged([event])
    assert end.reason == "a parameter is not finite at iteration 6"
    assert run.load_checkpoint("last").iteration == 5


def test_a_validation_that_is_not_finite_ends_the_training(root: Path) -> None:
    profile = make_profile("meta.learning_rate=1e37", "validation.interval=1")
    run = make_run(root, profile)
    end = diverged(train(run))
    assert end.reason == "the validation loss is not finite at iteration 1"
    assert not run.checkpoint_path("best").exists()


def test_a_diverged_run_that_is_resumed_says_so(
    run: RunFolder, unbroken: RunFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    spoil_from(monkeypatch, 7, nan_loss)
    end = diverged(train(run))
    monkeypatch.undo()
    events = train(run)
    assert [event.to_dict()["message"] for event in events if event.name == "notice"] == [
        f"the run had diverged ({end.reason}) and may diverge again"
    ]
    assert metrics(run) == metrics(unbroken)


def test_a_watch_remembers_what_it_was_not_asked_about() -> None:
    """On a GPU it is asked at logged iterations only, and names the first that was bad."""
    watch = Watch(limit=10.0, device=CPU)
    fine, broken = torch.tensor(1.0), torch.tensor(float("nan"))
    watch.check()
    watch.note(1, fine, fine)
    watch.check()
    watch.note(2, fine, broken)
    watch.note(3, fine, fine)
    with pytest.raises(Divergence, match="the gradient's norm is nan in meta-iteration 2"):
        watch.check()
