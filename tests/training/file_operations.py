"""Every operation on the files below a folder, counted, so that a test can break one of them."""

from __future__ import annotations

import builtins
import errno
import io
import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

WRITE_MODES = frozenset("wax+")
NEEDS_ROOM = {"create", "write", "mkdir"}
"""The operations that a full disk refuses."""
NEEDS_PERMISSION = {"create", "open", "mkdir", "rename", "unlink"}
"""The operations that a folder or file without permission refuses; a descriptor stays open."""


@dataclass
class Operation:
    """One call that changes, or waits for, the disk."""

    number: int
    """From 1."""
    kind: str
    """``create``, ``open`` (for writing), ``write``, ``fsync``, ``truncate``, ``rename``,
    ``unlink``, ``rmdir`` or ``mkdir``."""
    path: Path
    half: Callable[[], object] = lambda: None
    """Of a write: does half of it."""


@dataclass
class FileOperations:
    """What happened, in order; ``before`` is called with each operation and may raise."""

    root: Path
    before: Callable[[Operation], None]
    seen: list[Operation] = field(default_factory=list)

    def note(self, kind: str, path: str | Path, half: Callable[[], object] = lambda: None) -> None:
        operation = Operation(len(self.seen) + 1, kind, Path(path), half)
        self.seen.append(operation)
        self.before(operation)


class _Raw(io.RawIOBase):
    """A file whose writes go through ``os.write``, which can be watched."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def writable(self) -> bool:
        return True

    def fileno(self) -> int:
        return self._descriptor

    def write(self, data: Any) -> int:
        return os.write(self._descriptor, data)

    def close(self) -> None:
        if not self.closed:
            super().close()
            os.close(self._descriptor)


@contextmanager
def watched(root: Path, before: Callable[[Operation], None]) -> Iterator[FileOperations]:
    """Call ``before`` ahead of every operation below ``root``, through ``os`` or an opened file."""
    root = root.resolve()
    operations = FileOperations(root, before)
    descriptors: dict[int, Path] = {}
    true = {
        name: getattr(os, name)
        for name in (
            "open", "close", "write", "fsync", "ftruncate", "replace", "rename", "unlink",
            "remove", "rmdir", "mkdir",
        )
    }  # fmt: skip
    true_open = io.open

    def inside(path: Any) -> Path | None:
        if isinstance(path, int):
            return descriptors.get(path)
        whole = Path(os.fspath(path)).absolute()
        return whole if whole.is_relative_to(root) else None

    def open_(path: Any, flags: int, mode: int = 0o777, *, dir_fd: int | None = None) -> int:
        where = None if dir_fd is not None else inside(path)
        is_written = bool(flags & (os.O_WRONLY | os.O_RDWR))
        if where is not None and is_written:
            creates = flags & os.O_CREAT and not where.exists()
            operations.note("create" if creates else "open", where)
        descriptor: int = true["open"](path, flags, mode, dir_fd=dir_fd)
        descriptors.pop(descriptor, None)  # of a file that was closed by other means
        if where is not None and (is_written or where.is_dir()):
            descriptors[descriptor] = where
        return descriptor

    def close(descriptor: int) -> None:
        descriptors.pop(descriptor, None)
        true["close"](descriptor)

    def write(descriptor: int, data: Any) -> int:
        where = inside(descriptor)
        if where is not None:
            half = bytes(data)[: len(data) // 2]
            operations.note("write", where, lambda: true["write"](descriptor, half))
        return int(true["write"](descriptor, data))

    def of_path(name: str, kind: str) -> Callable[..., Any]:
        def call(path: Any, *arguments: Any, **options: Any) -> Any:
            where = None if options.get("dir_fd") is not None else inside(path)
            if where is not None:
                operations.note(kind, where)
            return true[name](path, *arguments, **options)

        return call

    def open_file(file: Any, mode: str = "r", *arguments: Any, **options: Any) -> Any:
        where = None if isinstance(file, int) else inside(file)
        if where is None or not WRITE_MODES.intersection(mode):
            return true_open(file, mode, *arguments, **options)
        assert "+" not in mode, "no file of a run is written in the middle"
        start = {"w": os.O_TRUNC, "a": os.O_APPEND, "x": os.O_EXCL}[mode.strip("bt")]
        raw = _Raw(open_(file, os.O_WRONLY | os.O_CREAT | start, 0o666))
        if "b" in mode and arguments[:1] == (0,):
            return raw
        buffered = io.BufferedWriter(raw)
        text = dict(zip(("encoding", "errors", "newline"), arguments[1:], strict=False)) | options
        text.pop("buffering", None)
        return buffered if "b" in mode else io.TextIOWrapper(buffered, **text)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "open", open_)
        patch.setattr(os, "close", close)
        patch.setattr(os, "write", write)
        for name, kind in (
            ("fsync", "fsync"),
            ("ftruncate", "truncate"),
            ("replace", "rename"),
            ("rename", "rename"),
            ("unlink", "unlink"),
            ("remove", "unlink"),
            ("rmdir", "rmdir"),
            ("mkdir", "mkdir"),
        ):
            patch.setattr(os, name, of_path(name, kind))
        patch.setattr(io, "open", open_file)
        patch.setattr(builtins, "open", open_file)
        yield operations


def kill(operation: Operation) -> None:
    """End this process as a power cut would, in the middle of a write."""
    operation.half()
    os.kill(os.getpid(), signal.SIGKILL)


@dataclass(frozen=True)
class Fault:
    """Of the operations ``first`` to ``last``, those fail that a disk with ``error`` refuses."""

    error: int
    first: int
    last: float
    """Infinite: for good."""

    def __call__(self, operation: Operation) -> None:
        if not self.first <= operation.number <= self.last or not self._applies(operation.kind):
            return
        if self.error == errno.ENOSPC:
            operation.half()
        raise OSError(self.error, os.strerror(self.error), str(operation.path))

    def _applies(self, kind: str) -> bool:
        if self.error == errno.ENOSPC:
            return kind in NEEDS_ROOM
        if self.error == errno.EACCES:
            return kind in NEEDS_PERMISSION
        return self.error == errno.EIO or kind != "fsync"  # EROFS refuses all that changes

    def __str__(self) -> str:
        last = "on" if self.last == float("inf") else f"to {self.last}"
        return f"{errno.errorcode[self.error]} from operation {self.first} {last}"
