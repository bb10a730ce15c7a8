"""What the screens share: the training of this process, the run that is watched, images, news."""

from __future__ import annotations

import time
import traceback
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Literal

from mamltui.errors import MamltuiError, UsageError
from mamltui.tui.session.memory import Memory, state_file
from mamltui.tui.session.options import Options

if TYPE_CHECKING:  # these import pydantic and numpy, which the first paint does without
    from mamltui.data.banks import Banks
    from mamltui.profiles import Profile
    from mamltui.runs import RunFolder
    from mamltui.studies.waiting import TrainingQueue
    from mamltui.tui.session.training import Training
    from mamltui.tui.session.watched import Watched

Severity = Literal["information", "warning", "error"]


@dataclass(frozen=True)
class News:
    """Something that happened in the background."""

    time: float
    """Seconds since the epoch."""
    severity: Severity
    title: str
    text: str
    details: str = ""
    """A traceback."""


class Session:
    """The state of the app besides its screens; used from the app's thread unless said."""

    def __init__(self, options: Options) -> None:
        self.options = options
        self.memory = Memory(state_file(), keeps=not options.read_only)
        self.training: Training | None = None
        """The last training of this process, also when it is over."""
        self.watched: Watched | None = None
        """The run, or the profile, that the screens show."""
        self.marked: list[str] = []
        """Names of the runs that are marked in Home, in the order of their marking."""
        self.log: deque[News] = deque(maxlen=2000)
        """All news, oldest first."""
        self.is_detached = False
        """The training goes on in a process of its own."""
        self._queue: TrainingQueue | None = None
        self._has_trained = False
        """A training was going on when ``begin_queue`` looked last."""
        self._has_queued = False
        """Something was queued here, and the queue was not stopped since."""
        self._banks: Banks | None = None
        self._unread: SimpleQueue[News] = SimpleQueue()

    @property
    def banks(self) -> Banks:
        """The images, loaded once for all screens."""
        if self._banks is None:
            from mamltui.data.banks import Banks

            self._banks = Banks(self.options.common.data)
        return self._banks

    @property
    def queue(self) -> TrainingQueue:
        """The trainings that wait."""
        if self._queue is None:
            from mamltui.studies.waiting import TrainingQueue

            self._queue = TrainingQueue(self.options.common.runs)
        return self._queue

    def add_to_queue(self, profile: Profile) -> None:
        """Have a profile trained after the training of this process, also once the app is left.

        Raises:
            RunError: the queue cannot be written.
        """
        self.queue.add(profile)
        self._has_queued = True

    def stop_queue(self) -> None:
        """Have the process that works on the queue end, and none begin when the app is left.

        Raises:
            RunError: there is none, or it runs on another machine.
        """
        self._has_queued = False
        self.queue.stop()

    def begin_queue(self) -> None:
        """When a training of this process has ended by itself, have what waits begin."""
        training = self.training
        if self.is_training:
            self._has_trained = True
        elif self._has_trained and training is not None:
            self._has_trained = False
            if not training.was_stopped and self._waits():
                self.queue.start(self.options.common)
                self.tell("The queue goes on", "Q shows it.")

    def leave_queue(self, *, detach: bool) -> None:
        """Have what was queued here begin when the app is left.

        Args:
            detach: with the training of this process, which goes on from its checkpoint.

        Raises:
            MamltuiError: the queue cannot be written or started.
        """
        if self.options.read_only:
            return
        training = self.training
        if detach and training is not None and training.run is not None and training.is_over:
            self.queue.add(training.run.profile, first=True)
            self.is_detached = True
        if self.is_detached or (self._has_queued and self._waits()):
            self.queue.start(self.options.common)

    def _waits(self) -> bool:
        return any(waiting.state == "waiting" for waiting in self.queue.read())

    @property
    def is_training(self) -> bool:
        return self.training is not None and not self.training.is_over

    def tell(
        self, title: str, text: str = "", *, severity: Severity = "information", details: str = ""
    ) -> None:
        """Leave news for the user; from any thread."""
        self._unread.put(News(time.time(), severity, title, text, details))

    def tell_error(self, title: str, error: BaseException) -> None:
        """Leave an error for the user: in words, and what is not a user's own with its traceback.

        From any thread.
        """
        if isinstance(error, MamltuiError):
            self.tell(title, str(error), severity="error")
        else:
            details = "".join(traceback.format_exception(error))
            self.tell(title, f"{type(error).__name__}: {error}", severity="error", details=details)

    def take_news(self) -> list[News]:
        """What was left since the last call; it is in ``log`` from now on."""
        taken = []
        while True:
            try:
                taken.append(self._unread.get_nowait())
            except Empty:
                self.log.extend(taken)
                return taken

    def stage(self, profile: Profile, source: str, overrides: Sequence[str] = ()) -> None:
        """Show a profile that can be run.

        Args:
            source: its file or packaged name.
            overrides: what was changed of it, as for ``--set``.
        """
        from mamltui.tui.session.watched import Watched

        self._watch(Watched(profile, source, overrides=overrides))

    def watch(self, run: RunFolder) -> None:
        """Show a run.

        Raises:
            MamltuiError: its profile cannot be read.
        """
        from mamltui.tui.session.following import Follower
        from mamltui.tui.session.watched import Watched

        source = str(run.path / "profile.toml")
        mine = self.training
        if self.is_training and mine and mine.run and mine.run.path == run.path:
            self._watch(Watched(mine.profile, source, training=mine))
            return
        self._watch(Watched(run.profile, source, follower=Follower(run).start()))

    def _watch(self, watched: Watched) -> None:
        self.let_go()
        self.watched = watched

    def let_go(self) -> None:
        """Follow the files of the watched run no more."""
        if self.watched is not None and self.watched.follower is not None:
            self.watched.follower.close()

    def start(
        self,
        profile: Profile,
        source: str,
        overrides: Sequence[str] = (),
        *,
        resume: str | None = None,
        title: str = "",
    ) -> Training:
        """Train ``profile`` in this process and watch it.

        Args:
            source: the profile's file or packaged name.
            overrides: what was changed of it, as for ``--set``.
            resume: a run to go on with, or ``auto``.
            title: what a new run is called.

        Raises:
            UsageError: a training of this process is not over, or this app only reads.
        """
        from mamltui.tui.session.training import Training
        from mamltui.tui.session.watched import Watched

        if self.options.read_only:
            raise UsageError("this app only reads", hint="Open it without --read-only.")
        if self.is_training:
            raise UsageError(
                "a training is already running here",
                hint="Stop it first (x on the Train screen), or train in another terminal.",
            )
        training = Training(
            profile,
            runs=self.options.runs,
            banks=self.banks,
            device=self.options.common.device,
            resume=resume,
            title=title,
            overrides=overrides,
            ended=self._training_ended,
        )
        self.training = training
        self._watch(Watched(profile, source, overrides=overrides, training=training))
        training.start()
        return training

    def resume(self, run: RunFolder) -> Training:
        """Go on with a run in this process, and watch it.

        Raises:
            MamltuiError: its profile cannot be read, or a training of this process is not over.
        """
        return self.start(run.profile, str(run.path / "profile.toml"), resume=str(run.path))

    def _training_ended(self, training: Training) -> None:
        """Called by the training's thread."""
        name = training.run.name if training.run else training.profile.name
        if training.error is not None:
            self.tell_error(f"{name} failed", training.error)
        elif training.evaluation is not None:
            headline = training.evaluation.headline()
            score, metric = headline.score, headline.score.metric
            text = f"test {metric.name} {score.with_interval}{metric.unit}"
            self.tell(f"{name} finished", text)
        else:
            state = training.history.newest().state
            severity: Severity = "error" if state == "diverged" else "information"
            self.tell(f"{name} {state}", severity=severity)

    def stop(self) -> None:
        """Have everything stop; ``is_training`` says when the training has."""
        self.let_go()
        if self.training is not None:
            self.training.stop("stopped when the app was closed")
