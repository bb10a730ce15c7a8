"""Where cells are worked on. A place differs from another in where a cell runs, in nothing else."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Protocol

from mamltui.errors import UsageError
from mamltui.processors import usable_processors

PLACES = ("local",)


class Job(Protocol):
    """A command that was started somewhere."""

    def poll(self) -> int | None:
        """Its exit code; None while it runs."""

    def stop(self, *, at_once: bool = False) -> None:
        """Ask it to end after a checkpoint; ``at_once``: without one."""


class Place(Protocol):
    """Somewhere commands run that see the runs folder under the same path as this process."""

    workers: int
    """Jobs that it takes at once."""
    threads: int
    """Of each job."""

    def start(self, command: Sequence[str], log: Path) -> Job:
        """Start a command; what it says is added to ``log``."""


def worker_command(
    profile: Path, runs: Path | None, data: Path | None, device: str, threads: int
) -> list[str]:
    """What trains and tests one cell: :mod:`mamltui.studies.worker`, as typed from any folder.

    Args:
        profile: the file of the cell's profile.
        runs: the folder of the run folders; None: the usual one.
        data: a folder to look for the data in first.
    """
    command = [sys.executable, "-m", "mamltui.studies.worker", str(profile.absolute())]
    command += ["--device", device, "--threads", str(threads)]
    if runs is not None:
        command += ["--out", str(runs.absolute())]
    if data is not None:
        command += ["--data-dir", str(data.absolute())]
    return command


class LocalPlace:
    """Processes on this machine, which let others go first."""

    def __init__(self, workers: int, threads: int) -> None:
        self.workers = workers
        self.threads = threads

    def start(self, command: Sequence[str], log: Path) -> Job:
        log.parent.mkdir(parents=True, exist_ok=True)
        count = str(self.threads)
        nice = shutil.which("nice")
        with log.open("a", encoding="utf-8") as words:
            process = subprocess.Popen(
                [nice, "-n", "10", *command] if nice else command,
                stdin=subprocess.DEVNULL,
                stdout=words,
                stderr=words,
                env=os.environ | {"OMP_NUM_THREADS": count, "MKL_NUM_THREADS": count},
                start_new_session=True,  # Ctrl-C reaches it through the queue alone, and once
            )
        return _Process(process)


class _Process:
    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self._process = process

    def poll(self) -> int | None:
        return self._process.poll()

    def stop(self, *, at_once: bool = False) -> None:
        if self._process.poll() is None:
            with suppress(OSError):
                self._process.send_signal(signal.SIGKILL if at_once else signal.SIGINT)


def place_named(name: str, *, workers: int | None, threads: int | None) -> Place:
    """The place called ``name``.

    Args:
        workers: jobs at once; None: one for each core.
        threads: of each job; None: the cores, shared out among the jobs.

    Raises:
        UsageError: there is no such place, or a number is not possible.
    """
    if name not in PLACES:
        raise UsageError(f"there is no place {name!r}", where="--on", hint=", ".join(PLACES))
    cores = usable_processors()
    if workers is None:
        workers = max(1, cores // threads) if threads else cores
    return LocalPlace(workers, threads or max(1, cores // workers))
