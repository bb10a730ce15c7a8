"""Files that are replaced in one go: whoever reads one sees its old content or its new, whole.

What is not whole yet is called ``.NAME.PID-RANDOM.part`` and stands beside ``NAME``. A process that
is killed leaves it behind; :func:`leftovers` finds those that nobody will complete.
"""

from __future__ import annotations

import os
import re
import secrets
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

PART_PATTERN = ".*.part"
OLD_SECONDS = 3600.0
"""Nobody works on a file for so long without writing to it."""
GONE_SECONDS = 60.0
"""The same where no process of this machine has the file's number: one of another may have."""
_PART = re.compile(r"\..+\.(\d+)-[0-9a-f]{8}\.part", re.DOTALL)


def part_path(path: Path) -> Path:
    """What ``path`` is called while this process makes it."""
    return path.with_name(f".{path.name}.{os.getpid()}-{secrets.token_hex(4)}.part")


def write_atomically(path: Path, content: bytes) -> None:
    """Write a new file beside ``path``, wait until the disk has it, and rename it to ``path``.

    Any number of processes and threads may write the same path: the last one wins, whole.

    Raises:
        OSError: not writable, or the disk is full; ``path`` is as it was and nothing is left over.
    """
    part = part_path(path)
    try:
        with part.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    except BaseException:
        part.unlink(missing_ok=True)
        raise
    _sync_folder(path.parent)


@contextmanager
def part_folder(path: Path) -> Iterator[Path]:
    """A new folder to make files in that are then moved to ``path``, or beside it; deleted after.

    Raises:
        OSError: it cannot be made.
    """
    folder = part_path(path)
    folder.mkdir()
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def delete_folder(path: Path) -> None:
    """Delete a folder so that nobody meets a part of it, killed in between or not.

    Raises:
        OSError: it cannot be deleted; what is left of it is where it was.
    """
    doomed = path.rename(part_path(path))
    try:
        shutil.rmtree(doomed)
    except OSError:
        with suppress(OSError):
            doomed.rename(path)
        raise


def leftovers(folder: Path, *earlier: str) -> list[Path]:
    """Files and folders in ``folder`` that a killed process had not completed.

    Their process is gone, or they have not been written to for an hour.

    Args:
        earlier: patterns of what earlier versions of mamltui called the same there.
    """
    paths = []
    with suppress(OSError):
        for path in folder.iterdir():
            part = _PART.fullmatch(path.name)
            seconds = OLD_SECONDS
            if part is not None and _is_gone(int(part[1])):
                seconds = GONE_SECONDS
            is_ours = part is not None or any(map(path.match, earlier))
            if is_ours and is_untouched(path, seconds):
                paths.append(path)
    return sorted(paths)


def sweep(folder: Path, *earlier: str) -> None:
    """Delete the :func:`leftovers`, as far as that is possible."""
    for path in leftovers(folder, *earlier):
        with suppress(OSError):
            delete(path)


def delete(path: Path) -> None:
    """Delete a file or a folder.

    Raises:
        OSError: it cannot be deleted.
    """
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def is_untouched(path: Path, seconds: float) -> bool:
    """Whether nothing was written to a file, or into a folder, for so long."""
    try:
        newest = path.lstat().st_mtime
        if path.is_dir() and not path.is_symlink():
            newest = max([newest, *(each.lstat().st_mtime for each in path.rglob("*"))])
    except OSError:  # it is gone, or going
        return False
    return time.time() - newest > seconds


def _is_gone(process: int) -> bool:
    """Whether this machine has no such process, as far as it can be asked."""
    if os.name == "nt":  # there the question would be an interrupt
        return False
    try:
        os.kill(process, 0)
    except (ProcessLookupError, OverflowError):
        return True
    except PermissionError:
        return False
    return False


def _sync_folder(folder: Path) -> None:
    """Make a rename last through a power cut."""
    if os.name == "nt":  # Windows cannot open a folder
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
