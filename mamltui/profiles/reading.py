"""Profiles read from files and names, with overrides, and everything wrong with them at once."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import tomli
from pydantic import ValidationError

from mamltui.profiles.keys import keys_of, sections_of
from mamltui.profiles.locate import key_lines
from mamltui.profiles.model import Head
from mamltui.profiles.problems import (
    InvalidProfileError,
    Problem,
    not_a_section,
    shown_key,
    unknown_key,
    wrong_value,
)
from mamltui.profiles.profile import Profile
from mamltui.profiles.rules import broken_rules
from mamltui.profiles.sources import (
    extended,
    find_profile,
    parse_toml,
    profile_name,
    read_text,
)
from mamltui.text import shortened

LISTED = 50
"""Wrong keys beyond these are counted, not explained: nobody reads on."""
SECTIONS_KEPT, LONGEST_KEPT = 4096, 2000
"""Checked sections in memory, and the letters of the longest of them."""

_Path = tuple[str, ...]
_sections: dict[tuple[type[Any], str], Any] = {}
"""Sections that were checked, by the text of their values."""
_tables: dict[tuple[type[Any], int], tuple[dict[str, Any], Any]] = {}
"""The same by the identity of their table, which is kept with them: nobody changes it."""


def load_profile(path_or_name: str, overrides: Sequence[str] = ()) -> Profile:
    """Reads a profile.

    Args:
        path_or_name: a file, or the name of a packaged profile.
        overrides: ``"section.key=value"`` each, as given to ``--set``; the last one of a key wins.

    Raises:
        ProfileError: there is no such profile, it cannot be read, or it is not TOML.
        InvalidProfileError: it breaks rules; all of them are named.
    """
    path = find_profile(path_or_name)
    source = shortened(str(path), most=4096)
    return _parse(
        read_text(path, source), source, overrides, profile_name(path.stem), path.parent, path
    )


def parse_profile(
    text: str,
    source: str,
    overrides: Sequence[str] = (),
    *,
    name: str | None = None,
    folder: Path | None = None,
) -> Profile:
    """A profile from TOML text.

    Args:
        source: the file, for messages.
        overrides: as in :func:`load_profile`.
        name: the profile's name unless the text has one; by default from ``source``.
        folder: what a file named by ``extends`` is seen from; by default that of ``source``.

    Raises:
        ProfileError, InvalidProfileError: as in :func:`load_profile`.
    """
    name = name or profile_name(Path(source).stem)
    return _parse(text, source, overrides, name, folder or Path(source).parent)


def _parse(
    text: str,
    source: str,
    overrides: Sequence[str],
    name: str,
    folder: Path,
    path: Path | None = None,
) -> Profile:
    own = parse_toml(text, source)
    values, bases = extended(own, source, folder, () if path is None else (path.resolve(),))
    for base in reversed(bases):
        # What is wrong with a base is reported of its own file, and once.
        _Reading(base.source, base.values, base.text).profile(base.name)
    reading = _Reading(source, values, text)
    for override in overrides:
        reading.override(override)
    return reading.profile(name)


@dataclass
class _Reading:
    """One profile while it is read."""

    source: str
    values: dict[str, Any]
    text: str
    overridden: dict[_Path, str] = field(default_factory=dict)
    """The override that has the say over a key, as typed."""
    refused: list[Problem] = field(default_factory=list)
    """Overrides that name no key."""
    faults: list[tuple[_Path, object, str | None]] = field(default_factory=list)
    """Key, value and reason of all that is unknown or not allowed by itself."""

    @cached_property
    def lines(self) -> dict[_Path, int]:
        """Where each key is, which only what is wrong is told with."""
        return key_lines(self.text)

    def override(self, text: str) -> None:
        key_text, equals, value_text = text.partition("=")
        path = tuple(part.strip() for part in key_text.split("."))
        typed = f"--set {shortened(text, 80)}"
        known = {key.path: key for key in keys_of(Profile)}
        key = known.get(".".join(path))
        if not equals:
            pair = re.fullmatch(r"\s*([a-z_.]+)\s*[: ]\s*(\S+)\s*", text)
            if pair and pair[1] in known:
                hint = f"write {pair[1]}={shortened(pair[2])}"
            else:
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
            changed = {path[-1]: _override_value(value_text.strip(), key.kind)}
            owner = self.values.get(path[0], {}) if len(path) > 1 else self.values
            # Where the file has no table, that is reported, and the override has nowhere to go.
            if isinstance(owner, dict):
                self.values |= {path[0]: owner | changed} if len(path) > 1 else changed
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
        parts.update(head)
        wrong = {path for path, _, _ in self.faults}
        profile = Profile.model_construct(**parts)  # each part is checked, and the rules are below
        rules = [
            rule
            for rule in broken_rules(profile)
            if not any(path in wrong or path[:1] in wrong for path in rule.paths)
        ]
        if not (self.faults or rules or self.refused):
            return profile
        faults = sorted(self.faults, key=lambda fault: self.line(fault[0]))
        located = [(self.line(fault[0]), self.problem(*fault)) for fault in faults[:LISTED]]
        for rule in rules:
            given = [path for path in rule.paths if path in self.overridden]
            given += [path for path in rule.paths if path in self.lines]
            cause = given[0] if given else rule.paths[0]
            where = self.where(rule.paths[0], cause)
            located.append((self.line(cause), Problem(where, rule.what, rule.hint)))
        located.sort(key=lambda item: item[0])
        problems = [*(problem for _, problem in located), *self.refused]
        raise InvalidProfileError(self.source, problems, max(0, len(faults) - LISTED))

    def checked(self, model: type[Any], values: dict[str, Any], prefix: _Path) -> Any:
        """The model of all values that are allowed; the others become faults."""
        try:
            return _section(model, values)
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
            text_and_hint = wrong_value(key, value, reason, typed=path in self.overridden)
        elif len(path) == 1 and path[0] in sections_of(Profile):
            text_and_hint = not_a_section(path[0], value)
        else:
            text_and_hint = unknown_key(path, value)
        return Problem(self.where(path, path), *text_and_hint)

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


def _section(model: type[Any], values: dict[str, Any]) -> Any:
    """The values as a model, the same object for the same values: sections cannot be changed.

    Profiles of many runs have most sections in common, and each is checked once.

    Raises:
        ValidationError: a value is not allowed.
    """
    shared = _tables.get((model, id(values)))
    if shared is not None:
        return shared[1]
    # Not the values themselves: 1, 1.0 and true are equal, and not all of them allowed.
    key = (model, repr(values))
    if len(key[1]) > LONGEST_KEPT:
        return model.model_validate(values)
    section = _sections.get(key)
    if section is None:
        section = model.model_validate(values)
        if len(_sections) >= SECTIONS_KEPT:
            _sections.clear()
        _sections[key] = section
    if len(_tables) >= SECTIONS_KEPT:
        _tables.clear()
    _tables[model, id(values)] = (values, section)
    return section


def _override_value(text: str, kind: str) -> object:
    """The value of an override: TOML, or for keys that take a text also the bare text."""
    try:
        document = tomli.loads(f"value = {text}")
    except (tomli.TOMLDecodeError, RecursionError, ValueError):
        # What a shell leaves of a quoted path of Windows, whose backslashes are no TOML.
        return text[1:-1] if len(text) > 1 and text[0] == text[-1] == '"' else text
    value = document["value"]
    if len(document) > 1 or (kind in ("string", "steps") and not isinstance(value, str | list)):
        return text
    return value
