"""A training of this process: the thread that drives a trainer, and the handle to steer it."""

from __future__ import annotations

import threading
import traceback
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from mamltui.curves.history import RunHistory
from mamltui.data.banks import Banks
from mamltui.errors import MamltuiError
from mamltui.events import Event, Finished, Started
from mamltui.profiles import Profile
from mamltui.runs import RunFolder
from mamltui.runs.state import utc_now
from mamltui.tui.session.following import replay

if TYPE_CHECKING:  # torch takes seconds to import: the thread does it
    from mamltui.results import Evaluation
    from mamltui.training.control import Control, Snapshot
    from mamltui.training.plan import Plan


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
        self._resume = resume
        self._ended = ended
        self._control: Control | None = None
        self._paused = False
        self._stop_reason = ""
        self._lock = threading.Lock()
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
        return bool(self._stop_reason) and not self.is_over

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
        with self._lock:
            self._paused = True
            if self._control is not None:
                self._control.pause()

    def resume(self) -> None:
        with self._lock:
            self._paused = False
            if self._control is not None:
                self._control.resume()

    def checkpoint(self) -> None:
        """Save a checkpoint after the meta-step at hand."""
        with self._lock:
            if self._control is not None:
                self._control.checkpoint()

    def stop(self, reason: str) -> None:
        """End after a checkpoint; ``wait`` for it."""
        with self._lock:
            if not self._stop_reason:
                self._stop_reason = reason
                if self._control is not None:
                    self._control.stop(reason)

    def snapshot(self) -> Future[Snapshot] | None:
        """The parameters as they are after the meta-step at hand; None while nothing trains."""
        with self._lock:
            if self._control is None or self.phase != "training":
                return None
            return self._control.snapshot()

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
        from mamltui.training.plan import make_plan

        plan = make_plan(
            self.profile,
            device=self._device,
            runs=self._runs,
            banks=self._banks,
            resume=self._resume,
            say=self._say,
        )
        if self._stop_reason:
            return
        end = self._train(plan)
        if isinstance(end, Finished) and not self._stop_reason:
            self._evaluate(plan)

    def _say(self, text: str) -> None:
        self.note = text

    def _train(self, plan: Plan) -> Event | None:
        from mamltui.training import Control, Trainer

        self.note = ""
        run = plan.run or RunFolder.create(plan.profile, self._runs)
        control = Control()
        trainer = Trainer(plan.profile, plan.bank, run, device=plan.device, control=control)
        self.run = run
        with self._lock:
            self._control = control
            if self._paused:
                control.pause()
            if self._stop_reason:
                control.stop(self._stop_reason)
        self.phase = "training"
        event = None
        for event in trainer.train():
            if isinstance(event, Started) and event.resumed:
                replay(run, self.history)  # its end is this very event
            else:
                self.history.add(event, utc_now())
        return event

    def _evaluate(self, plan: Plan) -> None:
        from mamltui.evaluation import evaluate_and_write
        from mamltui.maml.chunks import Interrupted

        assert self.run is not None
        self.phase = "evaluating"

        def progress(done: int, episodes: int) -> None:
            self.note = f"{done:,} of {episodes:,} test episodes"

        with suppress(Interrupted):
            self.evaluation = evaluate_and_write(
                self.run,
                plan.bank,
                device=plan.device,
                progress=progress,
                should_stop=lambda: bool(self._stop_reason),
            )

    def error_text(self) -> str:
        """What ended it, in words; empty if nothing did."""
        if self.error is None:
            return ""
        if isinstance(self.error, MamltuiError):
            return str(self.error)
        return f"{type(self.error).__name__}: {self.error}"
