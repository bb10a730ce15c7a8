"""How the engine divides its work, and that nothing is left behind from one step to the next."""

from __future__ import annotations

import gc
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
import torch

from mamltui.maml import engine as engine_module
from mamltui.maml import evaluate, outer, running
from mamltui.maml.chunks import (
    CPU_CHUNK_BYTES,
    WORKERS,
    Interrupted,
    choose_task_chunk,
    each_chunk,
    patch_bytes,
)
from mamltui.maml.engine import Engine
from mamltui.maml.episode import Episodes
from mamltui.maml.gradient import MetaGradient
from mamltui.maml.inner import InnerLoop
from mamltui.maml.learner import Learner
from mamltui.maml.network import NetworkSpec
from mamltui.maml.outer import adapted_step_by_step
from tests.fake_cuda import CUDA, fake_cuda

from .reference import random_problem, relative_difference

CPU = torch.device("cpu")
STRATEGIES = ("native", "analytic", "autograd")


@pytest.mark.parametrize("tasks", [1, 2, 16, 31])
@pytest.mark.parametrize(("shot", "query"), [(1, 1), (5, 5), (1, 15), (20, 20)])
def test_a_chunk_on_the_cpu_stays_in_its_cache(tasks: int, shot: int, query: int) -> None:
    _, _, episodes = random_problem(tasks=tasks, shot=shot, query=query, dtype=torch.float32)
    network = NetworkSpec(way=5, filters=64)
    chunk = choose_task_chunk(network, 1, episodes)
    assert 1 <= chunk <= tasks
    assert chunk == 1 or chunk * patch_bytes(network, 5 * max(shot, query)) <= CPU_CHUNK_BYTES


def test_no_chunk_is_left_over_small() -> None:
    _, _, episodes = random_problem(tasks=32, query=1)
    chunk = choose_task_chunk(NetworkSpec(way=5, filters=64), 1, episodes)
    assert 1 < chunk < 32
    assert 32 % chunk == 0


def test_all_tasks_at_once_where_they_fit() -> None:
    network, _, episodes = random_problem(tasks=32, filters=4)
    assert choose_task_chunk(network, 1, episodes) == 32


@pytest.fixture
def four_threads() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(4)
    yield
    torch.set_num_threads(before)


@pytest.mark.usefixtures("four_threads")
def test_workers_share_the_threads_and_their_results_are_used_in_order() -> None:
    chunks = random_problem(tasks=6, filters=4)[2].chunks(1)
    together = threading.Barrier(WORKERS)
    used: list[tuple[int, int, bool]] = []

    def work(chunk: Episodes) -> tuple[int, int, int]:
        together.wait(60)  # nobody gets past it alone
        number = next(index for index, each in enumerate(chunks) if each is chunk)
        return number, torch.get_num_threads(), threading.get_ident()

    def use(chunk: Episodes, found: tuple[int, int, int]) -> None:
        number, threads, thread = found
        assert chunks[number] is chunk
        used.append((number, threads, thread == threading.get_ident()))

    each_chunk(chunks, work, use, workers=WORKERS)
    assert used == [(number, 4 // WORKERS, False) for number in range(6)]
    of_new_thread: list[int] = []
    new = threading.Thread(target=lambda: of_new_thread.append(torch.get_num_threads()))
    new.start()
    new.join()
    assert [torch.get_num_threads(), *of_new_thread] == [4, 4]


@pytest.mark.usefixtures("four_threads")
@pytest.mark.parametrize("workers", [1, WORKERS])
def test_an_error_ends_the_work_on_chunks_after_those_before_it_were_used(workers: int) -> None:
    chunks = random_problem(tasks=9, filters=4)[2].chunks(1)
    working, used = threading.Semaphore(0), list[Episodes]()

    def work(chunk: Episodes) -> None:
        working.release()
        if chunk is chunks[3]:
            raise MemoryError("no more")
        assert working.acquire(timeout=60)

    with pytest.raises(MemoryError, match="no more"):
        each_chunk(chunks, work, lambda chunk, _: used.append(chunk), workers=workers)
    assert [id(chunk) for chunk in used] == [id(chunk) for chunk in chunks[:3]]
    assert working.acquire(blocking=False)  # of the one that failed
    assert not working.acquire(blocking=False)  # nobody is at work any more


def test_scoring_on_a_gpu_takes_the_same_chunk_whatever_memory_is_free(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with fake_cuda():
        images, labels = torch.zeros(5000, 5, 1, 28, 28), torch.zeros(5000, 5, dtype=torch.int64)
        episodes = Episodes(images, labels, images, labels).to(CUDA)
    network = NetworkSpec(way=5, filters=64)
    scoring, training = set(), set()
    for free in (2**30, 40 * 2**30):
        monkeypatch.setattr(torch.cuda, "mem_get_info", lambda _, free=free: (free, free))
        scoring.add(choose_task_chunk(network, 0, episodes))
        training.add(choose_task_chunk(network, 1, episodes))
    assert len(scoring) == 1
    assert len(training) == 2
    assert 100 < scoring.pop() < 5000


def test_an_engine_leaves_the_allocator_of_its_process_alone() -> None:
    """It is for commands to change it."""
    code = """
import ctypes, torch
from mamltui.maml import allocator
from mamltui.maml.engine import Engine
from mamltui.maml.inner import InnerLoop
from mamltui.maml.network import NetworkSpec
Engine(NetworkSpec(5, filters=6), InnerLoop(1, 0.4), device=torch.device("cpu"))
print(allocator.keep_freed_memory.cache_info().currsize)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "0\n"


def test_the_start_of_running_statistics_is_taken_chunk_by_chunk(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    network, weights, episodes = random_problem(tasks=7)
    network = replace(network, running_steps=3)
    learner = Learner(network, InnerLoop(2, 0.4))
    starts = []
    for chunk in (7, 2):
        seen: list[int] = []

        def counted(*arguments: Any, seen: list[int] = seen, **options: Any) -> Any:
            seen.append(arguments[3].tasks)
            return adapted_step_by_step(*arguments, **options)

        monkeypatch.setattr(running, "adapted_step_by_step", counted)
        monkeypatch.setattr(running, "choose_task_chunk", lambda *_, chunk=chunk: chunk)
        start = {n: v.double() for n, v in network.initial_parameters(0).items()} | weights
        running.start_statistics(learner, start, episodes)
        assert max(seen) == chunk
        assert sum(seen) == 7
        starts.append(start)
    for name, value in starts[0].items():
        torch.testing.assert_close(starts[1][name], value, rtol=1e-12, atol=1e-12)
        assert name.endswith(("mean", "variance")) is not torch.equal(
            value, weights.get(name, torch.zeros(()))
        )


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_no_tensor_outlives_its_step(strategy: str) -> None:
    network, weights, episodes = random_problem(tasks=4)
    engine = Engine(network, InnerLoop(3, 0.1), device=CPU, task_chunk=2, strategy=strategy)

    def living() -> int:
        gc.collect()
        return sum(issubclass(type(thing), torch.Tensor) for thing in gc.get_objects())

    engine.meta_gradient(weights, episodes)
    before = living()
    for _ in range(5):
        engine.meta_gradient(weights, episodes)
    assert living() == before


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_repeats_itself_bit_for_bit(strategy: str) -> None:
    network, weights, episodes = random_problem(tasks=6, dtype=torch.float32)
    engine = Engine(network, InnerLoop(2, 0.1), device=CPU, task_chunk=4, strategy=strategy)
    first = engine.meta_gradient(weights, episodes)
    second = engine.meta_gradient(weights, episodes)
    assert all(torch.equal(first.gradient[name], second.gradient[name]) for name in weights)
    assert torch.equal(first.query_loss, second.query_loss)


def test_stops_between_two_chunks_when_told_to(monkeypatch: pytest.MonkeyPatch) -> None:
    network, weights, episodes = random_problem(tasks=6)
    engine = Engine(network, InnerLoop(2, 0.1), device=CPU, task_chunk=2, strategy="analytic")
    worked_on: list[int] = []
    task_gradients = outer.task_gradients

    def counted(*arguments: Any, **options: Any) -> MetaGradient:
        worked_on.append(arguments[3].tasks)
        return task_gradients(*arguments, **options)

    monkeypatch.setattr(outer, "task_gradients", counted)
    with pytest.raises(Interrupted):
        engine.meta_gradient(weights, episodes, should_stop=lambda: len(worked_on) == 2)
    assert worked_on == [2, 2]


def test_being_asked_whether_to_stop_changes_no_bit() -> None:
    network, weights, episodes = random_problem(tasks=6, dtype=torch.float32)
    engine = Engine(network, InnerLoop(2, 0.1), device=CPU, task_chunk=4)
    asked = engine.meta_gradient(weights, episodes, should_stop=lambda: False)
    plain = engine.meta_gradient(weights, episodes)
    assert all(torch.equal(asked.gradient[name], plain.gradient[name]) for name in weights)


OUT_OF_MEMORY = pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB."),
        RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: 80 bytes."),
    ],
    ids=["gpu", "processor"],
)


def fit(monkeypatch: pytest.MonkeyPatch, tasks: int, error: Exception) -> list[int]:
    """Let so many tasks at once fit into memory; how many the strategy was asked for."""
    true, asked = outer.task_gradients, []

    def task_gradients(*arguments: Any, **options: Any) -> MetaGradient:
        asked.append(arguments[3].tasks)
        if asked[-1] > tasks:
            raise error
        return true(*arguments, **options)

    monkeypatch.setattr(outer, "task_gradients", task_gradients)
    return asked


@OUT_OF_MEMORY
@pytest.mark.parametrize("task_chunk", [0, 12, 100])
def test_running_out_of_memory_halves_the_chunk_until_it_fits(
    monkeypatch: pytest.MonkeyPatch, error: Exception, task_chunk: int
) -> None:
    network, weights, episodes = random_problem(tasks=12, way=3, size=12, filters=4)
    inner, said = InnerLoop(1, 0.4), []
    engine = Engine(network, inner, device=CPU, task_chunk=task_chunk, say=said.append)
    expected = engine.meta_gradient(weights, episodes)
    asked = fit(monkeypatch, 3, error)
    found = engine.meta_gradient(weights, episodes)
    assert asked == [12, 6, 3, 3, 3, 3]
    assert said == [
        "out of memory with 12 tasks at once: from here on 6",
        "out of memory with 6 tasks at once: from here on 3",
    ]
    assert relative_difference(found.gradient, expected.gradient) <= 1e-12
    assert found.query_loss.item() == pytest.approx(expected.query_loss.item(), rel=1e-12)
    asked.clear()
    again = engine.meta_gradient(weights, episodes)
    assert asked == [3, 3, 3, 3]
    assert len(said) == 2
    assert all(torch.equal(again.gradient[name], found.gradient[name]) for name in weights)


@OUT_OF_MEMORY
def test_tasks_done_before_memory_ran_out_count_once(
    monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    network, weights, episodes = random_problem(tasks=8, way=3, size=12, filters=4)
    engine = Engine(network, InnerLoop(1, 0.4), device=CPU, task_chunk=4)
    expected = engine.meta_gradient(weights, episodes)
    true, asked = outer.task_gradients, []

    def second_time(*arguments: Any, **options: Any) -> MetaGradient:
        asked.append(arguments[3].tasks)
        if len(asked) == 2:
            raise error
        return true(*arguments, **options)

    monkeypatch.setattr(outer, "task_gradients", second_time)
    found = engine.meta_gradient(weights, episodes)
    assert asked == [4, 4, 2, 2]
    assert relative_difference(found.gradient, expected.gradient) <= 1e-12


@OUT_OF_MEMORY
def test_gives_up_where_not_even_one_task_fits(
    monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    network, weights, episodes = random_problem(tasks=7, way=3, size=12, filters=4)
    engine = Engine(network, InnerLoop(1, 0.4), device=CPU, task_chunk=7)
    asked = fit(monkeypatch, 0, error)
    with pytest.raises(type(error)) as caught:
        engine.meta_gradient(weights, episodes)
    assert caught.value is error
    assert asked == [7, 3, 1]


def test_another_error_is_not_taken_for_a_lack_of_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    network, weights, episodes = random_problem(tasks=4, way=3, size=12, filters=4)
    engine = Engine(network, InnerLoop(1, 0.4), device=CPU, task_chunk=4)
    asked = fit(monkeypatch, 2, RuntimeError("mat1 and mat2 shapes cannot be multiplied"))
    with pytest.raises(RuntimeError, match="mat1 and mat2"):
        engine.meta_gradient(weights, episodes)
    assert asked == [4]
    assert engine.task_chunk == 4


@OUT_OF_MEMORY
def test_scoring_halves_the_chunk_too(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    network, weights, episodes = random_problem(tasks=8, way=3, size=12, filters=4)
    engine = Engine(network, InnerLoop(1, 0.4), device=CPU, task_chunk=8)
    expected = engine.score(weights, episodes, steps=1)
    true, asked = evaluate.score, []

    def score(*arguments: Any, task_chunk: int, **options: Any) -> evaluate.Scores:
        asked.append(task_chunk)
        if task_chunk > 3:
            raise error
        return true(*arguments, task_chunk=task_chunk, **options)

    monkeypatch.setattr(engine_module, "score", score)
    found = engine.score(weights, episodes, steps=1)
    assert asked == [8, 4, 2]
    torch.testing.assert_close(found.transductive.loss, expected.transductive.loss)
    assert found.transductive.loss.shape == (8, 2)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("strategy", ["analytic", "autograd"])
def test_gives_the_same_gradient_on_a_gpu(strategy: str) -> None:
    network, weights, episodes = random_problem(tasks=4, filters=16)
    device = torch.device("cuda")
    inner = InnerLoop(3, 0.1)
    expected = Engine(network, inner, device=CPU, strategy=strategy).meta_gradient(
        weights, episodes
    )
    actual = Engine(network, inner, device=device, strategy=strategy).meta_gradient(
        {name: value.to(device) for name, value in weights.items()}, episodes.to(device)
    )
    for name, value in expected.gradient.items():
        torch.testing.assert_close(actual.gradient[name].cpu(), value, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize(
    ("tasks", "size", "sizes"), [(16, 3, [3, 3, 3, 3, 2, 2]), (5, 8, [5]), (8, 4, [4, 4])]
)
def test_chunks_are_as_equal_as_can_be(tasks: int, size: int, sizes: list[int]) -> None:
    episodes = random_problem(tasks=tasks, filters=4)[2]
    chunks = episodes.chunks(size)
    assert [chunk.tasks for chunk in chunks] == sizes
    for whole, *parts in zip(episodes, *chunks, strict=True):
        assert torch.equal(whole, torch.cat(parts))
