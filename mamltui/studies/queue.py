"""A study's queue: cells that are not over go to an executor, as many at once as it takes."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from mamltui.errors import ExitCode, RunError, UsageError
from mamltui.profiles import Profile, experiment_key
from mamltui.results import write_text
from mamltui.runs import runs_root
from mamltui.runs.files import file_error
from mamltui.runs.lock import Lock
from mamltui.studies.executors.executor import Assignment, Executor, Job, last_words
from mamltui.studies.launch import PROCESS, process_note
from mamltui.studies.reading import study_folder, write_copy
from mamltui.studies.standing import (
    OVER,
    Runs,
    Standing,
    cell_profile,
    read_failures,
    read_lengths,
    read_standings,
)
from mamltui.studies.study import NOMINAL, Cell, Study
from mamltui.studies.timing import Speed, iterations_in
from mamltui.untrusted import checked, parse_json, read_file

ATTEMPTS = 3
"""Times in a row that a cell's process may die without a further iteration before it counts as
failed: one that is killed is gone on with."""


@dataclass
class _Work:
    """A cell in the hands of an executor."""

    cell: Cell
    job: Job
    is_timing: bool
    experiment: str
    log: Path


@dataclass
class Queue:
    """Works on a study; :meth:`step` is called again and again until it says that all is over.

    Args:
        root: the folder of the runs; None: the usual one.
        executor: where cells run.
        notify: told in words what happens.

    Raises:
        RunError: the folder cannot be written.
        UsageError: another process works on this study among these runs.
    """

    study: Study
    executor: Executor
    root: Path | None = None
    data_dir: Path | None = None
    device: str = "auto"
    only: Sequence[str] = ()
    notify: Callable[[str], None] = print
    _working: list[_Work] = field(default_factory=list)
    _tries: dict[str, tuple[int, int]] = field(default_factory=dict)
    _begun: set[str] = field(default_factory=set)
    _is_prepared: bool = False
    _stopping: bool = False

    def __post_init__(self) -> None:
        self.cells = self.study.chosen(self.only)
        self.folder = study_folder(self.study.name, self.root)
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            self._lock = Lock(self.folder / "lock")
            is_free = self._lock.acquire()
        except OSError as error:
            raise file_error(error, self.folder, "make the study's folder") from error
        if not is_free:
            raise UsageError(
                f"another process works on the study {self.study.name}", where=str(self.folder)
            )
        write_copy(self.study, self.folder)
        write_text(self.folder / PROCESS, process_note(), error=RunError)
        self._runs = Runs(self.root)
        self._lengths = read_lengths(self.folder)
        # A cell that failed is tried again by every new command.
        names = {cell.name for cell in self.cells}
        before = read_failures(self.folder)
        self._failures = {name: why for name, why in before.items() if name not in names}
        self._keep("failures", self._failures)

    def close(self) -> None:
        """Let another process work on the study."""
        self._lock.release()

    @property
    def is_idle(self) -> bool:
        return not self._working

    @property
    def working(self) -> frozenset[str]:
        """Names of the cells that are being worked on here."""
        return frozenset(work.cell.name for work in self._working)

    def stop(self, *, at_once: bool = False) -> None:
        """Ask all that works to end after a checkpoint, and start nothing more."""
        self._stopping = True
        for work in self._working:
            work.job.stop(at_once=at_once)

    def standings(self) -> list[Standing]:
        """Where the cells stand now."""
        return read_standings(self.study, self.root, self._runs, self.cells)

    def step(self) -> tuple[list[Standing], bool]:
        """Take what has ended, start what can be, and tell whether nothing is left to do."""
        self._collect()
        standings = self.standings()
        if self._stopping:
            return standings, self.is_idle
        waiting = [
            each
            for each in standings
            if each.state not in OVER
            or (each.state == "failed" and each.cell.name not in self._begun | set(self._failures))
        ]
        if waiting and not self._is_prepared:
            profiles = [each.profile or each.cell.profile(NOMINAL) for each in waiting]
            self.executor.prepare(self.folder, profiles, self.data_dir)
            self._is_prepared = True
        with self.executor.together():
            self._start(waiting)
        return standings, self.is_idle and not waiting

    def _start(self, waiting: Sequence[Standing]) -> None:
        untimed = [each.cell for each in waiting if each.profile is None]
        if untimed:
            # Before all that trains, and each alone, as nothing is to disturb it.
            if not self._working:
                cell = untimed[0]
                self._begin(cell, cell.profile(NOMINAL), "timing", timed=True)
            return
        busy = {work.experiment for work in self._working}
        for standing in waiting:
            if len(self._working) >= self.executor.workers:
                return
            cell = standing.cell
            if standing.state == "running" or cell.name in self.working:
                continue
            assert standing.profile is not None
            key = experiment_key(standing.profile)
            if key not in busy:
                self._begin(cell, standing.profile, key, timed=False)
                busy.add(key)

    def _begin(self, cell: Cell, profile: Profile, key: str, *, timed: bool) -> None:
        path = self.folder / "cells" / f"{cell.name}.toml"
        log = self.folder / "logs" / f"{cell.name}.log"
        path.parent.mkdir(exist_ok=True)
        write_text(path, profile.to_toml(), error=RunError)
        threads = 1 if timed else self.executor.threads
        assignment = Assignment(
            path.absolute(),
            runs_root(self.root).absolute(),
            self.data_dir and self.data_dir.absolute(),
            self.device,
            threads,
            (self.folder / "speed.json").absolute() if timed else None,
        )
        self._begun.add(cell.name)
        self._working.append(_Work(cell, self.executor.start(assignment, log), timed, key, log))

    def _collect(self) -> None:
        for work in list(self._working):
            code = work.job.poll()
            if code is None:
                continue
            self._working.remove(work)
            if work.is_timing:
                self._timed(work, code)
            elif code == ExitCode.DIVERGED:
                self.notify(f"{work.cell.name}: {last_words(work.log)}")
            elif not self._stopping and not self._is_over(work.cell):
                self._ended_badly(work, code)

    def _timed(self, work: _Work, code: int) -> None:
        if code != ExitCode.DONE:
            if not self._stopping:
                self._fail(work, code)
            return
        speed = checked(Speed, parse_json(read_file(self.folder / "speed.json", 10_000)))
        minutes = self.study.minutes
        assert minutes is not None
        length = iterations_in(minutes, speed, work.cell.profile)
        self._lengths[work.cell.group] = length
        self._keep("lengths", self._lengths)
        self.notify(f"{work.cell.group}: {length:,} iterations in {minutes:g} minutes of one core")

    def _is_over(self, cell: Cell) -> bool:
        (standing,) = read_standings(self.study, self.root, self._runs, [cell])
        return standing.state in ("done", "diverged")

    def _ended_badly(self, work: _Work, code: int) -> None:
        profile = cell_profile(work.cell, self._lengths, self._runs)
        runs = self._runs.fitting().get(experiment_key(profile), []) if profile else []
        info = runs[0].info if runs else None
        reached = info.iteration if info else 0
        tries, before = self._tries.get(work.cell.name, (0, -1))
        tries = 1 if reached > before else tries + 1
        self._tries[work.cell.name] = (tries, reached)
        was_killed = code < 0 or code > 128
        if was_killed and tries < ATTEMPTS:
            why = work.job.why or "its process was killed"
            self.notify(f"{work.cell.name}: {why}; it is gone on with")
        elif info is not None and info.state == "failed":
            self.notify(f"{work.cell.name}: failed: {info.error}")
        else:
            self._fail(work, code)

    def _fail(self, work: _Work, code: int) -> None:
        why = last_words(work.log) or f"its process ended with {code}"
        self.notify(f"{work.cell.name}: failed: {why}")
        names = [work.cell.name]
        if work.is_timing:
            names = [cell.name for cell in self.cells if cell.group == work.cell.group]
        self._failures |= dict.fromkeys(names, why)
        self._keep("failures", self._failures)

    def _keep(self, name: str, values: dict[str, int] | dict[str, str]) -> None:
        write_text(
            self.folder / f"{name}.json", json.dumps(values, indent=1) + "\n", error=RunError
        )
