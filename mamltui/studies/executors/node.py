"""What runs on a node of a cluster: it looks whether the node is fit, and keeps one worker there.

The worker writes into the study's runs folder where the node shares it. Elsewhere it works in a
folder of the node, whose files the queue fetches.
"""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import mamltui
from mamltui.errors import ExecutorError, MamltuiError
from mamltui.identity import Identity
from mamltui.results import write_text
from mamltui.runs.requests import FILE as REQUEST
from mamltui.studies.executors.carrying import (
    LOG,
    PROFILE,
    RUNS,
    SPEED,
    Snapshot,
    Stamps,
    pack,
    unpack,
)
from mamltui.studies.executors.executor import Assignment

MARK = "shared.txt"
"""In the study's folder, for nodes to see whether they share it."""


@dataclass(frozen=True)
class Origin:
    """Of the machine of the queue: what a node must have in common with it."""

    identity: Identity
    mark: Path
    """A file in the study's folder."""
    mark_text: str
    """Who reads this in it shares the folder."""
    folder: Path
    """Where the command was typed; relative paths of profiles start here."""
    node_dir: Path | None
    """A folder of each node to work in, even if it shares the study's; None: only if it does not,
    and then that of the system for temporary files."""

    @classmethod
    def here(cls, study: Path, node_dir: Path | None = None) -> Origin:
        """Of this process; it leaves its mark in the study's folder.

        Raises:
            ExecutorError: the folder cannot be written.
        """
        mark, text = (study / MARK).absolute(), f"{secrets.token_hex(16)}\n"
        write_text(mark, text, error=ExecutorError)
        return cls(Identity.here(), mark, text, Path.cwd(), node_dir)


class Arrival(NamedTuple):
    """What a node says first."""

    host: str
    shares: bool
    """The worker can write into the runs folder itself."""
    problem: str | None
    """Why it cannot work for this queue."""


Report = tuple[Arrival, dict[str, str]]
"""Of a node, and the content hash of its images for each profile, as TOML."""


class WorkerState(NamedTuple):
    """How it goes with a worker on a node."""

    code: int | None
    """None while it runs."""
    snapshot: Snapshot | None
    """None where nothing is to be carried."""


def arrive(origin: Origin) -> Arrival:
    """Compare this node with the machine of the queue."""
    mine = Identity.here()
    problem = origin.identity.difference(mine)
    try:
        shares = origin.node_dir is None and origin.mark.read_text("utf-8") == origin.mark_text
    except (OSError, UnicodeDecodeError):
        shares = False
    parent = origin.node_dir or Path(tempfile.gettempdir())
    if problem is None and not shares and not os.access(parent, os.W_OK | os.X_OK):
        problem = f"{parent} on {mine.host} is no folder that can be written to"
    return Arrival(mine.host, shares, problem)


def examine(origin: Origin, profiles: Sequence[str], data: Path | None) -> Report:
    """Whether this node could train a study, and which images it has.

    Args:
        profiles: some of the study, as TOML, which have all data and networks among them.
        data: a folder to look for the images in first.
    """
    arrival, hashes = arrive(origin), dict[str, str]()
    if arrival.problem is None:
        from mamltui.data.banks import Banks
        from mamltui.learner import network_of
        from mamltui.profiles import parse_profile

        _go_to(origin.folder)
        banks = Banks(data)
        for text in profiles:
            try:
                profile = parse_profile(text, "the study")
                bank = banks.bank(profile.data)
                if profile.network.module:  # code of the user's, which has to be here, too
                    network_of(profile, bank)
            except MamltuiError as error:
                return arrival._replace(problem=str(error)), {}
            hashes[text] = bank.content_hash
    return arrival, hashes


def start_tied(assignment: Assignment, log: Path, **options: Any) -> subprocess.Popen[bytes]:
    """Start a worker that ends when this process does.

    Args:
        options: of :class:`subprocess.Popen`.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as output:
        return subprocess.Popen(
            [*assignment.command(), "--tied"],
            stdin=subprocess.PIPE,
            stdout=output,
            stderr=output,
            **options,
        )


class NodeWorker:
    """A worker on this node, and the files that go to it and come from it."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._own: Path | None = None
        self._sent: Stamps = {}

    def arrive(self, origin: Origin) -> Arrival:
        """As the function."""
        arrival = arrive(origin)
        if arrival.problem is None:
            _go_to(origin.folder)
            if not arrival.shares:
                self._own = Path(tempfile.mkdtemp(prefix="mamltui-", dir=origin.node_dir))
        return arrival

    def begin(self, assignment: Assignment, log: Path, files: Mapping[str, bytes]) -> WorkerState:
        """Start the worker.

        Args:
            assignment: its paths are those of the queue's machine.
            log: likewise.
            files: where the node does not share the runs folder, what the worker needs.
        """
        if self._own is not None:
            unpack(self._own, files)
            pack(self._own, self._sent)
            log = self._own / LOG
            assignment = replace(
                assignment,
                profile=self._own / PROFILE,
                runs=self._own / RUNS,
                speed=assignment.speed and self._own / SPEED,
            )
        environment = assignment.environment()
        package = str(Path(mamltui.__file__).parents[1])
        paths = [package, *filter(None, [environment.get("PYTHONPATH")])]
        environment["PYTHONPATH"] = os.pathsep.join(paths)
        self._process = start_tied(assignment, log, env=environment, start_new_session=True)
        return WorkerState(None, None)

    def look(self, *, carry: bool) -> WorkerState:
        """How it goes; ``carry``: with what has changed of its files, as always at the end."""
        assert self._process is not None
        code = self._process.poll()
        if self._own is None or not (carry or code is not None):
            return WorkerState(code, None)
        return WorkerState(code, pack(self._own, self._sent))

    def ask(self, wish: bytes) -> None:
        """Leave a request of :mod:`mamltui.runs.requests` in the run's folder."""
        if self._own is not None:
            for run in (self._own / RUNS).iterdir():
                unpack(run, {REQUEST: wish})

    def stop(self) -> None:
        """Ask the worker to end after a checkpoint."""
        # A launcher may have blocked SIGINT for all its children.
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)

    def leave(self) -> None:
        """Delete the folder of this node."""
        if self._own is not None:
            shutil.rmtree(self._own, ignore_errors=True)


def _go_to(folder: Path) -> None:
    with suppress(OSError):
        os.chdir(folder)
