"""The rules for profiles as JSON Schema, which editors check a file against while it is typed."""

from __future__ import annotations

from typing import Any

from mamltui.profiles.profile import Profile
from mamltui.profiles.sources import EXTENDS, EXTENDS_HELP


def json_schema() -> dict[str, Any]:
    """JSON Schema (draft 2020-12) of a profile; ``unit`` is a keyword of our own."""
    schema: dict[str, Any] = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **Profile.model_json_schema(),
        "title": "mamltui profile",
        "description": "An experiment, as described by a TOML file.",
    }
    schema["properties"] = {
        EXTENDS: {
            "type": "string",
            "description": EXTENDS_HELP,
            "unit": "-",
        },
        **schema["properties"],
    }
    for model in (schema, *schema["$defs"].values()):
        for key in model["properties"].values():
            # Such a default depends on the file or on another key: no one value is true of it.
            if key.pop("default_text", None):
                key.pop("default", None)
            key.pop("allowed_text", None)
    return schema
