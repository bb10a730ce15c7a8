"""The curves of runs as files that TensorBoard reads, written without it.

A file is a sequence of records (length, checksum, content, checksum), each the protocol buffer
``Event`` of TensorFlow's ``event.proto`` with one scalar. The checksums are CRC-32C (Castagnoli,
polynomial 0x1EDC6F41), masked as TensorFlow's ``record_writer`` masks them.
"""

from __future__ import annotations

import struct
import time
from collections.abc import Callable
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import BinaryIO

from mamltui.cli.metrics import flat_values
from mamltui.events import Validated
from mamltui.runs import START, Position, RunFolder
from mamltui.runs.files import file_error

FILE = "events.out.tfevents.mamltui"
VERSION = b"brain.Event:2"
POLL_SECONDS = 2.0
LIVE = ("running", "paused")


class TensorBoardExport:
    """Writes a run's curves below ``folder``, and what is added to them.

    Raises:
        RunError: the folder cannot be written.
    """

    def __init__(self, run: RunFolder, folder: Path) -> None:
        self._run = run
        self._metrics: Position = START
        self._events: Position = START
        self._begun = datetime.fromisoformat(run.info().created.replace("Z", "+00:00")).timestamp()
        self.path = folder / run.name / FILE
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._file = self._begin()
        except OSError as error:
            raise file_error(error, self.path, "write") from error

    def _begin(self) -> BinaryIO:
        file = self.path.open("wb")
        file.write(record(_double(1, self._begun) + _bytes(3, VERSION)))
        return file

    def write(self) -> int:
        """Write what is new; how many points that is.

        Raises:
            RunError: a line of the run is damaged, or the file cannot be written.
        """
        steps = self._run.read_metrics(self._metrics)
        events = self._run.read_events(self._events)
        points = 0
        try:
            if steps.restarted or events.restarted:  # the run was cut back: it is told anew
                self._file.close()
                self._file, self._metrics, self._events = self._begin(), START, START
                return self.write()
            for step in steps.records:
                points += self._point(step.iteration, step.elapsed, "", step.to_dict())
            for logged in events.records:
                if isinstance(logged.event, Validated):
                    event = logged.event
                    values = event.to_dict()
                    points += self._point(event.iteration, event.elapsed, "validation/", values)
            self._file.flush()
        except OSError as error:
            raise file_error(error, self.path, "write") from error
        self._metrics, self._events = steps.position, events.position
        return points

    def _point(self, iteration: int, elapsed: float, group: str, values: dict[str, object]) -> int:
        count = 0
        for name, value in flat_values(values).items():
            if not isinstance(value, int | float):
                continue
            kind, _, rest = name.partition("_")
            in_group = kind in ("query", "support") and bool(rest)
            tag = f"{group}{name}" if group or not in_group else f"{kind}/{rest}"
            content = _double(1, self._begun + elapsed) + _varint_field(2, iteration)
            scalar = _bytes(1, tag.encode()) + _tag(2, 5) + struct.pack("<f", value)
            self._file.write(record(content + _bytes(5, _bytes(1, scalar))))
            count += 1
        return count

    def follow(self, told: Callable[[int], None]) -> None:
        """Write until the run is no longer trained."""
        while True:
            is_live = self._run.info().state in LIVE
            if (points := self.write()) > 0:
                told(points)
            if not is_live:
                return
            time.sleep(POLL_SECONDS)

    def close(self) -> None:
        self._file.close()


def export_runs(
    runs: list[RunFolder], folder: Path, *, follow: bool, told: Callable[[str], None]
) -> None:
    """Write the curves of all runs; of those that are trained what comes, if asked for.

    Raises:
        RunError: one cannot be read, or the folder not be written.
    """
    for run in runs:
        export = TensorBoardExport(run, folder)
        try:
            points = export.write()
            told(f"written: {export.path} ({points:,} points)")
            if follow:
                export.follow(lambda points: told(f"{points:,} more points"))
        finally:
            export.close()


def record(content: bytes) -> bytes:
    """A record of the file."""
    length = struct.pack("<Q", len(content))
    return length + _masked(length) + content + _masked(content)


def _masked(content: bytes) -> bytes:
    crc = crc32c(content)
    return struct.pack("<I", ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF)


def crc32c(content: bytes) -> int:
    """The Castagnoli checksum."""
    table, crc = _table(), 0xFFFFFFFF
    for byte in content:
        crc = table[(crc ^ byte) & 0xFF] ^ crc >> 8
    return crc ^ 0xFFFFFFFF


@cache
def _table() -> tuple[int, ...]:
    table = []
    for byte in range(256):
        for _ in range(8):
            byte = byte >> 1 ^ (0x82F63B78 if byte & 1 else 0)
        table.append(byte)
    return tuple(table)


def _varint(value: int) -> bytes:
    content = b""
    while value > 0x7F:
        content += bytes([value & 0x7F | 0x80])
        value >>= 7
    return content + bytes([value])


def _tag(field: int, wire: int) -> bytes:
    return _varint(field << 3 | wire)


def _varint_field(field: int, value: int) -> bytes:
    return _tag(field, 0) + _varint(value)


def _double(field: int, value: float) -> bytes:
    return _tag(field, 1) + struct.pack("<d", value)


def _bytes(field: int, content: bytes) -> bytes:
    return _tag(field, 2) + _varint(len(content)) + content
