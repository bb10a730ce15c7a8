"""Events as JSON and back."""

from __future__ import annotations

import json
from dataclasses import MISSING, fields
from typing import Any

import pytest

from mamltui.events import EVENTS, Event, Started, event_from_dict
from tests.runs.conftest import make_step

EXAMPLES: dict[str, Any] = {
    "Text": "a text",
    "Iteration": 7,
    "Count": 2**40,
    "Flag": True,
    "Fraction": 0.1 + 0.2,
    "Fraction | None": 0.1 + 0.2,
    "Amount": 12.5,
    "Seconds": 1e6,
    "Seconds | None": 1e5,
    "PerStep[Fraction]": (0.5, 1 / 3),
    "PerStep[Amount]": (0.5, 100.0),
}


def example(kind: type[Event]) -> Event:
    return kind(**{field.name: EXAMPLES[str(field.type)] for field in fields(kind)})


def all_kinds(kind: type[Event] = Event) -> set[type[Event]]:
    return set(kind.__subclasses__()).union(*map(all_kinds, kind.__subclasses__()))


def test_every_event_has_a_name_of_its_own() -> None:
    assert {kind.name: kind for kind in all_kinds()} == EVENTS


@pytest.mark.parametrize("kind", EVENTS.values(), ids=EVENTS)
def test_an_event_comes_back_from_json_as_it_was(kind: type[Event]) -> None:
    event = example(kind)
    assert event_from_dict(json.loads(json.dumps(event.to_dict()))) == event


@pytest.mark.parametrize("kind", EVENTS.values(), ids=EVENTS)
def test_a_missing_value_is_named(kind: type[Event]) -> None:
    values = example(kind).to_dict()
    last = [field.name for field in fields(kind) if field.default is MISSING][-1]
    del values[last]
    with pytest.raises(ValueError, match=f"{last} is missing"):
        event_from_dict(values)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("iteration", "7"),
        ("iteration", 7.5),
        ("iteration", True),
        ("query_loss", "low"),
        ("query_loss", None),
        ("query_loss_per_step", 1.5),
        ("query_loss_per_step", [1.5, "x"]),
        ("query_loss_per_step", [[1.5]]),
        ("query_loss_per_step", [0.5] * 2000),
        ("iteration", -1),
        ("iteration", 10**9),
        ("iteration", 10**400),
        ("query_loss", 10**400),
        ("query_loss", float("nan")),
        ("query_loss", float("inf")),
        ("query_loss", -0.1),
        ("query_loss", 1e300),
        ("query_accuracy", 1.5),
        ("elapsed", float("nan")),
        ("elapsed", -1.0),
    ],
)
def test_a_value_of_another_type_or_out_of_range_is_refused(key: str, value: object) -> None:
    values = json.loads(json.dumps(make_step(7).to_dict()))
    with pytest.raises(ValueError, match=rf"^{key}(\.\d+)? is "):
        event_from_dict({**values, key: value})


@pytest.mark.parametrize("name", ["", "exploded", None, 3, ["step"]])
def test_an_unknown_event_is_refused(name: object) -> None:
    with pytest.raises(ValueError, match="there is no event"):
        event_from_dict({"event": name, "iteration": 1})


def test_keys_of_a_later_version_are_left_out() -> None:
    event = example(Started)
    assert event_from_dict({**event.to_dict(), "colour": "blue"}) == event
