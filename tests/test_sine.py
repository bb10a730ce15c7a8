"""The regression of sine waves: its tasks, its loss, its training and its command."""

from __future__ import annotations

import json
import math

import pytest
import torch

from mamltui.cli import main
from mamltui.cli.sine import HEIGHT, WIDTH, drawn
from mamltui.data.sinusoid import SinusoidSampler
from mamltui.maml.losses import SQUARED_ERROR, loss_of
from mamltui.maml.mlp import MlpNetwork
from mamltui.maml.network import NetworkSpec
from mamltui.maml.verify import run_verification
from mamltui.training.sine import Fit, fit_sine, score_sine, train_sine

Capture = pytest.CaptureFixture[str]


def test_verify_proves_the_second_order_gradient_of_the_regression() -> None:
    report = run_verification(torch.device("cpu"), network=MlpNetwork(hidden=(7, 5)))
    assert report.trusted, [(check.name, check.relative_difference) for check in report.checks]


def test_the_derivatives_of_the_square_error_are_those_of_autograd() -> None:
    generator = torch.Generator().manual_seed(0)
    outputs, targets, direction = (
        torch.randn(3, 4, 2, generator=generator, dtype=torch.float64) for _ in range(3)
    )

    def total(values: torch.Tensor) -> torch.Tensor:
        return SQUARED_ERROR.per_task(values, targets).sum()

    gradient = torch.func.grad(total)
    mine = SQUARED_ERROR.gradient(outputs, targets, weight=1.0, smoothing=0.0)
    assert torch.allclose(mine, gradient(outputs))
    _, curved = torch.func.jvp(gradient, (outputs,), (direction,))
    assert torch.allclose(SQUARED_ERROR.curvature(outputs, direction), curved)
    assert loss_of(NetworkSpec(5)) is not SQUARED_ERROR


def test_tasks_are_a_function_of_seed_split_and_number_alone() -> None:
    sampler = SinusoidSampler(3, "train", 5, 10)
    whole, part = sampler.batch(0, 8), sampler.batch(5, 3)
    assert all(torch.equal(each[5:], own) for each, own in zip(whole, part, strict=True))
    assert whole.support_x.shape == (8, 5, 1)
    assert whole.query_y.shape == (8, 10, 1)
    for other in (SinusoidSampler(4, "train", 5, 10), SinusoidSampler(3, "test", 5, 10)):
        assert not torch.equal(other.batch(0, 8).support_x, whole.support_x)


def test_waves_are_those_of_the_paper() -> None:
    sampler = SinusoidSampler(0, "test", 5, 20)
    amplitude, phase = sampler.shapes(0, 4_000)
    for values, (low, high) in ((amplitude, (0.1, 5.0)), (phase, (0.0, math.pi))):
        assert low <= float(values.min()) < low + 0.01 * (high - low)
        assert high - 0.01 * (high - low) < float(values.max()) <= high
        assert float(values.mean()) == pytest.approx((low + high) / 2, rel=0.03)
    drawn_tasks = sampler.batch(7, 2)
    amplitude, phase = sampler.shapes(7, 2)
    expected = amplitude.view(2, 1, 1) * torch.sin(drawn_tasks.query_x + phase.view(2, 1, 1))
    assert torch.allclose(drawn_tasks.query_y, expected)
    assert float(drawn_tasks.query_x.abs().max()) <= 5


def test_training_makes_the_first_step_worth_more() -> None:
    told: list[int] = []
    untrained = train_sine(10, 1)
    trained = train_sine(10, 500, progress=lambda iteration, _: told.append(iteration))
    assert told == list(range(1, 501))
    before, after = (score_sine(each, 10, steps=1, tasks=100) for each in (untrained, trained))
    assert after.error[1] < 0.8 * after.error[0]
    assert before.error[1] > 0.9 * before.error[0]
    assert after.error[1] < before.error[1]


def test_a_training_repeats_to_the_bit() -> None:
    first, again = (train_sine(5, 4, seed=2) for _ in range(2))
    assert all(torch.equal(value, again[name]) for name, value in first.items())
    assert not torch.equal(first["layer1.weight"], train_sine(5, 4, seed=3)["layer1.weight"])


def test_a_fit_is_of_the_wave_whose_points_it_adapts_to() -> None:
    fit = fit_sine(train_sine(5, 1), 5, task=4, steps=2, points=30)
    assert len(fit.fitted) == 3
    assert len(fit.support) == 5
    for x, y in fit.support:
        assert y == pytest.approx(fit.amplitude * math.sin(x + fit.phase), abs=1e-5)
    assert fit.wave[0] == pytest.approx(fit.amplitude * math.sin(-5 + fit.phase), abs=1e-5)


def test_a_curve_is_drawn_where_it_lies() -> None:
    x = tuple(-5 + 10 * place / (2 * WIDTH - 1) for place in range(2 * WIDTH))
    high, low = (5.0,) * len(x), (-5.0,) * len(x)
    fit = Fit(1.0, 0.0, ((0.0, 0.0),), x, low, (high, low))
    title, *lines = drawn(fit, 0)
    assert title == "before any step: 100.000"
    assert len(lines) == HEIGHT
    assert lines[0].strip() and not lines[1].strip()
    assert "o" in lines[HEIGHT // 2]
    assert lines[HEIGHT // 2].index("o") in (WIDTH // 2 - 1, WIDTH // 2)
    assert drawn(fit, 1)[0] == "after 1 step: mean square error 0.000"
    assert not drawn(fit, 1)[1].strip()


def test_the_command_draws_the_steps_and_gives_the_errors(capsys: Capture) -> None:
    assert main(["sine", "--iterations", "10", "--tasks", "8", "--shot", "5"]) == 0
    printed = capsys.readouterr()
    assert "Unseen wave 4: 4.16 sin(x + 2.82), fitted from 5 points" in printed.out
    for title in ("before any step", "after 1 step:", "after 2 steps:", "after 10 steps:"):
        assert title in printed.out
    assert "Mean square error on 8 unseen waves, 5 points each" in printed.out
    assert "Published: 0.69, MAML in Park and Oliva (2019), second hand" in printed.out
    assert "iteration 10 / 10" in printed.err
    assert all(len(line) <= 79 for line in printed.out.splitlines())


def test_the_command_gives_json(capsys: Capture) -> None:
    assert main(["sine", "--iterations", "2", "--tasks", "4", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert [entry["steps"] for entry in document["steps"]] == list(range(11))
    assert all(entry["mean_squared_error"] > 0 for entry in document["steps"])
    assert document["published"]["mean_squared_error"] == 0.44


def test_other_shots_have_no_published_figure(capsys: Capture) -> None:
    assert main(["sine", "--shot", "7"]) == 2
    assert "5 and 10 points, not of 7" in capsys.readouterr().err
