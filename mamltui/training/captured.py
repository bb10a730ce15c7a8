"""A whole meta-iteration as one function over tensors that stay where they are, and its CUDA graph.

Episodes, inner steps, outer gradient, clipping, update and the watch over divergence are a few
hundred small kernels, which are captured once (:mod:`mamltui.maml.graphs`); an iteration is one
launch. Numbers that change from iteration to iteration (learning rate, weights of a multi-step
loss) are put where the graph reads them; where the work changes (first order to second, all losses
to the last alone), there is a graph for each kind.

On the CPU the same function runs as it is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import NamedTuple

import torch

from mamltui.data.episodes import EpisodeSampler
from mamltui.maml import outer
from mamltui.maml.chunks import choose_task_chunk
from mamltui.maml.graphs import PlacedWeights, kind_of, ran_out_of_memory, record
from mamltui.maml.inner import InnerLoop
from mamltui.maml.learner import Learner
from mamltui.maml.outer import Backend
from mamltui.maml.strategies.analytic import Analytic
from mamltui.training.clipping import global_norm
from mamltui.training.divergence import Watch
from mamltui.training.state import TrainingState


class Metrics(NamedTuple):
    """Of one meta-iteration."""

    query_loss: float
    """Mean cross-entropy in nats after adaptation."""
    query_accuracy: float
    gradient_norm: float
    """Before it was clipped."""


class CapturedStep:
    """Meta-iterations of one training state on one device, from where the state is.

    Gradients are those of the ``analytic`` strategy. ``prepare`` once, then ``run`` for each
    iteration. The state's tensors are changed in place: they must not be replaced by others.

    Args:
        state: what is trained, on ``device``.
        watch: looks at every gradient; after a bad one the state changes no more.
        batch: tasks of a meta-iteration.
        inner_at: the inner loop of a meta-iteration, where it is annealed.
        changes: meta-iterations from which on ``inner_at`` is another but for its weights.
        precision: of the products, see :mod:`mamltui.maml.precision`.
        task_chunk: tasks worked on at once; 0: chosen.
    """

    def __init__(
        self,
        learner: Learner,
        sampler: EpisodeSampler,
        state: TrainingState,
        watch: Watch,
        *,
        batch: int,
        device: torch.device,
        precision: str = "fp32",
        task_chunk: int = 0,
        inner_at: Callable[[int], InnerLoop] | None = None,
        changes: Sequence[int] = (),
    ) -> None:
        self.task_chunk = task_chunk
        self._network, self._inner = learner.network, learner.inner
        self._inner_at = inner_at or (lambda _: learner.inner)
        self._changes = changes
        self._sampler = sampler
        self._state = state
        self._watch = watch
        self._batch = batch
        self._device = device
        self._backend: Backend = partial(Analytic, precision=precision)
        self._first_task = torch.tensor(state.iteration * batch, device=device)
        self._metrics = torch.zeros(len(Metrics._fields), device=device)
        self._weights = PlacedWeights(learner.inner.steps, device)
        self._graphs: dict[InnerLoop, torch.cuda.CUDAGraph] = {}
        # A graph reads from addresses: the sampler's tables must not go when it works elsewhere.
        self._tables = sampler.tables(device)

    def prepare(self, say: Callable[[str], None]) -> None:
        """Choose the task chunk, warm up, and on CUDA capture; the state is as before.

        Args:
            say: told in words when memory was too small for a chunk and it was halved.

        Raises:
            torch.OutOfMemoryError: not even one task fits.
        """
        if not self.task_chunk:
            episodes = self._sampler.batch(0, self._batch, self._device)
            self.task_chunk = choose_task_chunk(self._network, self._inner.steps, episodes)
        self.task_chunk = min(self.task_chunk, self._batch)
        while not self._fits():
            halved = self.task_chunk // 2
            say(f"out of memory with {self.task_chunk} tasks at once: from here on {halved}")
            self.task_chunk = halved
            if self._device.type == "cuda":
                torch.cuda.empty_cache()

    def run(self) -> None:
        """One meta-iteration; on CUDA it is launched and not waited for."""
        self._state.place_rate()
        inner = self._inner_at(self._state.iteration)
        self._weights.put(inner)
        kind = kind_of(inner)
        if kind in self._graphs:
            self._graphs[kind].replay()
        else:
            self._iteration(kind)
        self._state.iteration += 1
        self._watch.iteration = self._state.iteration

    def metrics(self) -> Metrics:
        """Of the latest iteration; waits for the device."""
        return Metrics(*self._metrics.tolist())

    def _kinds(self) -> list[InnerLoop]:
        """Of this meta-iteration and all that are to come."""
        now, end = self._state.iteration, self._state.meta.iterations
        starts = [now, *(change for change in self._changes if now < change < end)]
        return list(dict.fromkeys(kind_of(self._inner_at(start)) for start in starts))

    def _fits(self) -> bool:
        """Warm up and capture; False when memory was too small for more than one task at once."""
        try:
            with self._leaving_all_as_it_was():
                works = {kind: partial(self._iteration, kind) for kind in self._kinds()}
                if self._device.type == "cuda":
                    self._graphs = record(works, self._device)
                else:
                    for work in works.values():
                        work()
        except RuntimeError as error:
            if self.task_chunk == 1 or not ran_out_of_memory(error):
                raise
            return False
        return True

    @contextmanager
    def _leaving_all_as_it_was(self) -> Iterator[None]:
        tensors = [
            *self._state.tensors,
            *self._watch.tensors,
            self._first_task,
            self._metrics,
        ]
        before = [tensor.clone() for tensor in tensors]
        try:
            yield
        finally:
            for tensor, value in zip(tensors, before, strict=True):
                tensor.copy_(value)

    def _iteration(self, kind: InnerLoop) -> None:
        """Finn et al. 2017, Algorithm 2, lines 3-10; tensor work alone."""
        state, watch = self._state, self._watch
        episodes = self._sampler.batch(self._first_task, self._batch, self._device)
        total = None
        for chunk in episodes.chunks(self.task_chunk):
            total = outer.meta_gradient(
                self._network,
                kind,
                state.parameters,
                chunk,
                self._backend,
                weights=self._weights.of(kind),
                onto=total,
            )
        assert total is not None  # there are tasks
        mean = total.times(1 / self._batch)
        norm = global_norm(mean.gradient)
        watch.look(mean.query_loss, norm)
        state.update(mean.gradient, mean.drift, unless=watch.broken)
        self._metrics.copy_(torch.stack([mean.query_loss, mean.query_accuracy, norm]))
        self._first_task += self._batch
