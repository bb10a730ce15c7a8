"""All trainings, some at once, each taken up where its run folder says that it is."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from evidence.plan import Training
from evidence.processes import Processes, last_words
from mamltui.errors import MamltuiError
from mamltui.results import Evaluation, kept_evaluations, write_text
from mamltui.runs import RunFolder, list_runs

State = Literal["waiting", "running", "interrupted", "failed", "trained", "finished", "diverged"]
OVER: tuple[State, ...] = ("finished", "diverged")
POLL_SECONDS = 0.2
LOOK_SECONDS = 5.0
"""Between two looks at a run that another process trains."""


@dataclass(frozen=True)
class Found:
    """Where a training stands."""

    state: State
    run: RunFolder | None = None
    iteration: int = 0
    why: str = ""
    """It failed or diverged."""
    evaluation: Evaluation | None = None


def runs_by_name(out: Path) -> dict[str, list[RunFolder]]:
    """The run folders of ``out`` by the names of their profiles, the newest first."""
    found: dict[str, list[RunFolder]] = {}
    for summary in list_runs(out / "runs"):
        if summary.info is not None:
            found.setdefault(summary.info.profile, []).append(RunFolder(summary.path))
    return found


def find(training: Training, runs: Iterable[RunFolder], failures: dict[str, str]) -> Found:
    """Where ``training`` stands by the run folders of its name; those of other settings are not
    its own."""
    for run in runs:
        try:
            if run.profile != training.profile:
                continue
            return _of_run(training, run)
        except MamltuiError as error:
            return Found("failed", run, why=str(error))
    if training.name in failures:
        return Found("failed", why=failures[training.name])
    return Found("waiting")


def _of_run(training: Training, run: RunFolder) -> Found:
    info = run.info()
    why = info.error or ""
    if info.state == "finished":
        evaluation = _evaluation(training, run)
        state: State = "trained" if evaluation is None else "finished"
        return Found(state, run, info.iteration, why, evaluation)
    states: dict[str, State] = {
        "running": "running",
        "paused": "running",
        "interrupted": "interrupted",
        "failed": "failed",
        "diverged": "diverged",
    }
    return Found(states[info.state], run, info.iteration, why)


def _evaluation(training: Training, run: RunFolder) -> Evaluation | None:
    asked = training.profile.evaluation
    for kept in kept_evaluations(run.evaluation):
        same = (kept.split, kept.checkpoint, kept.episodes) == ("test", "best", asked.episodes)
        if same and set(asked.steps) <= set(kept.steps):
            return kept
    return None


def read_failures(out: Path) -> dict[str, str]:
    """Trainings that ended by an error at their last attempt, and which."""
    path = out / "failed.json"
    return json.loads(path.read_text()) if path.exists() else {}


class Queue:
    """Trains all that is not over, in order, ``jobs`` at once.

    What fails is noted and left for the next time; what diverged is over.

    Args:
        place: options that say where the data are and what computes.
    """

    def __init__(
        self,
        trainings: Sequence[Training],
        out: Path,
        place: Sequence[str],
        jobs: int,
        processes: Processes,
        say: Callable[[str], None],
    ) -> None:
        self._waiting = list(trainings)
        self._out = out
        self._place = list(place)
        self._jobs = jobs
        self._processes = processes
        self._say = say
        self._failures = read_failures(out)
        self._active: dict[str, tuple[Training, subprocess.Popen[Any] | None]] = {}
        """By name; without a process where one of an earlier command, which was killed, goes on."""
        self._looked = 0.0

    def run(self) -> None:
        """Until all are over or have failed, or the processes are stopped."""
        while self._waiting or self._active:
            if self._processes.stopping:
                self._waiting.clear()
                self._active = {
                    name: (training, process)
                    for name, (training, process) in self._active.items()
                    if process is not None
                }
            while self._waiting and len(self._active) < self._jobs:
                self._start(self._waiting.pop(0))
            time.sleep(POLL_SECONDS)
            self._collect()

    def _find(self, training: Training) -> Found:
        runs = runs_by_name(self._out).get(training.name, [])
        return find(training, runs, self._failures)

    def _start(self, training: Training) -> None:
        try:
            found = self._find(training)
        except MamltuiError as error:  # a profile that cannot be
            self._fail(training, str(error))
            return
        if found.state in OVER:
            return
        name = training.name
        if found.state == "running":
            self._say(f"{name}: goes on in a process of an earlier command")
            self._active[name] = training, None
            return
        self._forget_failure(name)
        if found.state == "trained":
            assert found.run is not None
            arguments = ["eval", str(found.run.path), *self._place]
            self._say(f"{name}: evaluates")
        else:
            settings = [part for override in training.overrides for part in ("--set", override)]
            resume = [] if found.run is None else ["--resume", str(found.run.path)]
            arguments = ["run", training.case.setting.profile, "--headless", "--quiet"]
            arguments += [f"--out={self._out / 'runs'}", *self._place, *settings, *resume]
            at = f" from iteration {found.iteration:,}" if resume else ""
            self._say(f"{name}: trains{at} ({len(self._waiting)} wait)")
        process = self._processes.start(arguments, self._log(training), nice=True)
        self._active[name] = training, process

    def _log(self, training: Training) -> Path:
        return self._out / "logs" / f"{training.name}.log"

    def _collect(self) -> None:
        """Take note of those that ended."""
        look = time.monotonic() - self._looked >= LOOK_SECONDS
        if look:
            self._looked = time.monotonic()
        for name, (training, process) in list(self._active.items()):
            if process is None:
                if look and self._find(training).state != "running":
                    del self._active[name]
                    self._waiting.insert(0, training)
            elif process.poll() is not None:
                del self._active[name]
                self._ended(training, process.returncode)

    def _ended(self, training: Training, code: int) -> None:
        found = self._find(training)
        if found.evaluation is not None:
            best = found.evaluation.headline()
            self._say(
                f"{training.name}: {100 * best.accuracy:.2f} ± {100 * best.accuracy_ci95:.2f} %"
            )
        elif found.state == "diverged":
            self._say(f"{training.name}: diverged: {found.why}")
        elif not self._processes.stopping:
            self._fail(
                training, found.why or last_words(self._log(training)) or f"ended with {code}"
            )

    def _fail(self, training: Training, why: str) -> None:
        self._say(f"{training.name}: failed: {why}")
        self._failures[training.name] = why
        self._write_failures()

    def _forget_failure(self, name: str) -> None:
        if self._failures.pop(name, None) is not None:
            self._write_failures()

    def _write_failures(self) -> None:
        write_text(self._out / "failed.json", json.dumps(self._failures, indent=1) + "\n")
