"""Evaluating several runs one after another, in a thread of its own."""

from __future__ import annotations

import threading
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

from mamltui.errors import MamltuiError
from mamltui.profiles import Profile
from mamltui.results import Evaluation
from mamltui.runs import ListedRun, RunFolder
from mamltui.tui.evaluate.candidates import Settings

if TYPE_CHECKING:  # torch takes seconds to import: the thread does it
    from mamltui.data.banks import Banks
    from mamltui.tui.session.session import Session

State = Literal["waiting", "loading", "evaluating", "done", "failed", "cancelled"]
OVER = ("done", "failed", "cancelled")


@dataclass(frozen=True)
class Part:
    """What the sweep knows of one of its runs."""

    state: State = "waiting"
    evaluation: Evaluation | None = None
    """Of the episodes so far, while ``evaluating`` or ``cancelled``."""
    problem: str = ""
    """Why it failed, or why its result could not be kept; in words."""
    details: str = ""
    """The traceback of what nobody expected."""


@dataclass(frozen=True)
class Progress:
    """How far a sweep is."""

    runs_done: int
    runs: int
    episodes_done: int
    episodes: int
    seconds_left: float | None
    """None while it cannot be told."""


class Sweep:
    """Evaluates runs as ``mamltui eval`` does, and keeps each result in its run folder.

    The thread replaces the ``Part`` of a run at every change; readers look when they redraw.

    Args:
        runs: those to evaluate, in this order; their profiles must be there.
        settings: of all of them.
        banks: the images.
        device: ``auto``, ``cpu`` or ``cuda``.
        ended: called once, by the thread, when all is over.

    Attributes:
        parts: what is known of each run, by its name, in the order of the work.
        note: what is done just now besides evaluating, in words; often empty.
        version: another number at every change.
    """

    def __init__(
        self,
        runs: Sequence[ListedRun],
        settings: Settings,
        *,
        banks: Banks,
        device: str,
        ended: Callable[[Sweep], None] = lambda _: None,
    ) -> None:
        self.settings = settings
        self.version = 0
        self.note = ""
        self.parts: dict[str, Part] = {run.name: Part() for run in runs}
        self._profiles = {run.name: _profile(run) for run in runs}
        self._folders = {run.name: RunFolder(run.path) for run in runs}
        self._banks, self._device, self._ended = banks, device, ended
        self._stop = threading.Event()
        self._started = time.monotonic()
        self._thread = threading.Thread(target=self._work, name="sweep", daemon=True)

    @property
    def is_over(self) -> bool:
        return all(part.state in OVER for part in self.parts.values())

    @property
    def is_stopping(self) -> bool:
        return self._stop.is_set() and not self.is_over

    def start(self) -> Sweep:
        self._thread.start()
        return self

    def cancel(self) -> None:
        """Stop at the next inner step; what is done is kept, what is half done is not."""
        self._stop.set()

    def wait(self, seconds: float) -> bool:
        """Whether all is over within ``seconds``."""
        self._thread.join(seconds)
        return not self._thread.is_alive()

    def progress(self) -> Progress:
        """How far it is; the time left by the images that still pass through the network."""
        runs_done = episodes = episodes_done = work = work_done = 0
        for name, part in self.parts.items():
            profile = self._profiles[name]
            asked = self.settings.episodes_of(profile)
            over = part.state in OVER
            done = asked if over else part.evaluation.episodes if part.evaluation else 0
            runs_done, episodes, episodes_done = (
                runs_done + over,
                episodes + asked,
                episodes_done + done,
            )
            if part.state != "failed":  # that took no time worth counting
                task = profile.task.at_test
                passes = self.settings.steps_of(profile)[-1] + 1
                cost = passes * task.way * (task.shot + task.query)
                work, work_done = work + cost * asked, work_done + cost * done
        left = None
        if work_done:
            left = (time.monotonic() - self._started) * (work - work_done) / work_done
        return Progress(runs_done, len(self.parts), episodes_done, episodes, left)

    def _set(self, name: str, part: Part) -> None:
        self.parts[name] = part
        self.version += 1

    def _work(self) -> None:
        for name in self.parts:
            if self._stop.is_set():
                self._set(name, Part("cancelled"))
            else:
                self._evaluate(name)
        self._ended(self)

    def _evaluate(self, name: str) -> None:
        self._set(name, Part("loading"))
        try:
            evaluation = self._evaluated(name)
        except MamltuiError as error:
            self._set(name, Part("failed", problem=str(error)))
        except Exception as error:
            problem = f"{type(error).__name__}: {error}"
            self._set(name, Part("failed", problem=problem, details=traceback.format_exc()))
        else:
            if evaluation is None:
                self._set(name, replace(self.parts[name], state="cancelled"))
            else:
                self._set(name, Part("done", evaluation, self._keep(name, evaluation)))
        self.note = ""

    def _evaluated(self, name: str) -> Evaluation | None:
        """None if it was cancelled."""
        self._say("loading torch")
        from mamltui.evaluation import evaluate_run
        from mamltui.maml.allocator import keep_freed_memory
        from mamltui.maml.chunks import Interrupted
        from mamltui.training import resolve_device

        device = resolve_device(self._device)
        profile, settings = self._profiles[name], self.settings
        self._say("loading the images")
        bank = self._banks.bank(profile.data, self._say)
        self._say("")
        if not any(part.evaluation for part in self.parts.values()):
            self._started = time.monotonic()  # the time for loading says nothing of the rest
        keep_freed_memory()

        def show(evaluation: Evaluation) -> None:
            self.note = ""
            self._set(name, Part("evaluating", evaluation))

        try:
            return evaluate_run(
                self._folders[name],
                bank=bank,
                split=settings.split,
                checkpoint=settings.checkpoint,
                steps=settings.steps_of(profile),
                episodes=settings.episodes_of(profile),
                device=device,
                partial=show,
                should_stop=self._stop.is_set,
                say=self._say,
            )
        except Interrupted:
            return None

    def _say(self, text: str) -> None:
        self.note = text
        self.version += 1

    def _keep(self, name: str, evaluation: Evaluation) -> str:
        """Write the files of the result; what went wrong, in words."""
        from mamltui.evaluation import keep_results

        try:
            keep_results(self._folders[name], evaluation)
        except MamltuiError as error:
            return f"The result is not kept. {error}"
        return ""


def tell_end(sweep: Sweep, session: Session) -> None:
    """Leave the news of a sweep; from any thread."""
    parts = sweep.parts
    for name, part in parts.items():
        if part.problem:
            session.tell(
                f"Evaluation of {name}", part.problem, severity="error", details=part.details
            )
    done = sum(part.state == "done" for part in parts.values())
    runs = f"{done} of {len(parts)} run{'' if len(parts) == 1 else 's'}"
    cancelled = any(part.state == "cancelled" for part in parts.values())
    session.tell(f"Evaluation {'cancelled' if cancelled else 'finished'}", f"{runs} evaluated")


def _profile(run: ListedRun) -> Profile:
    assert run.profile is not None
    return run.profile
