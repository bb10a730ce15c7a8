"""What belongs into a run folder and is not there yet, in memory until the disk takes it."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

from mamltui.atomic import PART_PATTERN
from mamltui.errors import RunError, StorageError
from mamltui.runs.files import LinesFile, file_error, write_whole

RETRY_SECONDS = 1.0
"""From one attempt to write to the next, while they fail."""
LIMIT_BYTES = 256 * 2**20
"""Of memory for what cannot be written: lines of months, or hundreds of checkpoints of Conv-4."""


class Trouble(NamedTuple):
    """Why a disk does not take what it should."""

    error: RunError
    """Of the latest attempt."""
    since: float
    """When attempts began to fail, by the monotonic clock."""


class WaitingFile(NamedTuple):
    """A checkpoint that is not on the disk yet."""

    iteration: int
    content: bytes


class Backlog:
    """Lines, checkpoints, deletions and ``run.json``, in an order that may be broken off anywhere.

    A crash between any two of the writes leaves a folder that a resume goes on with, as if the
    training had been interrupted there: lines come first; a checkpoint of an earlier iteration
    before the last checkpoint; one of the same iteration after it, for a resume can make it from
    the last; what these replace is deleted then. A newer file takes the place of an older one that
    is still waiting.

    At first a write that fails is an error. After ``endure`` it is a trouble that is noted, and
    tried again by every later ``settle``.

    Args:
        logs: the files of lines by their names; they keep their own unwritten lines.
        last: the path of the last checkpoint.
        info: the path of ``run.json``.
    """

    def __init__(self, logs: Mapping[str, LinesFile[Any]], last: Path, info: Path) -> None:
        self.logs = logs
        self.last = last
        self.info = info
        self.checkpoints: dict[Path, WaitingFile] = {}
        """Those that wait."""
        self.info_content: bytes | None = None
        """Of ``run.json``, if it waits."""
        self.trouble: Trouble | None = None
        """Why something waits; None: nothing does."""
        self.arrived: list[tuple[int, Path]] = []
        """The checkpoints, with their iterations, that reached the disk; who tells takes them."""
        self._deletions: dict[Path, None] = {}
        self._patience: float | None = None
        self._next_attempt = -math.inf

    @property
    def is_behind(self) -> bool:
        """Something waits that the disk refused."""
        return self.trouble is not None

    def endure(self, patience: float) -> None:
        """From now on, outlive a disk that refuses for up to ``patience`` seconds."""
        self._patience = patience

    def get(self, path: Path) -> bytes | None:
        """The content that waits to be written to ``path``; None: nothing does."""
        if path == self.info:
            return self.info_content
        waiting = self.checkpoints.get(path)
        return waiting and waiting.content

    def replace(self, path: Path, content: bytes, iteration: int) -> None:
        """A checkpoint of ``iteration``, for the next ``settle``."""
        self.checkpoints[path] = WaitingFile(iteration, content)

    def delete(self, path: Path) -> None:
        """A checkpoint is not wanted any more, from the next ``settle`` on."""
        self.checkpoints.pop(path, None)
        self._deletions[path] = None

    def settle(self, *, at_once: bool = False) -> bool:
        """Write what waits; whether that is done.

        While the disk refuses, this is tried only every ``RETRY_SECONDS``.

        Args:
            at_once: do not wait for the next attempt's time.

        Raises:
            RunError: not written, and ``endure`` was not called.
            StorageError: the patience, or the memory for what waits, is at its end.
        """
        if self._patience is None:
            try:
                self._write()
            except RunError:
                self.checkpoints.clear()
                self._deletions.clear()
                self.info_content = None
                raise
            return True
        now = time.monotonic()
        if self.trouble is not None and now < self._next_attempt and not at_once:
            self._check(self._patience)
            return False
        try:
            self._write()
        except RunError as error:
            self.trouble = Trouble(error, self.trouble.since if self.trouble else now)
            self._next_attempt = now + RETRY_SECONDS
            self._check(self._patience)
            return False
        if self.trouble is not None:
            for folder in (self.info.parent, self.last.parent):
                for part in folder.glob(PART_PATTERN):  # it could not be deleted meanwhile
                    with suppress(OSError):
                        part.unlink()
        self.trouble = None
        return True

    def _check(self, patience: float) -> None:
        assert self.trouble is not None
        error, since = self.trouble
        folder = self.info.parent
        if not folder.exists() and folder.parent.exists():
            raise StorageError("the run folder was deleted", where=str(folder)) from error
        if time.monotonic() - since >= patience:
            raise StorageError(
                error.what,
                where=error.where,
                hint=f"The disk has refused for {patience / 60:.0f} minutes "
                "(run.disk_patience in the profile)."
                if patience
                else None,
            ) from error
        if self.bytes > LIMIT_BYTES:
            raise StorageError(
                error.what,
                where=error.where,
                hint=f"More than {LIMIT_BYTES // 2**20} MiB wait in memory to be written.",
            ) from error

    @property
    def bytes(self) -> int:
        """Of memory that waiting content takes."""
        waiting = sum(len(file.content) for file in self.checkpoints.values())
        return waiting + sum(log.unconfirmed_bytes for log in self.logs.values())

    def describe(self) -> str:
        """What waits, in words."""
        lines = sum(len(log.unwritten) for log in self.logs.values())
        parts = [f"{lines:,} line{'' if lines == 1 else 's'} of metrics and events"] * (lines > 0)
        newest = max((file.iteration for file in self.checkpoints.values()), default=None)
        if newest is not None:
            parts.append(f"the checkpoint of iteration {newest:,}")
        return " and ".join(parts) or self.info.name

    def _write(self) -> None:
        for log in self.logs.values():
            log.write()
        if self.checkpoints:
            for log in self.logs.values():
                log.sync()
        for path in self._in_order():
            write_whole(path, self.checkpoints[path].content)
            self.arrived.append((self.checkpoints.pop(path).iteration, path))
        for path in list(self._deletions):
            try:
                path.unlink(missing_ok=True)
            except OSError as error:
                raise file_error(error, path, "delete") from error
            del self._deletions[path]
        if self.info_content is not None:
            write_whole(self.info, self.info_content)
            self.info_content = None

    def _in_order(self) -> list[Path]:
        def rank(path: Path) -> tuple[int, bool]:
            return self.checkpoints[path].iteration, path != self.last

        return sorted(self.checkpoints, key=rank)
