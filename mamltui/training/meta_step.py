"""One meta-iteration after another: the engine chosen for them, ordinary or captured steps."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

from mamltui.data.episodes import EpisodeSampler
from mamltui.learner import annealing_ends, inner_loop_at
from mamltui.maml.engine import Engine
from mamltui.maml.episode import Episodes
from mamltui.maml.evaluate import Scores
from mamltui.maml.inner import InnerLoop
from mamltui.maml.memory import memory_explained
from mamltui.maml.running import start_statistics
from mamltui.training.captured import CapturedStep, Metrics
from mamltui.training.choice import choose_engine
from mamltui.training.clipping import global_norm
from mamltui.training.divergence import Watch
from mamltui.training.plan import Plan
from mamltui.training.state import TrainingState


class Logged(NamedTuple):
    """What is told of a meta-iteration."""

    metrics: Metrics
    scores: Scores
    """After each inner step of training, before the parameters were updated."""


class MetaStep:
    """Takes a training state from one meta-iteration to the next.

    ``choose`` comes first, then ``take`` for each iteration.

    Args:
        plan: of the training.
        should_stop: asked before each chunk of tasks, and while the engine is chosen.
    """

    engine: Engine

    def __init__(
        self,
        plan: Plan,
        should_stop: Callable[[], bool],
    ) -> None:
        self.is_chosen = False
        self.task_chunk = 0
        """Tasks at once, as far as it is settled; 0: chosen at each step."""
        self.notices: list[str] = []
        """What there is to say, in words; whoever says it takes it out."""
        self._profile = plan.profile
        self._learner = plan.learner
        self._sampler = plan.sampler("train")
        self._device = plan.device
        self._ranks = plan.ranks
        self._should_stop = should_stop
        self._captured: CapturedStep | None = None

    def choose(
        self, state: TrainingState, watch: Watch, before: tuple[str, int] | None
    ) -> Iterator[str]:
        """Choose the engine, yielding in words what will take time, and make all ready.

        Args:
            before: strategy and chunk that ``state`` was trained with so far, if it was.

        Raises:
            Interrupted: ``should_stop`` said so; it may be tried again.
            torch.OutOfMemoryError: not even one task fits.
        """
        self._state, self._watch = state, watch
        if state.iteration == 0 and self._learner.network.running_steps:
            start_statistics(self._learner, state.parameters, self._episodes())
        self.engine = yield from choose_engine(
            self._profile,
            self._learner,
            self._device,
            before=before,
            say=self.notices.append,
            should_stop=self._should_stop,
            ranks=self._ranks,
        )
        self.task_chunk = self.engine.task_chunk
        if self._captures():
            assert isinstance(self._sampler, EpisodeSampler)  # no other network is captured
            self._captured = CapturedStep(
                self._learner,
                self._sampler,
                state,
                watch,
                batch=self._profile.meta.batch,
                device=self._device,
                precision=self._profile.engine.precision,
                task_chunk=self.task_chunk,
                inner_at=self._inner_at,
                changes=annealing_ends(self._profile),
            )
            self._captured.prepare(say=self.notices.append)
            self.task_chunk = self._captured.task_chunk
        self.is_chosen = True

    def take(self, logged: bool) -> Logged | None:
        """One meta-iteration (paper, Algorithm 2, lines 3-10); what it gave if it is ``logged``.

        Raises:
            Interrupted: ``should_stop`` said so; the state is as it was before.
            Divergence: a gradient, perhaps an earlier one, cannot be applied.
        """
        if self._captured is not None:
            return self._replay(self._captured, logged)
        state, watch = self._state, self._watch
        episodes = self._episodes()
        total = self.engine.meta_gradient(
            state.parameters,
            episodes,
            inner=self._inner_at(state.iteration),
            should_stop=self._should_stop,
        )
        norm = global_norm(total.gradient)
        watch.note(state.iteration + 1, total.query_loss, norm)
        if logged or self._device.type == "cpu":  # a look at a GPU waits for it
            watch.check()
        if not logged:
            state.apply(total.gradient, total.drift, unless=watch.broken)
            return None
        scores = self._scores(episodes)
        state.apply(total.gradient, total.drift, unless=watch.broken)
        metrics = Metrics(float(total.query_loss), float(total.query_accuracy), float(norm))
        return Logged(metrics, scores)

    def _inner_at(self, iteration: int) -> InnerLoop:
        return inner_loop_at(self._profile, iteration)

    def _captures(self) -> bool:
        """Whether whole meta-iterations are replayed from a captured graph.

        Of several processes each captures the gradients of its own tasks alone.
        """
        return self.engine.strategy == "graph" and self._ranks is None

    def _replay(self, captured: CapturedStep, logged: bool) -> Logged | None:
        """``take`` without waiting for the device, but where it is logged."""
        if not logged:
            captured.run()
            return None
        scores = self._scores(self._episodes())
        captured.run()
        self._watch.check()
        return Logged(captured.metrics(), scores)

    def _episodes(self) -> Episodes:
        batch = self._profile.meta.batch
        with memory_explained("take a smaller meta.batch: its images alone do not fit"):
            return self._sampler.batch(self._state.iteration * batch, batch, self._device)

    def _scores(self, episodes: Episodes) -> Scores:
        """At the parameters as they are."""
        return self.engine.score(
            self._state.parameters,
            episodes,
            steps=self._learner.inner.steps,
            support_statistics=False,
            should_stop=self._should_stop,
        )
