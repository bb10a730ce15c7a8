"""Intervals and comparisons against tables, closed forms and simulated measurements."""

from __future__ import annotations

import math

import numpy as np
import pytest

from mamltui.statistics import (
    Reliability,
    class_interval,
    episode_interval,
    holm,
    image_interval,
    low_percentile,
    paired_difference,
    seed_interval,
    student_quantile,
    student_tail,
)


@pytest.mark.parametrize(
    ("freedom", "quantile"),
    [(1, 12.7062), (2, 4.30265), (4, 2.77645), (10, 2.22814), (30, 2.04227), (599, 1.96394)],
)
def test_students_quantile_is_that_of_the_tables(freedom: int, quantile: float) -> None:
    assert student_quantile(0.975, freedom) == pytest.approx(quantile, abs=5e-5)
    assert student_tail(quantile, freedom) == pytest.approx(0.025, abs=1e-6)


def test_tails_of_one_and_two_degrees_of_freedom_are_their_closed_forms() -> None:
    for value in (0.01, 0.5, 1.0, 3.0, 50.0):
        assert student_tail(value, 1) == pytest.approx(0.5 - math.atan(value) / math.pi, rel=1e-12)
        expected = 0.5 * (1 - value / math.sqrt(2 + value * value))
        assert student_tail(value, 2) == pytest.approx(expected, rel=1e-9)


def test_an_interval_of_episodes_is_the_papers() -> None:
    interval = episode_interval([0.8, 1.0, 1.0, 0.6])

    assert interval.mean == pytest.approx(0.85)
    assert interval.half_width == pytest.approx(1.96 * np.std([0.8, 1, 1, 0.6], ddof=1) / 2)
    assert (interval.of, interval.count) == ("episodes", 4)


def test_few_seeds_have_students_wide_interval_and_one_seed_has_none() -> None:
    interval = seed_interval([0.90, 0.92, 0.94])

    assert interval.half_width == pytest.approx(4.30265 * 0.02 / math.sqrt(3), abs=1e-6)
    assert interval.of == "training seeds"
    alone = seed_interval([0.9])
    assert alone.mean == 0.9
    assert math.isnan(alone.half_width)


def coverage(interval_of: object, draws: list[list[float]], truth: float) -> float:
    assert callable(interval_of)
    intervals = [interval_of(values) for values in draws]
    return sum(each.low <= truth <= each.high for each in intervals) / len(intervals)


def test_the_interval_of_test_images_holds_the_truth_in_95_of_100_cases() -> None:
    generator = np.random.default_rng(1)
    draws = generator.normal(0.9, 0.1, (1000, 8)).tolist()

    assert coverage(image_interval, draws, 0.9) == pytest.approx(0.95, abs=0.015)
    # With 1.96 for eight disjoint episodes it would be too narrow.
    assert coverage(episode_interval, draws, 0.9) < 0.92


def test_the_interval_of_classes_holds_the_truth_though_classes_differ() -> None:
    generator = np.random.default_rng(2)
    hits = 0
    for _ in range(60):
        skill = generator.beta(9, 1, 40)  # of each class; 0.9 in the mean
        queries = generator.integers(20, 40, 40)
        interval = class_interval(generator.binomial(queries, skill).tolist(), queries.tolist())
        hits += interval.low <= 0.9 <= interval.high
    assert 51 <= hits <= 59


def test_the_interval_of_classes_is_the_same_again_and_leaves_out_what_was_not_asked() -> None:
    interval = class_interval([3, 5, 0, 4], [4, 5, 0, 4])

    assert interval == class_interval([3, 5, 4], [4, 5, 4])
    assert interval.count == 3
    assert interval.mean == pytest.approx(12 / 13)
    assert math.isnan(class_interval([3], [4]).low)
    assert math.isnan(class_interval([], []).mean)


def test_a_paired_comparison_sees_what_two_intervals_would_not() -> None:
    generator = np.random.default_rng(3)
    hard = generator.uniform(0.5, 1.0, 300)
    first = hard + generator.normal(0, 0.02, 300)
    second = hard + generator.normal(0.01, 0.02, 300)

    compared = paired_difference(first.tolist(), second.tolist())

    apart = episode_interval(first.tolist()), episode_interval(second.tolist())
    assert compared.is_significant
    assert compared.interval.low > 0
    assert apart[0].high > apart[1].low
    assert compared.difference == pytest.approx(apart[1].mean - apart[0].mean)
    assert compared.improvement > 0.5


def test_the_interval_of_a_difference_holds_zero_just_where_the_test_says_nothing() -> None:
    generator = np.random.default_rng(4)
    for _ in range(200):
        first, second = generator.normal(0, 1, 12), generator.normal(0.5, 1, 12)
        compared = paired_difference(first.tolist(), second.tolist())
        holds_zero = compared.interval.low <= 0 <= compared.interval.high
        assert holds_zero is not compared.is_significant


def test_the_least_detectable_difference_is_seen_in_four_of_five_cases() -> None:
    generator = np.random.default_rng(5)
    pilot = generator.normal(0, 0.1, 100)
    least = paired_difference([0.0] * 100, pilot.tolist()).least_detectable
    true = least * 0.1 / float(np.std(pilot, ddof=1))
    seen = [
        paired_difference([0.0] * 100, draw.tolist()).is_significant
        for draw in generator.normal(true, 0.1, (400, 100))
    ]
    assert np.mean(seen) == pytest.approx(0.8, abs=0.06)


def test_equal_runs_differ_by_nothing() -> None:
    compared = paired_difference([0.8, 1.0, 0.6], [0.8, 1.0, 0.6])

    assert (compared.difference, compared.p_value, compared.improvement) == (0, 1, 0.5)
    assert compared.least_detectable == 0


def test_a_constant_difference_is_certain() -> None:
    compared = paired_difference([0.1, 0.2, 0.3], [0.6, 0.7, 0.8])
    assert compared.p_value == pytest.approx(0, abs=1e-9)
    assert compared.improvement == 1


def test_a_paired_comparison_needs_the_same_episodes() -> None:
    with pytest.raises(ValueError, match="same two or more"):
        paired_difference([0.8, 1.0], [0.8])
    with pytest.raises(ValueError, match="same two or more"):
        paired_difference([0.8], [0.9])


def test_holm_multiplies_the_smallest_by_all_and_never_goes_back() -> None:
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([0.9, 0.8]) == pytest.approx([1.0, 1.0])
    assert holm([]) == []


def test_the_fifth_percentile_of_tasks() -> None:
    assert low_percentile([i / 100 for i in range(101)]) == pytest.approx(0.05)
    assert math.isnan(low_percentile([]))


def test_the_calibration_error_of_honest_and_of_boasting_answers() -> None:
    generator = np.random.default_rng(6)
    confidence = generator.uniform(0.2, 1, 200_000)
    honest = Reliability.of(confidence.tolist(), (generator.random(200_000) < confidence).tolist())
    boasting = Reliability.of([1.0] * 4, [True, True, True, False])

    assert honest.error < 0.01
    assert boasting.error == pytest.approx(0.25)
    assert sum(honest.answers) == 200_000
    assert math.isnan(Reliability.of([], []).error)


def test_a_confidence_on_the_border_of_two_bins_is_in_the_lower() -> None:
    bins = Reliability.of([0.0, 1 / 15, 1.0], [True, False, True])
    assert bins.answers[0] == 2
    assert bins.answers[-1] == 1
