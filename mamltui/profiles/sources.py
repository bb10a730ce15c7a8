"""Where profiles come from: files, packaged ones by name, and what each extends."""

from __future__ import annotations

import re
from difflib import get_close_matches
from functools import cache, lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import tomli

from mamltui.errors import ProfileError
from mamltui.profiles.model import NAME_LENGTH
from mamltui.profiles.slips import repeated, slip_of
from mamltui.text import shortened

LARGEST = 1_000_000
"""Bytes; a profile has a few thousand."""
LEAST_READ = 65_536
"""Bytes that are asked for at first."""
LARGEST_IN_PARTS = 50_000
"""Characters of a text whose tables are kept, parsed, for others that have the same."""

EXTENDS = "extends"
"""The key at the top of a profile that names another one, whose values it begins with."""

EXTENDS_HELP = (
    "The profile whose values this one begins with: a packaged one, or a file seen from this "
    "file's folder."
)

OF_THE_FILE = ("name", "description")
"""Keys that speak of one profile, and are not true of what extends it."""


def packaged_folder() -> Path:
    """The folder of the profiles that come with mamltui, and of its studies.

    Raises:
        ProfileError: the installation is incomplete.
    """
    return _packaged_folder(__file__)


@cache
def _packaged_folder(file: str) -> Path:
    """Looked for once: each profile that extends another asks for it."""
    package = Path(file).parents[1]
    for folder in (package / "packaged_profiles", package.parent / "profiles"):
        if any(folder.glob("*.toml")):
            return folder
    raise ProfileError(
        "the profiles that belong to mamltui are not there",
        where=str(package),
        hint="install mamltui again",
    )


PURPOSES: dict[str, tuple[str, ...]] = {
    "first look": ("quickstart",),
    "MAML paper": (),
    "laptop": ("fast-", "best-"),
    "MAML++": ("plus-",),
    "its kin": ("imaml-", "meta-curvature-", "proto", "reptile-"),
    "CIFAR-FS": ("cifar-fs-",),
    "own network": ("resnet-",),
    "regression": ("sinusoid-",),
    "step study": ("study-",),
}
"""What packaged profiles are for, in the order of lists, and how their names begin; those of the
paper's settings begin with their way."""


def purpose_of(name: str) -> str:
    """What a packaged profile is for, in a word or two."""
    return next((each for each, begin in PURPOSES.items() if name.startswith(begin)), "MAML paper")


def packaged_profiles() -> dict[str, Path]:
    """The profiles that come with mamltui: name -> file, by purpose, 5-way before 20-way.

    Raises:
        ProfileError: the installation is incomplete.
    """
    folder = packaged_folder()
    return dict(_profiles_in(folder, folder.stat().st_mtime_ns))


@lru_cache(maxsize=2)
def _profiles_in(folder: Path, _changed: int) -> dict[str, Path]:
    """Listed again when the folder has changed: each profile that extends another asks for it."""
    paths = {path.stem: path for path in folder.glob("*.toml")}
    return {name: paths[name] for name in sorted(paths, key=_by_purpose)}


def profile_name(text: str) -> str:
    """The nearest name that a profile may have: letters, digits and ``_ . -``."""
    return re.sub(r"[^A-Za-z0-9_.-]+", "-", text).strip(".-")[:NAME_LENGTH] or "profile"


def _by_purpose(name: str) -> tuple[int, list[tuple[int, str]]]:
    return list(PURPOSES).index(purpose_of(name)), _natural(name)


def _natural(name: str) -> list[tuple[int, str]]:
    """A sort key: by the numbers in a name, then by its words."""
    return [(int(part or 0), text) for text, part in re.findall(r"([^0-9]*)([0-9]*)", name)]


def find_profile(path_or_name: str) -> Path:
    """The file of a profile.

    Args:
        path_or_name: a file, or the name of a packaged profile where there is no such file.

    Raises:
        ProfileError: there is neither.
    """
    packaged = packaged_profiles()
    path = Path(path_or_name)
    try:
        folder = path.is_dir()
        # Not is_file: a pipe or /dev/stdin can be read as well.
        exists = path.exists()
    except (OSError, ValueError):
        folder, exists = False, False
    if path_or_name in packaged and (folder or not exists):
        return packaged[path_or_name]
    if folder or not path_or_name:
        inside = path / "profile.toml"
        raise ProfileError(
            "this is a folder, not a profile" if path_or_name else "a profile has to be named",
            where=shortened(path_or_name, 4096) or None,
            hint=f"did you mean {inside}?"
            if path_or_name and inside.is_file()
            else f"packaged profiles: {', '.join(packaged)}",
        )
    if not exists:
        near = get_close_matches(path.name.removesuffix(".toml")[:80].lower(), packaged, 1)
        meant = f"did you mean {near[0]}? " if near else ""
        raise ProfileError(
            "there is no such file and no such packaged profile",
            where=shortened(path_or_name, 4096),
            hint=f"{meant}packaged profiles: {', '.join(packaged)}",
        )
    return path


def read_text(path: Path, source: str) -> str:
    """The text of a profile.

    Raises:
        ProfileError: it cannot be read, or is no text.
    """
    try:
        with path.open("rb") as file:
            # Python makes room for all that is asked for before it reads; what is no file, such
            # as a pipe, says nothing of its size.
            raw = file.read(LEAST_READ)
            raw += file.read(LARGEST + 1 - len(raw)) if len(raw) == LEAST_READ else b""
    except OSError as error:
        raise ProfileError(f"cannot be read: {error.strerror}", where=source) from error
    if len(raw) > LARGEST:
        raise ProfileError(f"larger than {LARGEST:,} bytes, so not a profile", where=source)
    if raw.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise ProfileError("the text is UTF-16", where=source, hint="save it as UTF-8")
    if b"\0" in raw:
        raise ProfileError("this is a binary file, not a profile in TOML", where=source)
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise ProfileError(
            f"byte {raw[error.start]:#04x} is not UTF-8 text",
            where=f"{source}:{line}",
            hint="save the file as UTF-8, if it is a profile",
        ) from error


def parse_toml(text: str, source: str) -> dict[str, Any]:
    """The values of a TOML document; its tables are shared with others that hold the same.

    Raises:
        ProfileError: it is none.
    """
    by_parts = _parsed_by_parts(text)
    if by_parts is not None:
        return by_parts
    try:
        return tomli.loads(text)
    except tomli.TOMLDecodeError as error:
        twice = repeated(text, error.lineno) if "annot" in error.msg else None
        raise ProfileError(
            f"not TOML: {twice.what if twice else shortened(error.msg, 200)}",
            where=f"{source}:{error.lineno}:{error.colno}",
            hint=twice.hint if twice else slip_of(text, error.lineno),
        ) from error
    except RecursionError as error:
        raise ProfileError("not a profile: nested too deeply", where=source) from error
    except ValueError as error:
        raise ProfileError("not a profile: a number has too many digits", where=source) from error


def _parsed_by_parts(text: str) -> dict[str, Any] | None:
    """The values of a document parsed table by table, or None where it has to be parsed whole.

    Profiles of many runs have most tables in common, and each is parsed once. What is TOML by
    itself ends where a table may begin, so the parts that are, with no key in two of them, say
    what the whole does.
    """
    if len(text) > LARGEST_IN_PARTS:
        return None
    values: dict[str, Any] = {}
    *tables, last = text.split("\n[")
    for number, rest in enumerate([*(table + "\n" for table in tables), last]):
        part = f"[{rest}" if number else rest
        try:
            table = _parsed_part(part)
        except (ValueError, RecursionError):
            return None
        if not values.keys().isdisjoint(table):
            return None
        values.update(table)
    return values


@lru_cache(maxsize=1024)
def _parsed_part(text: str) -> dict[str, Any]:
    return tomli.loads(text)


class Base(NamedTuple):
    """A profile that another one extends."""

    name: str
    source: str
    text: str
    values: dict[str, Any]
    """With those that it extends itself."""


def extended(
    values: dict[str, Any], source: str, folder: Path, chain: tuple[Path, ...] = ()
) -> tuple[dict[str, Any], list[Base]]:
    """The values of a profile over those of the profiles it extends.

    Args:
        values: of the profile's own file.
        source: that file, for messages.
        folder: what a file named by ``extends`` is seen from.
        chain: the files that lead here, the profile that was asked for first, without links.

    Returns:
        The values, and the profiles extended, the nearest first.

    Raises:
        ProfileError: ``extends`` is no name, leads nowhere, or leads round in a circle.
    """
    own = dict(values)
    asked = own.pop(EXTENDS, None)
    if asked is None:
        return own, []
    where = f"{source}: {EXTENDS}"
    if not isinstance(asked, str) or not asked:
        raise ProfileError(
            "this is not a profile; allowed: the name of a packaged profile, or a file",
            where=where,
            hint=f'such as {EXTENDS} = "5way1shot"',
        )
    beside = folder / Path(asked).expanduser()
    try:
        path = find_profile(str(beside) if beside.is_file() else asked)
    except (OSError, ValueError, ProfileError) as error:
        hint = error.hint if isinstance(error, ProfileError) else None
        raise ProfileError(
            f"there is no profile {shortened(asked)}, neither packaged nor in {folder}",
            where=where,
            hint=hint,
        ) from error
    here = path.resolve()
    if here in chain:
        circle = " -> ".join(shortened(each.name) for each in (*chain, here))
        raise ProfileError(f"profiles extend each other in a circle: {circle}", where=where)
    base_source = shortened(str(path), most=4096)
    text = read_text(path, base_source)
    inherited, further = extended(
        parse_toml(text, base_source), base_source, path.parent, (*chain, here)
    )
    base = Base(profile_name(path.stem), base_source, text, inherited)
    return _merged(inherited, own), [base, *further]


def _merged(base: dict[str, Any], own: dict[str, Any]) -> dict[str, Any]:
    """``own`` over ``base``, key by key within the sections."""
    merged = {key: value for key, value in base.items() if key not in OF_THE_FILE}
    for key, value in own.items():
        inherited = merged.get(key)
        if isinstance(inherited, dict) and isinstance(value, dict):
            merged[key] = {**inherited, **value}
        else:
            merged[key] = value
    return merged
