"""Evaluating the checkpoints that a run kept, as one model."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch

from mamltui.data.bank import ImageBank
from mamltui.data.episodes import EpisodeSampler
from mamltui.data.splits import split_classes
from mamltui.errors import CheckpointError, DeviceError, UsageError
from mamltui.learner import inner_loop_of, network_of
from mamltui.maml import ensemble
from mamltui.maml.ensemble import ensemble_scores
from mamltui.results import STATISTICS, result_stem
from mamltui.runs import Best, RunFolder
from tests.evaluation.conftest import MakeRun, checkpoint_of
from tests.evaluation.test_evaluation import CPU, evaluated

KeepRun = Callable[..., RunFolder]


@pytest.fixture
def keep_run(make_run: MakeRun, bank: ImageBank) -> KeepRun:
    """Makes a run that kept the checkpoints of some iterations."""

    def keep(*iterations: int) -> RunFolder:
        run = make_run()
        network = network_of(run.profile, bank)
        for iteration in iterations:
            kept = tuple(
                Best(iteration=each, accuracy=0.5, loss=1.0)
                for each in iterations
                if each <= iteration
            )
            state = checkpoint_of(network, iteration)
            run.save_checkpoint(iteration, replace(state, validated=iteration, kept=kept))
        return run

    return keep


@pytest.mark.parametrize(
    "error",
    [torch.OutOfMemoryError("CUDA out of memory."), MemoryError()],
    ids=["gpu", "python"],
)
def test_where_memory_runs_out_fewer_episodes_are_scored_as_one_at_once(
    keep_run: KeepRun, bank: ImageBank, error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, said = keep_run(10, 40), list[str]()
    expected = evaluated(run, bank, checkpoint="ensemble")
    true, fitting, asked = ensemble.adapted_step_by_step, 2, list[int]()

    def full(*arguments: Any, **more: Any) -> Any:
        asked.append(arguments[3].tasks)
        if asked[-1] > fitting:
            raise error
        return true(*arguments, **more)

    monkeypatch.setattr(ensemble, "adapted_step_by_step", full)
    found = evaluated(run, bank, checkpoint="ensemble", say=said.append)
    assert max(asked) > fitting >= asked[-1]
    assert said[-1].startswith("out of memory with")
    for ours, theirs in zip(found.transductive, expected.transductive, strict=True):
        assert ours.accuracy == pytest.approx(theirs.accuracy)
    fitting = 0
    with pytest.raises(DeviceError, match="out of memory"):
        evaluated(run, bank, checkpoint="ensemble")


def test_the_kept_are_scored_as_one(keep_run: KeepRun, bank: ImageBank) -> None:
    run = keep_run(10, 40, 30)
    found = evaluated(run, bank, checkpoint="ensemble", steps=range(4))
    profile = run.profile
    sampler = EpisodeSampler(
        bank,
        split_classes(bank).test,
        split="test",
        way=profile.task.way,
        shot=profile.task.shot,
        query=profile.task.query,
        rotations=True,
        seed=profile.meta.seed,
    )
    scores = ensemble_scores(
        network_of(profile, bank),
        inner_loop_of(profile),
        [run.load_checkpoint(place).parameters for place in (10, 30, 40)],
        sampler.batch(0, 12, CPU),
        steps=3,
    )
    assert scores.support_statistics is not None
    for statistics, expected in zip(
        STATISTICS, (scores.transductive, scores.support_statistics), strict=True
    ):
        for result in found.results(statistics):
            loss, accuracy = (each[:, result.steps] for each in (expected.loss, expected.accuracy))
            assert result.loss == pytest.approx(loss.mean().item(), rel=1e-5)
            assert result.accuracy == pytest.approx(accuracy.mean().item(), abs=1.01 / 108)
    assert (found.checkpoint, found.models, found.iteration) == ("ensemble of 3", 3, 40)
    assert found.scored == "ensemble of 3 checkpoints up to iteration 40"
    assert result_stem(found).startswith("test-ensemble-of-3-iteration40-steps")


def test_several_runs_are_scored_as_one(keep_run: KeepRun, bank: ImageBank) -> None:
    one, first, second = keep_run(10, 40, 30), keep_run(10, 30), keep_run(40)
    expected = evaluated(one, bank, checkpoint="ensemble")
    found = evaluated(first, bank, others=[second], checkpoint="ensemble")
    same = {"run": one.name, "together_with": ""}
    assert replace(found, **same) == expected
    assert found.models == 3
    assert found.scored == f"ensemble of 3 checkpoints with {second.name} up to iteration 40"
    assert found.is_special
    assert not found.is_plain
    assert result_stem(found) != result_stem(expected)
    of_best = evaluated(first, bank, others=[second])
    assert (of_best.models, of_best.iteration) == (2, 40)


@pytest.mark.parametrize(
    ("changes", "what"),
    [
        ({"network": {"filters": 8}}, "network"),
        ({"inner": {"alpha": 0.2}}, "inner loop"),
        ({"inner": {"test_steps": 5}}, "number of inner steps at test"),
    ],
    ids=["network", "alpha", "steps"],
)
def test_runs_that_adapt_otherwise_are_not_scored_as_one(
    make_run: MakeRun, bank: ImageBank, changes: dict[str, dict[str, Any]], what: str
) -> None:
    run = make_run()
    sections = run.profile.model_dump()
    other = make_run(**{name: {**sections[name], **keys} for name, keys in changes.items()})
    with pytest.raises(UsageError, match=f"its {what} is not that of the first run") as refused:
        evaluated(run, bank, others=[other])
    assert refused.value.where == other.name


def test_an_ensemble_is_no_member_of_itself(keep_run: KeepRun, bank: ImageBank) -> None:
    run = keep_run(10, 40)
    found = evaluated(run, bank, checkpoint="ensemble")
    best = evaluated(run, bank)
    assert found.headline().loss != best.headline().loss
    assert (best.checkpoint, best.models, best.iteration) == ("best", None, 40)


def test_one_that_is_kept_scores_as_the_best(keep_run: KeepRun, bank: ImageBank) -> None:
    run = keep_run(40)
    found = evaluated(run, bank, checkpoint="ensemble")
    assert found == replace(evaluated(run, bank), checkpoint="ensemble of 1")
    assert found.scored == "ensemble of 1 checkpoint up to iteration 40"


def test_the_profiles_chunk_is_followed_and_changes_nothing(
    keep_run: KeepRun, bank: ImageBank
) -> None:
    run = keep_run(10, 40)
    whole = evaluated(run, bank, checkpoint="ensemble")
    engine = run.profile.engine.model_copy(update={"task_chunk": 5})
    run.set_profile(run.profile.model_copy(update={"engine": engine}))
    told: list[int] = []
    found = evaluated(run, bank, checkpoint="ensemble", progress=lambda done, _: told.append(done))
    assert told == [5, 10, 12]
    assert found.headline().loss == pytest.approx(whole.headline().loss, rel=1e-5)


def test_a_run_that_kept_none_says_how_to_keep_some(make_run: MakeRun, bank: ImageBank) -> None:
    run = make_run()
    with pytest.raises(CheckpointError, match="keeps no checkpoints for an ensemble") as refusal:
        evaluated(run, bank, checkpoint="ensemble")
    assert "--set validation.keep=5" in str(refusal.value.hint)
    assert "--checkpoint best" in str(refusal.value.hint)


def test_a_damaged_member_is_named(keep_run: KeepRun, bank: ImageBank) -> None:
    run = keep_run(10, 40)
    path = run.checkpoint_path(10)
    path.write_bytes(path.read_bytes()[:-4])
    with pytest.raises(CheckpointError, match="damaged") as refusal:
        evaluated(run, bank, checkpoint="ensemble")
    assert refusal.value.where == str(path)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device")
def test_the_gpu_gives_the_processors_result(keep_run: KeepRun, bank: ImageBank) -> None:
    run = keep_run(10, 40)
    here, there = (
        evaluated(run, bank, checkpoint="ensemble", device=torch.device(name)).headline()
        for name in ("cpu", "cuda")
    )
    assert there.accuracy == pytest.approx(here.accuracy, abs=0.02)
    assert there.loss == pytest.approx(here.loss, rel=1e-2)
