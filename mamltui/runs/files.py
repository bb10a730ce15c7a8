"""Files that are whole at every moment: replaced in one go, or appended a whole line at a time."""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, NamedTuple, TypeVar

from mamltui.atomic import write_atomically
from mamltui.errors import RunError
from mamltui.untrusted import open_regular, parse_json

Record = TypeVar("Record")
LARGEST_LINE = 1_000_000
"""Bytes; an event has a few hundred."""
_SAFE = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
"""A pipe does not block, and a link does not lead lines into a file of somebody else."""
LARGEST_FILE = 4 * 2**30
"""Bytes that are read at once; the longest training with a line an iteration has fewer."""
UNCONFIRMED_BYTES = 2**20
"""Of the lines since the last wait for the disk; more are waited for."""


def file_error(error: OSError, path: Path, doing: str) -> RunError:
    """What the operating system refused, for people."""
    reason = error.strerror or str(error)
    return RunError(f"cannot {doing}: {reason}", where=str(path))


def write_whole(path: Path, content: bytes) -> None:
    """:func:`write_atomically` with an error for people.

    Raises:
        RunError: not writable, or the disk is full; ``path`` is then as it was.
    """
    try:
        write_atomically(path, content)
    except OSError as error:
        raise file_error(error, path, "write") from error


class Position(NamedTuple):
    """Up to where a reader has read a file of lines."""

    offset: int = 0
    """Bytes."""
    file: int = 0
    """The file's identity, which changes when lines are cut off its end."""


START = Position()


@dataclass(frozen=True)
class Page(Generic[Record]):
    """What was read of a file of lines, in order."""

    records: list[Record]
    position: Position
    """From where to read on."""
    restarted: bool
    """The file is another than at the position asked for, and was read from its start."""


class LinesFile(Generic[Record]):
    """JSON objects, one a line, appended by one process while others read.

    A line stays in memory until the disk has confirmed it: one that could not be written, and one
    that was lost when waiting for the disk failed, is written again by the next ``write``.

    Args:
        path: the file; missing, it is empty.
        parse: makes a record of a line's object; a ``ValueError`` says what is wrong with it.
    """

    def __init__(self, path: Path, parse: Callable[[dict[str, Any]], Record]) -> None:
        self.path = path
        self._parse = parse
        self._forget()

    def _forget(self) -> None:
        self._unconfirmed: list[bytes] = []
        """The lines since the last ``sync``."""
        self._bytes = 0
        """Of them all."""
        self._written = 0
        """How many of them are in the file."""
        self._start = 0
        """Offset of the first of them, if any is in the file."""
        self._torn: int | None = None
        """Where the file must be cut before more is written to it; None: it is whole."""

    def append(self, values: Mapping[str, Any]) -> None:
        """Add a line, by a single write to the end of the file.

        Raises:
            RunError: not writable, or the disk is full; the line is kept for the next ``write``.
            ValueError: a value is not finite, which JSON cannot say.
        """
        self.add(values)
        self.write()

    def add(self, values: Mapping[str, Any]) -> None:
        """Add a line for the next ``write``.

        Raises:
            ValueError: a value is not finite, which JSON cannot say.
        """
        line = json.dumps(values, allow_nan=False, ensure_ascii=False).encode() + b"\n"
        self._unconfirmed.append(line)
        self._bytes += len(line)

    @property
    def unwritten(self) -> list[bytes]:
        """The lines that are not in the file yet."""
        return self._unconfirmed[self._written :]

    @property
    def unconfirmed_bytes(self) -> int:
        """Of the lines that are in memory until the disk has confirmed them."""
        return self._bytes

    def tail(self) -> tuple[int, bytes]:
        """The lines that the disk has not confirmed, and the offset at which they belong."""
        if self._written:
            return self._start, b"".join(self._unconfirmed)
        if self._torn is not None:
            return self._torn, b"".join(self._unconfirmed)
        try:
            size = self.path.stat().st_size
        except OSError:
            size = 0
        return size, b"".join(self._unconfirmed)

    def write(self) -> None:
        """Write the lines that are not in the file yet.

        Raises:
            RunError: not writable, or the disk is full; the file has whole lines alone, or gets
                them by the next call.
        """
        if self._written == len(self._unconfirmed) and self._torn is None:
            return
        try:
            descriptor = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | _SAFE, 0o666)
            try:
                if self._torn is not None:
                    os.ftruncate(descriptor, min(self._torn, os.fstat(descriptor).st_size))
                    self._torn = None
                for line in self.unwritten:
                    self._write_line(descriptor, line)
            finally:
                os.close(descriptor)
        except OSError as error:
            raise file_error(error, self.path, "write") from error
        if self._bytes > UNCONFIRMED_BYTES:
            self.sync()

    def _write_line(self, descriptor: int, line: bytes) -> None:
        size = os.fstat(descriptor).st_size
        self._torn = size
        if os.write(descriptor, line) < len(line):
            # At once, if that is possible: or readers would meet half of it.
            with suppress(OSError):
                os.ftruncate(descriptor, size)
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        self._torn = None
        if self._written == 0:
            self._start = size
        self._written += 1

    def put_back(self, offset: int, lines: bytes) -> None:
        """Let the file go on with whole ``lines`` from ``offset`` on; for the next ``write``.

        Raises:
            RunError: the file is shorter than that, so lines are missing.
        """
        try:
            size = self.path.stat().st_size
        except FileNotFoundError:
            size = 0
        except OSError as error:
            raise file_error(error, self.path, "read") from error
        if size < offset:
            raise RunError("the file lacks lines that it once had", where=str(self.path))
        self._forget()
        self._torn = offset
        self._unconfirmed = lines.splitlines(keepends=True)
        self._bytes = len(lines)

    def sync(self) -> None:
        """Write what is not written yet, and wait until all lines are on the disk.

        Raises:
            RunError: as ``write``. After a failed wait the system forgets what it had not written,
                so all lines since the last ``sync`` are written again.
        """
        self.write()
        if not self._unconfirmed:
            return
        try:
            descriptor = os.open(self.path, os.O_WRONLY)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
        except OSError as error:
            self._torn, self._written = self._start, 0
            raise file_error(error, self.path, "write") from error
        self._forget()

    def read(self, since: Position = START, at_most: int = -1) -> Page[Record]:
        """The whole lines after ``since``; a torn last line is left for later.

        Args:
            at_most: bytes to read, more than a line has; -1: all.

        Raises:
            RunError: not readable, or a line is damaged.
        """
        content, position, restarted = self._content(since, at_most)
        start = position.offset - len(content)
        return Page(self._records(content, start), position, restarted)

    def keep(self, wanted: Callable[[Record], bool]) -> None:
        """Drop the other lines in one go, with all damage after the last one that is wanted.

        A crash damages what was written last. Damage before a wanted line is none of a crash.

        Raises:
            RunError: not readable or writable, or damaged before the last line that is wanted.
        """
        content, _, _ = self._content(START, torn=True)
        self._forget()
        wanted_lines: list[bytes] = []
        damage: RunError | None = None
        for number, line in enumerate(content.split(b"\n")[:-1]):
            try:
                is_wanted = wanted(self._record(line, number))
            except RunError as error:
                damage = damage or error
                continue
            if is_wanted and damage is not None:
                raise damage
            if is_wanted:
                wanted_lines.append(line + b"\n")
        whole = b"".join(wanted_lines)
        if self.path.exists() and self.path.stat().st_size != len(whole):
            write_whole(self.path, whole)

    def _content(
        self, since: Position, at_most: int = -1, *, torn: bool = False
    ) -> tuple[bytes, Position, bool]:
        """Whole lines, the position after them, and whether they begin at the start instead.

        Args:
            torn: leave out a torn last line also where it is longer than any line.
        """
        try:
            with open_regular(self.path) as (file, status):
                restarted = since.offset > 0 and (
                    status.st_ino != since.file or status.st_size < since.offset
                )
                offset = 0 if restarted else since.offset
                if at_most < 0 and status.st_size - offset > LARGEST_FILE:
                    raise OSError(errno.EFBIG, f"larger than {LARGEST_FILE:,} bytes")
                file.seek(offset)
                content = file.read(at_most)
        except FileNotFoundError:
            return b"", START, since.offset > 0
        except OSError as error:
            raise file_error(error, self.path, "read") from error
        end = content.rfind(b"\n") + 1
        if len(content) - end > LARGEST_LINE and not torn:
            count = content.count(b"\n")
            raise self._damaged(offset, count, f"it is longer than {LARGEST_LINE:,} bytes")
        content = content[:end]
        return content, Position(offset + len(content), status.st_ino), restarted

    def _records(self, content: bytes, start: int) -> list[Record]:
        lines = content.split(b"\n")[:-1]
        return [self._record(line, number, start) for number, line in enumerate(lines)]

    def _record(self, line: bytes, number: int, start: int = 0) -> Record:
        """Of line ``number``, counted from 0 at byte ``start``.

        Raises:
            RunError: it is damaged.
        """
        try:
            if len(line) > LARGEST_LINE:
                raise ValueError(f"it is longer than {LARGEST_LINE:,} bytes")
            values = parse_json(line)
            if not isinstance(values, dict):
                raise ValueError("not an object")
            return self._parse(values)
        except ValueError as error:
            raise self._damaged(start, number, str(error)) from error

    def _damaged(self, start: int, number: int, what: str) -> RunError:
        return RunError(
            f"the line is damaged: {what}",
            where=f"{self.path}:{self._lines_before(start) + number + 1}",
            hint="Take the line out of the file to read the rest.",
        )

    def _lines_before(self, offset: int) -> int:
        with open_regular(self.path) as (file, _):
            left, lines = offset, 0
            while block := file.read(min(left, 2**20)):
                left -= len(block)
                lines += block.count(b"\n")
        return lines
