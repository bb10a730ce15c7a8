"""Reading files out of a zip or a folder that nobody has vouched for, without writing anything."""

from __future__ import annotations

import os
import stat
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from types import TracebackType
from typing import Protocol

from mamltui.errors import DataError
from mamltui.text import visible
from mamltui.untrusted import open_regular, regular

_LEFTOVERS = {".DS_Store", "Thumbs.db", "desktop.ini"}
"""Files that systems leave in folders and zips; they are passed over in silence."""


@dataclass(frozen=True)
class Limits:
    """What a source may hold at most; anything larger is refused."""

    archive_bytes: int
    """Size of the zip file itself: bounds the memory that its directory can ask for."""
    members: int
    """Files in it."""
    member_bytes: int
    """One file, decompressed."""
    total_bytes: int
    """All files together, decompressed."""


class FileSource(Protocol):
    """A tree of small files: names with forward slashes, contents in memory."""

    names: tuple[str, ...]

    def read(self, name: str) -> bytes:
        """The content of the file called ``name`` in ``names``."""


class ZipSource:
    """The files of a zip, read in memory one at a time; nothing is ever extracted.

    Raises:
        DataError: on opening, for a zip that is damaged, encrypted or too large, or that holds a
            link, a duplicate or a name pointing outside; on reading, for a member that is damaged
            or does not hold what the directory declares.
    """

    def __init__(self, path: Path, limits: Limits) -> None:
        self._path = path
        self._limits = limits
        self._bytes_read = 0
        with self._damage_reported():
            size = regular(path.stat()).st_size
            if size > limits.archive_bytes:
                raise self._refusal(
                    f"is {size:,} bytes, more than the {limits.archive_bytes:,} allowed"
                )
            self._zip = zipfile.ZipFile(path)
        try:
            self._members = self._checked_members()
        except BaseException:
            self._zip.close()
            raise
        self.names = tuple(self._members)

    def __enter__(self) -> ZipSource:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._zip.close()

    def read(self, name: str) -> bytes:
        with self._damage_reported(), self._zip.open(self._members[name]) as member:
            content = member.read(self._limits.member_bytes + 1)
        self._bytes_read += len(content)
        # The declared sizes were checked on opening; these bounds hold whatever the directory says.
        if len(content) > self._limits.member_bytes or self._bytes_read > self._limits.total_bytes:
            raise self._refusal(f"{visible(name)} unpacks to more than it declares")
        return content

    def _checked_members(self) -> dict[str, zipfile.ZipInfo]:
        limits = self._limits
        entries = self._zip.infolist()
        if len(entries) > limits.members:
            raise self._refusal(f"holds {len(entries):,} files, more than {limits.members:,}")
        total = sum(entry.file_size for entry in entries)
        if total > limits.total_bytes:
            raise self._refusal(
                f"unpacks to {total:,} bytes, more than the {limits.total_bytes:,} allowed"
            )
        members: dict[str, zipfile.ZipInfo] = {}
        for entry in entries:
            self._check(entry)
            if entry.is_dir() or _is_leftover(entry.filename):
                continue
            if entry.filename in members:
                raise self._refusal(f"holds {visible(entry.filename)} twice")
            members[entry.filename] = entry
        return members

    def _check(self, entry: zipfile.ZipInfo) -> None:
        name = visible(entry.orig_filename)
        kind = stat.S_IFMT(entry.external_attr >> 16)
        if entry.orig_filename != entry.filename or not _stays_inside(entry.filename):
            raise self._refusal(f"holds a name that points outside: {name}")
        if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
            raise self._refusal(f"{name} is a link or a special file")
        if entry.flag_bits & 0x1:
            raise self._refusal(f"{name} is encrypted")
        if entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise self._refusal(f"{name} is packed by a method other than stored or deflated")
        if entry.file_size > self._limits.member_bytes:
            raise self._refusal(
                f"{name} unpacks to {entry.file_size:,} bytes, "
                f"more than the {self._limits.member_bytes:,} allowed"
            )

    def _refusal(self, reason: str) -> DataError:
        return DataError(reason, where=visible(str(self._path)), hint=_AGAIN)

    @contextmanager
    def _damage_reported(self) -> Iterator[None]:
        try:
            yield
        except DataError:
            raise
        except OSError as error:
            raise DataError(
                f"cannot be read: {error.strerror or error}", where=visible(str(self._path))
            ) from error
        except (
            zipfile.BadZipFile,
            zlib.error,
            EOFError,
            ValueError,
            OverflowError,
            NotImplementedError,
            RuntimeError,
        ) as error:
            raise self._refusal(f"is a damaged or cut-off zip ({visible(str(error))})") from error


_AGAIN = "Get the file again from where it was published; `mamltui data fetch` downloads Omniglot."


class FolderSource:
    """The files under a folder, named from the folder's own name on.

    Links to folders are not followed, and links to files no further than that folder.

    Raises:
        DataError: on opening, for too many files; on reading, for a file that is not regular, too
            large or unreadable.
    """

    def __init__(self, path: Path, limits: Limits) -> None:
        self._root = path.parent
        self._limits = limits
        names: list[str] = []
        for folder, _, files in os.walk(path, onerror=self._unreadable):
            inside = Path(folder).relative_to(self._root).as_posix()
            names += [f"{inside}/{file}" for file in files]
            if len(names) > limits.members:
                raise DataError(
                    f"holds more than {limits.members:,} files", where=visible(str(path))
                )
        self.names = tuple(name for name in names if not _is_leftover(name))

    def read(self, name: str) -> bytes:
        path = self._root / name
        try:
            if path.is_symlink() and not path.resolve().is_relative_to(self._root.resolve()):
                raise DataError("is a link out of the data folder", where=visible(str(path)))
            with open_regular(path) as (file, _):
                content = file.read(self._limits.member_bytes + 1)
        except OSError as error:
            raise self._unreadable_file(path, error) from error
        if len(content) > self._limits.member_bytes:
            raise DataError(
                f"is larger than the {self._limits.member_bytes:,} bytes allowed",
                where=visible(str(path)),
            )
        return content

    def _unreadable(self, error: OSError) -> None:
        raise self._unreadable_file(Path(str(error.filename)), error) from error

    @staticmethod
    def _unreadable_file(path: Path, error: OSError) -> DataError:
        return DataError(f"cannot be read: {error.strerror or error}", where=visible(str(path)))


def _is_leftover(name: str) -> bool:
    path = PurePosixPath(name)
    return path.parts[0] == "__MACOSX" or path.name in _LEFTOVERS or path.name.startswith("._")


def _stays_inside(name: str) -> bool:
    parts = name.removesuffix("/").split("/")
    return all(
        part not in ("", ".", "..") and "\\" not in part and ":" not in part for part in parts
    )
