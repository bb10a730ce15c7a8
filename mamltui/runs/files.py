"""Files that are whole at every moment: replaced in one go, or appended a whole line at a time."""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, NamedTuple, TypeVar

from mamltui.atomic import write_atomically
from mamltui.errors import RunError
from mamltui.untrusted import open_regular, parse_json

Record = TypeVar("Record")
LARGEST_LINE = 1_000_000
"""Bytes; an event has a few hundred."""
LARGEST_FILE = 4 * 2**30
"""Bytes that are read at once; the longest training with a line an iteration has fewer."""


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

    Args:
        path: the file; missing, it is empty.
        parse: makes a record of a line's object; a ``ValueError`` says what is wrong with it.
    """

    def __init__(self, path: Path, parse: Callable[[dict[str, Any]], Record]) -> None:
        self.path = path
        self._parse = parse

    def append(self, values: Mapping[str, Any]) -> None:
        """Add a line, by a single write to the end of the file.

        Raises:
            RunError: not writable, or the disk is full.
            ValueError: a value is not finite, which JSON cannot say.
        """
        line = json.dumps(values, allow_nan=False, ensure_ascii=False).encode() + b"\n"
        try:
            descriptor = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o666)
            try:
                size = os.fstat(descriptor).st_size
                written = os.write(descriptor, line)
                if written < len(line):
                    os.ftruncate(descriptor, size)  # or the next line would be glued to this one
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            finally:
                os.close(descriptor)
        except OSError as error:
            raise file_error(error, self.path, "write") from error

    def sync(self) -> None:
        """Wait until all lines are on the disk."""
        try:
            with self.path.open("ab") as file:
                os.fsync(file.fileno())
        except OSError as error:
            raise file_error(error, self.path, "write") from error

    def read(self, since: Position = START, at_most: int = -1) -> Page[Record]:
        """The whole lines after ``since``; a torn last line is left for later.

        Args:
            at_most: bytes to read, more than a line has; -1: all.

        Raises:
            RunError: not readable, or a line is damaged.
        """
        content, position, restarted = self._content(since, at_most)
        start = position.offset - len(content)
        records = [record for _, record in self._records(content, start)]
        return Page(records, position, restarted)

    def keep(self, wanted: Callable[[Record], bool]) -> None:
        """Drop the other lines, and a torn last one, in one go.

        Raises:
            RunError: not readable or writable, or a line is damaged.
        """
        content, _, _ = self._content(START)
        kept = b"".join(
            line + b"\n" for line, record in self._records(content, 0) if wanted(record)
        )
        if self.path.exists() and self.path.stat().st_size != len(kept):
            write_whole(self.path, kept)

    def _content(self, since: Position, at_most: int = -1) -> tuple[bytes, Position, bool]:
        """Whole lines, the position after them, and whether they begin at the start instead."""
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
        if len(content) - end > LARGEST_LINE:
            count = content.count(b"\n")
            raise self._damaged(offset, count, f"it is longer than {LARGEST_LINE:,} bytes")
        content = content[:end]
        return content, Position(offset + len(content), status.st_ino), restarted

    def _records(self, content: bytes, start: int) -> list[tuple[bytes, Record]]:
        records = []
        for number, line in enumerate(content.split(b"\n")[:-1]):
            try:
                if len(line) > LARGEST_LINE:
                    raise ValueError(f"it is longer than {LARGEST_LINE:,} bytes")
                values = parse_json(line)
                if not isinstance(values, dict):
                    raise ValueError("not an object")
                records.append((line, self._parse(values)))
            except ValueError as error:
                raise self._damaged(start, number, str(error)) from error
        return records

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
