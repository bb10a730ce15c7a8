"""What starts a study's workers. Executors differ in where a cell runs, and in nothing else."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from mamltui.profiles import Profile

KILLED = -9
"""The exit code of a worker that went with its node."""


@dataclass(frozen=True)
class Assignment:
    """What a worker, :mod:`mamltui.studies.worker`, is to do: train and test one cell."""

    profile: Path
    """The file of the cell's profile."""
    runs: Path | None
    """The folder of the run folders; None: the usual one."""
    data: Path | None
    """A folder to look for the data in first."""
    device: str
    threads: int
    speed: Path | None = None
    """A file for how fast the training is, which is then all that is wanted."""

    def command(self) -> list[str]:
        """As typed from any folder."""
        command = [sys.executable, "-m", "mamltui.studies.worker", str(self.profile.absolute())]
        command += ["--device", self.device, "--threads", str(self.threads)]
        for option, path in (
            ("--out", self.runs),
            ("--data-dir", self.data),
            ("--time", self.speed),
        ):
            command += [] if path is None else [option, str(path.absolute())]
        return command

    def environment(self) -> dict[str, str]:
        """This process's, but with as many threads as the worker is to have."""
        count = str(self.threads)
        return os.environ | {"OMP_NUM_THREADS": count, "MKL_NUM_THREADS": count}


class Job(Protocol):
    """A worker that was started somewhere."""

    why: str
    """Of a worker that was killed, if it is known."""

    def poll(self) -> int | None:
        """Its exit code, negative or above 128 if it was killed; None while it runs."""

    def stop(self, *, at_once: bool = False) -> None:
        """Ask it to end after a checkpoint; ``at_once``: without one."""


class Executor(Protocol):
    """Starts workers, on this machine or on others."""

    threads: int
    """Of each worker."""

    @property
    def workers(self) -> int:
        """How many it takes at once."""

    def options(self) -> list[str]:
        """What chooses this executor on a command line."""

    def prepare(self, study: Path, profiles: Sequence[Profile], data: Path | None) -> None:
        """Called once, before the first worker starts.

        Args:
            study: the study's folder.
            profiles: what is going to be trained.
            data: as of :class:`Assignment`.

        Raises:
            MamltuiError: it could not be trained there.
        """

    def together(self) -> AbstractContextManager[None]:
        """Workers that are started inside it may be started at once at its end."""

    def start(self, assignment: Assignment, log: Path) -> Job:
        """Start a worker; what it says is added to ``log``."""

    def close(self) -> None:
        """Nothing more is started."""


@dataclass(frozen=True)
class Wanted:
    """What a command line asks of an executor; None: whatever suits it."""

    workers: int | None = None
    """At once."""
    threads: int | None = None
    """Of each worker."""
    gpu_share: float | None = None
    """Part of a GPU for each worker, above 0 and at most 1."""
    device: str = "auto"
    address: str | None = None
    """Of a Ray cluster."""
    node_dir: Path | None = None
    """A folder of each node of a Ray cluster to work in."""
    slurm: tuple[str, ...] = ()
    """``KEY=VALUE`` for its jobs."""


def add_to_log(log: Path, text: str) -> None:
    """Say something on behalf of a worker, as a line of its log.

    Raises:
        OSError: it cannot be written.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("a", encoding="utf-8") as file:
        file.write(f"{text}\n")


def last_words(log: Path, lines: int = 3) -> str:
    """The end of a worker's log: where a program that failed says why."""
    try:
        text = log.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
    return " / ".join(line.strip() for line in text.strip().splitlines()[-lines:])


def trainings_on_a_gpu(share: float) -> int:
    """How many that each take ``share`` of it."""
    return int(1 / share + 1e-9)
