"""What differs between profiles."""

from __future__ import annotations

import pytest

from mamltui.profiles import Difference, Profile, differences, other_learning, parse_profile


def profile(**sections: object) -> Profile:
    return Profile.model_validate({"name": "a", **sections})


def test_only_keys_whose_values_differ_are_found_in_the_order_of_the_file() -> None:
    first = profile(inner={"alpha": 0.4}, meta={"seed": 1})
    second = profile(inner={"alpha": 0.1}, meta={"seed": 1}, task={"shot": 5})
    found = differences([first, second])
    assert found[-1] == Difference("inner.alpha", ("0.4", "0.1"))
    assert Difference("task.shot", ("1", "5")) in found
    assert "meta.seed" not in [difference.key for difference in found]


def test_a_value_that_only_one_of_three_has_is_a_difference() -> None:
    profiles = [profile(), profile(inner={"loss_scale": "paper"}), profile()]
    assert differences(profiles) == [Difference("inner.loss_scale", ("mean", "paper", "mean"))]


def test_steps_and_switches_are_written_as_in_a_profile() -> None:
    first = profile(evaluation={"steps": "0..3"}, data={"rotations": True})
    second = profile(evaluation={"steps": "1,5"}, data={"rotations": False})
    texts = {difference.key: difference.values for difference in differences([first, second])}
    assert texts == {"evaluation.steps": ("0..3", "1,5"), "data.rotations": ("true", "false")}


def test_the_length_of_a_part_counts_only_where_the_part_is_on() -> None:
    short, long = ({"first_order_iterations": 5}, {"first_order_iterations": 7})
    assert differences([profile(plus=short), profile(plus=long)]) == []
    on = {"derivative_annealing": True}
    annealed = [profile(plus=short | on), profile(plus=long | on)]
    assert list(map(str, differences(annealed))) == ["plus.first_order_iterations 5 -> 7"]
    assert list(map(str, differences([profile(plus=short), annealed[0]]))) == [
        "plus.derivative_annealing false -> true",
        "plus.first_order_iterations - -> 5",
    ]


def test_equal_profiles_one_and_none_do_not_differ() -> None:
    assert differences([profile(), profile()]) == []
    assert differences([profile()]) == []
    assert differences([]) == []


@pytest.mark.parametrize(
    "override",
    [
        'description="again"',
        "meta.iterations=7",
        "validation.patience=3",
        "validation.keep=5",
        "run.checkpoint_interval=7",
        "evaluation.episodes=50",
        "engine.strategy=autograd",
    ],
)
def test_what_changes_no_learning_may_change_in_a_run(override: str) -> None:
    before = parse_profile('name = "a"', "a")
    assert other_learning(before, parse_profile('name = "a"', "a", [override])) == []


@pytest.mark.parametrize(
    ("override", "difference"),
    [
        ("inner.alpha=0.1", "inner.alpha 0.4 -> 0.1"),
        ("validation.interval=7", "validation.interval 500 -> 7"),
        ("meta.seed=7", "meta.seed 0 -> 7"),
        ('name="b"', "name a -> b"),
    ],
)
def test_what_changes_the_learning_may_not(override: str, difference: str) -> None:
    before = parse_profile('name = "a"', "a")
    found = other_learning(before, parse_profile('name = "a"', "a", [override]))
    assert list(map(str, found)) == [difference]
