"""One sine wave, and what a network makes of it after each inner step."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from mamltui.data.sinusoid import POINTS, SinusoidSampler
from mamltui.maml.episode import Episodes
from mamltui.maml.learner import Learner
from mamltui.maml.losses import SQUARED_ERROR
from mamltui.maml.outer import adapted_step_by_step
from mamltui.maml.parameters import Parameters

RESOLUTION = 200
"""Points at which a wave and its fits are known."""


@dataclass(frozen=True)
class Fit:
    """A wave, the points of it that were seen, and the curves of the network."""

    amplitude: float
    phase: float
    """The wave is amplitude * sin(x + phase)."""
    support: tuple[tuple[float, float], ...]
    """The points that the network adapts to, x and y."""
    x: tuple[float, ...]
    """Evenly from the least to the greatest."""
    wave: tuple[float, ...]
    """At x."""
    fitted: tuple[tuple[float, ...], ...]
    """At x after 0, 1, ... inner steps."""
    support_error: tuple[float, ...]
    """Mean squared error at the support points after 0, 1, ... inner steps."""

    @property
    def steps(self) -> int:
        """Inner steps taken at most."""
        return len(self.fitted) - 1

    def error(self, step: int) -> float:
        """Mean squared error along the whole wave after so many inner steps."""
        pairs = zip(self.fitted[step], self.wave, strict=True)
        return sum((ours - true) ** 2 for ours, true in pairs) / len(self.wave)


def fit_wave(
    learner: Learner,
    parameters: Parameters,
    sampler: SinusoidSampler,
    task: int,
    *,
    steps: int,
    points: int = RESOLUTION,
) -> Fit:
    """Adapt to the support set of a task, and look at the curve at so many ``points``."""
    drawn = sampler.batch(task, 1)
    x = torch.linspace(*POINTS, points).view(1, -1, 1)
    wave = sampler.wave(task, 1, x)
    amplitude, phase = sampler.shapes(task, 1)
    episodes = Episodes(drawn.support_x, drawn.support_y, x, wave)
    fitted, errors = [], []
    network, inner = learner.network, learner.inner
    for adapted in adapted_step_by_step(network, inner, parameters, episodes, steps):
        fitted.append(_numbers(adapted.query(None).logits))
        error = SQUARED_ERROR.per_task(adapted.support.logits, drawn.support_y)
        errors.append(float(error))
    return Fit(
        amplitude=float(amplitude),
        phase=float(phase),
        support=tuple(zip(_numbers(drawn.support_x), _numbers(drawn.support_y), strict=True)),
        x=_numbers(x),
        wave=_numbers(wave),
        fitted=tuple(fitted),
        support_error=tuple(errors),
    )


def _numbers(values: Tensor) -> tuple[float, ...]:
    return tuple(values.flatten().tolist())
