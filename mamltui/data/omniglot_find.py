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
class FoundOmniglot:
    """Where the parts of Omniglot lie; nothing of them has been read yet."""

    origin: str
    """What named the folder: ``--data-dir``, ``MAMLTUI_DATA_DIR`` or ``cache folder``."""
    root: Path
    places: dict[str, Path]
    """Of each part, e.g. ``images_background``: its zip or its folder."""

    @property
    def source(self) -> str:
        """The place, for people."""
        kinds = {
            "zip files" if place.suffix == ".zip" else "folders" for place in self.places.values()
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
                path
                for place in self.places.values()
                for path in (place, *sorted(_folders_in(place)))
            )
        except OSError as error:
            raise DataError(
                f"cannot be read: {error.strerror or error}", where=visible(str(self.root))
            ) from error


def find_omniglot(
    data_dir: Path | None = None, *, expected: Expected = OMNIGLOT
) -> FoundOmniglot | None:
    """The first of ``data_dir``, ``MAMLTUI_DATA_DIR`` and the cache folder that holds Omniglot.

    Each part may be a zip or a folder, in the folder itself or in ``omniglot-py`` inside it, as
    torchvision leaves it.
    """
    found, _ = search(data_dir, expected=expected)
    return found


def search(
    data_dir: Path | None = None, *, expected: Expected = OMNIGLOT
) -> tuple[FoundOmniglot | None, list[str]]:
    """What :func:`find_omniglot` finds, and what each folder before it lacks, in words."""
    return search_roots(data_dir, partial(look_in, expected=expected))


def look_in(origin: str, root: Path, *, expected: Expected = OMNIGLOT) -> FoundOmniglot | str:
    """Omniglot in ``root``, or in words what it lacks."""
    try:
        places = _places(root, expected)
        lost = [folder for folder in expected.folders if folder not in places]
        if not lost:
            return FoundOmniglot(origin, root, places)
        if not root.exists():
            return "there is no such folder"
        if not root.is_dir():
            return "is not a folder"
    except (OSError, ValueError) as error:
        return f"cannot be looked in ({error})"
    return f"has no {' and no '.join(lost)}, neither as a zip nor as a folder"


def missing_omniglot(looked: list[str], reason: str) -> DataError:
    """The error for an Omniglot that is nowhere; ``looked`` are the places, one a line."""
    places = "".join(f"\n  {line}" for line in looked)
    return DataError(
        f"Omniglot was not found, and {reason}; looked in{places}",
        hint=(
            "Either put images_background.zip and images_evaluation.zip (or the two folders) in a"
            f" folder and name it with --data-dir or {DATA_DIR_VARIABLE}; `mamltui data fetch"
            " --data-dir FOLDER` downloads them on a machine with a network.\n"
            'Or use the data that comes with mamltui: --set data.set="strokes"'
        ),
    )


def _places(root: Path, expected: Expected) -> dict[str, Path]:
    places = {}
    for folder in expected.folders:
        # Zips come before folders: quicker to read, and never half extracted.
        for base in (root, root / TORCHVISION_FOLDER):
            if (base / f"{folder}.zip").is_file():
                places[folder] = base / f"{folder}.zip"
            elif (base / folder).is_dir():
                places[folder] = base / folder
            if folder in places:
                break
    return places


def _folders_in(place: Path) -> list[Path]:
    """The alphabets and characters of a part, if it is a folder."""
    return [] if place.suffix == ".zip" else [*place.glob("*"), *place.glob("*/*")]
