"""The run folder: everything a reader needs is in it, and it is whole at every moment.

    profile.toml      the resolved profile       run.json       state, versions, data, best
    metrics.jsonl     a line a logged step       events.jsonl   a line for every other event
    checkpoints/      last, best and top-N       evaluation/    results
    lock              held by the process that trains

One process trains into a folder, under its lock; any number read it meanwhile, without.
"""

from __future__ import annotations

import errno
import os
import platform
import shlex
import shutil
import socket
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from mamltui import __version__
from mamltui.atomic import PART_PATTERN, sweep
from mamltui.errors import DataError, RunError, RunInUseError
from mamltui.events import Checkpointed, Event, Finished, Step, Validated, event_from_dict
from mamltui.processors import processor_name
from mamltui.profiles import Profile, parse_profile
from mamltui.runs.backlog import Backlog
from mamltui.runs.files import START, LinesFile, Page, Position, file_error, write_whole
from mamltui.runs.images import difference
from mamltui.runs.lock import Lock
from mamltui.runs.roots import FOLDERS, is_abandoned, new_folder, reference_root, runs_root
from mamltui.runs.state import RUN_FORMAT, RunInfo, TrainedOn, utc_now
from mamltui.untrusted import checked_json, parse_json, read_file

if TYPE_CHECKING:  # torch takes a second to import, and a list of runs does without
    from mamltui.data.sampling import DataSource
    from mamltui.data.splits import ClassSplit
    from mamltui.maml.learner import Learner
    from mamltui.runs.checkpoint import Checkpoint

LARGEST = 1_000_000
"""Bytes of ``run.json`` and ``profile.toml``, which have a few thousand."""
EARLIER_PARTS = "*.tmp"
"""What earlier versions called the files that became whole ones by a rename."""
Kind = Literal["last", "best"]
CheckpointName = Kind | int
"""Of a checkpoint; a number: one of the best, of that meta-iteration, kept for an ensemble."""


@dataclass(frozen=True)
class LoggedEvent:
    """An event as it is in ``events.jsonl``."""

    time: str
    """UTC, ISO 8601."""
    event: Event


class RunFolder:
    """One run on the disk. ``create`` makes a new one, ``find_run`` finds one.

    Attributes:
        path: the folder.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._profile: Profile | None = None
        self._info: RunInfo | None = None
        """As this object wrote it last, for a disk that cannot be read any more."""
        self._backlog: Backlog | None = None

    # What a run is followed or written with; a list of hundreds of runs does without.

    @cached_property
    def _metrics(self) -> LinesFile[Step]:
        return LinesFile(self.path / "metrics.jsonl", _parse_step)

    @cached_property
    def _events(self) -> LinesFile[LoggedEvent]:
        return LinesFile(self.path / "events.jsonl", _parse_event)

    @cached_property
    def _lock(self) -> Lock:
        return Lock(self.path / "lock")

    @property
    def backlog(self) -> Backlog:
        """What the disk has not taken yet."""
        if self._backlog is None:
            self._backlog = Backlog(
                {"metrics.jsonl": self._metrics, "events.jsonl": self._events},
                self.checkpoint_path("last"),
                self.path / "run.json",
            )
        return self._backlog

    @classmethod
    def create(cls, profile: Profile, root: Path | None = None, *, title: str = "") -> RunFolder:
        """A new run folder below ``root``; this object holds its lock.

        Args:
            title: what people call the run.

        Raises:
            RunError: ``root`` is not a folder or not writable.
        """
        root = runs_root(root)
        try:
            root.mkdir(parents=True, exist_ok=True)
            run = cls(new_folder(root, profile.name))
            for folder in FOLDERS:
                (run.path / folder).mkdir()
        except FileExistsError as error:
            raise RunError("the runs folder is a file", where=str(root)) from error
        except OSError as error:
            raise file_error(error, root, "make a run folder") from error
        try:
            run.acquire()
            run.set_profile(profile)
            now = utc_now()
            run._write(
                RunInfo(
                    format=RUN_FORMAT,
                    profile=profile.name,
                    state="running",
                    pid=os.getpid(),
                    host=socket.gethostname(),
                    versions=_versions(),
                    seed=profile.meta.seed,
                    iterations=profile.meta.iterations,
                    sitting=_next_sitting(root),
                    title=title,
                    created=now,
                    updated=now,
                )
            )
        except BaseException:
            run.release()
            shutil.rmtree(run.path, ignore_errors=True)
            raise
        return run

    @property
    def name(self) -> str:
        return self.path.resolve().name

    @property
    def is_reference(self) -> bool:
        """Whether the run came with mamltui: it is read, and never written to."""
        root = reference_root()
        return root is not None and self.path.resolve().parent == root.resolve()

    @property
    def evaluation(self) -> Path:
        """The folder of the run's results."""
        return self.path / "evaluation"

    @property
    def profile(self) -> Profile:
        """The profile that the run trains by.

        Raises:
            RunError: ``profile.toml`` cannot be read.
            ProfileError: it is damaged.
        """
        if self._profile is None:
            path = self.path / "profile.toml"
            try:
                text = read_file(path, LARGEST).decode("utf-8")
            except OSError as error:
                raise file_error(error, path, "read") from error
            except UnicodeDecodeError as error:
                raise RunError("the run's profile is not text", where=str(path)) from error
            self._profile = parse_profile(text, str(path), name=path.stem, folder=self.path)
        return self._profile

    def set_profile(self, profile: Profile) -> None:
        """Go on with another profile from here."""
        write_whole(self.path / "profile.toml", profile.to_toml().encode())
        self._profile = profile

    @property
    def title(self) -> str:
        """What people call the run, as it was written here last; empty: nothing, or not here."""
        return self._info.title if self._info else ""

    def info(self) -> RunInfo:
        """``run.json`` as it is now, but a run whose process is gone is ``interrupted``.

        The lock alone says so: a container that was restarted has another host name.

        Raises:
            RunError: not readable, or damaged.
        """
        info = self._read()
        if info.state in ("running", "paused") and self._lock.is_free():
            return info.model_copy(update={"state": "interrupted"})
        return info

    def check_data(
        self, bank: DataSource, split: ClassSplit, *, other_images: bool = False
    ) -> None:
        """Refuse other data than the run has trained on; before it has, any will do.

        Args:
            other_images: whether other images of the same classes in the same parts will do too.

        Raises:
            DataError: the images are others, or their classes are split otherwise.
            RunError: ``run.json`` cannot be read.
        """
        before, here = self.info().data, TrainedOn.of(bank, split)
        if before is None:
            return
        is_same_split = before.split_hash == here.split_hash
        if before.content_hash != here.content_hash and not (other_images and is_same_split):
            raise _other_images(self, before, bank, here)
        if not is_same_split:
            raise DataError(
                f"run {self.name} was trained with other classes in its splits: {before.split} "
                f"with hash {before.split_hash[:12]}, here {here.split} has "
                f"{here.split_hash[:12]}",
                where=bank.source,
                hint="Use the version of mamltui that trained the run.",
            )

    def update(self, **changes: Any) -> None:
        """Write these fields of :class:`RunInfo` into ``run.json``, and the time."""
        self._write(self._read().model_copy(update={**changes, "updated": utc_now()}))

    def annotate(self, **changes: Any) -> None:
        """Note what people say of the run: title, tags, notes, star, whether it is archived.

        Also while another process trains it.

        Raises:
            RunError: ``run.json`` cannot be read or written, or it is a reference run.
        """
        if self.is_reference:
            raise RunError("not changed, this run came with mamltui", where=str(self.path))
        self.update(**changes)

    def begin(self, **changes: Any) -> None:
        """Note that this process trains from now on, with these fields of :class:`RunInfo`."""
        self.update(
            format=RUN_FORMAT,
            state="running",
            pid=os.getpid(),
            host=socket.gethostname(),
            versions=_versions(),
            started=utc_now(),
            processor=processor_name(),
            sitting=_next_sitting(self.path.parent),
            error=None,
            **changes,
        )

    def _read(self) -> RunInfo:
        path = self.path / "run.json"
        content = b""
        try:
            waiting = self._backlog.get(path) if self._backlog else None
            content = waiting or read_file(path, LARGEST)
            return checked_json(RunInfo, content)
        except OSError as error:
            is_gone = isinstance(error, FileNotFoundError) and not self.backlog.is_behind
            if is_gone and is_abandoned(self.path):
                raise RunError(
                    "the making of this run was killed before it began, so it is empty",
                    where=str(self.path),
                    hint=f"Remove it: mamltui runs rm {shlex.quote(str(self.path))}",
                ) from error
            if self._info is None or is_gone:
                raise file_error(error, path, "read") from error
            return self._info
        except ValueError as error:
            if (later := _format(content)) > RUN_FORMAT:
                raise RunError(
                    f"the run is of format {later}, this version of mamltui reads up to "
                    f"{RUN_FORMAT}",
                    where=str(path),
                    hint="Use the version of mamltui that wrote it, or a later one.",
                ) from error
            raise RunError(f"the file is damaged: {error}", where=str(path)) from error

    def _write(self, info: RunInfo) -> None:
        self._info = info
        self.backlog.info_content = info.model_dump_json(indent=2).encode() + b"\n"
        self.backlog.settle()

    def acquire(self) -> None:
        """Become the only one that trains into this folder.

        Raises:
            RunInUseError: another process does.
            RunError: the folder is not writable, or it is a reference run.
        """
        if self.is_reference:
            raise RunError(
                "this run came with mamltui and is only read",
                where=str(self.path),
                hint=f"Train its profile anew: mamltui run {self.path / 'profile.toml'}",
            )
        try:
            free = self._lock.acquire()
        except OSError as error:
            refused = file_error(error, self._lock.path, "lock the run")
            if error.errno in (errno.ENOLCK, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS):
                refused.hint = (
                    "This file system has no locks, which keep a second process from training into "
                    "the run. Keep runs on another, a local disk for instance: --runs-dir DIR or "
                    "MAMLTUI_RUNS_DIR."
                )
            raise refused from error
        if not free:
            raise self.in_use()

    def in_use(self) -> RunInUseError:
        """That another process trains into this folder: which one, and since when."""
        by = ""
        with suppress(RunError):
            info = self._read()
            since = info.started or info.created
            by = f" by process {info.pid} on {info.host} since {since}"
        return RunInUseError(f"the run is in use{by}", where=str(self.path))

    def release(self) -> None:
        """Let others train into this folder."""
        self._lock.release()

    @property
    def held(self) -> bool:
        """This object holds the lock."""
        return self._lock.held

    def append_metrics(self, step: Step) -> None:
        """Add a line to ``metrics.jsonl``; its values must be finite."""
        self._metrics.add(step.to_dict())
        self.backlog.settle()

    def append_event(self, event: Event) -> None:
        """Add a line to ``events.jsonl``; its values must be finite."""
        self._events.add({"time": utc_now(), **event.to_dict()})
        self.backlog.settle()

    def read_metrics(self, since: Position = START, at_most: int = -1) -> Page[Step]:
        """The logged steps after ``since``, also while a process writes them.

        Args:
            at_most: bytes to read, at least a million; -1: all.

        Raises:
            RunError: a line is damaged; the file and line are named.
        """
        return self._metrics.read(since, at_most)

    def read_events(self, since: Position = START, at_most: int = -1) -> Page[LoggedEvent]:
        """The other events after ``since``, also while a process writes them.

        Args:
            at_most: bytes to read, at least a million; -1: all.

        Raises:
            RunError: a line is damaged; the file and line are named.
        """
        return self._events.read(since, at_most)

    def cut_back(self, iteration: int, validated: int) -> None:
        """Drop what was written after a checkpoint, of its iteration and its last validation.

        Raises:
            RunError: a line before that is damaged, or the folder is not writable.
        """

        def is_before(logged: LoggedEvent) -> bool:
            event = logged.event
            if isinstance(event, Finished):
                return False  # it goes on
            return event.iteration <= (validated if isinstance(event, Validated) else iteration)

        self._metrics.keep(lambda step: step.iteration <= iteration)
        self._events.keep(is_before)

    def mend(self) -> None:
        """Make the folders that a run needs where they are missing.

        Raises:
            RunError: they cannot be made.
        """
        for name in FOLDERS:
            folder = self.path / name
            try:
                folder.mkdir(exist_ok=True)
            except OSError as error:
                raise file_error(error, folder, "make the folder") from error

    def remove_parts(self) -> None:
        """Delete what a process that was killed left of a file it was replacing.

        Raises:
            RunError: the folder is not writable.
        """
        for folder in (self.path, self.path / "checkpoints"):
            for path in [*folder.glob(PART_PATTERN), *folder.glob(EARLIER_PARTS)]:
                try:
                    path.unlink(missing_ok=True)
                except OSError as error:
                    raise file_error(error, path, "delete") from error
        sweep(self.evaluation)  # there others may write, too

    def checkpoint_path(self, name: CheckpointName) -> Path:
        stem = f"top-{name}" if isinstance(name, int) else name
        return self.path / "checkpoints" / f"{stem}.safetensors"

    def save_checkpoint(self, name: CheckpointName, checkpoint: Checkpoint) -> None:
        """Replace a checkpoint in one go, after all lines written before are on the disk.

        Raises:
            RunError: not writable, or the disk is full; the earlier checkpoint is then kept.
        """
        from mamltui.runs.checkpoint import checkpoint_bytes

        about = {
            "run": self.name,
            "profile_sha256": sha256(self.profile.to_toml().encode()).hexdigest(),
            **_versions(),
        }
        path = self.checkpoint_path(name)
        self.backlog.replace(path, checkpoint_bytes(checkpoint, about=about), checkpoint.iteration)
        self.backlog.settle()

    def settle(self) -> bool:
        """Try at once to write what the disk refused so far; whether all is written.

        Raises:
            StorageError: the patience, or the memory for what waits, is at its end.
        """
        if self.backlog.is_behind and self.backlog.settle(at_once=True):
            with suppress(RunError):  # what could not be deleted while the disk refused
                self.remove_parts()
        return not self.backlog.is_behind

    def take_arrived(self) -> list[Checkpointed]:
        """The checkpoints that reached the disk since the last call."""
        arrived, self.backlog.arrived = self.backlog.arrived, []
        return [
            Checkpointed(
                iteration, path.stem.partition("-")[0], path.relative_to(self.path).as_posix()
            )
            for iteration, path in arrived
        ]

    def load_checkpoint(self, name: CheckpointName, expect: Learner | None = None) -> Checkpoint:
        """Read and check a checkpoint.

        Raises:
            CheckpointError: missing, damaged, or of another network than ``expect``.
        """
        from mamltui.runs.checkpoint import load_checkpoint

        path = self.checkpoint_path(name)
        return load_checkpoint(path, expect, waiting=self.backlog.get(path))


def _format(content: bytes) -> int:
    """What ``run.json`` says of its format; 0: nothing that can be read."""
    with suppress(ValueError):
        values = parse_json(content)
        if isinstance(values, dict) and type(version := values.get("format")) is int:
            return min(version, 10**9)
    return 0


def _next_sitting(root: Path) -> int:
    """One more than the greatest in the run folders below ``root``."""
    greatest = 0
    for path in root.glob("*/run.json"):
        with suppress(RunError):
            greatest = max(greatest, RunFolder(path.parent)._read().sitting)
    return greatest + 1


def _versions() -> dict[str, str]:
    from importlib import metadata  # imports half of email, and readers do without

    return {
        "mamltui": __version__,
        "torch": metadata.version("torch"),
        "python": platform.python_version(),
    }


def _parse_step(values: Mapping[str, Any]) -> Step:
    event = event_from_dict(values)
    if not isinstance(event, Step):
        raise ValueError(f"{event.name} is not a step")
    return event


def _parse_event(values: Mapping[str, Any]) -> LoggedEvent:
    time_ = values.get("time")
    if not isinstance(time_, str):
        raise ValueError("time is missing")
    return LoggedEvent(time_, event_from_dict(values))


def _other_images(
    run: RunFolder, before: TrainedOn, bank: DataSource, here: TrainedOn
) -> DataError:
    """What differs, file by file where that is known, and what can be done all the same."""
    from mamltui.data.sinusoid import Waves

    what = (
        f"run {run.name} was trained on other images: {before.name} with content hash "
        f"{before.content_hash[:12]}, here is {here.name} with {here.content_hash[:12]}"
    )
    files = "" if isinstance(bank, Waves) else difference(run.path, bank)
    option = "--data-path" if before.name == "folder" else "--data-dir"
    hints = [f"Give the images of the training with {option}."]
    if files:
        hints.insert(0, f"Since then: {files}.")
    if before.name == here.name and before.split_hash == here.split_hash:
        hints.append(
            "The classes of each split are the same: mamltui eval --other-images tests on the "
            "images as they are, and says so in the result."
        )
    elif before.name == here.name:
        hints.append(
            "The classes differ as well, so that some of the training could be tested on: "
            "mamltui adapt answers for any images, and needs none of the training."
        )
    return DataError(what, where=bank.source, hint="\n".join(hints))
