"""A training as JSON lines."""

from __future__ import annotations

import io
import json
import math
from dataclasses import replace
from typing import NoReturn

from mamltui.events import Event, Step
from mamltui.headless import JsonDisplay


def _refuse(constant: str) -> NoReturn:
    raise AssertionError(f"{constant} is not JSON")


def test_every_event_is_one_valid_line_in_order(events: list[Event]) -> None:
    stream = io.StringIO()
    with JsonDisplay(stream) as display:
        for event in events:
            display.show(event)
    rows = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert [row["event"] for row in rows] == [event.name for event in events]
    assert [row["iteration"] for row in rows] == [event.iteration for event in events]
    assert rows[1]["query_loss_per_step"] == list(events[1].query_loss_per_step)  # type: ignore[attr-defined]


def test_numbers_that_are_not_finite_become_null(events: list[Event]) -> None:
    step = next(event for event in events if isinstance(event, Step))
    stream = io.StringIO()
    JsonDisplay(stream).show(
        replace(step, query_loss=math.nan, query_loss_per_step=(1.0, -math.inf))
    )
    row = json.loads(stream.getvalue(), parse_constant=_refuse)
    assert row["query_loss"] is None
    assert row["query_loss_per_step"] == [1.0, None]
    assert row["query_accuracy"] == step.query_accuracy


def test_a_line_is_written_through_at_once(events: list[Event]) -> None:
    buffer = io.BytesIO()
    stream = io.TextIOWrapper(buffer, encoding="utf-8")
    JsonDisplay(stream).show(events[0])
    assert buffer.getvalue().endswith(b"\n")
