"""The keys of a profile as a flat list: the one source of help, comments, schema and messages."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal, cast, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from mamltui.profiles.steps import steps_text


@dataclass(frozen=True)
class Key:
    """One key of a profile."""

    section: str
    """Empty for a key at the top of the file."""
    name: str
    default: str
    """As TOML, or in words where it depends on something else."""
    unit: str
    allowed: str
    """What may be written, in words."""
    description: str
    kind: str
    """``integer``, ``number``, ``boolean``, ``string``, ``object`` or ``steps``."""
    choices: tuple[str, ...]
    """The only texts allowed, if they are few."""

    @property
    def path(self) -> str:
        """The key as in ``--set``: ``inner.steps``."""
        return ".".join(self.parts)

    @property
    def parts(self) -> tuple[str, ...]:
        """The key as it is nested in the file."""
        return (self.section, self.name) if self.section else (self.name,)


@cache
def keys_of(model: type[BaseModel]) -> tuple[Key, ...]:
    """All keys of a profile model in the order of the file."""
    keys = list(_keys(model, ""))
    for section, inner in sections_of(model).items():
        keys += _keys(inner, section)
    return tuple(keys)


@cache
def sections_of(model: type[BaseModel]) -> dict[str, type[BaseModel]]:
    """The sections of a profile model by name, in the order of the file."""
    return {
        name: field.annotation
        for name, field in model.model_fields.items()
        # On Python 3.10 tuple[int, ...] passes for a class, and issubclass then fails.
        if get_origin(field.annotation) is None
        and isinstance(field.annotation, type)
        and issubclass(field.annotation, BaseModel)
    }


def toml_value(value: object) -> str:
    """A value of a profile as TOML."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, tuple) and all(isinstance(each, tuple) for each in value):
        return "{" + ", ".join(f"{name} = {_argument(each)}" for name, each in value) + "}"
    if isinstance(value, tuple):
        return toml_value(steps_text(value))
    if isinstance(value, str):
        # JSON's escapes are TOML's too; whoever prints the file sees what JSON would leave raw.
        return "".join(map(_escaped, json.dumps(value, ensure_ascii=False)))
    return repr(value)


def _argument(value: object) -> str:
    if isinstance(value, tuple):
        return f"[{', '.join(map(_argument, value))}]"
    return toml_value(value)


def _escaped(char: str) -> str:
    if char.isprintable():
        return char
    return f"\\u{ord(char):04x}" if ord(char) < 0x10000 else f"\\U{ord(char):08x}"


def _keys(model: type[BaseModel], section: str) -> list[Key]:
    sections = sections_of(model)
    return [
        _key(section, name, field)
        for name, field in model.model_fields.items()
        if name not in sections
    ]


def _key(section: str, name: str, field: FieldInfo) -> Key:
    """What a field says of itself; its JSON Schema says the same, and takes long to make."""
    more = cast(dict[str, str], field.json_schema_extra)
    choices = get_args(field.annotation) if get_origin(field.annotation) is Literal else ()
    kind = "string" if choices else _KINDS.get(field.annotation, "object")
    limits = {
        name: getattr(each, name)
        for each in field.metadata
        for name in ("gt", "ge", "lt", "le", "max_length")
        if hasattr(each, name)
    }
    return Key(
        section=section,
        name=name,
        default=more.get("default_text") or toml_value(field.default),
        unit=more["unit"],
        allowed=more.get("allowed_text") or _allowed(kind, choices, limits),
        description=field.description or "",
        kind=kind,
        choices=choices,
    )


_KINDS: dict[Any, str] = {
    bool: "boolean",
    int: "integer",
    float: "number",
    str: "string",
    tuple[int, ...]: "steps",
}


def _allowed(kind: str, choices: tuple[str, ...], limits: Mapping[str, float]) -> str:
    """What may be written, in words.

    Args:
        limits: ``ge`` and ``gt``, the least and what is below it, ``le`` and ``lt``, the greatest
            and what is above it, and ``max_length``.
    """
    if choices:
        *most, last = (f'"{choice}"' for choice in choices)
        return f"{', '.join(most)} or {last}"
    if kind == "boolean":
        return "true or false"
    if kind == "string":
        return f"a text of one line, at most {limits['max_length']:,} characters"
    if kind == "integer":
        return f"an integer from {limits['ge']:,} to {limits['le']:,}"
    if "ge" in limits:
        least = f"a finite number from {limits['ge']:g}"
    else:
        least = f"a finite number above {limits['gt']:g}"
    if "lt" in limits:
        return f"{least} to below {limits['lt']:g}"
    if "le" in limits:
        to = "to" if "ge" in limits else "at most"
        separator = " " if "ge" in limits else ", "
        return f"{least}{separator}{to} {limits['le']:g}"
    return least
