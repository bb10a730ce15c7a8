"""What is wrong with a profile, said so that it can be put right."""

from __future__ import annotations

import datetime
import re
from collections.abc import Sequence
from dataclasses import dataclass
from difflib import get_close_matches

from mamltui.errors import ProfileError
from mamltui.profiles.keys import Key, keys_of, sections_of, toml_value
from mamltui.profiles.profile import Profile
from mamltui.profiles.slips import NOTHING, backslashes_meant, boolean_meant, number_meant
from mamltui.text import shortened


@dataclass(frozen=True)
class Problem:
    """One thing wrong with a profile."""

    where: str
    """``file:line: key``, or the override as it was typed."""
    what: str
    hint: str | None = None

    def __str__(self) -> str:
        text = f"{self.where}: {self.what}"
        return f"{text} ({self.hint})" if self.hint else text


class InvalidProfileError(ProfileError):
    """A profile that breaks one rule or more; ``str()`` shows all of ``problems``.

    Args:
        source: the file.
        problems: what is wrong, in the order of the file, then of the overrides.
        unlisted: how many further problems there are.
    """

    def __init__(self, source: str, problems: Sequence[Problem], unlisted: int = 0) -> None:
        self.problems = tuple(problems)
        self.unlisted = unlisted
        if len(problems) == 1:
            super().__init__(problems[0].what, where=problems[0].where, hint=problems[0].hint)
        else:
            lines = [str(problem) for problem in problems]
            if unlisted:
                lines.append(f"and {unlisted:,} more")
            count = len(problems) + unlisted
            super().__init__(f"{count:,} problems", where=source, hint="\n".join(lines))


def unknown_key(path: Sequence[str], value: object) -> tuple[str, str | None]:
    """What is allowed instead of an unknown key, and the nearest right one."""
    sections = sections_of(Profile)
    if len(path) > 1 and path[0] in sections:
        names = ", ".join(key.name for key in keys_of(Profile) if key.section == path[0])
        what = f"unknown key; allowed in [{path[0]}]: {names}"
    else:
        kind = "section" if isinstance(value, dict) or len(path) > 1 else "key"
        top = ", ".join(["extends", *(key.name for key in keys_of(Profile) if not key.section)])
        names = ", ".join(f"[{name}]" for name in sections)
        what = f"unknown {kind}; allowed at the top: {top} and the sections {names}"
    near = _nearest(path, value)
    hint = f"did you mean {' or '.join(near)}?" if near else None
    if hint and len(path) == 1 and len(near) == 1 and "." in near[0] and near[0] != path[0]:
        hint += f" Its section is [{near[0].partition('.')[0]}]"
    return what, hint


def wrong_value(
    key: Key, value: object, reason: str | None, *, typed: bool = False
) -> tuple[str, str | None]:
    """What is wrong with the value of a known key, and what was probably meant.

    Args:
        reason: what the key's own check said, if it has one.
        typed: on the command line, where a text needs no quotation marks.
    """
    shown = shown_value(value)
    if isinstance(value, str) and key.kind == "string" and not value.isprintable():
        reason = "it holds a character that does not print"
        if backslashes_meant(value):
            reason += "; in double quotes a backslash and a letter stand for one"
    if reason:
        fault = f"{shown} is not allowed: {reason}"
    elif isinstance(value, _KINDS[key.kind]) and not (
        isinstance(value, bool) and key.kind != "boolean"
    ):
        fault = f"{shown} is not allowed"
    else:
        fault = f"{shown} is {_kind(value)}"
    return f"{fault}; allowed: {key.allowed}", _meant(key, value, typed)


def not_a_section(name: str, value: object) -> tuple[str, str | None]:
    """What is wrong with ``inner = 5``."""
    listed = isinstance(value, list) and bool(value) and isinstance(value[0], dict)
    return (
        f"{name} is a section, and here it is {_kind(value)}",
        f"write [{name}] with single brackets" if listed else f"write its keys under [{name}]",
    )


def shown_key(path: Sequence[str]) -> str:
    """A key as in TOML, safe to print whatever it holds."""
    return shortened(
        ".".join(
            part if part and part.replace("-", "_").isidentifier() else toml_value(part)
            for part in path
        )
    )


def shown_value(value: object) -> str:
    """A value as in TOML where it is short, safe to print whatever it holds."""
    if isinstance(value, str):
        return shortened(toml_value(value))
    if isinstance(value, bool | int | float):
        return shortened(_number(value))
    return "this"


_KINDS: dict[str, tuple[type, ...]] = {
    "integer": (int,),
    "number": (int, float),
    "boolean": (bool,),
    "string": (str,),
    "steps": (str, list),
    "object": (dict,),
}


def _kind(value: object) -> str:
    if isinstance(value, bool):
        return "a boolean"
    if isinstance(value, int):
        return "an integer"
    if isinstance(value, float):
        return "a number with a decimal point"
    if isinstance(value, str):
        return "a text"
    if isinstance(value, list):
        return "a list"
    if isinstance(value, dict):
        return "a table"
    return "a date or time" if isinstance(value, _DATES) else "something else"


_DATES = (datetime.date, datetime.time)


def _number(value: bool | int | float) -> str:
    try:
        return toml_value(value)
    except ValueError:
        # Python prints no integer of more than 4,300 digits.
        return "this integer"


def _meant(key: Key, value: object, typed: bool) -> str | None:
    unquoted = "" if typed else ", without quotation marks"
    if isinstance(value, str):
        if value.strip().lower() in NOTHING:
            return f"leave {key.path} out for its default"
        if typed and (further := re.search(r"[\s,]+(?=[a-z_.]+=)", value)):
            return f"write --set {shortened(value[further.end() :])} as an option of its own"
        near = get_close_matches(value.strip().lower(), key.choices, 1)
        if near:
            return f'did you mean "{near[0]}"?'
        if key.kind in ("integer", "number"):
            meant = number_meant(value)
            fits = meant is not None and (key.kind == "number" or meant.lstrip("-").isdecimal())
            return f"write {meant}{unquoted}" if fits else None
        if key.kind == "string" and (path := backslashes_meant(value)):
            return shortened(f"write {key.name} = '{path}' in single quotes", 4096)
    if key.kind == "boolean" and (word := boolean_meant(value)):
        return f"write {word}{unquoted if isinstance(value, str) else ''}"
    if key.kind == "integer" and isinstance(value, float) and value.is_integer():
        return f"write {int(value)}" if abs(value) < 1e15 else None
    return None


def _nearest(path: Sequence[str], value: object) -> list[str]:
    """The right keys (or the section) that look most like an unknown one."""
    section = path[0] if len(path) > 1 else ""
    name = path[-1][:80].lower().replace("-", "_")
    keys = keys_of(Profile)
    sections = sections_of(Profile)
    if section and section not in sections:
        near = get_close_matches(section[:80].lower(), sections, 1)
        if near:
            return _nearest((near[0], name), value) or [f"[{near[0]}]"]
    if not section:
        near = get_close_matches(name, sections, 1, 0.7)
        if near and (isinstance(value, dict) or name == near[0]):
            return [f"[{near[0]}]"]
    here = [key.name for key in keys if key.section == section]
    if not section:
        here.append("extends")
    if name in here:
        return [_path(section, name)]
    elsewhere = [key.path for key in keys if name in (key.name, key.path)]
    if elsewhere:
        return elsewhere
    near = get_close_matches(name, here, 1)
    if near:
        return [_path(section, near[0])]
    near = get_close_matches(name, [key.name for key in keys], 1, 0.7)
    return [key.path for key in keys if key.name in near]


def _path(section: str, name: str) -> str:
    return f"{section}.{name}" if section else name
