"""Axes: limits that hold the data and rest, ticks at round numbers."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mamltui.tui.shared.chart.axes import Axis, x_limits, x_ticks, y_axis, y_ticks


def labels(axis: Axis, most: int = 7, *, percent: bool = False) -> list[str]:
    return [tick.label for tick in y_ticks(axis, most, percent=percent)]


@pytest.mark.parametrize(
    ("first", "last", "limits"),
    [
        (1, 60_000, (0, 60_000)),
        (1, 60_001, (0, 80_000)),
        (0, 5, (0, 5)),
        (0, 0, (0, 1)),
        (7, 7, (0, 8)),
        (30_000, 31_000, (30_000, 31_000)),
    ],
)
def test_x_limits_hold_all_points_and_end_at_a_round_number(
    first: float, last: float, limits: tuple[float, float]
) -> None:
    assert x_limits(first, last) == limits


@pytest.mark.parametrize(
    ("low", "high", "percent", "limits"),
    [
        (0.21, 0.98, True, (0.2, 1.0)),
        (0.2, 1.0, True, (0.2, 1.0)),
        (1.0, 1.0, True, (0.95, 1.0)),
        (0.0, 0.0, False, (0.0, 1.0)),
        (-3.2, 4.1, False, (-4.0, 5.0)),
        (0.953, 0.9871, True, (0.95, 0.99)),
    ],
)
def test_y_limits_are_round_numbers_around_the_data(
    low: float, high: float, percent: bool, limits: tuple[float, float]
) -> None:
    axis = y_axis(low, high, log=False, percent=percent)
    assert (axis.low, axis.high) == pytest.approx(limits, abs=1e-9)


@given(st.floats(-1e9, 1e9), st.floats(0, 1e9), st.booleans())
def test_every_axis_holds_its_data_and_has_ticks_on_it(low: float, span: float, log: bool) -> None:
    low = abs(low) + 1e-6 if log else low
    axis = y_axis(low, low + span, log=log, percent=False)
    assert axis.low <= low <= low + span <= axis.high
    assert axis.low < axis.high and (axis.low > 0 or not log)
    ticks = y_ticks(axis, 7, percent=False)
    assert 1 <= len(ticks) <= 9
    places = axis.fraction(np.array([tick.value for tick in ticks]))
    assert (places >= -1e-6).all() and (places <= 1 + 1e-6).all()
    assert (np.diff(places) > 0).all()


def test_a_log_axis_has_a_tick_at_every_decade_equally_far_apart() -> None:
    axis = y_axis(0.0007, 40.0, log=True, percent=False)
    assert (axis.low, axis.high) == (0.0005, 50.0)
    assert labels(axis) == ["0.001", "0.01", "0.1", "1", "10"]
    places = axis.fraction(np.array([0.001, 0.01, 0.1, 1.0, 10.0]))
    np.testing.assert_allclose(np.diff(places), 1 / 5)


def test_a_log_axis_of_many_decades_keeps_every_second_of_them_or_fewer() -> None:
    assert labels(Axis(1e-12, 1.0, log=True), 4) == ["1e-12", "1e-9", "1e-6", "0.001", "1"]


def test_a_log_axis_of_one_decade_has_ticks_between() -> None:
    assert labels(Axis(0.2, 2.0, log=True)) == ["0.2", "0.5", "1", "2"]


def test_a_narrow_log_axis_has_evenly_numbered_ticks() -> None:
    axis = y_axis(0.61, 0.78, log=True, percent=False)
    assert labels(axis, 4) == ["0.60", "0.65", "0.70", "0.75"]


@pytest.mark.parametrize(
    ("axis", "percent", "expected"),
    [
        (Axis(0.2, 1.0), True, ["20", "40", "60", "80", "100"]),
        (Axis(0.97, 0.99), True, ["97.0", "97.5", "98.0", "98.5", "99.0"]),
        (Axis(0.0, 2.0), False, ["0.0", "0.5", "1.0", "1.5", "2.0"]),
        (Axis(-1.0, 1.0), False, ["-1.0", "-0.5", "0.0", "0.5", "1.0"]),
        (Axis(0.0, 4e6), False, ["0e6", "1e6", "2e6", "3e6", "4e6"]),
        (Axis(0.0, 2e-7), False, ["0.0e-7", "0.5e-7", "1.0e-7", "1.5e-7", "2.0e-7"]),
    ],
)
def test_the_labels_of_an_axis_have_the_same_decimals(
    axis: Axis, percent: bool, expected: list[str]
) -> None:
    assert labels(axis, 5, percent=percent) == expected


@pytest.mark.parametrize(
    ("high", "expected"),
    [
        (5, ["0", "1", "2", "3", "4", "5"]),
        (1, ["0", "1"]),
        (6000, ["0", "2,000", "4,000", "6,000"]),
        (60_000, ["0", "20k", "40k", "60k"]),
        (1_200_000, ["0", "500k", "1M"]),
    ],
)
def test_iterations_are_whole_with_separators_or_in_thousands(
    high: float, expected: list[str]
) -> None:
    most = 5 if high <= 5 else 3
    assert [tick.label for tick in x_ticks(Axis(0, high), most)] == expected


def test_an_axis_rests_while_data_stay_on_it_and_fill_it() -> None:
    axis = y_axis(0.2, 0.9, log=False, percent=True)
    assert axis.holds(0.25, 0.85)
    assert not axis.holds(0.1, 0.85)
    assert not axis.holds(0.25, 0.95)
    assert not axis.holds(0.80, 0.85)
