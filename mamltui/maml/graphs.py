"""CUDA graphs: work of many small kernels that is recorded once and then launched as one.

Launched one by one, a GPU waits for the processor most of the time. What is recorded must not wait
for the device, depend on its values in Python, or take memory that the next replay does not find
again; numbers that change from replay to replay are put where the graph reads them.
https://docs.pytorch.org/docs/stable/notes/cuda.html#cuda-graphs
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TypeVar

import torch
from torch import Tensor

from mamltui.maml import outer
from mamltui.maml.episode import Episodes
from mamltui.maml.gradient import MetaGradient
from mamltui.maml.inner import InnerLoop
from mamltui.maml.memory import memory_of
from mamltui.maml.parameters import Network, Parameters

WARM_UPS = 3
"""Calls before the recording: libraries set themselves up in their first ones."""

Key = TypeVar("Key")


def record(
    works: Mapping[Key, Callable[[], object]], device: torch.device
) -> dict[Key, torch.cuda.CUDAGraph]:
    """A graph of each of ``works``, which share their memory: no two of them run at once.

    The warm-up is on the stream that is recorded from: some libraries keep a workspace for each.

    Raises:
        RuntimeError: it failed; :func:`ran_out_of_memory` tells whether for want of memory.
    """
    current = torch.cuda.current_stream(device)
    aside = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
    graphs = {key: torch.cuda.CUDAGraph() for key in works}
    pool = torch.cuda.graph_pool_handle()
    aside.wait_stream(current)
    try:
        for key, graph in graphs.items():
            with torch.cuda.stream(aside):
                for _ in range(WARM_UPS):
                    works[key]()
            # thread_local: what other threads ask of the GPU meanwhile is no error of this one.
            with torch.cuda.graph(
                graph, pool=pool, stream=aside, capture_error_mode="thread_local"
            ):
                works[key]()
    finally:
        torch.cuda.set_stream(current)  # a recording that fails leaves its own
        current.wait_stream(aside)
    return graphs


def kind_of(inner: InnerLoop) -> InnerLoop:
    """Which graph ``inner`` needs: of its weights it holds only which of them are zero."""
    return replace(inner, query_weights=tuple(float(weight > 0) for weight in inner.query_weights))


def ran_out_of_memory(error: BaseException | None) -> bool:
    """Also where that broke a recording, which then ends with an error of its own."""
    while error is not None:
        if memory_of(error) is not None:
            return True
        error = error.__context__
    return False


class PlacedWeights:
    """Weights of the query losses after 0, 1, ... inner steps, where a graph reads them."""

    def __init__(self, steps: int, device: torch.device) -> None:
        self.tensors = [
            torch.zeros((), dtype=torch.float64, device=device) for _ in range(steps + 1)
        ]

    def put(self, inner: InnerLoop) -> None:
        """Those of ``inner``, for the next replay."""
        for step, weight in enumerate(inner.query_weights, 1):
            self.tensors[step].fill_(weight)

    def of(self, kind: InnerLoop) -> list[Tensor] | None:
        """What the outer loop is given for this kind; None: the last loss alone counts."""
        return self.tensors if kind.query_weights else None


class RecordedGradients:
    """The gradients of blocks of tasks, from a graph for each shape and each kind of inner loop.

    A graph is recorded when it is first asked for. On the CPU the same is computed without one.
    """

    def __init__(self, network: Network, backend: outer.Backend, device: torch.device) -> None:
        self._network, self._backend, self._device = network, backend, device
        self._blocks: dict[tuple[object, ...], _Block] = {}

    def task_gradients(
        self, inner: InnerLoop, parameters: Parameters, episodes: Episodes
    ) -> MetaGradient:
        """As :func:`mamltui.maml.outer.task_gradients`.

        Raises:
            torch.OutOfMemoryError: memory ran out; what was recorded is given up.
        """
        kind = kind_of(inner)
        key = (kind, *(tensor.shape for tensor in episodes))
        block = self._blocks.get(key)
        if block is None:
            block = _Block(self._network, kind, parameters, episodes, self._backend)
            if self._device.type == "cuda":
                self._record(block)
            self._blocks[key] = block
        return block.task_gradients(inner, parameters, episodes)

    def _record(self, block: _Block) -> None:
        try:
            block.graph = record({0: block.compute}, self._device)[0]
        except RuntimeError as error:
            if ran_out_of_memory(error):
                self._blocks.clear()
                raise torch.OutOfMemoryError(str(error)) from error
            raise


class _Block:
    """Tasks of one shape in tensors that stay where they are, and their gradients."""

    def __init__(
        self,
        network: Network,
        kind: InnerLoop,
        parameters: Parameters,
        episodes: Episodes,
        backend: outer.Backend,
    ) -> None:
        self.graph: torch.cuda.CUDAGraph | None = None
        self._network, self._kind, self._backend = network, kind, backend
        self._parameters = {name: value.detach().clone() for name, value in parameters.items()}
        self._episodes = Episodes(*(tensor.clone() for tensor in episodes))
        self._weights = PlacedWeights(kind.steps, episodes.support_x.device)

    def task_gradients(
        self, inner: InnerLoop, parameters: Parameters, episodes: Episodes
    ) -> MetaGradient:
        for name, value in self._parameters.items():
            value.copy_(parameters[name])
        for tensor, given in zip(self._episodes, episodes, strict=True):
            tensor.copy_(given)
        self._weights.put(inner)
        if self.graph is None:
            self.compute()
        else:
            self.graph.replay()
        return MetaGradient(  # of the caller: the next replay overwrites these
            {name: value.clone() for name, value in self._gradients.gradient.items()},
            {name: value.clone() for name, value in self._gradients.drift.items()},
            self._gradients.query_loss.clone(),
            self._gradients.query_accuracy.clone(),
        )

    def compute(self) -> None:
        """What is recorded."""
        self._gradients = outer.task_gradients(
            self._network,
            self._kind,
            self._parameters,
            self._episodes,
            self._backend,
            weights=self._weights.of(self._kind),
        )
