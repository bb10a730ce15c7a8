"""One exact meta-step: the gradient of the query loss after adaptation, over a batch of tasks.

Tasks are worked on in chunks and nothing of a chunk outlives it, so memory is bounded by the
chunk and flat over the iterations.
"""

from __future__ import annotations

import math
from functools import reduce

import torch

from mamltui.maml.allocator import keep_freed_memory
from mamltui.maml.episode import Episodes
from mamltui.maml.gradient import MetaGradient
from mamltui.maml.inner import InnerLoop
from mamltui.maml.network import LAYERS, NetworkSpec, Parameters
from mamltui.maml.strategies import analytic, autograd

STRATEGIES = {
    "analytic": analytic.meta_gradient,
    "autograd": autograd.meta_gradient,
}


CPU_CHUNK_BYTES = 12 * 2**20
"""Patches of one layer that stay in a CPU's last-level cache between the passes over them."""
MEMORY_SHARE = 0.5
"""Part of a GPU's free memory that a chunk may fill."""


def patch_bytes(network: NetworkSpec, examples: int, element: int = 4) -> int:
    """Bytes of the largest layer's patches for one task of ``examples`` images."""
    sizes = network.sizes()
    inputs = [network.channels] + [network.filters] * (LAYERS - 1)
    largest = max(9 * count * size**2 for count, size in zip(inputs, sizes[1:], strict=True))
    return largest * examples * element


def task_bytes(network: NetworkSpec, steps: int, examples: int, element: int = 4) -> int:
    """Bytes that one task holds at most: every inner step's patches and activations are kept.

    A layer keeps its patches and four arrays of its output's size a step; the pass at hand needs
    about as much again.
    """
    sizes = network.sizes()
    inputs = [network.channels] + [network.filters] * (LAYERS - 1)
    kept = sum(
        size**2 * (9 * count + 4 * network.filters)
        for count, size in zip(inputs, sizes[1:], strict=True)
    )
    weights = 3 * network.parameter_count()
    return element * ((steps + 2) * (examples * kept + weights))


def choose_task_chunk(
    network: NetworkSpec, steps: int, examples: int, tasks: int, device: torch.device
) -> int:
    """Tasks to work on at once: what a CPU's cache or a GPU's free memory holds; at least one.

    Chunks are as equal as they can be, so that none is left over small.
    """
    if device.type == "cuda":
        free, _ = torch.cuda.mem_get_info(device)
        fitting = int(MEMORY_SHARE * free) // task_bytes(network, steps, examples)
    else:
        fitting = CPU_CHUNK_BYTES // patch_bytes(network, examples)
    chunks = math.ceil(tasks / max(1, min(fitting, tasks)))
    return math.ceil(tasks / chunks)


class Engine:
    """Computes meta-gradients of one network and inner loop on one device.

    ``task_chunk`` tasks are worked on at once; 0 chooses by :func:`choose_task_chunk`.
    """

    def __init__(
        self,
        network: NetworkSpec,
        inner: InnerLoop,
        *,
        device: torch.device,
        task_chunk: int = 0,
        strategy: str = "analytic",
    ) -> None:
        self.network = network
        self.inner = inner
        self.device = device
        self.task_chunk = task_chunk
        self._strategy = STRATEGIES[strategy]
        if device.type == "cpu":
            keep_freed_memory()

    def meta_gradient(self, parameters: Parameters, episodes: Episodes) -> MetaGradient:
        """Gradient of the tasks' mean query loss with respect to ``parameters`` (paper, eq. 1)."""
        if not self.task_chunk:
            examples = max(episodes.support_y.shape[1], episodes.query_y.shape[1])
            self.task_chunk = choose_task_chunk(
                self.network, self.inner.steps, examples, episodes.tasks, self.device
            )
        parts = (
            self._strategy(self.network, self.inner, parameters, chunk)
            for chunk in episodes.chunks(self.task_chunk)
        )
        return reduce(MetaGradient.plus, parts).times(1 / episodes.tasks)
