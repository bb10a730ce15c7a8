"""Where CIFAR-100 may lie on this machine, and whether it does; nothing of it is read here."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from mamltui.data.cache import file_fingerprint
from mamltui.data.roots import DATA_DIR_VARIABLE, search_roots
from mamltui.errors import DataError
from mamltui.text import visible

FOLDER = "cifar-100-python"
"""What torchvision calls its folder inside the root that it is given."""
ARCHIVE = f"{FOLDER}.tar.gz"
FILES = ("train", "test", "meta")
"""What is read of the folder; it also holds a file of notes."""


@dataclass(frozen=True)
class CifarLocation:
    """Where CIFAR-100 lies; nothing of it has been read yet."""

    origin: str
    """What named the folder: ``--data-dir``, ``MAMLTUI_DATA_DIR`` or ``cache folder``."""
    path: Path
    """The archive, or the folder of the three files."""

    @property
    def source(self) -> str:
        """The place, for people."""
        return visible(str(self.path))

    @property
    def is_archive(self) -> bool:
        return self.path.name == ARCHIVE

    def fingerprint(self) -> str:
        """SHA-256 of the files' paths, sizes and times.

        Raises:
            DataError: they cannot be looked at.
        """
        files = [self.path] if self.is_archive else [self.path / name for name in FILES]
        try:
            return file_fingerprint(files)
        except OSError as error:
            raise DataError(
                f"cannot be read: {error.strerror or error}", where=self.source
            ) from error


def find_cifar(data_dir: Path | None = None) -> CifarLocation | None:
    """CIFAR-100 in the first of ``data_dir``, ``MAMLTUI_DATA_DIR`` and the cache folder with it.

    As torchvision leaves it: ``cifar-100-python.tar.gz``, or the folder ``cifar-100-python``.
    """
    location, _ = search(data_dir)
    return location


def search(data_dir: Path | None = None) -> tuple[CifarLocation | None, list[str]]:
    """What :func:`find_cifar` finds, and what each folder before it lacks, in words."""
    return search_roots(data_dir, look_in)


def look_in(origin: str, root: Path) -> CifarLocation | str:
    """CIFAR-100 in ``root``, or in words what it lacks."""
    try:
        # The archive comes before the folder: it is never half extracted.
        if (root / ARCHIVE).is_file():
            return CifarLocation(origin, root / ARCHIVE)
        folder = root / FOLDER
        lost = [name for name in FILES if not (folder / name).is_file()]
        if not lost:
            return CifarLocation(origin, folder)
        if folder.is_dir():
            return f"the folder {FOLDER} has no {' and no '.join(lost)}"
        if not root.exists():
            return "there is no such folder"
        if not root.is_dir():
            return "is not a folder"
    except (OSError, ValueError) as error:
        return f"cannot be looked in ({error})"
    return f"has no {ARCHIVE} and no folder {FOLDER}"


def missing_cifar(lacks: list[str], reason: str) -> DataError:
    """The error for a CIFAR-100 that is nowhere; ``lacks`` says of each folder what it lacks."""
    searched = "".join(f"\n  {line}" for line in lacks)
    return DataError(
        f"CIFAR-100, which CIFAR-FS is made of, was not found, and {reason}; looked in{searched}",
        hint=(
            f"Either put {ARCHIVE} (or torchvision's folder {FOLDER}) in a folder and name it"
            f" with --data-dir or {DATA_DIR_VARIABLE}; `mamltui data fetch cifar-fs --data-dir"
            " FOLDER` downloads it on a machine with a network.\n"
            'Or use the data that comes with mamltui: --set data.set="strokes"'
        ),
    )
