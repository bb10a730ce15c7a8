"""The learning rate of each meta-iteration."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from mamltui.profiles import MetaSection
from mamltui.training.schedule import is_constant, learning_rate
from tests.training.small import make_profile, make_run, metrics, train


def rates(**settings: Any) -> list[float]:
    meta = MetaSection(**settings)
    return [learning_rate(meta, iteration) for iteration in range(meta.iterations)]


def test_without_a_schedule_the_rate_is_the_same_number_throughout() -> None:
    assert rates(iterations=5, learning_rate=0.1) == [0.1] * 5


def test_a_cosine_is_torchs() -> None:
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=0.3)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=49, eta_min=0.02)
    expected = []
    for _ in range(50):
        expected.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule.step()
    found = rates(iterations=50, learning_rate=0.3, final_learning_rate=0.02, schedule="cosine")
    assert found == pytest.approx(expected, rel=1e-12)
    assert (found[0], found[-1]) == (0.3, 0.02)


def test_a_line_goes_from_the_first_rate_to_the_last_in_equal_steps() -> None:
    found = rates(iterations=5, learning_rate=0.5, final_learning_rate=0.1, schedule="linear")
    assert found == pytest.approx([0.5, 0.4, 0.3, 0.2, 0.1], rel=1e-12)


@pytest.mark.parametrize("schedule", ["constant", "cosine", "linear"])
def test_the_rate_rises_in_equal_steps_and_then_follows_the_schedule(schedule: str) -> None:
    found = rates(iterations=13, learning_rate=0.4, warmup=3, schedule=schedule)
    assert found[:4] == pytest.approx([0.1, 0.2, 0.3, 0.4], rel=1e-12)
    assert found[3:] == rates(iterations=10, learning_rate=0.4, schedule=schedule)


@pytest.mark.parametrize("schedule", ["constant", "cosine", "linear"])
@pytest.mark.parametrize("iterations", [1, 2, 3, 100])
@pytest.mark.parametrize("warmup", [0, 1, 2, 3, 1000])
def test_a_rate_is_never_outside_of_its_bounds(schedule: str, iterations: int, warmup: int) -> None:
    found = rates(iterations=iterations, learning_rate=0.4, warmup=warmup, schedule=schedule)
    assert all(0 < rate <= 0.4 for rate in found)
    if schedule != "constant" and iterations - warmup > 1:
        assert found[-1] == pytest.approx(1e-5, rel=1e-12)


def test_only_a_rate_without_schedule_and_warm_up_is_constant() -> None:
    assert is_constant(MetaSection())
    assert not is_constant(MetaSection(warmup=1))
    assert not is_constant(MetaSection(schedule="linear"))


def test_a_step_tells_the_rate_that_its_update_used(root: Path) -> None:
    profile = make_profile("meta.schedule=cosine", "meta.warmup=2", "run.log_interval=1")
    run = make_run(root, profile)
    train(run)
    expected = [learning_rate(profile.meta, iteration) for iteration in range(12)]
    assert [step["learning_rate"] for step in metrics(run)] == expected
    assert expected[-1] == pytest.approx(1e-5)
