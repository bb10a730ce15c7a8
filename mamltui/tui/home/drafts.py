"""A profile while it is edited: where it begins, what is wrong in it, how it is kept."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from mamltui.errors import MamltuiError, ProfileError
from mamltui.profiles import Key, Profile, keys_of, packaged_profiles, parse_profile, profile_name
from mamltui.profiles.keys import sections_of
from mamltui.results import write_text
from mamltui.runs import ListedRun, RunFolder
from mamltui.tui.home.faults import Fault, faults_of
from mamltui.tui.home.profiles import OWN_FOLDER, ListedProfile, read_text

LARGEST = 1_000_000
"""Characters of a text that is looked at; a profile has a few thousand."""

_SECTION = re.compile(r"^\s*\[\s*([A-Za-z0-9_]+)\s*\]")
_KEY = re.compile(r"^\s*(?:#\s*)?([A-Za-z0-9_.]+)\s*=")


@dataclass(frozen=True)
class Draft:
    """What an editor begins with."""

    title: str
    """To be shown literally."""
    text: str
    path: Path
    """Where it will be written, unless the user says otherwise."""
    is_new: bool
    """There is no such file yet."""


def new_draft(origin: ListedProfile | ListedRun | None) -> Draft:
    """A new profile, with the values of another, of a run, or the defaults.

    A damaged profile is copied as it is, to be put right.

    Raises:
        MamltuiError: what it comes from cannot be read.
    """
    if origin is None:
        profile: Profile | None = Profile()
        name = "profile"
    elif isinstance(origin, ListedRun):
        profile = RunFolder(origin.path).profile
        name = profile.name
    else:
        profile, name = origin.profile, origin.path.stem
    if profile is not None:
        from_it = profile.model_copy(update={"description": f"From {profile.name}."})
        text = from_it.to_toml(template=True)
    else:
        assert isinstance(origin, ListedProfile)
        text = read_text(origin.path)
    return Draft(f"New profile from {profile_name(name)}", text, free_path(name), is_new=True)


def open_draft(listed: ListedProfile) -> Draft:
    """A profile's own file.

    Raises:
        ProfileError: it cannot be read.
    """
    return Draft(f"Profile {listed.name}", read_text(listed.path), listed.path, is_new=False)


def free_path(name: str) -> Path:
    """A file that is not there, for a profile from one of this name: ``name-2.toml``, ..."""
    own = OWN_FOLDER.is_dir() and os.access(OWN_FOLDER, os.W_OK)
    folder = OWN_FOLDER if own else Path()
    stem = re.sub(r"-[0-9]{1,3}$", "", profile_name(name))
    packaged, number = packaged_profiles(), 2
    while f"{stem}-{number}" in packaged or (folder / f"{stem}-{number}.toml").exists():
        number += 1
    return folder / f"{stem}-{number}.toml"


def checked(text: str, path: Path) -> Profile | list[Fault]:
    """The profile that a text describes, or all that is wrong with it.

    Args:
        path: the file, which names the profile unless the text does.
    """
    if len(text) > LARGEST:
        return [Fault(None, None, "", f"longer than {LARGEST:,} characters, so not a profile", "")]
    try:
        return parse_profile(text, "", name=profile_name(path.stem), folder=path.parent)
    except ProfileError as error:
        return faults_of(error, "")


def file_problem(path_text: str) -> str:
    """Why a profile cannot be written there, in words; empty if it can be tried."""
    path = Path(path_text.strip())
    if not path_text.strip() or path.suffix != ".toml" or not path.stem:
        return "The file's name has to end in .toml, so that it is found again."
    try:
        if path.is_dir():
            return "This is a folder."
        if not path.parent.is_dir():
            return "There is no such folder."
    except (OSError, ValueError) as error:
        return f"Not possible as a file's name: {error}"
    return ""


def stands_in_the_way(path: Path, known: str | None) -> bool:
    """Whether writing would destroy something.

    Args:
        known: the text that the file had when it was opened; None: it was not there.
    """
    if not path.exists():
        return False
    try:
        return known is None or read_text(path) != known
    except MamltuiError:
        return True


def save(path: Path, text: str) -> None:
    """Write a profile's file, whole or not at all, exactly as it was typed.

    Raises:
        ProfileError: it cannot be written.
    """
    write_text(path, text, error=ProfileError)


def explanation(lines: Sequence[str], row: int) -> str:
    """What the key or section on a line of a profile means, in one line; empty if it is none."""
    line = lines[row] if row < len(lines) else ""
    if match := _SECTION.match(line):
        model = sections_of(Profile).get(match[1])
        return f"[{match[1]}]: {(model.__doc__ or '').strip()}" if model else ""
    assignment = _KEY.match(line)
    if assignment is None and row + 1 < len(lines) and line.lstrip().startswith("#"):
        assignment = _KEY.match(lines[row + 1])  # the comment on a key
    if assignment is None:
        return ""
    headers = filter(None, map(_SECTION.match, lines[row::-1]))
    header = next(headers, None)
    path = f"{header[1]}.{assignment[1]}" if header else assignment[1]
    key = next((key for key in keys_of(Profile) if key.path == path), None)
    return _explained(key) if key else ""


def _explained(key: Key) -> str:
    unit = "" if key.unit == "-" else f" Unit: {key.unit}."
    return f"{key.path}: {key.description}{unit} Allowed: {key.allowed}. Default: {key.default}."
