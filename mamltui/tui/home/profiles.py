"""The profiles that Home lists, read in the background and again only where they have changed."""

from __future__ import annotations

import filecmp
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import tomli

from mamltui.errors import MamltuiError, ProfileError
from mamltui.profiles import Profile, load_profile, packaged_profiles
from mamltui.profiles.sources import LARGEST, purpose_of
from mamltui.text import shortened, visible
from mamltui.tui.home.faults import Fault, faults_of
from mamltui.untrusted import read_file

FIRST = "quickstart"
OWN_FOLDER = Path("profiles")
"""Where a user's profiles are looked for and written, if it is there."""

_Stamp = tuple[int, ...]


@dataclass(frozen=True)
class ListedProfile:
    """A profile in a list: either ``profile`` or ``faults`` is there."""

    name: str
    """The file's name without ending, to be shown literally."""
    path: Path
    source: str
    """What a command calls it: the name if it is packaged, else the file."""
    origin: str
    """``packaged``, or the folder it is in."""
    profile: Profile | None
    faults: tuple[Fault, ...] = ()

    @property
    def key(self) -> str:
        """What tells it from all others."""
        return str(self.path)

    @property
    def purpose(self) -> str:
        """What it is for if it is packaged, else where it is from."""
        return purpose_of(self.name) if self.is_packaged else self.origin

    @property
    def is_packaged(self) -> bool:
        return self.origin == "packaged"

    @property
    def problem(self) -> str:
        """What is wrong with it, in one line."""
        more = len(self.faults) - 1
        return f"{self.faults[0]}{f', and {more} more' if more > 0 else ''}" if self.faults else ""


class ProfileCatalogue:
    """Reads the profiles again and again; what is as it was is not read twice.

    Args:
        folder: a folder of profiles to list besides the packaged ones and the user's own.
    """

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder
        self._profiles: tuple[ListedProfile, ...] = ()
        self._stamps: dict[Path, _Stamp] = {}

    def read(self) -> tuple[ListedProfile, ...]:
        """All there are now, damaged ones too; the same object while nothing changes.

        Raises:
            ProfileError: the packaged profiles are not there.
        """
        known = {item.path: item for item in self._profiles}
        profiles, stamps = [], {}
        for path, source, origin in self._paths():
            stamps[path] = stamp = _stamp(path)
            profile = known.get(path)
            if profile is None or self._stamps.get(path) != stamp:
                profile = _listed_profile(path, source, origin)
            profiles.append(profile)
        self._stamps = stamps
        if tuple(profiles) != self._profiles:
            self._profiles = tuple(profiles)
        return self._profiles

    def _paths(self) -> Iterable[tuple[Path, str, str]]:
        """File, source and origin of every profile, each file once.

        The first look comes first, then the user's own, which are few, then the other packaged. A
        copy of a packaged profile under its name, as in a clone of the sources, is that profile: a
        command takes the name for it, too.
        """
        packaged = packaged_profiles()
        names = dict(packaged)
        seen = {path.resolve() for path in packaged.values()}
        first = packaged.pop(FIRST, None)
        if first is not None:
            yield first, FIRST, "packaged"
        meant = [OWN_FOLDER, *([self._folder] if self._folder else [])]
        for folder in (*meant, Path()):
            for path in _toml_files(folder):
                if path.resolve() in seen or _is_copy(path, names.get(path.stem)):
                    continue
                if folder not in meant and not _looks_like(path):
                    continue
                seen.add(path.resolve())
                yield path, str(path), _folder_name(folder)
        for name, path in packaged.items():
            yield path, name, "packaged"


def read_text(path: Path) -> str:
    """The text of a profile's file, valid or not, its line ends as they are.

    Raises:
        ProfileError: it cannot be read, or is not text.
    """
    try:
        return read_file(path, LARGEST).decode("utf-8-sig")
    except OSError as error:
        raise ProfileError(f"cannot be read: {error.strerror}", where=str(path)) from error
    except UnicodeDecodeError as error:
        raise ProfileError(
            "is not UTF-8 text", where=str(path), hint="save it as UTF-8 with another program"
        ) from error


def _listed_profile(path: Path, source: str, origin: str) -> ListedProfile:
    name = visible(path.stem)
    try:
        return ListedProfile(name, path, source, origin, load_profile(str(path)))
    except ProfileError as error:
        faults = faults_of(error, shortened(str(path), most=4096))
        return ListedProfile(name, path, source, origin, None, tuple(faults))


def _is_copy(path: Path, packaged: Path | None) -> bool:
    """Whether the file holds what the packaged profile of its name does."""
    try:
        return packaged is not None and filecmp.cmp(path, packaged, shallow=False)
    except OSError:
        return False


def _toml_files(folder: Path) -> list[Path]:
    try:
        return sorted(path for path in folder.glob("*.toml") if path.is_file())
    except OSError:
        return []


def _folder_name(folder: Path) -> str:
    return visible(folder.resolve().name) or visible(str(folder))


def _looks_like(path: Path) -> bool:
    """Whether a file beside others, such as ``pyproject.toml``, has only keys of a profile."""
    try:
        keys = tomli.loads(read_text(path)).keys()
    except (MamltuiError, ValueError, RecursionError):
        return False
    return bool(keys) and keys <= Profile.model_fields.keys()


def _stamp(path: Path) -> _Stamp:
    """What changes when a file or folder is written; zeros if there is none."""
    try:
        status = path.stat()
    except OSError:
        return (0, 0, 0)
    return (status.st_mtime_ns, status.st_size, status.st_ino)
