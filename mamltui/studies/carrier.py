"""The queue's side of a worker whose node shares no folder with it."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path

from mamltui.profiles import load_profile
from mamltui.runs import RunFolder, runs_root
from mamltui.runs.requests import FILE as REQUEST
from mamltui.studies.carrying import Luggage, pack, unpack
from mamltui.studies.on_node import LOG, PROFILE, RUNS, SPEED
from mamltui.studies.places import Assignment
from mamltui.studies.standing import find_fitting


class Carrier:
    """Brings the files of a worker to a node that shares no folder, and those that it makes back.

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
            luggage = pack(fitting.path, {})
            files |= {
                f"{RUNS}/{fitting.name}/{name}": content
                for name, content in (luggage.changed if luggage else {}).items()
            }
        return files

    def take(self, luggage: Luggage) -> None:
        """Write what comes from the node where it belongs.

        Raises:
            RunError: not writable, or the disk is full.
        """
        changed = dict(luggage.changed)
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
            self._drop(luggage)

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

    def _drop(self, luggage: Luggage) -> None:
        """Delete the checkpoints that the node has no more."""
        assert self._run is not None
        for path in (self._run.path / "checkpoints").glob("*.safetensors"):
            if f"{RUNS}/{self._run.name}/checkpoints/{path.name}" not in luggage.names:
                path.unlink(missing_ok=True)
