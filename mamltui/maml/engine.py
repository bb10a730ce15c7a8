"""One exact meta-step: the gradient of the query loss after adaptation, over a batch of tasks.

Tasks are worked on in chunks and nothing of a chunk outlives it, so memory is bounded by the
chunk and flat over the iterations.
"""

from __future__ import annotations

from functools import reduce

import torch

from mamltui.maml.allocator import keep_freed_memory
from mamltui.maml.chunks import choose_task_chunk
from mamltui.maml.episode import Episodes
from mamltui.maml.gradient import MetaGradient
from mamltui.maml.inner import InnerLoop
from mamltui.maml.network import NetworkSpec, Parameters
from mamltui.maml.strategies import analytic, autograd

STRATEGIES = {
    "analytic": analytic.meta_gradient,
    "autograd": autograd.meta_gradient,
}


class Engine:
    """Computes meta-gradients of one network and inner loop on one device.

    ``task_chunk`` tasks are worked on at once; 0 chooses by
    :func:`~mamltui.maml.chunks.choose_task_chunk`.
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
        size = self.task_chunk or choose_task_chunk(self.network, self.inner.steps, episodes)
        parts = (
            self._strategy(self.network, self.inner, parameters, chunk)
            for chunk in episodes.chunks(size)
        )
        return reduce(MetaGradient.plus, parts).times(1 / episodes.tasks)
