"""Where Omniglot may lie on this machine, and whether it does; nothing of it is read here."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path

from mamltui.data.cache import file_fingerprint
from mamltui.data.omniglot_content import OMNIGLOT, Expected
from mamltui.data.roots import DATA_DIR_VARIABLE, search_roots
from mamltui.errors import DataError
from mamltui.text import visible

TORCHVISION_FOLDER = "omniglot-py"
"""What torchvision calls its folder inside the root that it is given."""


@dataclass(frozen=True)
class OmniglotLocation:
    """Where the parts of Omniglot lie; nothing of them has been read yet."""

    origin: str
    """What named the folder: ``--data-dir``, ``MAMLTUI_DATA_DIR`` or ``cache folder``."""
    root: Path
    paths: dict[str, Path]
    """Of each part, e.g. ``images_background``: its zip or its folder."""

    @property
    def source(self) -> str:
        """The place, for people."""
        kinds = {
            "zip files" if path.suffix == ".zip" else "folders" for path in self.paths.values()
        }
        return f"{visible(str(self.root))} ({' and '.join(sorted(kinds))})"

    def fingerprint(self) -> str:
        """SHA-256 of the paths and the times of their last change: a quick way to see one.

        Raises:
            DataError: a part cannot be looked at.
        """
        try:
            # A drawing that comes or goes changes the time of its character's folder.
            return file_fingerprint(
                path for part in self.paths.values() for path in (part, *sorted(_folders_in(part)))
            )
        except OSError as error:
            raise DataError(
                f"cannot be read: {error.strerror or error}", where=visible(str(self.root))
            ) from error


def find_omniglot(
    data_dir: Path | None = None, *, expected: Expected = OMNIGLOT
) -> OmniglotLocation | None:
    """The first of ``data_dir``, ``MAMLTUI_DATA_DIR`` and the cache folder that holds Omniglot.

    Each part may be a zip or a folder, in the folder itself or in ``omniglot-py`` inside it, as
    torchvision leaves it.
    """
    location, _ = search(data_dir, expected=expected)
    return location


def search(
    data_dir: Path | None = None, *, expected: Expected = OMNIGLOT
) -> tuple[OmniglotLocation | None, list[str]]:
    """What :func:`find_omniglot` finds, and what each folder before it lacks, in words."""
    return search_roots(data_dir, partial(look_in, expected=expected))


def look_in(origin: str, root: Path, *, expected: Expected = OMNIGLOT) -> OmniglotLocation | str:
    """Omniglot in ``root``, or in words what it lacks."""
    try:
        paths = _part_paths(root, expected)
        lost = [folder for folder in expected.folders if folder not in paths]
        if not lost:
            return OmniglotLocation(origin, root, paths)
        if not root.exists():
            return "there is no such folder"
        if not root.is_dir():
            return "is not a folder"
    except (OSError, ValueError) as error:
        return f"cannot be looked in ({error})"
    return f"has no {' and no '.join(lost)}, neither as a zip nor as a folder"


def missing_omniglot(lacks: list[str], reason: str) -> DataError:
    """The error for an Omniglot that is nowhere; ``lacks`` says of each folder what it lacks."""
    searched = "".join(f"\n  {line}" for line in lacks)
    return DataError(
        f"Omniglot was not found, and {reason}; looked in{searched}",
        hint=(
            "Either put images_background.zip and images_evaluation.zip (or the two folders) in a"
            f" folder and name it with --data-dir or {DATA_DIR_VARIABLE}; `mamltui data fetch"
            " --data-dir FOLDER` downloads them on a machine with a network.\n"
            'Or use the data that comes with mamltui: --set data.set="strokes"'
        ),
    )


def _part_paths(root: Path, expected: Expected) -> dict[str, Path]:
    paths = {}
    for folder in expected.folders:
        # Zips come before folders: quicker to read, and never half extracted.
        for base in (root, root / TORCHVISION_FOLDER):
            if (base / f"{folder}.zip").is_file():
                paths[folder] = base / f"{folder}.zip"
            elif (base / folder).is_dir():
                paths[folder] = base / folder
            if folder in paths:
                break
    return paths


def _folders_in(part: Path) -> list[Path]:
    """The alphabets and characters of a part, if it is a folder."""
    return [] if part.suffix == ".zip" else [*part.glob("*"), *part.glob("*/*")]
