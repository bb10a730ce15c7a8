"""Run folders on their way between machines that share no folder: what has changed, as bytes."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from mamltui.atomic import PART_PATTERN
from mamltui.profiles import load_profile
from mamltui.runs import RunFolder, runs_root
from mamltui.runs.files import write_whole
from mamltui.runs.requests import FILE as REQUEST
from mamltui.studies.executors.executor import Assignment
from mamltui.studies.standing import find_fitting

PROFILE, RUNS, SPEED, LOG = "profile.toml", "runs", "speed.json", "log"
"""In the folder that a worker has to itself on a node."""
STAY = ("lock", REQUEST)
"""Of a run folder: each machine has its own."""
TRIES = 50
"""Reads of a folder that changes meanwhile, until it is left for the next time."""

Stamps = dict[str, tuple[int, int]]


class Snapshot(NamedTuple):
    """A folder as it was at one moment, without the files that have been sent before."""

    changed: dict[str, bytes]
    """By paths in the folder."""
    names: frozenset[str]
    """Of all files that there are."""


def pack(folder: Path, sent: Stamps) -> Snapshot | None:
    """What is new in ``folder``; None: it changes so fast that no moment could be read.

    A process may write to it meanwhile. What is read is what the disk would have if that process
    were killed at some moment, which a training can always be gone on with from.

    Args:
        sent: what was sent before, brought up to date.

    Raises:
        OSError: it cannot be read.
    """
    for _ in range(TRIES):
        before = dict(_stamps(folder))
        try:
            changed = {
                name: (folder / name).read_bytes()
                for name, stamp in before.items()
                if sent.get(name) != stamp
            }
        except FileNotFoundError:
            continue
        if dict(_stamps(folder)) == before:
            sent.clear()
            sent.update(before)
            return Snapshot(changed, frozenset(before))
    return None


def unpack(folder: Path, changed: Mapping[str, bytes]) -> None:
    """Write files into ``folder``, each in one go, so that it can be gone on with in between.

    Lines come before the checkpoints that they lead to, and the state of a run comes last.

    Raises:
        RunError: not writable, or the disk is full.
        ValueError: a path leads out of the folder.
    """
    for name in sorted(changed, key=_order):
        path = PurePosixPath(name)
        if path.is_absolute() or ".." in path.parts:
            raise ValueError(f"{name} leads out of the folder")
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        write_whole(folder / path, changed[name])


class Carrier:
    """On the queue's side: brings a worker's files to a node that shares no folder, and what it
    makes back.

    It holds the lock of the run here: for all readers it is being trained.
    """

    def __init__(self, assignment: Assignment, log: Path) -> None:
        self._assignment = assignment
        self._root = runs_root(assignment.runs)
        self._log = log
        self._log_before = log.read_bytes() if log.exists() else b""
        self._run: RunFolder | None = None

    def outgoing(self) -> dict[str, bytes]:
        """What the worker needs: its profile, and the run that it goes on with.

        Raises:
            RunError: another process trains it.
        """
        path = self._assignment.profile
        files = {PROFILE: path.read_bytes()}
        fitting = find_fitting(self._root, load_profile(str(path)))
        if fitting is not None and self._assignment.speed is None:
            self._hold(fitting.folder)
            snapshot = pack(fitting.path, {})
            files |= {
                f"{RUNS}/{fitting.name}/{name}": content
                for name, content in (snapshot.changed if snapshot else {}).items()
            }
        return files

    def take(self, snapshot: Snapshot) -> None:
        """Write what comes from the node where it belongs.

        Raises:
            RunError: not writable, or the disk is full.
        """
        changed = snapshot.changed
        if LOG in changed:
            self._log.parent.mkdir(parents=True, exist_ok=True)
            self._log.write_bytes(self._log_before + changed[LOG])
        if SPEED in changed and self._assignment.speed is not None:
            unpack(self._assignment.speed.parent, {self._assignment.speed.name: changed[SPEED]})
        runs = defaultdict[str, dict[str, bytes]](dict)
        for name, content in changed.items():
            folder, _, inside = name.partition("/")
            run, _, file = inside.partition("/")
            if folder == RUNS and file:
                runs[run][file] = content
        for run, files in runs.items():
            # It is a run once the node has its state; what is in it before is not looked at.
            if self._run is None and "run.json" in files:
                (self._root / run).mkdir(parents=True, exist_ok=True)
                self._hold(RunFolder(self._root / run))
            unpack(self._root / run, files)
        if self._run is not None:
            self._drop(snapshot)

    def wish(self) -> bytes:
        """What was asked of the run here, by another process; it is taken away."""
        if self._run is None:
            return b""
        path = self._run.path / REQUEST
        try:
            wish = path.read_bytes()
            path.unlink()
        except OSError:
            return b""
        return wish

    def close(self) -> None:
        """Let go of the run."""
        if self._run is not None:
            self._run.release()

    def _hold(self, run: RunFolder) -> None:
        run.acquire()
        run.mend()
        self._run = run

    def _drop(self, snapshot: Snapshot) -> None:
        """Delete the checkpoints that the node has no more."""
        assert self._run is not None
        for path in (self._run.path / "checkpoints").glob("*.safetensors"):
            if f"{RUNS}/{self._run.name}/checkpoints/{path.name}" not in snapshot.names:
                path.unlink(missing_ok=True)


def _stamps(folder: Path) -> Iterator[tuple[str, tuple[int, int]]]:
    for path in sorted(folder.rglob("*")):
        if path.name in STAY or path.match(PART_PATTERN) or not path.is_file():
            continue
        try:
            about = path.stat()
        except FileNotFoundError:
            continue
        yield path.relative_to(folder).as_posix(), (about.st_mtime_ns, about.st_size)


def _order(name: str) -> tuple[int, str]:
    if name.endswith(".jsonl"):
        return 0, name
    return 2 if name.endswith("run.json") else 1, name
