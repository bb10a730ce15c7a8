"""Which strategy is the fastest here: a short trial of those that cover the case.

A trial is a few meta-gradients of random images, as the arithmetic's speed does not depend on what
they show. The contenders take turns and the best time of each counts, so that a moment in which the
machine is busy with something else decides nothing. Whoever is slower than the fastest so far by
``PATIENCE``, and then again, is not waited for.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from mamltui.maml.chunks import Interrupted, choose_task_chunk
from mamltui.maml.engine import Engine
from mamltui.maml.episode import Episodes
from mamltui.maml.learner import Learner
from mamltui.maml.parameters import Network, Parameters
from mamltui.maml.strategies import Case, covering

REPEATS = 3
PATIENCE = 3.0
CHANCES = 2
TIE = 0.05
"""Within so much of the fastest the first of ``CONTENDERS`` is taken: the same one every time."""
TASKS_A_THREAD = 2
CONTENDERS = ("native", "analytic")
"""``graph`` has no equal where it applies, and ``autograd`` is never faster than ``analytic``."""


@dataclass(frozen=True)
class Shape:
    """The examples of a meta-batch."""

    tasks: int
    support: int
    """Images of a task's support set, way * shot."""
    query: int
    """Images of a task's query set."""


@dataclass(frozen=True)
class Trial:
    """One strategy and chunk, and what it took."""

    strategy: str
    task_chunk: int
    """Tasks at once; 0 where the strategy takes one a thread."""
    seconds: float | None
    """Of one meta-gradient of one task, the best of the repeats; None: it was not waited for."""


def random_episodes(network: Network, shape: Shape, device: torch.device) -> Episodes:
    """Binary noise, float32."""
    generator = torch.Generator().manual_seed(0)
    size = (network.channels, network.image_size, network.image_size)

    def examples(count: int) -> tuple[Tensor, Tensor]:
        images = torch.rand(shape.tasks, count, *size, generator=generator) > 0.8
        return images.float(), (torch.arange(count) % network.way).repeat(shape.tasks, 1)

    return Episodes(*examples(shape.support), *examples(shape.query)).to(device)


def calibrate(
    case: Case,
    shape: Shape,
    should_stop: Callable[[], bool] = lambda: False,
    clock: Callable[[], float] = time.perf_counter,
) -> list[Trial]:
    """Try what covers ``case``, the fastest first; ``analytic`` with three sizes of its chunk.

    At most two tasks a thread are worked on, so the trial is short beside a training. Among those
    that are as good as the fastest the first is always the same.

    Raises:
        Interrupted: ``should_stop`` said so.
    """
    tasks = min(shape.tasks, TASKS_A_THREAD * torch.get_num_threads())
    episodes = random_episodes(case.network, Shape(tasks, shape.support, shape.query), case.device)
    parameters = {
        name: value.to(case.device)
        for name, value in Learner(case.network, case.inner).initial_parameters(0).items()
    }
    chosen = choose_task_chunk(case.network, case.inner.steps, episodes)
    chunks = {
        "native": [0],
        "analytic": sorted({max(1, chosen // 2), chosen, min(tasks, 2 * chosen)}),
    }
    covered = covering(case)
    contenders = [
        _Contender(
            Engine(
                case.network,
                case.inner,
                device=case.device,
                strategy=strategy,
                precision=case.precision,
                task_chunk=chunk,
            )
        )
        for strategy in CONTENDERS
        if strategy in covered
        for chunk in chunks[strategy]
    ]
    for _ in range(1 + REPEATS):
        for contender in contenders:
            others = [each.best for each in contenders if each is not contender and each.times]
            best = min(others, default=float("inf"))
            contender.run(parameters, episodes, PATIENCE * best, should_stop, clock)
    trials = [each.trial(tasks) for each in contenders]
    ranked = sorted(trials, key=lambda trial: trial.seconds or float("inf"))
    fastest = ranked[0].seconds or float("inf")
    first = next(t for t in trials if (t.seconds or float("inf")) <= (1 + TIE) * fastest)
    return [first, *(trial for trial in ranked if trial is not first)]


class _Contender:
    """A strategy with a chunk, and the seconds of its meta-gradients so far."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.times: list[float] = []
        self._late = 0

    @property
    def best(self) -> float:
        """Of the first only while there is no other: what is needed once is made in it."""
        return min(self.times[1:] or self.times)

    def trial(self, tasks: int) -> Trial:
        seconds = self.best / tasks if len(self.times) > 1 else None
        return Trial(self.engine.strategy, self.engine.task_chunk, seconds)

    def run(
        self,
        parameters: Parameters,
        episodes: Episodes,
        limit: float,
        should_stop: Callable[[], bool],
        clock: Callable[[], float],
    ) -> None:
        """One meta-gradient more, unless two took more than ``limit`` seconds."""
        if self._late == CHANCES:
            return
        start = clock()

        def is_late() -> bool:
            return clock() - start > limit or should_stop()

        try:
            self.engine.meta_gradient(parameters, episodes, should_stop=is_late)
        except Interrupted:
            if should_stop():
                raise
            self._late += 1
        else:
            self.times.append(clock() - start)
            self._late += self.times[-1] > limit
