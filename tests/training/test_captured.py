"""A whole meta-iteration over tensors that stay where they are, equal to the trainer's own."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import pytest
import torch
from torch import Tensor
from torch.utils._pytree import tree_leaves

from mamltui.data.episodes import EpisodeSampler
from mamltui.data.splits import split_classes
from mamltui.errors import DeviceError
from mamltui.events import Diverged, Finished, Notice, Stopped
from mamltui.learner import annealing_ends, inner_loop_at
from mamltui.maml import outer
from mamltui.maml.gradient import MetaGradient
from mamltui.maml.inner import InnerLoop
from mamltui.maml.learner import Learner
from mamltui.maml.network import NetworkSpec
from mamltui.maml.strategies.analytic import Analytic
from mamltui.profiles import AugmentSection, MetaSection
from mamltui.runs import RunFolder
from mamltui.training import Control
from mamltui.training.captured import CapturedStep
from mamltui.training.clipping import global_norm
from mamltui.training.clock import Seconds
from mamltui.training.divergence import Divergence, Watch
from mamltui.training.meta_step import MetaStep
from mamltui.training.state import TrainingState
from tests.fake_cuda import CUDA, Launches, fake_cuda, needs_cuda
from tests.training.small import (
    ALL_REMEDIES,
    CPU,
    assert_same_training,
    make_bank,
    make_profile,
    make_run,
    make_trainer,
    metrics,
    train,
)

NETWORK = NetworkSpec(way=3, channels=1, image_size=8, filters=4)
INNER = InnerLoop(steps=2, alpha=0.4)
LEARNER = Learner(NETWORK, INNER)
BATCH = 3
META = MetaSection(seed=5)
REMEDIES = MetaSection(
    seed=5,
    learning_rate=0.01,
    schedule="cosine",
    warmup=3,
    weight_decay=0.1,
    clip_norm=0.5,
    clip_value=0.1,
    iterations=20,
)
"""All that an update can do at once."""
ANNEALED = (
    "plus.multi_step_loss=true",
    "plus.multi_step_iterations=7",
    "plus.derivative_annealing=true",
    "plus.first_order_iterations=3",
)
"""Three kinds of meta-iteration within the 12 of ``small``."""


def make_sampler(augmentation: AugmentSection | None = None) -> EpisodeSampler:
    bank = make_bank()
    classes = split_classes(bank, "proportional").train
    return EpisodeSampler(
        bank,
        classes,
        split="train",
        way=3,
        shot=2,
        query=2,
        rotations=True,
        seed=5,
        augmentation=augmentation,
    )


def make_step(
    device: torch.device = CPU,
    sampler: EpisodeSampler | None = None,
    meta: MetaSection = META,
    **options: Any,
) -> tuple[CapturedStep, TrainingState, Watch]:
    state = TrainingState.fresh(LEARNER, meta, device)
    watch, sampler = Watch(100.0, device), sampler or make_sampler()
    step = CapturedStep(LEARNER, sampler, state, watch, batch=BATCH, device=device, **options)
    return step, state, watch


def annealing(*overrides: str) -> dict[str, Any]:
    """Options of a step that is annealed as ``small`` is with these settings."""
    profile = make_profile("inner.alpha=0.4", *overrides)
    return {
        "inner_at": lambda iteration: inner_loop_at(profile, iteration),
        "changes": annealing_ends(profile),
    }


def copies(state: TrainingState) -> list[Tensor]:
    return [tensor.clone() for tensor in state.tensors]


def assert_equal(first: list[Tensor], second: list[Tensor]) -> None:
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))


@pytest.fixture
def captured(monkeypatch: pytest.MonkeyPatch) -> None:
    """Trainers take the captured step, which on the CPU is run as it is."""
    monkeypatch.setattr(MetaStep, "_captures", lambda _: True)


def test_preparing_changes_nothing() -> None:
    step, state, watch = make_step()
    before = copies(state)
    step.prepare(pytest.fail)
    assert_equal(copies(state), before)
    assert (state.iteration, watch.iteration) == (0, 0)
    assert not any(tensor.any() for tensor in watch.tensors)


def test_a_state_is_changed_where_it_is() -> None:
    step, state, _ = make_step()
    before, addresses = copies(state), [tensor.data_ptr() for tensor in state.tensors]
    step.prepare(pytest.fail)
    step.run()
    assert [tensor.data_ptr() for tensor in state.tensors] == addresses
    assert not any(torch.equal(a, b) for a, b in zip(copies(state), before, strict=True))


@pytest.mark.usefixtures("captured")
def test_a_training_of_captured_steps_is_that_of_ordinary_ones_to_the_bit(
    run: RunFolder, unbroken: RunFolder
) -> None:
    assert isinstance(train(run)[-1], Finished)
    assert_same_training(run, unbroken)


@pytest.mark.parametrize("optimizer", ["adam", "sgd"])
def test_captured_steps_are_ordinary_ones_to_the_bit_with_all_remedies(
    root: Path, monkeypatch: pytest.MonkeyPatch, optimizer: str
) -> None:
    profile = make_profile(*ALL_REMEDIES, f"meta.optimizer={optimizer}")
    ordinary, captured = make_run(root, profile), make_run(root, profile)
    train(ordinary)
    monkeypatch.setattr(MetaStep, "_captures", lambda _: True)
    train(captured)
    assert_same_training(captured, ordinary)


@pytest.mark.parametrize(
    "overrides", [ANNEALED, ANNEALED[:2], ANNEALED[2:]], ids=["both", "MSL", "DA"]
)
def test_captured_steps_are_ordinary_ones_to_the_bit_while_the_inner_loop_is_annealed(
    root: Path, monkeypatch: pytest.MonkeyPatch, overrides: tuple[str, ...]
) -> None:
    profile = make_profile(*overrides)
    ordinary, captured = make_run(root, profile), make_run(root, profile)
    train(ordinary)
    monkeypatch.setattr(MetaStep, "_captures", lambda _: True)
    train(captured)
    assert_same_training(captured, ordinary)


@pytest.mark.usefixtures("captured")
@pytest.mark.parametrize("iteration", [3, 4, 7])
def test_a_stopped_training_of_captured_steps_goes_on_to_the_same_end(
    run: RunFolder, unbroken: RunFolder, iteration: int
) -> None:
    control = Control()
    trainer = make_trainer(run, control=control)
    assert trainer._meta_step._captures()
    steps = CapturedStep.run

    def run_and_stop(step: CapturedStep) -> None:
        steps(step)
        if trainer._state.iteration == iteration:
            control.stop("now")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(CapturedStep, "run", run_and_stop)
        *_, end = trainer.train()
    assert end == Stopped(iteration, "now")
    assert run.load_checkpoint("last").iteration == iteration
    train(run)
    assert_same_training(run, unbroken)


def test_an_ordinary_training_goes_on_with_captured_steps(
    run: RunFolder, unbroken: RunFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    control = Control()
    for event in make_trainer(run, control=control).train():
        if event.iteration == 6:
            control.stop("now")
    monkeypatch.setattr(MetaStep, "_captures", lambda _: True)
    train(run)
    assert_same_training(run, unbroken)


@pytest.mark.parametrize("chunk", [1, 2, 3, 8])
def test_task_chunks_change_only_rounding(chunk: int) -> None:
    (whole, expected, _), (cut, found, _) = make_step(), make_step(task_chunk=chunk)
    for step in (whole, cut):
        step.prepare(pytest.fail)
        for _ in range(4):
            step.run()
    for a, b in zip(copies(found), copies(expected), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-5)  # a step is 1e-3
    assert cut.metrics() == pytest.approx(whole.metrics(), rel=1e-4)


def test_metrics_are_those_of_the_latest_iteration() -> None:
    step, state, _ = make_step()
    step.prepare(pytest.fail)
    for iteration in range(3):
        episodes = make_sampler().batch(iteration * BATCH, BATCH)
        found = outer.meta_gradient(NETWORK, INNER, state.parameters, episodes, Analytic)
        found = found.times(1 / BATCH)
        step.run()
        expected = (found.query_loss, found.query_accuracy, global_norm(found.gradient))
        assert step.metrics() == pytest.approx([float(value) for value in expected], rel=1e-6)


def test_a_gradient_is_clipped_and_its_own_norm_is_told() -> None:
    (free, plain, _), (short, state, _) = (
        make_step(),
        make_step(meta=MetaSection(seed=5, clip_norm=1e-3)),
    )
    for step in (free, short):
        step.prepare(pytest.fail)
        step.run()
    assert short.metrics() == free.metrics()
    assert short.metrics().gradient_norm > 1e-2
    assert global_norm(state.exp_avg).item() == pytest.approx(0.1 * 1e-3, rel=1e-3)
    assert global_norm(plain.exp_avg).item() > 1e-3


def spoil(watch: Watch, iteration: int) -> None:
    """Let the gradient of ``iteration`` be seen as one that is not finite."""
    look, looks = watch.look, 0

    def look_badly(query_loss: Tensor, gradient_norm: Tensor) -> None:
        nonlocal looks
        looks += 1
        look(query_loss, gradient_norm * (torch.nan if looks == iteration else 1.0))

    watch.look = look_badly  # type: ignore[method-assign]


def test_after_a_bad_gradient_nothing_changes_and_the_first_is_named() -> None:
    (step, state, watch), (good, expected, _) = make_step(), make_step()
    for each in (step, good):
        each.prepare(pytest.fail)
    spoil(watch, 4)
    for _ in range(9):
        step.run()
    for _ in range(3):
        good.run()
    assert_equal(copies(state), copies(expected))
    with pytest.raises(
        Divergence, match="the gradient's norm is nan in meta-iteration 4"
    ) as caught:
        watch.check()
    assert caught.value.good == 3


@pytest.mark.usefixtures("captured")
def test_a_diverged_training_of_captured_steps_ends_where_it_was_good(
    run: RunFolder, unbroken: RunFolder
) -> None:
    trainer = make_trainer(run)
    begin = trainer._begin

    def begin_and_spoil() -> list[str]:
        notices = begin()
        spoil(trainer._watch, 1 + 7)  # the first look is that of warming up
        return notices

    trainer._begin = begin_and_spoil  # type: ignore[method-assign]
    *_, end = trainer.train()
    assert end == Diverged(6, "the gradient's norm is nan in meta-iteration 7")
    assert run.info().iteration == 6
    assert run.load_checkpoint("last").iteration == 5
    assert metrics(run) == metrics(unbroken)[:3]


def short_of_memory(limit: int, monkeypatch: pytest.MonkeyPatch, error: Exception) -> list[int]:
    """The strategy runs out of memory with more than ``limit`` tasks; the chunks it was given."""
    true, chunks = outer.meta_gradient, []

    def meta_gradient(*arguments: Any, **options: Any) -> MetaGradient:
        chunks.append(arguments[3].tasks)
        if arguments[3].tasks > limit:
            raise error
        return true(*arguments, **options)

    monkeypatch.setattr(outer, "meta_gradient", meta_gradient)
    return chunks


def broken_capture() -> RuntimeError:
    """What is left to see when memory ran out while a graph was captured."""
    error = RuntimeError("operation failed due to a previous error during capture")
    error.__context__ = torch.OutOfMemoryError("CUDA out of memory.")
    return error


@pytest.mark.parametrize("make_error", [lambda: torch.OutOfMemoryError("CUDA"), broken_capture])
def test_too_little_memory_halves_the_chunk_and_says_so(
    make_error: Callable[[], Exception], monkeypatch: pytest.MonkeyPatch
) -> None:
    chunks = short_of_memory(1, monkeypatch, make_error())
    step, state, _ = make_step(task_chunk=100)
    before, said = copies(state), list[str]()
    step.prepare(said.append)
    assert said == ["out of memory with 3 tasks at once: from here on 1"]
    assert step.task_chunk == 1
    assert chunks == [3, 1, 1, 1]
    assert_equal(copies(state), before)
    step.run()
    assert chunks[4:] == [1, 1, 1]


def test_when_not_one_task_fits_that_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    short_of_memory(0, monkeypatch, torch.OutOfMemoryError("CUDA"))
    step, _, _ = make_step()
    with pytest.raises(torch.OutOfMemoryError):
        step.prepare([].append)


def test_other_errors_halve_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    short_of_memory(1, monkeypatch, RuntimeError("an illegal instruction"))
    step, _, _ = make_step()
    with pytest.raises(RuntimeError, match="illegal"):
        step.prepare(pytest.fail)


def test_memory_for_what_comes_later_is_tried_before_the_first_iteration(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Second order needs more than the first order of the beginning."""
    true, kinds = outer.meta_gradient, list[tuple[bool, bool, int]]()

    def meta_gradient(*arguments: Any, **options: Any) -> MetaGradient:
        inner, episodes = arguments[1], arguments[3]
        kinds.append((inner.first_order, bool(inner.query_weights), episodes.tasks))
        if episodes.tasks > 1 and not inner.first_order:
            raise torch.OutOfMemoryError("CUDA")
        return true(*arguments, **options)

    monkeypatch.setattr(outer, "meta_gradient", meta_gradient)
    step, state, _ = make_step(**annealing(*ANNEALED), task_chunk=3)
    said = list[str]()
    step.prepare(said.append)
    assert said == ["out of memory with 3 tasks at once: from here on 1"]
    of_each = [(True, True), (False, True), (False, False)]
    assert [kind[:2] for kind in kinds] == [*of_each[:2], *(k for k in of_each for _ in range(3))]
    kinds.clear()
    state.iteration = 5
    step.prepare(pytest.fail)
    assert [kind[:2] for kind in kinds[::3]] == of_each[1:]


@pytest.mark.usefixtures("captured")
def test_a_halved_chunk_is_told_in_the_run_and_too_small_a_memory_explained(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    short_of_memory(1, monkeypatch, torch.OutOfMemoryError("CUDA"))
    events = train(make_run(root))
    said = [event.message for event in events if isinstance(event, Notice)]
    assert said == ["out of memory with 3 tasks at once: from here on 1"]
    assert isinstance(events[-1], Finished)
    monkeypatch.undo()
    monkeypatch.setattr(MetaStep, "_captures", lambda _: True)
    short_of_memory(0, monkeypatch, torch.OutOfMemoryError("CUDA"))
    run = make_run(root)
    with pytest.raises(DeviceError, match="out of memory"):
        list(make_trainer(run).train())
    assert run.info().state == "failed"


@pytest.mark.parametrize("precision", ["fp32", "tf32", "bf16"])
@pytest.mark.parametrize("meta", [META, REMEDIES], ids=["default", "remedies"])
def test_an_iteration_on_a_gpu_can_be_captured(precision: str, meta: MetaSection) -> None:
    """It waits for nothing, stays on the device, and leaves every shape and place as it was."""
    sampler = make_sampler()
    with fake_cuda():
        step, state, _ = make_step(CUDA, sampler, meta, precision=precision, task_chunk=2)
        tensors = state.tensors
        layouts = [(tensor.shape, tensor.stride(), tensor.dtype) for tensor in tensors]
        with Launches() as launches:
            step._iteration(INNER)
    assert {tensor.device for tensor in state.tensors} == {CUDA}
    assert all(a is b for a, b in zip(state.tensors, tensors, strict=True))
    assert [(tensor.shape, tensor.stride(), tensor.dtype) for tensor in tensors] == layouts
    assert sum(name.startswith("aten._fused_adam_") for name in launches.names) == 1


@pytest.mark.parametrize("optimizer", ["adam", "sgd"])
def test_a_graph_finds_the_rate_of_each_iteration_where_it_was_captured(
    optimizer: Literal["adam", "sgd"],
) -> None:
    """What is captured must hold no number of the schedule: it is put in before each replay."""
    sampler = make_sampler()
    meta = REMEDIES.model_copy(update={"optimizer": optimizer})
    with fake_cuda():
        step, state, _ = make_step(CUDA, sampler, meta, task_chunk=2)
        assert state.rate is not None
        with Uses(state.rate) as captured:
            step._iteration(INNER)
        with Uses(state.rate) as whole:
            step.run()
    assert captured.names
    assert not any(name.startswith("aten.fill_") for name in captured.names)
    assert whole.names == ["aten.fill_.Scalar", *captured.names]


def test_a_graph_finds_the_weights_of_each_iteration_where_it_was_captured() -> None:
    sampler = make_sampler()
    with fake_cuda():
        step, _, _ = make_step(CUDA, sampler, task_chunk=3, **annealing(*ANNEALED))
        for kind in step._kinds():
            used = []
            for weight in step._weights.tensors:
                with Uses(weight) as captured:
                    step._iteration(kind)
                assert not any(name.startswith("aten.fill_") for name in captured.names)
                used.append(bool(captured.names))
            assert used == [False, *(bool(weight) for weight in kind.query_weights or (0, 0))]
        with Uses(step._weights.tensors[1]) as whole:
            step.run()
    assert whole.names[0] == "aten.fill_.Scalar"
    assert len(whole.names) == 2


def test_a_constant_rate_needs_no_launch_of_its_own() -> None:
    sampler = make_sampler()
    with fake_cuda():
        step, state, _ = make_step(CUDA, sampler, task_chunk=2)
        assert state.rate is None
        with Launches() as each:
            step._iteration(INNER)
        with Launches() as launches:
            step.run()
    assert launches.names == each.names


class Uses(Launches):
    """Collects what is launched with one tensor."""

    def __init__(self, tensor: Tensor) -> None:
        super().__init__()
        self._tensor = tensor

    def __torch_dispatch__(
        self, function: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        before = len(self.names)
        found = super().__torch_dispatch__(function, types, args, kwargs)
        if not any(leaf is self._tensor for leaf in tree_leaves((args, kwargs))):
            del self.names[before:]
        return found


def test_an_iteration_on_augmented_drawings_can_be_captured() -> None:
    sampler = make_sampler(AugmentSection(angle=10, shift=1, scale=0.1, shear=10, elastic=1))
    with fake_cuda():
        step, _, _ = make_step(CUDA, sampler, task_chunk=2)
        with Launches() as launches:
            step._iteration(INNER)
    assert sum("grid_sampler" in name for name in launches.names) == 1


def test_the_fused_update_leaves_all_as_it_is_after_a_bad_gradient() -> None:
    """CUDA's update, by the same function of torch on the CPU."""
    (_, state, _), (_, skipped, _), (_, plain, _) = make_step(), make_step(), make_step()
    gradient = {name: torch.ones_like(value) for name, value in state.parameters.items()}
    before = copies(skipped)
    fused_update(state, gradient, torch.tensor(0.0))
    fused_update(skipped, gradient, torch.tensor(1.0))
    plain.update(gradient, {}, unless=torch.tensor(False))
    assert_equal(copies(skipped), before)
    for a, b in zip(copies(state), copies(plain), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-6, atol=1e-9)


def fused_update(state: TrainingState, gradient: dict[str, Tensor], found_inf: Tensor) -> None:
    from mamltui.training import state as module

    true = module.adam

    def fused(*arguments: Any, **options: Any) -> None:
        true(*arguments, **(options | {"fused": True, "found_inf": found_inf}))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "adam", fused)
        state.update(gradient, {}, unless=torch.tensor(False))


@pytest.mark.parametrize("device", [CPU, pytest.param("cuda", marks=[pytest.mark.gpu, needs_cuda])])
def test_a_checkpoint_brings_the_state_back_to_its_device(device: torch.device | str) -> None:
    device = torch.device(device)
    step, state, _ = make_step(device)
    step.prepare(pytest.fail)
    step.run()
    checkpoint = state.checkpoint(Seconds())
    assert checkpoint.adam.step == checkpoint.iteration == 1
    again = TrainingState.restored(checkpoint, META, device)
    assert_equal(copies(again), copies(state))
    assert {tensor.device.type for tensor in again.tensors} == {device.type}


@pytest.mark.gpu
@needs_cuda
@pytest.mark.parametrize("precision", ["fp32", "tf32", "bf16"])
@pytest.mark.parametrize("meta", [META, REMEDIES], ids=["default", "remedies"])
def test_a_captured_iteration_is_the_uncaptured_one(precision: str, meta: MetaSection) -> None:
    device = torch.device("cuda")
    (graph, found, _), (eager, expected, _) = (
        make_step(device, meta=meta, precision=precision) for _ in range(2)
    )
    graph.prepare(pytest.fail)
    eager.task_chunk = graph.task_chunk
    for _ in range(20):
        graph.run()
        eager.run()
        assert graph.metrics() == pytest.approx(eager.metrics(), rel=1e-5)
    for a, b in zip(copies(found), copies(expected), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-6)


@pytest.mark.gpu
@needs_cuda
def test_captured_iterations_are_the_uncaptured_ones_while_the_inner_loop_is_annealed() -> None:
    device = torch.device("cuda")
    (graph, found, _), (eager, expected, _) = (
        make_step(device, **annealing(*ANNEALED)) for _ in range(2)
    )
    graph.prepare(pytest.fail)
    eager.task_chunk = graph.task_chunk
    assert len(graph._graphs) == 3
    for _ in range(10):
        graph.run()
        eager.run()
        assert graph.metrics() == pytest.approx(eager.metrics(), rel=1e-5)
    for a, b in zip(copies(found), copies(expected), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-6)


@pytest.mark.gpu
@needs_cuda
def test_replays_take_no_memory() -> None:
    step, _, _ = make_step(torch.device("cuda"))
    step.prepare(pytest.fail)
    step.run()
    torch.cuda.synchronize()
    before = torch.cuda.memory_allocated(), torch.cuda.memory_reserved()
    for _ in range(2000):
        step.run()
    torch.cuda.synchronize()
    assert (torch.cuda.memory_allocated(), torch.cuda.memory_reserved()) == before


@pytest.mark.gpu
@needs_cuda
def test_an_iteration_is_one_launch() -> None:
    step, _, _ = make_step(torch.device("cuda"))
    step.prepare(pytest.fail)
    step.run()
    torch.cuda.synchronize()
    activities = [torch.profiler.ProfilerActivity.CPU, torch.profiler.ProfilerActivity.CUDA]
    with torch.profiler.profile(activities=activities) as profile:
        for _ in range(10):
            step.run()
        torch.cuda.synchronize()
    calls = {event.key: event.count for event in profile.key_averages()}
    assert calls.get("cudaGraphLaunch") == 10
    assert sum(count for key, count in calls.items() if key.startswith("cudaLaunchKernel")) == 0
