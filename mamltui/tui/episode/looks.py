"""Looks at episodes, taken in the background whenever there is something new to be seen."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mamltui.errors import MamltuiError
from mamltui.profiles import Profile
from mamltui.runs import RunFolder
from mamltui.tui.episode.inspector import EpisodeInspector, View
from mamltui.tui.episode.request import Request, Source, Split
from mamltui.tui.shared.background import Newest
from mamltui.tui.shared.screen import AppScreen

if TYPE_CHECKING:  # imports torch, which takes seconds
    from mamltui.tui.session.training import Training

PATIENCE = 0.3
"""Seconds after which a look is given up for a newer request."""
LIVE_SECONDS = 2.0
"""The least from one look at a training to the next."""
LIVE_SHARE = 50
"""A look at a training comes after at least so many times what the last one took."""


@dataclass(frozen=True)
class Subject:
    """Whose episodes are shown."""

    run: RunFolder
    profile: Profile
    training: Training | None
    """Of this process, while it goes on."""

    def sources(self) -> list[Source]:
        """Where there are parameters to be had, best for a first look first."""
        sources: list[Source] = []
        if self.training is not None and self.training.phase == "training":
            sources.append("live")
        checkpoints: tuple[Source, Source] = ("best", "last")
        return sources + [
            kind
            for kind in checkpoints
            if kind != "live" and self.run.checkpoint_path(kind).exists()
        ]


@dataclass(frozen=True)
class Selection:
    """Which episode of a run is looked at, and how it is adapted to."""

    split: Split = "test"
    task: int = 0
    """Number t of the sampler's tasks."""
    source: Source | None = None
    """None, or one that is not to be had: the first that is."""
    alpha: float | None = None
    steps: int | None = None
    """Of both, None: as in the profile."""


class Looks:
    """The newest look at what is wanted; the next one is taken in a thread.

    Args:
        screen: shows them.
        changed: called when a look is over.

    Attributes:
        view: what was seen last; None: nothing yet.
        problem: why there is nothing to be seen, in words; empty: there is, or will be.
    """

    def __init__(self, screen: AppScreen, changed: Callable[[], None]) -> None:
        self.view: View | None = None
        self.problem = ""
        self._screen, self._changed = screen, changed
        self._requests = Newest(screen, self._inspect, self._done, self._failed)
        self._inspector: EpisodeInspector | None = None
        self._run: RunFolder | None = None
        self._wanted: tuple[object, ...] = ()
        self._asked_at = self._looked_at = 0.0
        self._live_version = -1

    @property
    def request(self) -> Request | None:
        """What is or was looked at last."""
        return self._requests.request

    @property
    def is_busy(self) -> bool:
        """A look is being taken."""
        return self._requests.is_busy

    @property
    def status(self) -> str:
        """A word for work that takes so long that one wonders."""
        if not self.is_busy:
            return ""
        if self.view is None:
            return "loading the images and the parameters"
        late = time.monotonic() - self._asked_at > PATIENCE
        return "adapting" if late and self._is_for_another_episode() else ""

    def forget(self) -> None:
        """Another run is looked at from now on."""
        self.view, self._run, self._wanted = None, None, ()
        self._requests.forget()

    def refuse(self, reason: str) -> None:
        """There is nothing to be seen."""
        self.problem, self._wanted = reason, ()

    def follow(self, subject: Subject, selection: Selection) -> None:
        """Take a look, if what is wanted or the parameters have changed since the last.

        Args:
            subject: has a source of parameters.
        """
        sources = subject.sources()
        source = selection.source if selection.source in sources else sources[0]
        inner = subject.profile.inner
        alpha = inner.alpha if selection.alpha is None else selection.alpha
        steps = inner.test_steps if selection.steps is None else selection.steps
        split, task = selection.split, selection.task
        newness = self._newness(subject, source)
        wanted = (subject.run.path, source, split, task, alpha, steps, newness)
        if wanted == self._wanted:
            return
        self._run, self._wanted, self.problem = subject.run, wanted, ""
        self._asked_at = time.monotonic()
        if self._inspector is None:
            self._inspector = EpisodeInspector(self._screen.session.banks)
        self._requests.ask(
            Request(subject.run, source, subject.training, split, task, alpha, steps)
        )

    def _newness(self, subject: Subject, source: Source) -> int:
        """Another number when there are other parameters, and it is time to look at them."""
        if source != "live":
            try:
                return subject.run.checkpoint_path(source).stat().st_mtime_ns
            except OSError:
                return 0
        assert subject.training is not None
        cost = self.view.seconds if self.view is not None else 0.0
        rested = time.monotonic() - self._looked_at > max(LIVE_SECONDS, LIVE_SHARE * cost)
        if rested and not self.is_busy:
            self._live_version = subject.training.history.version
        return self._live_version

    def _inspect(self, request: Request) -> View | None:
        """What is seen of an episode, in a thread; it is given up when a newer request waits."""
        app, inspector, begun = self._screen.app, self._inspector, time.monotonic()
        assert inspector is not None

        def should_stop() -> bool:
            replaced = self.request is not request and time.monotonic() - begun > PATIENCE
            return replaced or not app.is_running

        return inspector.inspect(request, should_stop)

    def _done(self, request: Request, view: View | None) -> None:
        self._looked_at = time.monotonic()
        if view is not None and self._run is not None and request.run.path == self._run.path:
            self.view, self.problem = view, ""
        self._changed()

    def _failed(self, request: Request, error: Exception) -> None:
        self._looked_at = time.monotonic()
        if request is self.request:
            if isinstance(error, MamltuiError):
                self.problem = str(error)
            else:
                self.problem = f"{type(error).__name__}: {error}"
                self._screen.host.report("The episode cannot be shown", error)
        self._changed()

    def _is_for_another_episode(self) -> bool:
        """What is worked on is not what is shown with newer parameters."""
        if self.request is None or self.view is None:
            return True
        now, then = self.request, self.view.request
        return (now.source, now.split, now.task, now.alpha, now.steps) != (
            then.source,
            then.split,
            then.task,
            then.alpha,
            then.steps,
        )
