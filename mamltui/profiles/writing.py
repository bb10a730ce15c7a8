"""A profile written back as TOML that explains itself."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mamltui.profiles.keys import Key, toml_value
from mamltui.profiles.regression import keys_for

if TYPE_CHECKING:
    from mamltui.profiles.model import Values


def to_toml(profile: Values, *, template: bool) -> str:
    """See :meth:`mamltui.profiles.Profile.to_toml`."""
    lines: list[str] = []
    section = ""
    for key in keys_for(profile):
        if key.section != section:
            section = key.section
            lines += ["", f"[{section}]"]
        owner = getattr(profile, section) if section else profile
        line = f"{key.name} = {toml_value(getattr(owner, key.name))}"
        if template and key.path == "name":
            continue
        if template and key.path == "task.query" and profile.task.query == profile.task.shot:
            line = f"# {line}"
        lines += [f"# {_comment(key)}", line]
    return "\n".join(lines) + "\n"


def _comment(key: Key) -> str:
    unit = "" if key.unit == "-" else f" Unit: {key.unit}."
    return f"{key.description}{unit}"
