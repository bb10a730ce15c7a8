"""One exact meta-step: the gradient of the query loss after adaptation, over a batch of tasks.

Tasks are worked on in chunks and nothing of a chunk outlives it, so memory is bounded by the
chunk and flat over the iterations.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import TypeVar

import torch

from mamltui.maml import outer
from mamltui.maml.chunks import WORKERS, choose_task_chunk, each_chunk
from mamltui.maml.ensemble import ensemble_scores
from mamltui.maml.episode import Episodes
from mamltui.maml.evaluate import Scores, score
from mamltui.maml.gradient import MetaGradient
from mamltui.maml.graphs import RecordedGradients
from mamltui.maml.inner import InnerLoop
from mamltui.maml.memory import halving
from mamltui.maml.parameters import Network, Parameters
from mamltui.maml.strategies import Case, covering, must_compile, native, why_not
from mamltui.maml.strategies.analytic import Analytic
from mamltui.maml.strategies.autograd import Autograd
from mamltui.maml.strategies.native import Kernels

Result = TypeVar("Result")


class UncoveredError(ValueError):
    """A strategy was asked for what it does not cover; the text says why."""


class Engine:
    """Computes meta-gradients and scores of one network and inner loop on one device.

    Args:
        strategy: one of :data:`~mamltui.maml.strategies.STRATEGIES`; ``auto``: the first that
            covers the case, which is the fastest but on unusual machines. ``graph`` records the
            gradients of each chunk as a CUDA graph.
        precision: of the products: ``fp32``, ``tf32`` or ``bf16``.
        task_chunk: tasks worked on at once; 0 chooses as many as memory or cache hold well.
        dtype: of the parameters and images; fp32 and float64 are what strategies cover.
        say: told in words when kernels are compiled, and when the chunk had to be halved.
        should_stop: asked while kernels are compiled.

    Raises:
        Interrupted: ``should_stop`` said so.
        UncoveredError: the strategy does not cover the case.
    """

    def __init__(
        self,
        network: Network,
        inner: InnerLoop,
        *,
        device: torch.device,
        strategy: str = "auto",
        precision: str = "fp32",
        task_chunk: int = 0,
        dtype: torch.dtype = torch.float32,
        say: Callable[[str], None] | None = None,
        should_stop: Callable[[], bool] | None = None,
    ) -> None:
        self._say = say or (lambda _: None)
        case = Case(network, inner, device, dtype, precision)
        if strategy in ("auto", "native") and must_compile(case):
            self._say(native.COMPILING)
            native.prepare(case.dtype, should_stop)
        if strategy == "auto":
            strategy = next(iter(covering(case)), "analytic")
        reason = why_not(strategy, case)
        if reason is not None:
            raise UncoveredError(f"strategy {strategy} does not apply here: {reason}")
        self.network = network
        self.inner = inner
        self.strategy = strategy
        self.precision = precision
        self.task_chunk = task_chunk
        self._backend: outer.Backend = partial(Analytic, precision=precision)
        if strategy in ("native", "autograd"):
            self._backend = Kernels() if strategy == "native" else Autograd
        self._recorded: RecordedGradients | None = None
        if strategy == "graph":
            self._recorded = RecordedGradients(network, self._backend, device)
        self._task_chunks: dict[object, int] = {}

    def meta_gradient(
        self,
        parameters: Parameters,
        episodes: Episodes,
        *,
        inner: InnerLoop | None = None,
        should_stop: Callable[[], bool] | None = None,
    ) -> MetaGradient:
        """Gradient of the tasks' mean query loss with respect to ``parameters`` (paper, eq. 1).

        For other members of the family, what their outer loop descends in place of it.

        Args:
            inner: the inner loop of this iteration, where order or weights change as it trains.
            should_stop: asked before each chunk of tasks.

        Raises:
            Interrupted: ``should_stop`` said so.
            torch.OutOfMemoryError: not even one task fits.
        """
        total = MetaGradient.zero(parameters, self.network.tracked())
        self.task_gradients(
            parameters, episodes, total.add_tasks, inner=inner, should_stop=should_stop
        )
        return total.times(1 / episodes.tasks)

    def task_gradients(
        self,
        parameters: Parameters,
        episodes: Episodes,
        use: Callable[[MetaGradient], None],
        *,
        inner: InnerLoop | None = None,
        should_stop: Callable[[], bool] | None = None,
    ) -> None:
        """The same of each task by itself, [tasks, ...]: given to ``use`` chunk after chunk.

        Raises:
            Interrupted: ``should_stop`` said so.
            torch.OutOfMemoryError: not even one task fits.
        """
        inner = inner or self.inner
        done = 0

        def take(chunk: Episodes, gradients: MetaGradient) -> None:
            nonlocal done
            use(gradients)
            done += chunk.tasks

        def work(size: int) -> None:
            each_chunk(
                Episodes(*(tensor[done:] for tensor in episodes)).chunks(size),
                partial(self._chunk_gradients, inner, parameters),
                take,
                workers=WORKERS if self.strategy == "native" else 1,
                should_stop=should_stop,
            )

        self._halving(episodes, inner.steps, work)

    def _chunk_gradients(
        self, inner: InnerLoop, parameters: Parameters, chunk: Episodes
    ) -> MetaGradient:
        if self._recorded is not None:
            return self._recorded.task_gradients(inner, parameters, chunk)
        return outer.task_gradients(self.network, inner, parameters, chunk, self._backend)

    def score(
        self,
        parameters: Parameters,
        episodes: Episodes,
        *,
        steps: int,
        support_statistics: bool = True,
        should_stop: Callable[[], bool] | None = None,
    ) -> Scores:
        """Adapt ``steps`` inner steps to each episode and score the query set after every one.

        Raises:
            Interrupted: ``should_stop`` said so.
            torch.OutOfMemoryError: not even one task fits.
        """
        return self._halving(
            episodes,
            0,
            lambda size: score(
                self.network,
                self.inner,
                parameters,
                episodes,
                steps=steps,
                support_statistics=support_statistics,
                task_chunk=size,
                backend=self._backend if self.strategy == "native" else outer.usual_backend,
                should_stop=should_stop,
            ),
        )

    def score_ensemble(
        self,
        members: Sequence[Parameters],
        episodes: Episodes,
        *,
        steps: int,
        should_stop: Callable[[], bool] | None = None,
    ) -> Scores:
        """:func:`ensemble_scores` with as many tasks at once as memory allows.

        Raises:
            Interrupted: ``should_stop`` said so.
            torch.OutOfMemoryError: not even one task fits.
        """
        return self._halving(
            episodes,
            0,
            lambda size: ensemble_scores(
                self.network,
                self.inner,
                members,
                episodes,
                steps=steps,
                task_chunk=size,
                should_stop=should_stop,
            ),
        )

    def tasks_at_once(self, episodes: Episodes) -> int:
        """As many of the episodes as are scored well in one call."""
        return self.task_chunk or self._task_chunk(0, episodes)

    def _task_chunk(self, kept_steps: int, episodes: Episodes) -> int:
        if isinstance(self._backend, Kernels):
            return self._backend.tasks_at_once(self.network, kept_steps, episodes)
        # Once for all: a graph is of one shape, and the memory that is free is not always the same.
        key = (kept_steps, *(tensor.shape for tensor in episodes))
        if key not in self._task_chunks:
            self._task_chunks[key] = choose_task_chunk(self.network, kept_steps, episodes)
        return self._task_chunks[key]

    def _halving(
        self, episodes: Episodes, kept_steps: int, work: Callable[[int], Result]
    ) -> Result:
        """``work`` with as many tasks at once as memory allows, found out the hard way."""
        chosen = self.task_chunk or self._task_chunk(kept_steps, episodes)
        size = min(chosen, episodes.tasks)
        result, fitting = halving(work, size, self._say)
        if fitting < size:
            self.task_chunk = fitting
        return result
