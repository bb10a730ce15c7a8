"""What differs between profiles, key by key."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel

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
    found = []
    for name in Profile.model_fields if profiles else ():
        parts = [getattr(profile, name) for profile in profiles]
        # Profiles of many runs have most sections in common: each is written out once.
        distinct = {id(part): part for part in parts}
        if len(distinct) == 1:
            continue
        settings = {each: _flat_part(name, part) for each, part in distinct.items()}
        for key in settings[id(parts[0])]:
            texts = {each: _text(values[key]) for each, values in settings.items()}
            if len(set(texts.values())) > 1:
                found.append(Difference(key, tuple(texts[id(part)] for part in parts)))
    return found


LENGTH = frozenset(("meta.iterations", "validation.patience"))
"""Keys of a profile that say how long it trains, not what is learned in an iteration."""
MAY_CHANGE = LENGTH | {"description", "validation.keep"}
"""Keys that do not change what is learned in an iteration."""
SECTIONS_THAT_MAY_CHANGE = frozenset(("run", "evaluation", "engine"))
"""Likewise whole sections."""
PARTS = {
    "plus.multi_step_iterations": "plus.multi_step_loss",
    "plus.first_order_iterations": "plus.derivative_annealing",
}
"""Lengths, and the switch without which each has no effect."""


def other_learning(before: Profile, after: Profile) -> list[Difference]:
    """The differences for which a run of ``before`` cannot go on by ``after``.

    How many iterations are done already is not asked here.
    """
    return [
        difference for difference in differences([before, after]) if not _may_change(difference.key)
    ]


def experiment_key(profile: Profile) -> str:
    """What decides what is learned and which checkpoint is the best, as text.

    Where it is equal, a run of one profile does for the other, whatever their names. For that it
    must also be as long and of the same precision, which a run that goes on need not be.
    """
    decisive = {
        key: value
        for key, value in _flat(profile).items()
        if key in LENGTH or key == "engine.precision" or not (key == "name" or _may_change(key))
    }
    return json.dumps(decisive, sort_keys=True)


def _may_change(key: str) -> bool:
    """Whether a run may go on with another value of ``key``: the same is learned with it."""
    return key in MAY_CHANGE or key.partition(".")[0] in SECTIONS_THAT_MAY_CHANGE


def _flat(profile: Profile) -> dict[str, Any]:
    """The profile's values under dotted keys; None: it has no effect, for its part is off."""
    flat: dict[str, Any] = {}
    for name in Profile.model_fields:
        flat |= _flat_part(name, getattr(profile, name))
    return flat


def _flat_part(name: str, part: Any) -> dict[str, Any]:
    """Of a section its values under dotted keys, likewise; of what stands above them the value."""
    if not isinstance(part, BaseModel):
        return {name: part}
    flat = {f"{name}.{key}": value for key, value in part.model_dump(mode="json").items()}
    off = [length for length, switch in PARTS.items() if not flat.get(switch, True)]
    return flat | dict.fromkeys(off)


def _text(value: Any) -> str:
    if isinstance(value, list) and all(isinstance(each, list) for each in value):
        return ", ".join(f"{name}={json.dumps(each)}" for name, each in value) or "none"
    if isinstance(value, list):
        return steps_text(value)
    if value is None:
        return "-"
    return json.dumps(value) if isinstance(value, bool) else str(value)
