"""Run folders on their way between machines that share no folder: what has changed, as bytes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from mamltui.atomic import PART_PATTERN
from mamltui.runs.files import write_whole

STAY = ("lock", "request")
"""Of a run folder: each machine has its own."""
TRIES = 50
"""Reads of a folder that changes meanwhile, until it is left for the next time."""

Stamps = dict[str, tuple[int, int]]


class Luggage(NamedTuple):
    """A folder as it was at one moment, without the files that have been sent before."""

    changed: dict[str, bytes]
    """By paths in the folder."""
    names: frozenset[str]
    """Of all files that there are."""


def pack(folder: Path, sent: Stamps) -> Luggage | None:
    """What is new in ``folder``; None: it changes so fast that no moment could be read.

    A process may write to it meanwhile. What is read is what the disk would have if that process
    were killed at some moment, which a training can always be gone on with from.

    Args:
        sent: what was sent before, brought up to date.

    Raises:
        OSError: it cannot be read.
    """
    for _ in range(TRIES):
        before = dict(_stamps(folder))
        try:
            changed = {
                name: (folder / name).read_bytes()
                for name, stamp in before.items()
                if sent.get(name) != stamp
            }
        except FileNotFoundError:
            continue
        if dict(_stamps(folder)) == before:
            sent.clear()
            sent.update(before)
            return Luggage(changed, frozenset(before))
    return None


def unpack(folder: Path, changed: Mapping[str, bytes]) -> None:
    """Write files into ``folder``, each in one go, so that it can be gone on with in between.

    Lines come before the checkpoints that they lead to, and the state of a run comes last.

    Raises:
        RunError: not writable, or the disk is full.
        ValueError: a path leads out of the folder.
    """
    for name in sorted(changed, key=_order):
        path = PurePosixPath(name)
        if path.is_absolute() or ".." in path.parts:
            raise ValueError(f"{name} leads out of the folder")
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        write_whole(folder / path, changed[name])


def _stamps(folder: Path) -> Iterator[tuple[str, tuple[int, int]]]:
    for path in sorted(folder.rglob("*")):
        if path.name in STAY or path.match(PART_PATTERN) or not path.is_file():
            continue
        try:
            about = path.stat()
        except FileNotFoundError:
            continue
        yield path.relative_to(folder).as_posix(), (about.st_mtime_ns, about.st_size)


def _order(name: str) -> tuple[int, str]:
    if name.endswith(".jsonl"):
        return 0, name
    return 2 if name.endswith("run.json") else 1, name
