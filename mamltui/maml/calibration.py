"""Which strategy is the fastest here: a short trial of those that cover the case.

A trial is a few meta-gradients of random images, as the arithmetic's speed does not depend on what
they show. Whoever is slower than the fastest so far by ``PATIENCE`` is not waited for.
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
from mamltui.maml.network import NetworkSpec, Parameters
from mamltui.maml.strategies import Case, covering

REPEATS = 3
PATIENCE = 3.0
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


def random_episodes(network: NetworkSpec, shape: Shape, device: torch.device) -> Episodes:
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

    At most two tasks a thread are worked on, so the trial is short beside a training.

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
    trials: list[Trial] = []
    for strategy in (name for name in CONTENDERS if name in covered):
        for chunk in chunks[strategy]:
            engine = Engine(
                case.network,
                case.inner,
                device=case.device,
                strategy=strategy,
                precision=case.precision,
                task_chunk=chunk,
            )
            best = min((trial.seconds for trial in trials if trial.seconds), default=float("inf"))
            seconds = _timed(
                engine, parameters, episodes, PATIENCE * best * tasks, should_stop, clock
            )
            trials.append(Trial(strategy, chunk, seconds and seconds / tasks))
    return sorted(trials, key=lambda trial: trial.seconds or float("inf"))


def _timed(
    engine: Engine,
    parameters: Parameters,
    episodes: Episodes,
    limit: float,
    should_stop: Callable[[], bool],
    clock: Callable[[], float],
) -> float | None:
    """Seconds of a meta-gradient, the best of ``REPEATS`` after one more; None: above ``limit``."""
    times = []
    for _ in range(1 + REPEATS):
        start = clock()

        def is_late(start: float = start) -> bool:
            return clock() - start > limit or should_stop()

        try:
            engine.meta_gradient(parameters, episodes, should_stop=is_late)
        except Interrupted:
            if should_stop():
                raise
            break
        times.append(clock() - start)
        if times[-1] > limit:
            break
    return min(times[1:], default=None)
