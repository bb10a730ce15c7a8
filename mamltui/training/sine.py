"""MAML's regression of sine waves (Finn et al. 2017, section 5.1), by the usual outer loop."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from mamltui.data.sinusoid import POINTS, SinusoidSampler
from mamltui.errors import DivergedError
from mamltui.maml.engine import Engine
from mamltui.maml.episode import Episodes
from mamltui.maml.evaluate import mean_and_ci95
from mamltui.maml.inner import InnerLoop
from mamltui.maml.learner import Learner
from mamltui.maml.losses import SQUARED_ERROR
from mamltui.maml.mlp import MlpNetwork
from mamltui.maml.outer import adapted_step_by_step
from mamltui.maml.parameters import Parameters
from mamltui.profiles import MetaSection
from mamltui.training.state import TrainingState

ALPHA = 0.01
"""Size of the inner step."""
BATCH = 25
"""Tasks of a meta-iteration, as in the paper's code."""
ITERATIONS = 70_000
"""Of the paper's training."""
LEARNING_RATE = 0.001
"""Of Adam."""
QUERY = 100
"""Points of a test task at which its fit is measured."""
_CPU = torch.device("cpu")


def train_sine(
    shot: int,
    iterations: int,
    *,
    seed: int = 0,
    progress: Callable[[int, float], None] = lambda *_: None,
) -> Parameters:
    """The meta-learned parameters: one inner step in training, as many query points as support.

    Args:
        progress: told after each meta-iteration its number and the mean square error.

    Raises:
        DivergedError: the loss is not finite.
    """
    learner = Learner(MlpNetwork(), InnerLoop(1, ALPHA))
    engine = Engine(learner.network, learner.inner, device=_CPU)
    meta = MetaSection(batch=BATCH, learning_rate=LEARNING_RATE, iterations=iterations, seed=seed)
    state = TrainingState.fresh(learner, meta, _CPU)
    sampler = SinusoidSampler(seed, "train", shot, shot)
    is_broken = torch.tensor(False)
    for iteration in range(iterations):
        episodes = sampler.batch(iteration * BATCH, BATCH)
        mean = engine.meta_gradient(state.parameters, episodes)
        error = float(mean.query_loss)
        if not torch.isfinite(mean.query_loss):
            raise DivergedError(f"the square error is not finite at iteration {iteration + 1:,}")
        state.apply(mean.gradient, mean.drift, unless=is_broken)
        progress(iteration + 1, error)
    return state.parameters


@dataclass(frozen=True)
class SineResult:
    """How well unseen waves are fitted after 0, 1, ... inner steps."""

    error: tuple[float, ...]
    """Mean square error over the tasks."""
    ci95: tuple[float, ...]
    """Half width of its 95% interval."""


def score_sine(
    parameters: Parameters, shot: int, *, steps: int, tasks: int, seed: int = 0
) -> SineResult:
    """Fit ``tasks`` waves of the test split from ``shot`` points each."""
    network = MlpNetwork()
    episodes = SinusoidSampler(seed, "test", shot, QUERY).batch(0, tasks)
    passes = adapted_step_by_step(network, InnerLoop(1, ALPHA), parameters, episodes, steps)
    errors = [
        SQUARED_ERROR.per_task(adapted.query(None).logits, episodes.query_y).double()
        for adapted in passes
    ]
    means, widths = mean_and_ci95(torch.stack(errors, dim=1))
    return SineResult(_numbers(means), _numbers(widths))


@dataclass(frozen=True)
class Fit:
    """One wave and what the network makes of it."""

    amplitude: float
    phase: float
    support: tuple[tuple[float, float], ...]
    """The points that it adapts to, x and y."""
    x: tuple[float, ...]
    wave: tuple[float, ...]
    """At x."""
    fitted: tuple[tuple[float, ...], ...]
    """At x after 0, 1, ... inner steps."""


def fit_sine(
    parameters: Parameters, shot: int, *, task: int, steps: int, points: int, seed: int = 0
) -> Fit:
    """Fit one wave of the test split, and look at the curve at so many points."""
    network = MlpNetwork()
    sampler = SinusoidSampler(seed, "test", shot, QUERY)
    drawn = sampler.batch(task, 1)
    x = torch.linspace(*POINTS, points).view(1, -1, 1)
    wave = sampler.wave(task, 1, x)
    amplitude, phase = sampler.shapes(task, 1)
    episodes = Episodes(drawn.support_x, drawn.support_y, x, wave)
    passes = adapted_step_by_step(network, InnerLoop(1, ALPHA), parameters, episodes, steps)
    fitted = tuple(_numbers(adapted.query(None).logits) for adapted in passes)
    support = tuple(zip(_numbers(drawn.support_x), _numbers(drawn.support_y), strict=True))
    return Fit(float(amplitude), float(phase), support, _numbers(x), _numbers(wave), fitted)


def _numbers(values: Tensor) -> tuple[float, ...]:
    return tuple(values.flatten().tolist())
