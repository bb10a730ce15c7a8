"""One exact meta-step: the gradient of the query loss after adaptation, over a batch of tasks.

Tasks are worked on in chunks and nothing of a chunk outlives it, so memory is bounded by the
chunk and flat over the iterations.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import reduce

import torch

from mamltui.maml.allocator import keep_freed_memory
from mamltui.maml.chunks import Interrupted, choose_task_chunk
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

    def meta_gradient(
        self,
        parameters: Parameters,
        episodes: Episodes,
        *,
        should_stop: Callable[[], bool] | None = None,
    ) -> MetaGradient:
        """Gradient of the tasks' mean query loss with respect to ``parameters`` (paper, eq. 1).

        Args:
            should_stop: asked before each chunk of tasks.

        Raises:
            Interrupted: ``should_stop`` said so.
        """
        size = self.task_chunk or choose_task_chunk(self.network, self.inner.steps, episodes)

        def parts() -> Iterator[MetaGradient]:
            for chunk in episodes.chunks(size):
                if should_stop is not None and should_stop():
                    raise Interrupted
                yield self._strategy(self.network, self.inner, parameters, chunk)

        return reduce(MetaGradient.plus, parts()).times(1 / episodes.tasks)
