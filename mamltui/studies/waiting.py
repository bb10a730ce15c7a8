"""Single trainings that wait for each other: a study without a file, which outlives the app.

    runs/studies/queue/   order.json  the trainings, in the order in which they are taken
                          ID.toml     the profile of each        ID.log  what its process said
                          lock        held by the process that works on the queue

``python -m mamltui.studies.waiting`` works on it until nothing waits. Each training is that of a
study's cell: one that was interrupted is gone on with.
"""

from __future__ import annotations

import argparse
import json
import secrets
import signal
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Literal

from mamltui.commands import CommonOptions
from mamltui.errors import ExitCode, MamltuiError, RunError, UsageError
from mamltui.processors import usable_processors
from mamltui.profiles import Profile, load_profile
from mamltui.results import write_text
from mamltui.runs import RunFolder, RunInfo
from mamltui.runs.files import file_error
from mamltui.runs.lock import Lock
from mamltui.signals import stop_signals
from mamltui.studies.executors.executor import Assignment, Job, last_words
from mamltui.studies.executors.local import LocalExecutor
from mamltui.studies.launch import PROCESS, is_worked_on, process_note, start_apart, stop_queue
from mamltui.studies.reading import study_folder
from mamltui.studies.standing import find_fitting
from mamltui.untrusted import Text, checked, parse_json, read_file

NAME = "queue"
"""Of the folder among those of the studies."""
LARGEST = 10_000_000
"""Bytes of ``order.json``."""
POLL_SECONDS = 0.5
PATIENCE = 5.0
"""Seconds to wait for another process that changes the order."""
LOOK_SECONDS = 0.01
"""Between two looks whether it has."""

State = Literal["waiting", "running", "done", "stopped", "diverged", "failed"]


@dataclass(frozen=True)
class Waiting:
    """A training in the queue."""

    id: Text
    profile: Text
    """The profile's name."""
    title: Text = ""
    """What its run is to be called."""
    state: State = "waiting"
    why: Text = ""
    """It failed or diverged."""

    @property
    def name(self) -> str:
        """What people call it."""
        return self.title or self.profile


class TrainingQueue:
    """The queue among the runs below ``root``; any process may read it and change its order."""

    def __init__(self, root: Path | None = None) -> None:
        self.root = root
        self.folder = study_folder(NAME, root)

    @property
    def is_worked_on(self) -> bool:
        """A process takes one training after another."""
        return is_worked_on(NAME, self.root)

    def read(self) -> tuple[Waiting, ...]:
        """All of it in its order, with what is over.

        Raises:
            RunError: the file is damaged.
        """
        path = self.folder / "order.json"
        try:
            order = checked(tuple[Waiting, ...], parse_json(read_file(path, LARGEST)))
        except FileNotFoundError:
            return ()
        except OSError as error:
            raise file_error(error, path, "read") from error
        except ValueError as error:
            raise RunError(f"the queue is damaged: {error}", where=str(path)) from error
        if self.is_worked_on:
            return order
        # Whoever ran it is gone: it waits to be gone on with.
        return tuple(
            replace(each, state="waiting") if each.state == "running" else each for each in order
        )

    def profile(self, waiting: Waiting) -> Profile:
        """What is to be trained.

        Raises:
            MamltuiError: it cannot be read.
        """
        return load_profile(str(self._profile_path(waiting)))

    def run_of(self, waiting: Waiting) -> tuple[RunFolder, RunInfo] | None:
        """The run of a training, once there is one; of one that waits, what it would go on with."""
        try:
            run = find_fitting(self.root, self.profile(waiting))
        except MamltuiError:
            return None
        if run is None or run.info is None:
            return None
        # What fits may be the run of a twin: of the same profile, trained now or long ago.
        if waiting.state == "waiting" and not run.can_resume:
            return None
        return run.folder, run.info

    def add(self, profile: Profile, title: str = "", *, first: bool = False) -> Waiting:
        """Have a profile trained after all that waits, or before it.

        Raises:
            RunError: the queue cannot be written.
        """
        waiting = Waiting(secrets.token_hex(4), profile.name, title)
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise file_error(error, self.folder, "make the queue's folder") from error
        write_text(self._profile_path(waiting), profile.to_toml(), error=RunError)
        with self._changing() as order:
            order.insert(0 if first else len(order), waiting)
        return waiting

    def move(self, id_: str, by: int) -> None:
        """Have a training taken sooner (-1) or later (1)."""
        with self._changing() as order:
            index = _index(order, id_)
            order.insert(max(0, index + by), order.pop(index))

    def remove(self, id_: str) -> None:
        """Take a training out; its run stays where it is.

        Raises:
            UsageError: it is being trained.
        """
        with self._changing() as order:
            waiting = order[_index(order, id_)]
            if waiting.state == "running" and self.is_worked_on:
                raise UsageError("it is being trained", hint="Stop it first.")
            order.remove(waiting)
            with suppress(OSError):
                self._profile_path(waiting).unlink()

    def again(self, id_: str) -> None:
        """Have a training that ended badly wait again."""
        self.note(id_, "waiting")

    def note(self, id_: str, state: State, why: str = "") -> None:
        """Write down how it goes with a training, if it is still in the queue."""
        with self._changing() as order:
            for index, each in enumerate(order):
                if each.id == id_:
                    order[index] = replace(each, state=state, why=why)

    def start(self, common: CommonOptions) -> None:
        """Have a process of its own work on it, which outlives this one.

        Raises:
            RunError: it cannot be started.
        """
        if self.is_worked_on:
            return
        command = [sys.executable, "-m", "mamltui.studies.waiting", *common.options()]
        start_apart(command, self.folder, "start the queue")

    def stop(self) -> None:
        """Ask the process that works on it to end after a checkpoint.

        Raises:
            RunError: there is none, or it runs on another machine.
        """
        stop_queue(NAME, self.root)

    def _profile_path(self, waiting: Waiting) -> Path:
        return self.folder / f"{waiting.id}.toml"

    @contextmanager
    def _changing(self) -> Iterator[list[Waiting]]:
        """The order, to be changed in place by one process at a time, and written."""
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            lock, limit = Lock(self.folder / "order.lock"), time.monotonic() + PATIENCE
            while not lock.acquire():
                if time.monotonic() > limit:
                    raise RunError("another process changes the queue", where=str(self.folder))
                time.sleep(LOOK_SECONDS)
        except OSError as error:
            raise file_error(error, self.folder, "write the queue") from error
        try:
            order = list(self.read())
            yield order
            text = json.dumps([asdict(each) for each in order], indent=1) + "\n"
            write_text(self.folder / "order.json", text, error=RunError)
        finally:
            lock.release()


def _index(order: Sequence[Waiting], id_: str) -> int:
    """Where it is.

    Raises:
        UsageError: it is not in the queue.
    """
    for index, each in enumerate(order):
        if each.id == id_:
            return index
    raise UsageError(f"there is no training {id_!r} in the queue", hint="mamltui queue list")


def work(queue: TrainingQueue, common: CommonOptions) -> int:
    """Train what waits, one after another, until nothing does or a signal comes; the exit code.

    Raises:
        UsageError: another process works on it.
    """
    queue.folder.mkdir(parents=True, exist_ok=True)
    lock = Lock(queue.folder / "lock")
    if not lock.acquire():
        raise UsageError("another process works on the queue", where=str(queue.folder))
    jobs: list[Job] = []
    received: list[signal.Signals] = []

    def stop(by: signal.Signals) -> None:
        received.append(by)
        for job in jobs:
            job.stop()

    try:
        for each in queue.read():
            if each.state == "running":  # of a process that is gone
                queue.note(each.id, "waiting")
        write_text(queue.folder / PROCESS, process_note(), error=RunError)
        with stop_signals(stop):
            while not received:
                next_ = next((each for each in queue.read() if each.state == "waiting"), None)
                if next_ is None:
                    return ExitCode.DONE
                _train(queue, next_, common, jobs, received)
        return 128 + received[0]
    finally:
        lock.release()


def _train(
    queue: TrainingQueue,
    waiting: Waiting,
    common: CommonOptions,
    jobs: list[Job],
    received: Sequence[signal.Signals],
) -> None:
    queue.note(waiting.id, "running")
    waiting = replace(waiting, state="running")
    threads = usable_processors()
    profile = queue.folder / f"{waiting.id}.toml"
    assignment = Assignment(profile, queue.root, common.data, common.device, threads)
    log = queue.folder / f"{waiting.id}.log"
    job = LocalExecutor(1, threads).start(assignment, log)
    jobs[:] = [job]
    while (code := job.poll()) is None:
        time.sleep(POLL_SECONDS)
        if received:
            job.stop()
    jobs.clear()
    run_and_info = queue.run_of(waiting)
    if run_and_info is not None and waiting.title and not run_and_info[1].title:
        run_and_info[0].annotate(title=waiting.title)
    state = run_and_info[1].state if run_and_info else ""
    if received:
        queue.note(waiting.id, "waiting")
    elif code == ExitCode.DIVERGED:
        queue.note(waiting.id, "diverged", last_words(log, 1))
    elif code != ExitCode.DONE:
        queue.note(waiting.id, "failed", last_words(log, 1))
    else:  # asked to stop by somebody else, it ends as well
        queue.note(waiting.id, "done" if state == "finished" else "stopped")


def main(arguments: list[str] | None = None) -> int:
    """The exit code."""
    parser = argparse.ArgumentParser(prog="mamltui.studies.waiting")
    parser.add_argument("--runs-dir", type=Path)
    parser.add_argument("--data-dir", type=Path)
    parser.add_argument("--device", default="auto")
    asked = parser.parse_args(arguments)
    try:
        common = CommonOptions(asked.runs_dir, asked.data_dir, asked.device)
        return work(TrainingQueue(asked.runs_dir), common)
    except MamltuiError as error:
        print(error, file=sys.stderr)
        return error.exit_code


if __name__ == "__main__":
    sys.exit(main())
