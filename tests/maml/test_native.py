"""The compiled kernels: gradients, scores, threads and memory."""

from __future__ import annotations

import gc
import mmap
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from mamltui.maml.chunks import Interrupted
from mamltui.maml.engine import Engine
from mamltui.maml.episode import Episodes
from mamltui.maml.evaluate import Scores, score
from mamltui.maml.gradient import MetaGradient
from mamltui.maml.inner import InnerLoop
from mamltui.maml.network import NetworkSpec
from mamltui.maml.strategies.native import TASKS, Kernels

from .reference import Weights, meta_gradient, random_problem, relative_difference

CPU = torch.device("cpu")
SECONDS = 60
"""Far beyond what any of these waits takes."""
FLOAT64_TOLERANCE = 1e-10
FLOAT32_TOLERANCE = 1e-4
SHAPES: dict[str, dict[str, Any]] = {
    "20x20": {"way": 3, "shot": 2, "query": 1, "size": 20},
    "colour 21x21": {"way": 2, "shot": 1, "query": 4, "channels": 3, "size": 21},
    "48 filters": {"way": 4, "shot": 1, "query": 2, "filters": 48, "size": 20, "tasks": 2},
    "7-way 5x5": {"way": 7, "shot": 3, "query": 2, "size": 5},
    "100 filters": {"way": 3, "shot": 2, "filters": 100, "size": 20, "tasks": 2},
    "20 filters": {"way": 3, "filters": 20, "size": 16},
    "one layer": {"way": 3, "filters": 24, "size": 14, "layers": 1},
    "8 channels": {"way": 2, "channels": 8, "size": 8, "layers": 2},
    # Rows enough for Winograd's algorithm, in one layer of odd size and whole and half panels.
    "max-pooling": {"way": 3, "shot": 2, "filters": 40, "size": 22, "pooling": "max", "tasks": 2},
    "max-pooling, colour": {"way": 2, "channels": 3, "filters": 32, "size": 21, "pooling": "max"},
    # Layers of 14 and 7, of 28 and 14, of 21 and 11, and of 42, 21 and 11 outputs a side.
    "28x28": {"way": 4, "shot": 4, "query": 2, "filters": 64, "tasks": 1},
    "56x56": {"way": 3, "shot": 2, "query": 1, "size": 56, "tasks": 1},
    "42x42": {"way": 3, "shot": 3, "query": 1, "filters": 48, "size": 42, "tasks": 1},
    "84x84": {"way": 3, "shot": 1, "query": 1, "channels": 3, "size": 84, "tasks": 1},
}
shapes = pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES.keys())


def engine(
    network: NetworkSpec, inner: InnerLoop, dtype: torch.dtype = torch.float64, task_chunk: int = 0
) -> Engine:
    return Engine(network, inner, device=CPU, strategy="native", dtype=dtype, task_chunk=task_chunk)


def single(weights: Weights) -> Weights:
    return {name: value.float() for name, value in weights.items()}


def same_gradient(first: MetaGradient, second: MetaGradient) -> bool:
    """To the last bit."""
    return (
        all(torch.equal(value, second.gradient[name]) for name, value in first.gradient.items())
        and torch.equal(first.query_loss, second.query_loss)
        and torch.equal(first.query_accuracy, second.query_accuracy)
    )


def assert_same_scores(actual: Scores, expected: Scores, tolerance: float) -> None:
    for ours, theirs in zip(actual, expected, strict=True):
        assert ours is not None and theirs is not None
        assert ours.loss.dtype == ours.accuracy.dtype == torch.float64
        torch.testing.assert_close(ours.loss, theirs.loss, rtol=tolerance, atol=tolerance)
        torch.testing.assert_close(ours.accuracy, theirs.accuracy, rtol=tolerance, atol=tolerance)
        assert (ours.answers is None) is (theirs.answers is None)
        if ours.answers is not None and theirs.answers is not None:
            torch.testing.assert_close(ours.answers, theirs.answers, rtol=1e-6, atol=1e-6)


@pytest.fixture
def threads() -> Iterator[Callable[[int], None]]:
    """Sets torch's number of threads until the end of the test."""
    before = torch.get_num_threads()
    yield torch.set_num_threads
    torch.set_num_threads(before)


@shapes
@pytest.mark.parametrize(
    ("steps", "first_order"), [(0, False), (1, False), (3, False), (0, True), (2, True)]
)
def test_gradient_equals_algorithm_2(shape: dict[str, Any], steps: int, first_order: bool) -> None:
    network, weights, episodes = random_problem(**shape)
    inner = InnerLoop(steps, 0.4, first_order=first_order)
    actual = engine(network, inner).meta_gradient(weights, episodes)
    expected, loss = meta_gradient(network, inner, weights, episodes)
    assert relative_difference(actual.gradient, expected) <= FLOAT64_TOLERANCE
    assert actual.query_loss.item() == pytest.approx(loss, rel=1e-12)


@shapes
def test_single_precision_stays_close_to_it(shape: dict[str, Any]) -> None:
    network, weights, episodes = random_problem(**shape)
    inner = InnerLoop(2, 0.1)
    actual = engine(network, inner, torch.float32).meta_gradient(
        single(weights), episodes.to(CPU, torch.float32)
    )
    expected, loss = meta_gradient(network, inner, weights, episodes)
    assert all(value.dtype == torch.float32 for value in actual.gradient.values())
    assert relative_difference(actual.gradient, expected) <= FLOAT32_TOLERANCE
    assert actual.query_loss.item() == pytest.approx(loss, rel=FLOAT32_TOLERANCE)


@shapes
@pytest.mark.parametrize("steps", range(5))
def test_scores_equal_those_of_evaluate(shape: dict[str, Any], steps: int) -> None:
    network, weights, episodes = random_problem(**shape)
    inner = InnerLoop(1, 0.4)
    actual = engine(network, inner).score(weights, episodes, steps=steps)
    assert actual.transductive.loss.shape == (episodes.tasks, steps + 1)
    expected = score(network, inner, weights, episodes, steps=steps)
    assert_same_scores(actual, expected, FLOAT64_TOLERANCE)


@shapes
def test_scores_in_single_precision_stay_close(shape: dict[str, Any]) -> None:
    network, weights, episodes = random_problem(**shape)
    inner = InnerLoop(1, 0.1)
    actual = engine(network, inner, torch.float32).score(
        single(weights), episodes.to(CPU, torch.float32), steps=4
    )
    expected = score(network, inner, weights, episodes, steps=4)
    for ours, theirs in zip(actual, expected, strict=True):
        assert ours is not None and theirs is not None
        torch.testing.assert_close(ours.loss, theirs.loss, rtol=1e-4, atol=1e-4)


def test_scores_without_support_statistics_leave_them_out_and_nothing_else() -> None:
    network, weights, episodes = random_problem(way=3, size=20)
    kernels = engine(network, InnerLoop(1, 0.4))
    full = kernels.score(weights, episodes, steps=2)
    short = kernels.score(weights, episodes, steps=2, support_statistics=False)
    assert short.support_statistics is None
    assert torch.equal(short.transductive.loss, full.transductive.loss)
    assert torch.equal(short.support.loss, full.support.loss)


def test_the_order_of_the_parameters_does_not_matter() -> None:
    network, weights, episodes = random_problem(way=3, size=20)
    kernels = engine(network, InnerLoop(1, 0.4))
    expected = kernels.meta_gradient(weights, episodes)
    turned = dict(reversed(weights.items()))
    assert same_gradient(kernels.meta_gradient(turned, episodes), expected)


def test_how_the_images_lie_in_memory_does_not_matter() -> None:
    network, weights, episodes = random_problem(way=3, channels=3, size=20)
    kernels = engine(network, InnerLoop(1, 0.4))
    expected = kernels.meta_gradient(weights, episodes)
    last = [images.movedim(2, -1).contiguous() for images in (episodes[0], episodes[2])]
    strided = episodes._replace(support_x=last[0].movedim(-1, 2), query_x=last[1].movedim(-1, 2))
    assert not strided.support_x.is_contiguous()
    assert same_gradient(kernels.meta_gradient(weights, strided), expected)


def test_episodes_of_other_sizes_do_not_disturb_each_other() -> None:
    """The two need the same amount of memory, but lay it out in another way."""
    network, weights, one = random_problem(way=3, shot=1, query=3, size=20)
    _, _, other = random_problem(way=3, shot=3, query=1, size=20)
    inner = InnerLoop(1, 0.4, first_order=True)
    kernels = engine(network, inner)
    for episodes in (one, other, one):
        scores = kernels.score(weights, episodes, steps=2)
        expected_scores = score(network, inner, weights, episodes, steps=2)
        assert_same_scores(scores, expected_scores, FLOAT64_TOLERANCE)
        actual = kernels.meta_gradient(weights, episodes)
        expected, _ = meta_gradient(network, inner, weights, episodes)
        assert relative_difference(actual.gradient, expected) <= FLOAT64_TOLERANCE


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
@pytest.mark.parametrize("name", ["conv1.weight", "conv2.weight", "norm3.shift", "head.weight"])
def test_what_is_not_finite_is_not_hidden(name: str, value: float) -> None:
    """Else a training that diverged would go on."""
    network, weights, episodes = random_problem(way=3, size=20)
    weights[name].view(-1)[0] = value
    kernels = engine(network, InnerLoop(1, 0.4))
    scores = kernels.score(weights, episodes, steps=1)
    for found in (scores.transductive, scores.support):
        assert not bool(found.loss.isfinite().any())
    found = kernels.meta_gradient(weights, episodes)
    assert not bool(found.query_loss.isfinite())
    assert not all(bool(gradient.isfinite().all()) for gradient in found.gradient.values())


@pytest.mark.parametrize(
    "inner", [InnerLoop(2, 0.4), InnerLoop(2, 0.4, rates="per-step")], ids=["fixed", "learned"]
)
@pytest.mark.parametrize("tasks", [1, 2 * TASKS + 1])
@pytest.mark.parametrize(("way", "size"), [(2, 9), (13, 28)], ids=["9x9", "28x28"])
def test_neither_the_number_of_threads_nor_the_chunk_changes_a_bit(
    threads: Callable[[int], None], way: int, size: int, tasks: int, inner: InnerLoop
) -> None:
    shape = {"way": way, "size": size, "filters": 64}
    network, weights, episodes = random_problem(tasks=tasks, **shape, dtype=torch.float32)
    weights |= inner.initial_rates(network)
    gradients, losses = [], []
    for number, chunk in ((1, 0), (2, 0), (3, 0), (2, 1), (2, 3)):
        threads(number)
        kernels = engine(network, inner, torch.float32, chunk)
        gradients.append(kernels.meta_gradient(weights, episodes))
        losses.append(kernels.score(weights, episodes, steps=2).transductive.loss)
    assert all(same_gradient(gradients[0], other) for other in gradients)
    assert all(torch.equal(losses[0], other) for other in losses)


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="threads are counted in /proc")
def test_tasks_are_worked_on_by_as_many_threads_as_torch_has() -> None:
    """In a process of its own, whose other threads are known; each has used the processor."""
    program = """
import sys, torch
from pathlib import Path
from mamltui.maml.strategies.native import Kernels
from tests.maml.reference import random_problem
network, weights, episodes = random_problem(tasks=12, filters=64, query=10, dtype=torch.float32)
torch.set_num_threads(int(sys.argv[1]))
torch.rand(10**6).add(1)  # torch's own threads
before = set(Path("/proc/self/task").iterdir())
query = Kernels()(network, episodes.query_x)
used = 0
while used < 20 * (int(sys.argv[1]) - 1) and query.forward(weights):
    new = sorted(set(Path("/proc/self/task").iterdir()) - before)
    ticks = [int((task / "stat").read_text().rsplit(")", 1)[1].split()[11]) for task in new]
    used = min(ticks, default=0) * len(ticks)
print(len(new) if used else 0)
"""
    for number in (1, 3):
        command = [sys.executable, "-c", program, str(number)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS, check=True)
        assert int(done.stdout) == number - 1


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="threads are counted in /proc")
def test_two_callers_have_threads_of_their_own() -> None:
    """In a process of its own: two of Python's threads, and the kernels' that the second starts.

    Those count that have used the processor; torch's own, which zero memory, sleep soon.
    """
    program = """
import threading, time, torch
from pathlib import Path
from mamltui.maml.strategies.native import Kernels
from tests.maml.reference import random_problem
network, weights, episodes = random_problem(tasks=4, filters=64, query=10, dtype=torch.float32)
torch.set_num_threads(2)
query = Kernels()(network, episodes.query_x)  # starts the first one's
before = set(Path("/proc/self/task").iterdir())
end, busy = time.monotonic() + 40, 0
def work():
    while busy < 3 and time.monotonic() < end:
        query.forward(weights)
callers = [threading.Thread(target=work) for _ in range(2)]
for caller in callers: caller.start()
while busy < 3 and time.monotonic() < end:
    time.sleep(0.1)
    new = set(Path("/proc/self/task").iterdir()) - before
    ticks = [int((task / "stat").read_text().rsplit(")", 1)[1].split()[11]) for task in new]
    busy = sum(each >= 20 for each in ticks)
for caller in callers: caller.join()
print(busy)
"""
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS, check=True)
    assert int(done.stdout) == 3


@pytest.mark.parametrize("name", ["conv2.weight", "head.weight"])
def test_how_the_parameters_lie_in_memory_does_not_matter(name: str) -> None:
    network, weights, episodes = random_problem(way=3, size=20)
    kernels = engine(network, InnerLoop(1, 0.4))
    expected = kernels.meta_gradient(weights, episodes)
    value = weights[name]
    strided = value.transpose(-1, -2).contiguous().transpose(-1, -2)
    assert not strided.is_contiguous()
    assert same_gradient(kernels.meta_gradient(weights | {name: strided}, episodes), expected)


def test_tensors_that_the_kernels_cannot_read_are_refused() -> None:
    network, weights, episodes = random_problem(way=3, size=20)
    support = Kernels()(network, episodes.support_x)
    with pytest.raises(TypeError, match=r"conv1\.weight is torch\.float32 .* not torch\.float64"):
        support.forward(weights | {"conv1.weight": weights["conv1.weight"].float()})
    with pytest.raises(ValueError, match=r"head\.bias is \[2\], not \[3\]"):
        support.forward(weights | {"head.bias": torch.zeros(2, dtype=torch.float64)})
    with pytest.raises(ValueError, match=r"images .* are not those of"):
        Kernels()(network, episodes.support_x[..., 1:])
    with pytest.raises(TypeError, match=r"no kernels for images of torch\.float16"):
        Kernels()(network, episodes.support_x.half())


def test_memory_does_not_grow_with_the_meta_batch() -> None:
    """What one task takes is taken for a few, however many there are and however wide they are."""
    network = NetworkSpec(way=2, image_size=8, filters=1024)
    episodes = random_problem(tasks=256, way=2, size=8, dtype=torch.float32)[2]
    threads = torch.get_num_threads()
    assert Kernels().tasks_at_once(network, 5, episodes) <= max(threads, TASKS)
    wide = Episodes(
        *(tensor[:, :1].repeat(1, 3000, *(1,) * (tensor.dim() - 2)) for tensor in episodes)
    )
    assert Kernels().tasks_at_once(network, 5, wide) <= threads


class Stop:
    """Says so once it has been asked ``allowed`` times."""

    def __init__(self, allowed: int) -> None:
        self.allowed = allowed
        self.asked = 0

    def __call__(self) -> bool:
        self.asked += 1
        return self.asked > self.allowed


@pytest.mark.parametrize("allowed", [0, 3])
@pytest.mark.parametrize("number", [1, 3])
def test_a_stop_between_two_chunks_is_obeyed_and_leaves_the_kernels_usable(
    threads: Callable[[int], None], number: int, allowed: int
) -> None:
    network, weights, episodes = random_problem(tasks=8, way=3, size=20)
    kernels, fresh = (engine(network, InnerLoop(2, 0.4), task_chunk=2) for _ in range(2))
    threads(number)
    stop, stop_scoring = Stop(allowed), Stop(allowed)
    with pytest.raises(Interrupted):
        kernels.meta_gradient(weights, episodes, should_stop=stop)
    with pytest.raises(Interrupted):
        kernels.score(weights, episodes, steps=2, should_stop=stop_scoring)
    assert stop.asked == stop_scoring.asked == allowed + 1
    actual, expected = (each.meta_gradient(weights, episodes) for each in (kernels, fresh))
    assert same_gradient(actual, expected)
    scores, expected_scores = (each.score(weights, episodes, steps=2) for each in (kernels, fresh))
    assert_same_scores(scores, expected_scores, tolerance=0)


def test_two_threads_may_use_the_same_kernels_at_once(threads: Callable[[int], None]) -> None:
    network, weights, _ = random_problem(way=3, size=20)
    batches = [random_problem(tasks=6, way=3, size=20, seed=seed)[2] for seed in (1, 2)]
    kernels = engine(network, InnerLoop(2, 0.4))
    threads(2)
    expected = [
        (kernels.meta_gradient(weights, episodes), kernels.score(weights, episodes, steps=2))
        for episodes in batches
    ]
    barrier = threading.Barrier(2)

    def work(episodes: Episodes) -> list[tuple[MetaGradient, Scores]]:
        barrier.wait(SECONDS)
        return [
            (kernels.meta_gradient(weights, episodes), kernels.score(weights, episodes, steps=2))
            for _ in range(10)
        ]

    with ThreadPoolExecutor(2) as pool:
        found = list(pool.map(work, batches, timeout=SECONDS))
    for results, (gradient, scores) in zip(found, expected, strict=True):
        for again, scores_again in results:
            assert same_gradient(again, gradient)
            assert_same_scores(scores_again, scores, tolerance=0)


@pytest.mark.skipif(not hasattr(mmap, "MADV_HUGEPAGE"), reason="a system without huge pages")
def test_memory_without_huge_pages_will_do(monkeypatch: pytest.MonkeyPatch) -> None:
    network, weights, episodes = random_problem(tasks=4, way=3, filters=64)
    expected = engine(network, InnerLoop(1, 0.4)).meta_gradient(weights, episodes)
    asked: list[int] = []

    def refuse(_: int, size: int, **__: int) -> None:
        asked.append(size)
        raise OSError("none")

    monkeypatch.setattr(mmap, "mmap", refuse)
    found = engine(network, InnerLoop(1, 0.4)).meta_gradient(weights, episodes)
    assert asked
    assert same_gradient(found, expected)


def resident_bytes() -> int:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="memory is read from /proc")
def test_memory_is_used_again(threads: Callable[[int], None]) -> None:
    network, weights, episodes = random_problem(tasks=2, way=3, dtype=torch.float32)
    kernels = engine(network, InnerLoop(1, 0.4), torch.float32)
    threads(1)

    def work(times: int) -> tuple[int, int]:
        for _ in range(times):
            kernels.meta_gradient(weights, episodes)
            kernels.score(weights, episodes, steps=1)
        gc.collect()
        tensors = sum(issubclass(type(thing), Tensor) for thing in gc.get_objects())
        return tensors, resident_bytes()

    tensors, resident = work(5)
    tensors_later, resident_later = work(50)
    assert tensors_later == tensors
    assert resident_later - resident < 4 * 2**20  # what four calls work in
