"""An episode that is a sine wave: its points, and the curve fitted to them step by step."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from textual.content import Content

from mamltui.profiles import Profile, learns_rates
from mamltui.tui.episode.request import Request, parameters_of
from mamltui.tui.shared.wave import drawn, title

if TYPE_CHECKING:  # these import torch, which takes seconds: only threads do
    from mamltui.data.banks import Banks
    from mamltui.waves import Fit

BESIDE = 70
"""Columns from which on the fit before any step stands beside that of the step shown."""
GAP = 2
"""Columns between them."""


@dataclass(frozen=True, eq=False)
class WaveView:
    """What was seen of a wave."""

    request: Request
    profile: Profile
    iteration: int
    """Of the parameters."""
    fit: Fit
    seconds: float
    """What the adaptation took."""
    note: str = "o: the points it is fitted from, dotted: the wave"

    @property
    def steps(self) -> int:
        return self.request.steps


def look_at_wave(request: Request, banks: Banks, should_stop: Callable[[], bool]) -> WaveView:
    """Fit the wave of a request, which is of a run that fits waves.

    Raises:
        Interrupted: ``should_stop`` said so while parameters were waited for.
        MamltuiError: the run or its parameters cannot be had.
    """
    from mamltui.data.sinusoid import SinusoidSampler
    from mamltui.data.splits import split_classes
    from mamltui.learner import learner_of
    from mamltui.maml.learner import Learner
    from mamltui.waves import fit_wave

    profile = request.profile
    waves = banks.bank(profile.data)
    request.run.check_data(waves, split_classes(waves))
    learner = learner_of(profile, waves)
    iteration, parameters = parameters_of(request, learner, should_stop)
    if learns_rates(profile):
        parameters = learner.with_rates_times(request.alpha / profile.inner.alpha, parameters)
    task = profile.task
    sampler = SinusoidSampler(profile.meta.seed, request.split, task.shot, task.query)
    begun = time.perf_counter()
    learner = Learner(learner.network, replace(learner.inner, alpha=request.alpha))
    fit = fit_wave(learner, parameters, sampler, request.task, steps=request.steps)
    return WaveView(request, profile, iteration, fit, time.perf_counter() - begun)


def wave_lines(view: WaveView, step: int, width: int, height: int) -> list[Content]:
    """The curve after ``step`` inner steps, and beside it, if there is room, before any."""
    fit = view.fit
    wave = f"the wave: {fit.amplitude:.2f} sin(x + {fit.phase:.2f}), x from -5 to 5"
    if height < 3 or width < 4:
        return [Content(wave)]
    steps = (0, step) if width >= BESIDE and step else (step,)
    each = (width - GAP * (len(steps) - 1)) // len(steps)
    columns = [
        [f"{title(fit, shown):<{each}}", *drawn(fit, shown, each, height - 2)] for shown in steps
    ]
    rows = [(" " * GAP).join(parts) for parts in zip(*columns, strict=True)]
    head, *body = rows
    return [
        Content.styled(wave, "$text-muted"),
        Content.styled(head, "bold"),
        *(Content(row) for row in body),
    ]
