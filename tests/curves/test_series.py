"""Growing curves: their averages and extremes are what a plain loop over the points gives."""

from __future__ import annotations

import math
import threading

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mamltui.curves import Envelope, Series, envelope
from mamltui.curves.series import BLOCK, MANY_BLOCKS


def looped_average(values: list[float], weight: float) -> list[float]:
    average, count, averages = 0.0, 0, []
    for value in values:
        if math.isfinite(value):
            average = weight * average + (1 - weight) * value
            count += 1
            averages.append(average / (1 - weight**count))
        else:
            averages.append(math.nan)
    return averages


def looped_envelope(
    x: np.ndarray, y: np.ndarray, low: float, high: float, columns: int
) -> tuple[list[int], list[float], list[float]]:
    bounds = np.linspace(low, high, columns + 1)
    found: tuple[list[int], list[float], list[float]] = ([], [], [])
    for column in range(columns):
        inside = (x >= bounds[column]) & (x < bounds[column + 1])
        if column == columns - 1:
            inside |= x == high
        values = y[inside & np.isfinite(y)]
        if len(values):
            for part, value in zip(found, (column, values.min(), values.max()), strict=True):
                part.append(value)
    return found


def as_lists(found: Envelope) -> tuple[list[int], list[float], list[float]]:
    return found.column.tolist(), found.minimum.tolist(), found.maximum.tolist()


def test_points_appended_and_extended_are_read_in_order() -> None:
    series = Series([1, 2], [0.5, 0.25])
    series.append(4, 3.0)
    series.extend(np.arange(5, 1000), np.ones(995))
    assert len(series) == 998
    assert series.x[:4].tolist() == [1, 2, 4, 5]
    assert series.y[:4].tolist() == [0.5, 0.25, 3.0, 1.0]


def test_points_read_stay_as_they_were_while_more_are_appended() -> None:
    series = Series(range(200), range(200))
    x, y = series.points()
    for step in range(200, 2000):
        series.append(step, -1.0)
    assert x.tolist() == y.tolist() == list(range(200))


@pytest.mark.parametrize("x", [0.0, math.nan, math.inf])
def test_an_x_out_of_order_is_refused_and_changes_nothing(x: float) -> None:
    series = Series([1, 2], [0, 0])
    with pytest.raises(ValueError, match="ascend"):
        series.append(x, 1.0)
    with pytest.raises(ValueError, match="ascend"):
        series.extend([x], [1.0])
    assert series.x.tolist() == [1, 2]


def test_columns_of_different_length_are_refused() -> None:
    with pytest.raises(ValueError, match="equally long"):
        Series([1, 2], [1])


def test_what_is_not_finite_is_kept_as_nan() -> None:
    series = Series([0, 1], [math.inf, 1.0])
    series.append(2, -math.inf)
    assert np.isnan(series.y).tolist() == [True, False, True]


@given(
    st.lists(
        st.floats(-1e6, 1e6) | st.sampled_from([math.nan, math.inf]), min_size=1, max_size=400
    ),
    st.sampled_from([0.1, 0.6, 0.9, 0.99, 0.999]),
    st.lists(st.integers(1, 150), max_size=5),
)
def test_the_average_equals_the_plain_loop_however_the_points_came(
    values: list[float], weight: float, portions: list[int]
) -> None:
    series = Series()
    start = 0
    for portion in [*portions, len(values)]:
        part = values[start : start + portion]
        series.extend(range(start, start + len(part)), part)
        start += len(part)
        averaged = series.smoothed(weight)
        expected = looped_average(values[:start], weight)
        np.testing.assert_allclose(averaged, expected, rtol=1e-9, atol=1e-6)


def test_a_constant_curve_is_its_own_average_from_the_first_point() -> None:
    np.testing.assert_allclose(Series(range(500), [0.7] * 500).smoothed(0.99), 0.7, rtol=1e-12)


def test_another_weight_gives_another_average_and_zero_the_values() -> None:
    values = [0.0, 1.0, 0.5, 0.25]
    series = Series(range(4), values)
    for weight in (0.9, 0.5, 0.9):
        np.testing.assert_allclose(series.smoothed(weight), looped_average(values, weight))
    assert series.smoothed(0).tolist() == values


@pytest.mark.parametrize("weight", [-0.1, 1.0, math.nan])
def test_a_weight_outside_zero_to_one_is_refused(weight: float) -> None:
    with pytest.raises(ValueError, match="weight"):
        Series([0], [1]).smoothed(weight)


@given(
    st.lists(st.floats(-1e3, 1e3) | st.just(math.nan), max_size=80),
    st.integers(1, 30),
    st.integers(-20, 90),
    st.integers(1, 100),
)
def test_the_envelope_equals_the_plain_loop(
    values: list[float], columns: int, low: int, span: int
) -> None:
    x, y = np.arange(len(values), dtype=float), np.array(values, dtype=float)
    found = envelope(x, y, low, low + span, columns)
    assert as_lists(found) == looped_envelope(x, y, low, low + span, columns)
    kept = Series(x, y).envelope(low, low + span, columns)
    assert as_lists(kept) == as_lists(found)


def test_no_spike_is_lost_among_very_many_points() -> None:
    generator = np.random.default_rng(0)
    y = generator.normal(0, 1, 300_000)
    spikes = generator.choice(len(y), 40, replace=False)
    y[spikes] = 100 + np.arange(40)
    y[spikes[:5]] *= -1
    columns = 100
    assert len(y) > MANY_BLOCKS * BLOCK * columns
    found = Series(range(len(y)), y).envelope(0, len(y), columns)
    assert found.column.tolist() == list(range(columns))
    assert found.maximum.max() == 139 and found.minimum.min() == -104
    for spike in spikes:
        column = spike * columns // len(y)
        near = slice(max(0, column - 1), column + 2)
        extreme = abs(y[spike])
        assert max(found.maximum[near].max(), -found.minimum[near].min()) >= extreme


def test_extremes_of_many_points_lie_within_an_eighth_of_a_bin() -> None:
    generator = np.random.default_rng(1)
    y = generator.normal(0, 1, 200_000)
    low, high, columns = 20_000, 180_000, 50
    found = Series(range(len(y)), y).envelope(low, high, columns)
    width = (high - low) // columns
    for column, minimum, maximum in zip(*as_lists(found), strict=True):
        start, slack = low + column * width, width // 8
        inner = y[start + slack : start + width - slack]
        outer = y[start - slack : start + width + slack]
        assert outer.min() <= minimum <= inner.min()
        assert inner.max() <= maximum <= outer.max()


def test_extremes_continue_as_points_are_appended() -> None:
    y = np.random.default_rng(2).normal(0, 1, 120_000)
    whole, growing = Series(range(len(y)), y), Series()
    for start in range(0, len(y), 7_001):
        part = slice(start, start + 7_001)
        growing.extend(range(start, start + len(y[part])), y[part])
        growing.envelope(0, len(y), 20)
        growing.envelope(0, len(y), 20, weight=0.9)
    for weight in (0.0, 0.9):
        expected = whole.envelope(0, len(y), 20, weight=weight)
        found = growing.envelope(0, len(y), 20, weight=weight)
        assert found.column.tolist() == expected.column.tolist() == list(range(20))
        np.testing.assert_allclose(found.minimum, expected.minimum, rtol=1e-12)
        np.testing.assert_allclose(found.maximum, expected.maximum, rtol=1e-12)


@pytest.mark.parametrize("points", [50, 100_000])
def test_positive_extremes_leave_out_what_is_not_above_zero(points: int) -> None:
    y = np.tile([0.5, -1.0, 0.0, 0.25, math.nan], points // 5)
    y[: len(y) // 2] = -2.0
    found = Series(range(len(y)), y).envelope(0, len(y), 10, positive=True)
    assert found.column.tolist() == [5, 6, 7, 8, 9]
    assert set(found.minimum.tolist()) == {0.25} and set(found.maximum.tolist()) == {0.5}


def test_a_reader_sees_whole_points_while_another_thread_appends() -> None:
    series = Series()
    failures: list[str] = []
    done = threading.Event()

    def read() -> None:
        while not done.is_set():
            x, y = series.points()
            averaged = series.smoothed(0.5)[: len(x)]
            if not (len(x) == len(y) == len(averaged) and np.array_equal(y, -x)):
                failures.append(f"{len(x)} and {len(y)} points differ")
            series.envelope(0, 60_000, 10)

    reader = threading.Thread(target=read)
    reader.start()
    for step in range(60_000):
        series.append(step, -float(step))
    done.set()
    reader.join()
    assert not failures
    np.testing.assert_allclose(
        series.smoothed(0.5)[-1], looped_average((-series.x).tolist(), 0.5)[-1]
    )
