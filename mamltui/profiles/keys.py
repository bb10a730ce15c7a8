"""The keys of a profile as a flat list: the one source of help, comments, schema and messages."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from typing import Any, get_origin

from pydantic import BaseModel

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
    properties = model.model_json_schema()["properties"]
    return [
        Key(
            section=section,
            name=name,
            default=properties[name].get("default_text") or toml_value(field.default),
            unit=properties[name]["unit"],
            allowed=_allowed(properties[name]),
            description=field.description or "",
            kind=properties[name].get("type", "steps"),
            choices=tuple(properties[name].get("enum", ())),
        )
        for name, field in model.model_fields.items()
        if name not in sections_of(model)
    ]


def _allowed(schema: dict[str, Any]) -> str:
    """What a JSON Schema of one key allows, in words."""
    if "allowed_text" in schema:
        return str(schema["allowed_text"])
    if "enum" in schema:
        *most, last = (f'"{choice}"' for choice in schema["enum"])
        return f"{', '.join(most)} or {last}"
    if schema["type"] == "boolean":
        return "true or false"
    if schema["type"] == "string":
        return f"a text of one line, at most {schema['maxLength']:,} characters"
    if schema["type"] == "integer":
        return f"an integer from {schema['minimum']:,} to {schema['maximum']:,}"
    if "minimum" in schema:
        least = f"a finite number from {schema['minimum']:g}"
    else:
        least = f"a finite number above {schema['exclusiveMinimum']:g}"
    if "exclusiveMaximum" in schema:
        return f"{least} to below {schema['exclusiveMaximum']:g}"
    if "maximum" in schema:
        to = "to" if "minimum" in schema else "at most"
        separator = " " if "minimum" in schema else ", "
        return f"{least}{separator}{to} {schema['maximum']:g}"
    return least
