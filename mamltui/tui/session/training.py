"""A training of this process: the thread that drives a trainer, and the handle to steer it."""

from __future__ import annotations

import threading
import traceback
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from mamltui.curves.history import RunHistory
from mamltui.data.banks import Banks
from mamltui.errors import MamltuiError
from mamltui.events import Event, Started
from mamltui.profiles import Profile
from mamltui.runs import RunFolder
from mamltui.runs.state import utc_now
from mamltui.training.control import Control
from mamltui.tui.session.following import replay

if TYPE_CHECKING:  # torch takes seconds to import: the thread does it
    from mamltui.results import Evaluation
    from mamltui.training.control import Snapshot


class Training:
    """Trains, then evaluates as the profile says, in a thread of its own.

    The thread adds what happens to ``history`` and nobody waits for anybody: readers look at it
    when they redraw.

    Args:
        profile: what to train.
        runs: the folder of the run folders.
        banks: the images.
        device: ``auto``, ``cpu`` or ``cuda``.
        resume: the run to go on with, or ``auto`` as for ``mamltui run``; None: a new one.
        title: what a new run is called.
        overrides: what of ``profile`` is set explicitly; a resumed run takes nothing else of it.
        ended: called once, by the thread, when all is over.
    """

    def __init__(
        self,
        profile: Profile,
        *,
        runs: Path,
        banks: Banks,
        device: str,
        resume: str | None = None,
        title: str = "",
        overrides: Sequence[str] = (),
        ended: Callable[[Training], None] = lambda _: None,
    ) -> None:
        self.profile = profile
        self.history = RunHistory()
        self.run: RunFolder | None = None
        """None until the run folder is made."""
        self.phase = "preparing"
        """Or ``training``, ``evaluating``, ``ended``."""
        self.note = ""
        """What is done just now, in words."""
        self.evaluation: Evaluation | None = None
        self.error: BaseException | None = None
        """What ended it, if it was not meant to end."""
        self.traceback = ""
        self._runs, self._banks, self._device = runs, banks, device
        self._resume, self._overrides, self._title = resume, overrides, title
        self._ended = ended
        self._control = Control()
        self._paused = False
        self._thread = threading.Thread(target=self._work, name="training", daemon=True)

    @property
    def is_over(self) -> bool:
        return self.phase == "ended"

    @property
    def is_paused(self) -> bool:
        """A pause was asked for and not taken back; the trainer obeys between two meta-steps."""
        return self._paused

    @property
    def is_stopping(self) -> bool:
        return self._control.stop_reason is not None and not self.is_over

    @property
    def was_stopped(self) -> bool:
        """It was asked to end before its time."""
        return self._control.stop_reason is not None

    @property
    def state(self) -> str:
        """In one word, for people."""
        if self.phase == "training":
            if self.is_stopping:
                return "stopping"
            state = self.history.newest().state
            return "training" if state == "waiting" else state
        if self.phase == "ended":
            return "failed" if self.error is not None else self.history.newest().state
        return self.phase

    def start(self) -> None:
        self._thread.start()

    def pause(self) -> None:
        """Wait after the meta-step at hand, until ``resume`` or ``stop``."""
        self._paused = True
        self._control.pause()

    def resume(self) -> None:
        self._paused = False
        self._control.resume()

    def checkpoint(self) -> None:
        """Save a checkpoint after the meta-step at hand."""
        self._control.checkpoint()

    def stop(self, reason: str) -> None:
        """End after a checkpoint; ``wait`` for it."""
        self._control.stop(reason)

    def snapshot(self) -> Future[Snapshot] | None:
        """The parameters as they are after the meta-step at hand; None while nothing trains."""
        return self._control.snapshot() if self.phase == "training" else None

    def wait(self, seconds: float) -> bool:
        """Whether all is over within ``seconds``."""
        self._thread.join(seconds)
        return not self._thread.is_alive()

    def _work(self) -> None:
        try:
            self._train_and_evaluate()
        except BaseException as error:
            self.error = error
            self.traceback = traceback.format_exc()
        finally:
            self.note = ""
            self.phase = "ended"
            self._ended(self)

    def _train_and_evaluate(self) -> None:
        self.note = "loading torch"
        from mamltui.maml.allocator import keep_freed_memory
        from mamltui.training.experiment import run_experiment
        from mamltui.training.plan import make_plan

        plan = make_plan(
            self.profile,
            device=self._device,
            runs=self._runs,
            banks=self._banks,
            resume=self._resume,
            overrides=self._overrides,
            say=self._say,
        )
        if self._control.stop_reason is not None:
            return
        keep_freed_memory()
        self.note = ""
        self.profile = plan.profile
        self.run = plan.run or RunFolder.create(plan.profile, self._runs, title=self._title)
        if plan.is_trained:
            replay(self.run, self.history)
        self.phase = "training"
        run_experiment(replace(plan, run=self.run), self._control, _Progress(self))

    def _say(self, text: str) -> None:
        self.note = text

    def error_text(self) -> str:
        """What ended it, in words; empty if nothing did."""
        if self.error is None:
            return ""
        if isinstance(self.error, MamltuiError):
            return str(self.error)
        return f"{type(self.error).__name__}: {self.error}"


class _Progress:
    """Shows an experiment in a :class:`Training`."""

    def __init__(self, training: Training) -> None:
        self._training = training

    def show(self, event: Event) -> None:
        training = self._training
        if isinstance(event, Started) and event.resumed and training.run is not None:
            replay(training.run, training.history)
            if not training.run.backlog.is_behind:
                return  # its end is this very event
        training.history.add(event, utc_now())

    def evaluating(self, done: int, episodes: int) -> None:
        self._training.phase = "evaluating"
        self._training.note = f"{done:,} of {episodes:,} test episodes"

    def evaluated(self, evaluation: Evaluation) -> None:
        self._training.evaluation = evaluation
        self._training.note = ""
