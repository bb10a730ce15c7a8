"""The curves of a run as a file that TensorBoard reads, written without it.

A file is a sequence of records (length, checksum, content, checksum), each the protocol buffer
``Event`` of TensorFlow's ``event.proto`` with one scalar. The checksums are CRC-32C (Castagnoli,
polynomial 0x1EDC6F41), masked as TensorFlow's ``record_writer`` masks them.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any, BinaryIO

from mamltui.runs import RunFolder
from mamltui.runs.files import file_error

FILE = "events.out.tfevents.mamltui"
VERSION = b"brain.Event:2"


class TensorBoardSink:
    """Writes a run's curves below ``folder``.

    Each method raises ``RunError`` where the file cannot be written.
    """

    def __init__(self, run: RunFolder, folder: Path) -> None:
        self._begun = datetime.fromisoformat(run.info().created.replace("Z", "+00:00")).timestamp()
        self.path = folder / run.name / FILE
        self._file: BinaryIO | None = None

    @property
    def destination(self) -> str:
        return str(self.path)

    def begin(self) -> None:
        try:
            if self._file is not None:
                self._file.close()
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._file = self.path.open("wb")
            self._file.write(record(_double(1, self._begun) + _bytes(3, VERSION)))
        except OSError as error:
            raise file_error(error, self.path, "write") from error

    def write(self, iteration: int, elapsed: float, values: Mapping[str, float]) -> None:
        assert self._file is not None
        content = _double(1, self._begun + elapsed) + _varint_field(2, iteration)
        try:
            for tag, value in values.items():
                scalar = _bytes(1, tag.encode()) + _tag(2, 5) + struct.pack("<f", value)
                self._file.write(record(content + _bytes(5, _bytes(1, scalar))))
        except OSError as error:
            raise file_error(error, self.path, "write") from error

    def flush(self) -> None:
        assert self._file is not None
        try:
            self._file.flush()
        except OSError as error:
            raise file_error(error, self.path, "write") from error

    def close(self, summary: Mapping[str, Any]) -> None:  # noqa: ARG002 - its files hold none
        if self._file is not None:
            self._file.close()


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
