"""Two evaluations on the same episodes."""

from __future__ import annotations

import pytest

from mamltui.results import compare_runs, paired_lines, unpaired_reason
from mamltui.results.markdown import spread_text
from tests.results.examples import evaluation, with_outcomes

EASY = [5, 5, 4, 5, 3, 5, 5, 4]
HARD = [4, 4, 3, 4, 2, 5, 4, 3]


def test_the_difference_is_that_of_the_headlines_in_points() -> None:
    compared = compare_runs(with_outcomes("hard", HARD), with_outcomes("easy", EASY))
    assert compared.episodes.difference == pytest.approx((36 - 29) / 40)
    assert compared.episodes.improvement == pytest.approx(7.5 / 8)
    assert compared.text.startswith("+17.50 ± ")
    assert "on the same 8 episodes (p < 0.001; better on 94 % of them" in compared.text
    assert compared.classes.mean == pytest.approx((36 // 4 - 29 // 4) / 10)


def test_other_episodes_are_not_compared_but_told() -> None:
    first, second = with_outcomes("a", EASY), with_outcomes("b", EASY, seed=1, query=5)
    reason = unpaired_reason(first, second)
    assert "query images a class, seed of the episodes" in reason
    with pytest.raises(ValueError, match="not tested on the same episodes"):
        compare_runs(first, second)
    assert paired_lines([first, second], ["a", "b"], "support") == [("b", reason)]


def test_a_result_of_an_earlier_version_says_how_to_renew_it() -> None:
    old = evaluation(run="old", episodes=8)
    assert "mamltui eval old" in unpaired_reason(with_outcomes("new", EASY), old)


def test_a_longer_evaluation_is_compared_on_the_common_episodes() -> None:
    compared = compare_runs(with_outcomes("a", HARD), with_outcomes("b", EASY + EASY))
    assert compared.episodes.interval.count == 8
    assert "classes" not in compared.text  # they were not asked equally often


def test_several_are_adjusted_by_holm() -> None:
    runs = [with_outcomes("a", HARD), with_outcomes("b", EASY), with_outcomes("c", HARD)]
    lines = dict(paired_lines(runs, ["a", "b", "c"], "transductive"))
    assert "as one of 2 (Holm)" in lines["b"]
    assert lines["c"].endswith("p = 1.000 as one of 2 (Holm)")


def test_the_spread_says_what_the_interval_is_of() -> None:
    plain, disjoint = with_outcomes("a", EASY), with_outcomes("a", EASY, disjoint=True)
    assert spread_text(plain, "support").startswith("± is of the episodes; over 4 classes ")
    assert spread_text(disjoint, "support").startswith("± is of the test images; ")
    assert "worst 60.0 %; calibration error 0.00 %" in spread_text(plain, "support")
    assert spread_text(evaluation(), "support") == ""
    spread = plain.spread()
    assert spread is not None
    assert spread.low == pytest.approx(0.67)
