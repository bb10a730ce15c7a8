"""Standard output and error that never end what a command does: what cannot be written is lost."""

from __future__ import annotations

import errno
import io
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TextIO

from mamltui.errors import UsageError
from mamltui.text import visible_lines

CLOSED = OSError(errno.EBADF, os.strerror(errno.EBADF))


def narrate(text: object) -> None:
    """Print narration on standard error: lines of text with nothing that a terminal would obey.

    Names of runs, folders and files, and the messages of errors, come from anywhere.
    """
    print(visible_lines(str(text)), file=sys.stderr, flush=True)


class Losses:
    """What became of the output of a command."""

    error: OSError | None = None
    """The first that a write met; None: all was written."""


class _TolerantFile(io.RawIOBase):
    """Writes to a descriptor as long as that works; later writes are tried again.

    Args:
        descriptor: None: the stream was closed before the start.
    """

    def __init__(self, descriptor: int | None, losses: Losses) -> None:
        self._descriptor = descriptor
        self._losses = losses
        self._is_torn = False
        """What was written last is a part: what can be written next begins a new line."""

    def writable(self) -> bool:
        return True

    def fileno(self) -> int:
        if self._descriptor is None:
            raise CLOSED
        return self._descriptor

    def isatty(self) -> bool:
        return self._descriptor is not None and os.isatty(self._descriptor)

    def write(self, data: Any) -> int:
        content = bytes(data)
        rest = b"\n" + content if self._is_torn else content
        try:
            while rest:
                rest = rest[self._write(rest) :]
                self._is_torn = bool(rest)
        except OSError as error:
            self._losses.error = self._losses.error or error
        return len(content)

    def _write(self, content: bytes) -> int:
        if self._descriptor is None:
            raise CLOSED
        while True:
            try:
                return os.write(self._descriptor, content)
            except BlockingIOError:  # whoever shares the terminal made it so
                import select

                select.select([], [self._descriptor], [])


@contextmanager
def tolerant_output() -> Iterator[Losses]:
    """While inside, no write to standard output or error raises; what was lost is told.

    A full disk, a reader that has gone and a terminal that was hung up are no reasons to end a
    training of hours. Streams that are no files, a test's for instance, are left as they are.
    """
    _open_standard_descriptors()
    losses = Losses()
    before = {name: getattr(sys, name) for name in ("stdout", "stderr")}
    mine = {name: _tolerant(stream, name, losses) for name, stream in before.items()}
    for name, stream in mine.items():
        setattr(sys, name, stream)
    try:
        yield losses
    finally:
        for name, stream in before.items():
            if mine[name] is not stream:
                mine[name].flush()
            if getattr(sys, name) is mine[name]:
                setattr(sys, name, stream)


def _tolerant(stream: TextIO | None, name: str, losses: Losses) -> TextIO:
    if stream is not None and type(stream) is not io.TextIOWrapper:
        return stream
    encoding, descriptor, is_line_buffered = "utf-8", None, name == "stderr"
    if stream is not None:
        # A character that the terminal cannot show is no reason to end either.
        stream.reconfigure(errors="backslashreplace")
        encoding, is_line_buffered = stream.encoding, is_line_buffered or stream.line_buffering
        try:
            stream.flush()
            descriptor = stream.fileno()
        except (OSError, ValueError):
            return stream  # it is no file
    return io.TextIOWrapper(
        io.BufferedWriter(_TolerantFile(descriptor, losses)),
        encoding=encoding,
        errors="backslashreplace",
        line_buffering=is_line_buffered,
    )


def _open_standard_descriptors() -> None:
    """Where one was closed, the next file to be opened would get its number, and its writes."""
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest number that is free


def check_output_file(option: str, path: str) -> None:
    """Refuse a file that could not be written, before hours are spent on what it should hold.

    Raises:
        UsageError: it is a folder, or its folder is missing or cannot be written.
    """
    where = f"{option} {path}"
    file = Path(path)
    if not path or file.is_dir():
        raise UsageError("a file is needed, this is a folder", where=where)
    if file.exists() and not file.is_file():
        return  # a device or a pipe
    folder = file.resolve().parent
    if not folder.is_dir():
        raise UsageError("there is no such folder to write in", where=where)
    problem = why_not_writable(folder)
    if problem:
        raise UsageError(problem, where=where)


def why_not_writable(folder: Path) -> str | None:
    """What keeps files from being made in ``folder``; None: nothing does. Leaves no trace."""
    import tempfile

    existing = nearest_existing(folder)
    if not existing.is_dir():
        return f"cannot be used: {existing} is not a folder"
    try:
        with tempfile.TemporaryFile(dir=existing):
            return None
    except OSError as error:
        return f"cannot be written: {error.strerror or error}"


def nearest_existing(folder: Path) -> Path:
    """``folder``, or the nearest above it that is there."""
    return next(path for path in (folder.absolute(), *folder.absolute().parents) if path.exists())
