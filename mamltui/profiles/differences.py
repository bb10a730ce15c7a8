"""What differs between profiles, key by key."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from mamltui.profiles.profile import Profile
from mamltui.profiles.steps import steps_text


@dataclass(frozen=True)
class Difference:
    """A key that has not the same value in all of the profiles."""

    key: str
    """As in ``--set``: ``inner.steps``."""
    values: tuple[str, ...]
    """One a profile, as people write it."""


def differences(profiles: Sequence[Profile]) -> list[Difference]:
    """The keys whose values are not all the same, in the order of the file."""
    settings = [_flat(profile) for profile in profiles]
    found = [
        Difference(key, tuple(_text(each[key]) for each in settings))
        for key in (settings[0] if settings else ())
    ]
    return [difference for difference in found if len(set(difference.values)) > 1]


def _flat(profile: Profile) -> dict[str, Any]:
    """The profile's values under dotted keys."""
    flat: dict[str, Any] = {}
    for section, value in profile.model_dump(mode="json").items():
        if isinstance(value, dict):
            flat |= {f"{section}.{key}": item for key, item in value.items()}
        else:
            flat[section] = value
    return flat


def _text(value: Any) -> str:
    if isinstance(value, list):
        return steps_text(value)
    return json.dumps(value) if isinstance(value, bool) else str(value)
