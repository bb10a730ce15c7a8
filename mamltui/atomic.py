"""Files that are replaced in one go: whoever reads one sees its old content or its new, whole."""

from __future__ import annotations

import os
import secrets
from pathlib import Path

PART_PATTERN = ".*.part"
"""What :func:`write_atomically` writes first: ``.NAME.PID-RANDOM.part``, beside ``NAME``."""


def write_atomically(path: Path, content: bytes) -> None:
    """Write a new file beside ``path``, wait until the disk has it, and rename it to ``path``.

    Any number of processes and threads may write the same path: the last one wins, whole.

    Raises:
        OSError: not writable, or the disk is full; ``path`` is as it was and nothing is left over.
    """
    part = path.with_name(f".{path.name}.{os.getpid()}-{secrets.token_hex(4)}.part")
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


def _sync_folder(folder: Path) -> None:
    """Make a rename last through a power cut."""
    if os.name == "nt":  # Windows cannot open a folder
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
