"""Step counts as text."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mamltui.profiles.steps import MOST_STEPS, parse_steps, steps_text


@pytest.mark.parametrize(
    ("value", "steps"),
    [
        ("0..3", (0, 1, 2, 3)),
        ("0..2,15", (0, 1, 2, 15)),
        (" 5 , 1 .. 2 ", (1, 2, 5)),
        ("7", (7,)),
        ("3..3", (3,)),
        ([10, 0, 10, 5], (0, 5, 10)),
        ((1, 2), (1, 2)),
    ],
)
def test_ranges_numbers_and_lists_become_sorted_distinct_steps(
    value: object, steps: tuple[int, ...]
) -> None:
    assert parse_steps(value) == steps


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ("", "a part is empty"),
        ("1,,2", "a part is empty"),
        ([], "no step"),
        ("five", "neither a number nor a range"),
        ("1.5", "neither a number nor a range"),
        ("0...3", "neither a number nor a range"),
        ("٣", "neither a number nor a range"),
        ("3..1", "backwards"),
        ("-1", "-1 steps"),
        ("-3..2", "-3 steps"),
        ([0, -1], "-1 steps"),
        ("0..1001", "more than 1,000 steps"),
        ("0..999999999", "more than 1,000 steps"),
        ("9" * 5000, "neither a number nor a range"),
        ([1.0], "integers only"),
        ([True], "integers only"),
        (["1"], "integers only"),
        (5, "neither a text nor a list"),
        (None, "neither a text nor a list"),
    ],
)
def test_what_is_no_step_count_is_refused_with_the_reason(value: object, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        parse_steps(value)


@settings(deadline=None)
@given(st.sets(st.integers(0, MOST_STEPS), min_size=1))
def test_the_text_of_steps_reads_back(steps: set[int]) -> None:
    assert parse_steps(steps_text(tuple(steps))) == tuple(sorted(steps))


def test_the_text_of_steps_is_short() -> None:
    assert steps_text((0, 1, 2, 5, 7, 8)) == "0..2,5,7,8"
