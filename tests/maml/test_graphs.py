"""Gradients of tasks from recorded graphs: those of the plain call, whatever came before."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils._pytree import tree_leaves

from mamltui.maml import graphs, outer
from mamltui.maml.engine import Engine
from mamltui.maml.episode import Episodes
from mamltui.maml.gradient import MetaGradient
from mamltui.maml.graphs import RecordedGradients, kind_of
from mamltui.maml.inner import InnerLoop
from mamltui.maml.parameters import Parameters
from mamltui.maml.strategies.analytic import Analytic
from tests.fake_cuda import CUDA, Launches, fake_cuda, needs_cuda

from .reference import random_problem, relative_difference

INNER = InnerLoop(2, 0.4)
FIRST_ORDER = InnerLoop(2, 0.4, first_order=True)
MULTI_STEP = [InnerLoop(2, 0.4, query_weights=weights) for weights in ((0.5, 0.5), (0.25, 0.75))]


class Graph:
    """Of a work on the CPU, which is done again when it is replayed."""

    def __init__(self, work: Callable[[], object]) -> None:
        self.replay = work


@pytest.fixture
def recorded(monkeypatch: pytest.MonkeyPatch) -> list[InnerLoop]:
    """The CPU is taken for a GPU; the kinds of inner loop that were recorded."""
    kinds = []

    def record(works: Mapping[int, Callable[[], object]], device: torch.device) -> dict[int, Any]:
        assert device == CUDA
        for work in works.values():
            kinds.append(work.__self__._kind)  # type: ignore[attr-defined]
            work()
        return {key: Graph(work) for key, work in works.items()}

    monkeypatch.setattr(graphs, "record", record)
    return kinds


def problem(tasks: int, seed: int = 0) -> tuple[Any, Parameters, Episodes]:
    return random_problem(tasks=tasks, way=3, size=12, filters=4, seed=seed)


def tensors(gradients: MetaGradient) -> list[Tensor]:
    return [leaf for leaf in tree_leaves(tuple(gradients)) if isinstance(leaf, Tensor)]


def test_a_replay_gives_what_the_plain_call_gives_to_the_bit(recorded: list[InnerLoop]) -> None:
    network, _, _ = problem(3)
    gradients = RecordedGradients(network, Analytic, CUDA)
    results = []
    for seed, inner in enumerate([INNER, *MULTI_STEP, FIRST_ORDER, INNER, MULTI_STEP[0]]):
        for tasks in (3, 2):
            _, parameters, episodes = problem(tasks, seed)
            results.append(
                (
                    gradients.task_gradients(inner, parameters, episodes),
                    outer.task_gradients(network, inner, parameters, episodes, Analytic),
                )
            )
    for found, expected in results:  # after all replays: none has overwritten another's result
        assert found.gradient.keys() == expected.gradient.keys()
        pairs = zip(tensors(found), tensors(expected), strict=True)
        assert all(torch.equal(a, b) for a, b in pairs)
    kinds = [kind_of(inner) for inner in (INNER, MULTI_STEP[0], FIRST_ORDER)]
    assert recorded == [kind for kind in kinds for _ in range(2)]


@pytest.mark.usefixtures("recorded")
def test_what_memory_cannot_hold_is_given_up_and_halved(monkeypatch: pytest.MonkeyPatch) -> None:
    network, parameters, episodes = problem(4)
    said: list[str] = []
    engine = Engine(network, INNER, device=torch.device("cpu"), task_chunk=4, say=said.append)
    expected = engine.meta_gradient(parameters, episodes)
    record, sizes = graphs.record, []

    def short_of_memory(works: Any, device: torch.device) -> dict[Any, Any]:
        (work,) = works.values()
        sizes.append(work.__self__._episodes.tasks)
        if sizes[-1] > 2:
            error = RuntimeError("operation failed due to a previous error during capture")
            error.__context__ = torch.OutOfMemoryError("CUDA out of memory.")
            raise error
        return record(works, device)

    monkeypatch.setattr(graphs, "record", short_of_memory)
    engine._recorded = RecordedGradients(network, Analytic, CUDA)
    found = engine.meta_gradient(parameters, episodes)
    assert said == ["out of memory with 4 tasks at once: from here on 2"]
    assert sizes == [4, 2]
    assert relative_difference(found.gradient, expected.gradient) <= 1e-12


def test_another_error_of_a_recording_is_passed_on(monkeypatch: pytest.MonkeyPatch) -> None:
    network, parameters, episodes = problem(2)

    def broken(*_: object) -> dict[Any, Any]:
        raise RuntimeError("an illegal instruction")

    monkeypatch.setattr(graphs, "record", broken)
    with pytest.raises(RuntimeError, match="illegal"):
        RecordedGradients(network, Analytic, CUDA).task_gradients(INNER, parameters, episodes)


@pytest.mark.parametrize("inner", [INNER, MULTI_STEP[0]], ids=["last loss", "all losses"])
def test_what_is_recorded_waits_for_nothing_and_stays_on_the_gpu(inner: InnerLoop) -> None:
    network, parameters, episodes = problem(2)
    with fake_cuda():
        there = {name: value.to(CUDA) for name, value in parameters.items()}
        backend = partial(Analytic, precision="fp32")
        block = graphs._Block(network, kind_of(inner), there, episodes.to(CUDA), backend)
        with Launches() as launches:
            block.compute()
    assert launches.names
    assert {tensor.device for tensor in tensors(block._gradients)} == {CUDA}


@pytest.mark.gpu
@needs_cuda
@pytest.mark.parametrize("inner", [INNER, *MULTI_STEP, FIRST_ORDER])
def test_a_graph_gives_the_gradient_of_the_plain_call(inner: InnerLoop) -> None:
    device = torch.device("cuda")
    network, parameters, episodes = problem(4)
    there = {name: value.to(device, torch.float32) for name, value in parameters.items()}
    graph, plain = (
        Engine(network, inner, device=device, strategy=strategy, task_chunk=3)
        for strategy in ("graph", "analytic")
    )
    for scale in (1.0, 0.5):
        scaled = {name: scale * value for name, value in there.items()}
        found, expected = (
            engine.meta_gradient(scaled, episodes.to(device, torch.float32))
            for engine in (graph, plain)
        )
        assert relative_difference(found.gradient, expected.gradient) <= 1e-5
        torch.testing.assert_close(found.query_loss, expected.query_loss)
