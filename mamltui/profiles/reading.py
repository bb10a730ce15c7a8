"""Profiles read from files and names, with overrides, and everything wrong with them at once."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import tomli
from pydantic import ValidationError

from mamltui.errors import ProfileError
from mamltui.profiles.keys import keys_of, sections_of
from mamltui.profiles.locate import key_lines
from mamltui.profiles.model import NAME_LENGTH, Head, Profile
from mamltui.profiles.problems import (
    InvalidProfileError,
    Problem,
    not_a_section,
    shown_key,
    shown_text,
    unknown_key,
    wrong_value,
)
from mamltui.profiles.rules import broken_rules

LARGEST = 1_000_000
"""Bytes; a profile has a few thousand."""

LISTED = 50
"""Wrong keys beyond these are counted, not explained: nobody reads on."""

_Path = tuple[str, ...]


def packaged_profiles() -> dict[str, Path]:
    """The profiles that come with mamltui: name -> file, 5-way before 20-way.

    Raises:
        ProfileError: the installation is incomplete.
    """
    package = Path(__file__).parents[1]
    for folder in (package / "packaged_profiles", package.parent / "profiles"):
        found = {path.stem: path for path in folder.glob("*.toml")}
        if found:
            return {name: found[name] for name in sorted(found, key=_natural)}
    raise ProfileError(
        "the profiles that belong to mamltui are not there",
        where=str(package),
        hint="install mamltui again",
    )


def load_profile(path_or_name: str, overrides: Sequence[str] = ()) -> Profile:
    """Reads a profile.

    Args:
        path_or_name: a file, or the name of a packaged profile.
        overrides: ``"section.key=value"`` each, as given to ``--set``; the last one of a key wins.

    Raises:
        ProfileError: there is no such profile, it cannot be read, or it is not TOML.
        InvalidProfileError: it breaks rules; all of them are named.
    """
    path = _find(path_or_name)
    source = shown_text(str(path), most=4096)
    return parse_profile(_text(path, source), source, overrides, name=profile_name(path.stem))


def parse_profile(
    text: str, source: str, overrides: Sequence[str] = (), *, name: str | None = None
) -> Profile:
    """A profile from TOML text.

    Args:
        source: the file, for messages.
        overrides: as in :func:`load_profile`.
        name: the profile's name unless the text has one; by default from ``source``.

    Raises:
        ProfileError, InvalidProfileError: as in :func:`load_profile`.
    """
    reading = _Reading(source, _toml(text, source), key_lines(text))
    for override in overrides:
        reading.override(override)
    return reading.profile(name or profile_name(Path(source).stem))


def profile_name(text: str) -> str:
    """The nearest name that a profile may have: letters, digits and ``_ . -``."""
    return re.sub(r"[^A-Za-z0-9_.-]+", "-", text).strip(".-")[:NAME_LENGTH] or "profile"


def _natural(name: str) -> list[tuple[int, str]]:
    """A sort key: by the numbers in a name, then by its words."""
    return [(int(part or 0), text) for text, part in re.findall(r"([^0-9]*)([0-9]*)", name)]


def _find(path_or_name: str) -> Path:
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
            where=shown_text(path_or_name, 4096) or None,
            hint=f"did you mean {inside}?"
            if path_or_name and inside.is_file()
            else f"packaged profiles: {', '.join(packaged)}",
        )
    if not exists:
        near = get_close_matches(path.name.removesuffix(".toml")[:80].lower(), packaged, 1)
        meant = f"did you mean {near[0]}? " if near else ""
        raise ProfileError(
            "there is no such file and no such packaged profile",
            where=shown_text(path_or_name, 4096),
            hint=f"{meant}packaged profiles: {', '.join(packaged)}",
        )
    return path


def _text(path: Path, source: str) -> str:
    try:
        with path.open("rb") as file:
            raw = file.read(LARGEST + 1)
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


def _toml(text: str, source: str) -> dict[str, Any]:
    try:
        return tomli.loads(text)
    except tomli.TOMLDecodeError as error:
        raise ProfileError(
            f"not TOML: {shown_text(error.msg, 200)}",
            where=f"{source}:{error.lineno}:{error.colno}",
        ) from error
    except RecursionError as error:
        raise ProfileError("not a profile: nested too deeply", where=source) from error
    except ValueError as error:
        raise ProfileError("not a profile: a number has too many digits", where=source) from error


@dataclass
class _Reading:
    """One profile while it is read."""

    source: str
    values: dict[str, Any]
    lines: dict[_Path, int]
    overridden: dict[_Path, str] = field(default_factory=dict)
    """The override that has the say over a key, as typed."""
    refused: list[Problem] = field(default_factory=list)
    """Overrides that name no key."""
    faults: list[tuple[_Path, object, str | None]] = field(default_factory=list)
    """Key, value and reason of all that is unknown or not allowed by itself."""

    def override(self, text: str) -> None:
        key_text, equals, value_text = text.partition("=")
        path = tuple(part.strip() for part in key_text.split("."))
        typed = f"--set {shown_text(text, 80)}"
        known = {key.path: key for key in keys_of(Profile)}
        key = known.get(".".join(path))
        if not equals:
            hint = f"write {key.path}={key.default}" if key else "such as inner.steps=5"
            self.refused.append(Problem(typed, "an override is KEY=VALUE", hint))
        elif key is None and len(path) == 1 and path[0] in sections_of(Profile):
            names = ", ".join(known[name].path for name in known if name.startswith(f"{path[0]}."))
            self.refused.append(
                Problem(typed, f"{path[0]} is a section; allowed: its keys {names}")
            )
        elif key is None:
            self.refused.append(Problem(typed, *unknown_key(path, None)))
        else:
            owner = self.values.setdefault(path[0], {}) if len(path) > 1 else self.values
            # Where the file has no table, that is reported, and the override has nowhere to go.
            if isinstance(owner, dict):
                owner[path[-1]] = _override_value(value_text.strip(), key.kind)
                self.overridden[path] = typed

    def profile(self, name: str) -> Profile:
        sections = sections_of(Profile)
        parts: dict[str, Any] = {}
        for section, model in sections.items():
            values = self.values.get(section, {})
            if not isinstance(values, dict):
                self.faults.append(((section,), values, None))
                values = {}
            parts[section] = self.checked(model, values, (section,))
        top = {key: value for key, value in self.values.items() if key not in sections}
        head = self.checked(Head, {"name": name, **top}, ())
        parts.update({key: getattr(head, key) for key in Head.model_fields})
        wrong = {path for path, _, _ in self.faults}
        rules = [
            rule
            for rule in broken_rules(Profile.model_construct(**parts))
            if not any(path in wrong or path[:1] in wrong for path in rule.paths)
        ]
        if not (self.faults or rules or self.refused):
            return Profile(**parts)
        faults = sorted(self.faults, key=lambda fault: self.line(fault[0]))
        found = [(self.line(fault[0]), self.problem(*fault)) for fault in faults[:LISTED]]
        for rule in rules:
            given = [path for path in rule.paths if path in self.overridden]
            given += [path for path in rule.paths if path in self.lines]
            cause = given[0] if given else rule.paths[0]
            where = self.where(rule.paths[0], cause)
            found.append((self.line(cause), Problem(where, rule.what, rule.hint)))
        found.sort(key=lambda item: item[0])
        problems = [*(problem for _, problem in found), *self.refused]
        raise InvalidProfileError(self.source, problems, max(0, len(faults) - LISTED))

    def checked(self, model: type[Any], values: dict[str, Any], prefix: _Path) -> Any:
        """The model of all values that are allowed; the others become faults."""
        try:
            return model.model_validate(values)
        except ValidationError as error:
            wrong = set()
            for fault in error.errors():
                name = str(fault["loc"][0])
                wrong.add(name)
                reason = str(fault["ctx"]["error"]) if fault["type"] == "value_error" else None
                self.faults.append(((*prefix, name), values[name], reason))
            return model.model_validate(
                {name: value for name, value in values.items() if name not in wrong}
            )

    def problem(self, path: _Path, value: object, reason: str | None) -> Problem:
        key = next((key for key in keys_of(Profile) if key.parts == path), None)
        if key is not None:
            said = wrong_value(key, value, reason)
        elif len(path) == 1 and path[0] in sections_of(Profile):
            said = not_a_section(path[0], value)
        else:
            said = unknown_key(path, value)
        return Problem(self.where(path, path), *said)

    def where(self, path: _Path, given: _Path) -> str:
        """The place of a problem of key ``path`` that comes from what is said at ``given``."""
        if given in self.overridden:
            typed = self.overridden[given]
            return typed if given == path else f"{typed}: {shown_key(path)}"
        line = self.line(given)
        file = f"{self.source}:{line}" if line else self.source
        return f"{file}: {shown_key(path)}"

    def line(self, path: _Path) -> int:
        """The line of a key in the file; overrides come last, what is not in the file first."""
        if path in self.overridden:
            return 2**31
        return self.lines.get(path, 0)


def _override_value(text: str, kind: str) -> object:
    """The value of an override: TOML, or for keys that take a text also the bare text."""
    try:
        document = tomli.loads(f"value = {text}")
    except (tomli.TOMLDecodeError, RecursionError, ValueError):
        return text
    value = document["value"]
    if len(document) > 1 or (kind in ("string", "steps") and not isinstance(value, str | list)):
        return text
    return value
