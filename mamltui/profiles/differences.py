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

    def __str__(self) -> str:
        return f"{self.key} {' -> '.join(self.values)}"


def differences(profiles: Sequence[Profile]) -> list[Difference]:
    """The keys whose values are not all the same, in the order of the file."""
    settings = [_flat(profile) for profile in profiles]
    found = [
        Difference(key, tuple(_text(each[key]) for each in settings))
        for key in (settings[0] if settings else ())
    ]
    return [difference for difference in found if len(set(difference.values)) > 1]


MAY_CHANGE = frozenset(("description", "meta.iterations", "validation.patience", "validation.keep"))
"""Keys of a profile that do not change what is learned in an iteration."""
SECTIONS_THAT_MAY_CHANGE = frozenset(("run", "evaluation", "engine"))
"""Likewise whole sections."""


def other_learning(before: Profile, after: Profile) -> list[Difference]:
    """The differences for which a run of ``before`` cannot go on by ``after``.

    The one rule of what a resumed run may change; how many iterations are done already is not
    asked here.
    """
    return [
        difference
        for difference in differences([before, after])
        if difference.key not in MAY_CHANGE
        and difference.key.partition(".")[0] not in SECTIONS_THAT_MAY_CHANGE
    ]


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
