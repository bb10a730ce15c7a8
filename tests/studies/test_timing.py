"""What cells cost, which is what the time left of a study is counted by."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from mamltui.events import Event, Step, Validated
from mamltui.profiles import Profile, load_profile
from mamltui.studies.timing import cost, measured, training_share


def training_alone(name: str, *overrides: str) -> Profile:
    profile = load_profile(name, ["meta.iterations=1000", *overrides])
    update = {
        "evaluation": profile.evaluation.model_copy(update={"episodes": 0}),
        "validation": profile.validation.model_copy(update={"interval": 10**12}),
    }
    return profile.model_copy(update=update)


def test_costs_are_as_the_measured_times_of_the_papers_settings() -> None:
    # ms a meta-gradient on two cores of an AMD EPYC with AVX2, medians of four rounds, torch 2.15.
    measured = {"5way1shot": 113, "5way5shot": 517, "20way1shot": 845, "20way5shot": 4033}
    paces = [ms / cost(training_alone(name)) for name, ms in measured.items()]
    # The settings themselves are up to 40 times apart.
    assert max(paces) / min(paces) < 1.25


def test_first_order_iterations_cost_what_they_do_in_first_order_maml() -> None:
    whole = cost(training_alone("5way1shot"))
    first = cost(training_alone("5way1shot", "algorithm=fomaml"))
    annealed = ["plus.derivative_annealing=true", "plus.first_order_iterations=250"]
    mixed = cost(training_alone("5way1shot", *annealed))
    assert mixed == pytest.approx(0.25 * first + 0.75 * whole)
    assert first < whole / 1.5


def test_a_training_without_inner_steps_costs_its_support_images_too() -> None:
    one, five = (
        cost(training_alone("protonet-5way1shot", "task.query=1", f"task.shot={shot}"))
        for shot in (1, 5)
    )
    assert five == pytest.approx(3 * one)


def test_a_short_training_with_a_long_test_is_mostly_test() -> None:
    profile = load_profile("5way1shot", ["meta.iterations=10", "evaluation.episodes=6000"])
    assert training_share(profile) < 0.1
    assert training_share(load_profile("5way1shot")) > 0.9


@pytest.mark.parametrize("disturbed", [1.0, 3.0])
def test_other_work_on_the_machine_does_not_shorten_a_timed_training(disturbed: float) -> None:
    def events() -> Iterator[Event]:
        """0.1 s of the processor an iteration, 2 s a validation; the clock sees more."""
        processor = 0.0
        for iteration in range(5, 1000, 5):
            processor += 0.5
            yield step(iteration, disturbed * processor, processor)
            if iteration % 10 == 0:
                processor += 2.0
                yield validated(iteration, disturbed * processor, processor)

    assert measured(events(), by_processor=True) == pytest.approx((0.1, 2.0))
    assert measured(events(), by_processor=False) == pytest.approx(
        (0.1 * disturbed, 2.0 * disturbed)
    )


def step(iteration: int, elapsed: float, processor: float) -> Step:
    pair = (0.5, 0.5)
    return Step(iteration, 1.0, 0.5, 1.0, 0.5, pair, pair, 1.0, 0.1, 10.0, elapsed, processor)


def validated(iteration: int, elapsed: float, processor: float) -> Validated:
    pair = (0.5, 0.5)
    return Validated(iteration, 0.5, 0.1, 1.0, pair, pair, True, elapsed, processor)
