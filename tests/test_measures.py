"""The pace, the history and the words that displays derive from events."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mamltui.events import Event, Resumed, Validated
from mamltui.measures import BARS, History, Pace, duration


def test_the_pace_counts_what_validation_takes(events: list[Event]) -> None:
    pace = Pace()
    for event in events:
        if event.iteration <= 300:
            pace.note(event)
    # 100 iterations of 0.1 s and 5 s of validation: 0.15 s an iteration, 100 of them to go.
    assert pace.seconds_per_iteration() == pytest.approx(0.15)
    assert pace.seconds_left(300, 400) == pytest.approx(15.0)


def test_before_the_first_validation_the_pace_is_that_of_the_steps(events: list[Event]) -> None:
    pace = Pace()
    for event in events:
        if event.iteration <= 50:
            pace.note(event)
    assert pace.seconds_per_iteration() == pytest.approx(0.1)


def test_the_pace_is_unknown_before_two_marks_and_after_a_pause(events: list[Event]) -> None:
    pace = Pace()
    assert pace.seconds_left(0, 400) is None
    for event in events:
        pace.note(event)
    assert pace.seconds_left(399, 400) is not None
    pace.note(Resumed(400))
    assert pace.seconds_left(400, 400) is None


def test_the_pace_follows_a_change_of_speed(events: list[Event]) -> None:
    pace = Pace()
    for event in events:
        pace.note(event)
    validated = [event for event in events if isinstance(event, Validated)][-1]
    elapsed = validated.elapsed
    for iteration in range(500, 1000, 100):
        elapsed += 100.0
        fields = {**validated.__dict__, "iteration": iteration, "elapsed": elapsed}
        pace.note(Validated(**fields))
    assert pace.seconds_per_iteration() == pytest.approx(1.0)


@given(st.lists(st.floats(-1e3, 1e3), max_size=700), st.integers(0, 90))
def test_a_sparkline_fits_its_width_and_reaches_both_ends(values: list[float], width: int) -> None:
    history = History(capacity=64)
    for value in values:
        history.append(value)
    line = history.sparkline(width)
    assert len(line) <= width
    assert set(line) <= set(BARS)
    if len(values) >= 2 and len(set(line)) > 1:
        assert {BARS[0], BARS[-1]} <= set(line)


def test_a_sparkline_falls_when_the_values_fall() -> None:
    history = History(capacity=64)
    for value in range(10_000, 0, -1):
        history.append(float(value))
    line = history.sparkline(20)
    assert len(line) == 20
    assert list(line) == sorted(line, reverse=True)
    assert line[0] == BARS[-1] and line[-1] == BARS[0]


def test_a_history_leaves_out_what_is_not_finite() -> None:
    history = History()
    for value in (1.0, math.nan, math.inf, 2.0):
        history.append(value)
    assert history.sparkline(10) == BARS[0] + BARS[-1]


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.4, "0:00:00"), (3731.6, "1:02:12"), (90_000.0, "1 day, 1:00:00"), (None, "-")],
)
def test_durations_read_as_clock_time(seconds: float | None, text: str) -> None:
    assert duration(seconds) == text


def test_a_duration_that_is_not_finite_is_a_dash() -> None:
    assert duration(math.nan) == duration(math.inf) == "-"
