"""Looking inside an episode: its images, and what a run's parameters say of them at every step."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from mamltui.profiles import Profile, learns_rates
from mamltui.tui.episode.glyphs import Glyph, draw
from mamltui.tui.episode.request import Request, parameters_of
from mamltui.tui.episode.wave import WaveView, look_at_wave

if TYPE_CHECKING:  # these import torch, which takes seconds: only threads do
    from mamltui.data.banks import Banks
    from mamltui.data.episodes import EpisodeSampler
    from mamltui.maml.adaptation import Adaptation, Predictions
    from mamltui.maml.episode import Episodes


@dataclass(frozen=True)
class Images:
    """The support or the query set while it is adapted to."""

    drawn: list[list[Glyph]]
    """[way][shot or query]"""
    probabilities: NDArray[np.float64]
    """[steps + 1, way, shot or query, way]"""
    loss: NDArray[np.float64]
    """[steps + 1], nats."""
    accuracy: NDArray[np.float64]
    """[steps + 1], fractions."""


@dataclass(frozen=True, eq=False)
class EpisodeView:
    """What was seen of an episode; the position in ``way`` is the label."""

    request: Request
    profile: Profile
    iteration: int
    """Of the parameters."""
    class_names: list[str]
    """[way]"""
    degrees: list[int]
    """[way] how far each class is turned, counter-clockwise."""
    support: Images
    query: Images
    seconds: float
    """What the adaptation took."""

    @property
    def way(self) -> int:
        return len(self.class_names)

    @property
    def steps(self) -> int:
        return self.request.steps

    @property
    def note(self) -> str:
        """What the drawings leave out; empty if nothing."""
        return next((glyph.note for row in self.query.drawn for glyph in row), "")


View: TypeAlias = EpisodeView | WaveView


class EpisodeInspector:
    """Looks at episodes, one request at a time; used from background threads.

    On the CPU: one task is little work, and a GPU that trains is left alone.

    Args:
        banks: the images.
    """

    def __init__(self, banks: Banks) -> None:
        self._banks = banks
        self._cached: tuple[tuple[object, ...], EpisodeSampler] | None = None

    def inspect(self, request: Request, should_stop: Callable[[], bool]) -> View | None:
        """Draw the episode and adapt to it; None when ``should_stop`` came before the end.

        Raises:
            MamltuiError: the run, its data or its parameters cannot be had.
        """
        from mamltui.maml.chunks import Interrupted

        try:
            if request.run.profile.is_regression:
                return look_at_wave(request, self._banks, should_stop)
            return self._inspect(request, should_stop)
        except Interrupted:
            return None

    def _inspect(self, request: Request, should_stop: Callable[[], bool]) -> EpisodeView:
        sampler = self._sampler(request)
        bank, way = sampler.bank, request.profile.task.way
        plan = sampler.plan(request.task, 1)
        begun = time.perf_counter()
        iteration, adaptation, episodes = _adapt(request, sampler, 1, should_stop)
        return EpisodeView(
            request=request,
            profile=request.profile,
            iteration=iteration,
            class_names=[bank.class_names[number] for number in plan.class_index[0].tolist()],
            degrees=[90 * turns for turns in plan.quarter_turns[0].tolist()],
            support=_images(episodes.support_x[0].numpy(), adaptation.support, way),
            query=_images(episodes.query_x[0].numpy(), adaptation.query, way),
            seconds=time.perf_counter() - begun,
        )

    def adapted(
        self, request: Request, tasks: int, should_stop: Callable[[], bool]
    ) -> Adaptation | None:
        """Adapt to several tasks from that of ``request`` on; None when ``should_stop`` came first.

        Raises:
            MamltuiError: the run, its data or its parameters cannot be had.
        """
        from mamltui.maml.chunks import Interrupted

        try:
            return _adapt(request, self._sampler(request), tasks, should_stop)[1]
        except Interrupted:
            return None

    def class_names(self, request: Request, tasks: int) -> list[list[str]]:
        """``[tasks][way]``: the classes of several tasks from that of ``request`` on."""
        sampler = self._sampler(request)
        plan = sampler.plan(request.task, tasks)
        names = sampler.bank.class_names
        return [[names[number] for number in row] for row in plan.class_index.tolist()]

    def _sampler(self, request: Request) -> EpisodeSampler:
        from mamltui.data.episodes import EpisodeSampler
        from mamltui.data.sampling import images_of
        from mamltui.data.splits import split_classes

        profile = request.profile
        key = (request.run.path, profile, request.split)
        if self._cached is not None and self._cached[0] == key:
            return self._cached[1]
        bank = images_of(self._banks.bank(profile.data), "this screen")
        split = split_classes(bank, profile.data.split)
        request.run.check_data(bank, split)
        sampler = EpisodeSampler.of(
            profile, bank, split, request.split, augmented=request.split == "train"
        )
        self._cached = (key, sampler)
        return sampler


def _adapt(
    request: Request, sampler: EpisodeSampler, tasks: int, should_stop: Callable[[], bool]
) -> tuple[int, Adaptation, Episodes]:
    """Adapt to tasks of ``sampler``: the parameters' iteration, what came of it, and the tasks."""
    from mamltui.learner import learner_of, with_way
    from mamltui.maml.adaptation import adapt

    profile = request.profile
    learner = learner_of(request.run.profile, sampler.bank)
    iteration, parameters = parameters_of(request, learner, should_stop)
    factor = request.alpha / profile.inner.alpha
    if learns_rates(profile):
        parameters = learner.with_rates_times(factor, parameters)
    learner, parameters = with_way(learner, parameters, profile.task.way)
    episodes = sampler.batch(request.task, tasks)
    adaptation = adapt(
        learner.network,
        replace(learner.inner, alpha=learner.inner.alpha * factor),
        parameters,
        episodes,
        steps=request.steps,
        should_stop=should_stop,
    )
    return iteration, adaptation, episodes


def _images(pixels: NDArray[np.float32], seen: Predictions, way: int) -> Images:
    """Of one task; ``pixels`` [way * examples, channels, size, size]."""
    glyphs = [draw(image) for image in pixels]
    examples = len(glyphs) // way
    probabilities: NDArray[Any] = seen.probabilities[0].numpy()
    return Images(
        drawn=[glyphs[label * examples : (label + 1) * examples] for label in range(way)],
        probabilities=probabilities.reshape(len(probabilities), way, examples, way),
        loss=seen.scores.loss[0].numpy(),
        accuracy=seen.scores.accuracy[0].numpy(),
    )
