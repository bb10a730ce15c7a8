"""Evaluating a run."""

from __future__ import annotations

import math
from dataclasses import astuple, replace
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

from mamltui import scoring as subject
from mamltui.data.bank import ImageBank
from mamltui.data.episodes import EpisodeSampler
from mamltui.data.splits import split_classes
from mamltui.errors import CheckpointError, DataError, DeviceError, UsageError
from mamltui.evaluation import evaluate_as_planned, evaluate_run
from mamltui.learner import learner_of
from mamltui.maml import chunks, engine
from mamltui.maml.chunks import Interrupted
from mamltui.maml.inner import InnerLoop
from mamltui.maml.network import NetworkSpec
from mamltui.profiles import Profile
from mamltui.results import STATISTICS, Evaluation
from mamltui.runs import RunFolder
from mamltui.scoring import block_size
from tests.evaluation.conftest import MakeRun, checkpoint_of

CPU = torch.device("cpu")
Weights = dict[str, Tensor]


def evaluated(run: RunFolder, bank: ImageBank, **settings: Any) -> Evaluation:
    settings = {"steps": (0, 1, 2), "episodes": 12, "device": CPU, **settings}
    return evaluate_run(run, bank=bank, **settings)


def conv4(weights: Weights, x: Tensor, own: list[Tensor] | None = None) -> Tensor:
    """Logits; normalised with the statistics of ``x``, or of ``own``, the inputs of each layer."""
    reference = x if own is None else own[0]
    for layer in range(1, 5):

        def convolved(images: Tensor, layer: int = layer) -> Tensor:
            before = images.shape[-1] % 2
            padded = F.pad(images, (before, 1, before, 1))
            kernel = weights[f"conv{layer}.weight"].permute(3, 2, 0, 1)
            return F.conv2d(padded, kernel, stride=2)

        x, reference = convolved(x), convolved(reference)
        mean = reference.mean(dim=(0, 2, 3), keepdim=True)
        variance = reference.var(dim=(0, 2, 3), unbiased=False, keepdim=True)
        shift = weights[f"norm{layer}.shift"][:, None, None]
        x = F.relu((x - mean) / (variance + 1e-3).sqrt() + shift)
        reference = F.relu((reference - mean) / (variance + 1e-3).sqrt() + shift)
    return x.mean(dim=(2, 3)) @ weights["head.weight"] + weights["head.bias"]


def sampler_of(profile: Profile, bank: ImageBank, split: str) -> EpisodeSampler:
    return EpisodeSampler(
        bank,
        getattr(split_classes(bank), split),
        split=split,
        way=profile.task.way,
        shot=profile.task.shot,
        query=profile.task.query,
        rotations=True,
        seed=profile.meta.seed,
    )


def by_hand(
    run: RunFolder, bank: ImageBank, split: str, kind: Any, steps: int, episodes: int
) -> dict[str, Tensor]:
    """One task after another in float64; each [statistics, episodes, steps + 1].

    Of each answer, [statistics, episodes, queries, steps + 1], whether it is right and with what
    probability it was given.
    """
    profile = run.profile
    sampler = sampler_of(profile, bank, split)
    parameters = run.load_checkpoint(kind).parameters
    loss = torch.zeros(2, episodes, steps + 1, dtype=torch.float64)
    accuracy = torch.zeros_like(loss)
    queries = profile.task.way * profile.task.query
    right = torch.zeros(2, episodes, queries, steps + 1, dtype=torch.float64)
    confidence = torch.zeros_like(right)
    batch = sampler.batch(0, episodes, dtype=torch.float64)
    for task, (sx, sy, qx, qy) in enumerate(zip(*batch, strict=True)):
        weights = {name: value.double() for name, value in parameters.items()}
        for step in range(steps + 1):
            for statistics, own in enumerate((None, [sx])):
                logits = conv4(weights, qx, own)
                loss[statistics, task, step] = F.cross_entropy(logits, qy)
                right[statistics, task, :, step] = (logits.argmax(1) == qy).double()
                confidence[statistics, task, :, step] = logits.softmax(1).amax(1)
                accuracy[statistics, task, step] = right[statistics, task, :, step].mean()
            names = [name for name in weights if not name.startswith("norm")]
            leaves = {name: weights[name].clone().requires_grad_() for name in names}
            support_loss = F.cross_entropy(conv4(weights | leaves, sx), sy)
            gradients = torch.autograd.grad(support_loss, list(leaves.values()))
            for name, gradient in zip(names, gradients, strict=True):
                weights[name] = weights[name] - profile.inner.alpha * gradient
    return {"loss": loss, "accuracy": accuracy, "right": right, "confidence": confidence}


def test_outcomes_are_those_of_each_episode_and_class_by_hand(
    make_run: MakeRun, bank: ImageBank
) -> None:
    run = make_run()
    found = evaluated(run, bank)
    expected = by_hand(run, bank, "test", "best", steps=2, episodes=12)
    classes = split_classes(bank).test
    sampler = sampler_of(run.profile, bank, "test")
    plan = sampler.plan(0, 12)
    for place, statistics in enumerate(STATISTICS):
        outcome = found.outcome(statistics)
        assert outcome is not None
        accuracies = expected["accuracy"][place, :, found.test_steps]
        assert found.accuracies(statistics) == pytest.approx(accuracies.tolist())
        by_class = {name: [0, 0] for name in classes}
        for task, drawn in enumerate(plan.class_index.tolist()):
            answers = expected["right"][place, task, :, found.test_steps].view(3, 3)
            for name, right in zip(drawn, answers, strict=True):
                by_class[name][0] += int(right.sum())
                by_class[name][1] += len(right)
        assert outcome.class_right == tuple(by_class[name][0] for name in classes)
        assert outcome.class_queries == tuple(by_class[name][1] for name in classes)
        confidence = expected["confidence"][place, :, :, found.test_steps].flatten()
        assert sum(outcome.reliability.confidence) == pytest.approx(confidence.sum().item(), 1e-4)
        spread = found.spread(statistics)
        assert spread is not None
        assert spread.episodes.mean == pytest.approx(found.headline(statistics).accuracy)
        assert spread.episodes.half_width == pytest.approx(found.headline(statistics).accuracy_ci95)
        assert spread.classes.mean == pytest.approx(spread.episodes.mean)


def test_disjoint_episodes_use_no_image_twice_and_their_interval_is_students(
    make_run: MakeRun, bank: ImageBank
) -> None:
    run = make_run(task={"way": 2, "shot": 1, "query": 1})
    found = evaluated(run, bank, disjoint=True, episodes=None)
    classes = len(split_classes(bank).test)
    assert found.episodes == classes * 4 // 2
    spread = found.spread()
    assert spread is not None
    assert spread.episodes.of == "test images"
    assert spread.episodes.half_width == pytest.approx(found.headline().accuracy_ci95)
    outcome = found.outcome()
    assert outcome is not None
    assert max(outcome.class_queries) == 4
    with pytest.raises(UsageError, match="without a common image"):
        evaluated(run, bank, disjoint=True, episodes=100)


@pytest.mark.parametrize(
    ("split", "kind"), [("test", "best"), ("validation", "best"), ("train", "last")]
)
def test_every_step_and_statistics_agree_with_one_task_after_another(
    split: Any, kind: Any, make_run: MakeRun, bank: ImageBank
) -> None:
    run = make_run()
    found = evaluated(run, bank, split=split, checkpoint=kind, steps=range(4), episodes=12)
    expected = by_hand(run, bank, split, kind, steps=3, episodes=12)
    for place, statistics in enumerate(STATISTICS):
        for result in found.results(statistics):
            for name, mean, half_width in (
                ("loss", result.loss, result.loss_ci95),
                ("accuracy", result.accuracy, result.accuracy_ci95),
            ):
                values = expected[name][place, :, result.steps]
                assert mean == pytest.approx(values.mean().item(), rel=1e-4)
                expected_width = 1.96 * values.std().item() / 12**0.5
                assert half_width == pytest.approx(expected_width, rel=1e-3, abs=1e-9)
    assert (found.split, found.checkpoint) == (split, kind)
    assert found.iteration == {"best": 40, "last": 60}[kind]


def test_statistics_and_steps_make_a_difference(make_run: MakeRun, bank: ImageBank) -> None:
    found = evaluated(make_run(), bank, episodes=40)
    assert found.headline("transductive").loss != found.headline("support").loss
    assert found.transductive[2].accuracy > found.transductive[0].accuracy + 0.1


def test_a_sweep_costs_one_adaptation_of_the_longest(
    make_run: MakeRun, bank: ImageBank, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken, update = 0, InnerLoop.update

    def counted(*arguments: Any, **options: Any) -> Any:
        nonlocal taken
        taken += 1
        return update(*arguments, **options)

    monkeypatch.setattr(InnerLoop, "update", counted)
    found = evaluated(make_run(), bank, steps=range(11), episodes=5)
    assert found.steps == tuple(range(11))
    assert taken == 10


def test_a_step_is_scored_alike_in_any_sweep(make_run: MakeRun, bank: ImageBank) -> None:
    run = make_run()
    whole, part = evaluated(run, bank, steps=range(6)), evaluated(run, bank, steps=(4, 1))
    assert part.steps == (1, 2, 4)
    for statistics in STATISTICS:
        results = {result.steps: result for result in whole.results(statistics)}
        assert list(part.results(statistics)) == [results[step] for step in (1, 2, 4)]


def test_the_profiles_test_steps_are_scored_whatever_is_asked(
    make_run: MakeRun, bank: ImageBank
) -> None:
    found = evaluated(make_run(), bank, steps=(0, 5))
    assert found.steps == (0, 2, 5)
    assert found.headline().steps == 2


def test_the_result_does_not_depend_on_the_episodes_worked_on_at_once(
    make_run: MakeRun, bank: ImageBank, profile: Profile, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = make_run()
    at_once = evaluated(run, bank)
    network = NetworkSpec(3, 1, bank.image_size, 6)
    assert block_size(profile, network, CPU) >= 12
    monkeypatch.setitem(subject.BLOCK_BYTES, "cpu", 1)
    assert block_size(profile, network, CPU) == 1
    one_by_one = evaluated(run, bank)
    for statistics in STATISTICS:
        pairs = zip(at_once.results(statistics), one_by_one.results(statistics), strict=True)
        for expected, found in pairs:
            # Rounding may turn one tie of the 12 x 9 query images.
            assert found.accuracy == pytest.approx(expected.accuracy, abs=1.01 / 108)
            assert found.loss == pytest.approx(expected.loss, rel=1e-5)
            assert found.loss_ci95 == pytest.approx(expected.loss_ci95, rel=1e-4)


def test_the_block_follows_the_memory_and_the_profile(
    profile: Profile, monkeypatch: pytest.MonkeyPatch
) -> None:
    network = NetworkSpec(20, filters=64)
    large = Profile.model_validate(
        {"task": {"way": 20, "shot": 5}, "engine": {"task_chunk": 0}, "name": "large"}
    )
    fitting = block_size(large, network, CPU)
    assert 1 <= fitting < 100
    monkeypatch.setitem(subject.BLOCK_BYTES, "cpu", 4 * subject.BLOCK_BYTES["cpu"])
    assert 3 * fitting < block_size(large, network, CPU) < 6 * fitting
    chunked = Profile.model_validate({**profile.model_dump(), "engine": {"task_chunk": 2}})
    assert block_size(chunked, NetworkSpec(3, 1, 12, 6), CPU) == 2


def test_the_same_evaluation_gives_the_same_result(make_run: MakeRun, bank: ImageBank) -> None:
    run = make_run()
    assert evaluated(run, bank) == evaluated(run, bank)


def test_episodes_follow_the_profiles_seed_unless_another_is_given(
    make_run: MakeRun, bank: ImageBank
) -> None:
    run = make_run()
    found, same, other = (evaluated(run, bank, seed=seed) for seed in (None, 7, 8))
    assert found == same
    assert (found.seed, other.seed) == (7, 8)
    assert found.transductive != other.transductive


def test_progress_counts_the_episodes(make_run: MakeRun, bank: ImageBank) -> None:
    told: list[tuple[int, int]] = []
    run = make_run(engine={"task_chunk": 5})
    evaluated(run, bank, progress=lambda done, total: told.append((done, total)))
    assert told == [(5, 12), (10, 12), (12, 12)]


def test_being_watched_changes_no_digit(
    make_run: MakeRun, bank: ImageBank, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(chunks, "CPU_CHUNK_BYTES", 1)
    run = make_run()
    seen: list[Evaluation] = []
    watched = evaluated(run, bank, partial=seen.append, should_stop=lambda: False)
    assert watched == evaluated(run, bank)
    assert len(seen) == 12


def test_the_means_so_far_are_those_of_the_episodes_so_far(
    make_run: MakeRun, bank: ImageBank, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        chunks, "CPU_CHUNK_BYTES", 5 * chunks.patch_bytes(NetworkSpec(3, 1, 12, 6), 9)
    )
    run = make_run()
    seen: list[Evaluation] = []
    whole = evaluated(run, bank, steps=(0, 3), episodes=14, partial=seen.append)
    assert [partial.episodes for partial in seen] == [5, 10, 14]
    for partial in seen:
        alone = evaluated(run, bank, steps=(0, 3), episodes=partial.episodes)
        assert_close(partial, alone)
    assert_close(seen[-1], whole)
    assert seen[0].headline().accuracy != whole.headline().accuracy


def assert_close(found: Evaluation, expected: Evaluation) -> None:
    """Equal but for the rounding of other sums."""
    assert replace(found, transductive=(), support=(), outcomes=()) == replace(
        expected, transductive=(), support=(), outcomes=()
    )
    for statistics in STATISTICS:
        for ours, theirs in zip(
            found.results(statistics), expected.results(statistics), strict=True
        ):
            assert astuple(ours) == pytest.approx(astuple(theirs), rel=1e-4, abs=1e-9)


def test_the_means_of_one_episode_have_no_interval(
    make_run: MakeRun, bank: ImageBank, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(chunks, "CPU_CHUNK_BYTES", 1)
    seen: list[Evaluation] = []
    evaluated(make_run(), bank, partial=seen.append)
    assert seen[0].episodes == 1
    assert math.isnan(seen[0].headline().accuracy_ci95)
    assert not math.isnan(seen[1].headline().accuracy_ci95)


def test_a_stop_ends_an_evaluation_at_once(make_run: MakeRun, bank: ImageBank) -> None:
    run = make_run(engine={"task_chunk": 1})
    done: list[int] = []
    with pytest.raises(Interrupted):
        evaluate_as_planned(
            run,
            bank,
            device=CPU,
            progress=lambda episodes, _: done.append(episodes),
            should_stop=lambda: len(done) == 3,
        )
    assert done == [1, 2, 3]


def test_other_images_than_those_of_the_training_are_refused(
    make_run: MakeRun, bank: ImageBank
) -> None:
    other = ImageBank(bank.name, bank.images, bank.class_names, "e" * 64, "elsewhere")
    with pytest.raises(DataError, match="trained on other images") as refusal:
        evaluated(make_run(), other)
    assert refusal.value.where == "elsewhere"


def test_other_classes_in_the_splits_are_refused(make_run: MakeRun, bank: ImageBank) -> None:
    renamed = tuple(reversed(bank.class_names))
    other = ImageBank(bank.name, bank.images[:24], renamed[:24], bank.content_hash, "elsewhere")
    with pytest.raises(DataError, match="other classes in its splits"):
        evaluated(make_run(), other)


def test_a_run_without_validation_points_to_its_last_checkpoint(
    make_run: MakeRun, bank: ImageBank
) -> None:
    run = make_run()
    run.checkpoint_path("best").unlink()
    with pytest.raises(CheckpointError, match="before its first validation") as refusal:
        evaluated(run, bank)
    assert "--checkpoint last" in str(refusal.value.hint)
    assert evaluated(run, bank, checkpoint="last").iteration == 60


def test_a_checkpoint_of_another_network_is_refused(make_run: MakeRun, bank: ImageBank) -> None:
    run = make_run()
    run.save_checkpoint("best", checkpoint_of(NetworkSpec(3, 1, bank.image_size, 5)))
    with pytest.raises(CheckpointError, match="of another network"):
        evaluated(run, bank)


def test_a_run_that_never_began_is_refused(
    profile: Profile, bank: ImageBank, tmp_path: Any
) -> None:
    with pytest.raises(CheckpointError, match="not begun to train"):
        evaluated(RunFolder.create(profile, tmp_path), bank)


@pytest.mark.parametrize("settings", [{"episodes": 1}, {"steps": ()}, {"steps": (-1, 2)}])
def test_an_evaluation_without_interval_or_steps_is_refused(
    settings: dict[str, Any], make_run: MakeRun, bank: ImageBank
) -> None:
    with pytest.raises(UsageError):
        evaluated(make_run(), bank, **settings)


OUT_OF_MEMORY = pytest.mark.parametrize(
    ("error", "what"),
    [
        (
            torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB."),
            "the GPU is out of memory",
        ),
        (
            RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: 80 bytes."),
            "the machine is out of memory",
        ),
        (MemoryError(), "the machine is out of memory"),
    ],
    ids=["gpu", "processor", "python"],
)


@OUT_OF_MEMORY
def test_a_device_without_memory_left_is_said_in_words(
    make_run: MakeRun, bank: ImageBank, error: Exception, what: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried: list[int] = []

    def full(*_: Any, task_chunk: int, **__: Any) -> None:
        tried.append(task_chunk)
        raise error

    monkeypatch.setattr(engine, "score", full)
    with pytest.raises(DeviceError, match=what) as caught:
        evaluated(make_run(), bank)
    assert tried[-1] == 1
    assert "one episode alone does not fit" in str(caught.value.hint)


def test_a_gpu_without_memory_left_is_answered_with_the_processor(
    make_run: MakeRun, bank: ImageBank, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = make_run()
    sampler = EpisodeSampler.of(run.profile, bank, split_classes(bank), "test")

    def full(*_: object, **__: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory.")

    monkeypatch.setattr(sampler, "batch", full)
    scores = subject.score_chunks(
        run.profile,
        learner_of(run.profile, bank),
        [],
        sampler,
        steps=1,
        episodes=4,
        device=torch.device("cuda"),
        should_stop=None,
        say=None,
        ranks=None,
    )
    with pytest.raises(DeviceError, match="the GPU is out of memory") as caught:
        next(scores)
    assert "evaluate on the processor: --device cpu" in str(caught.value.hint)


@OUT_OF_MEMORY
def test_where_the_images_of_many_episodes_do_not_fit_fewer_are_drawn_at_once(
    make_run: MakeRun, bank: ImageBank, error: Exception, what: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = make_run()
    expected = evaluated(run, bank)
    true, asked, said = EpisodeSampler.batch, list[tuple[int, int]](), list[str]()

    def batch(self: EpisodeSampler, first: int, tasks: int, *arguments: Any, **more: Any) -> Any:
        asked.append((first, tasks))
        if tasks > 5:
            raise error
        return true(self, first, tasks, *arguments, **more)

    monkeypatch.setattr(EpisodeSampler, "batch", batch)
    found = evaluated(run, bank, say=said.append)
    assert said[0].startswith("out of memory with ") and "episodes at once" in said[0], what
    drawn = [range(first, first + tasks) for first, tasks in asked if tasks <= 5]
    assert [task for tasks in drawn for task in tasks] == list(range(found.episodes))
    for ours, theirs in zip(found.transductive, expected.transductive, strict=True):
        assert ours.accuracy == pytest.approx(theirs.accuracy)


def test_the_evaluation_after_a_training_is_the_profiles(
    make_run: MakeRun, bank: ImageBank
) -> None:
    found = evaluate_as_planned(make_run(), bank, device=CPU)
    assert (found.steps, found.episodes, found.split) == ((0, 1, 2), 12, "test")


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device")
def test_the_gpu_gives_the_processors_result(make_run: MakeRun, bank: ImageBank) -> None:
    run = make_run()
    here, there = (evaluated(run, bank, device=torch.device(name)) for name in ("cpu", "cuda"))
    for statistics in STATISTICS:
        pairs = zip(here.results(statistics), there.results(statistics), strict=True)
        for expected, found in pairs:
            assert found.accuracy == pytest.approx(expected.accuracy, abs=0.02)
            assert found.loss == pytest.approx(expected.loss, rel=1e-2)
