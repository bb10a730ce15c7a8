"""The regression of sine waves: its tasks, its loss, its training and its command."""

from __future__ import annotations

import json
import math

import pytest
import torch

from mamltui.cli import main
from mamltui.cli.sine import HEIGHT, WIDTH
from mamltui.data.sinusoid import GUESSING, SinusoidSampler, Waves
from mamltui.maml.evaluate import score
from mamltui.maml.losses import SQUARED_ERROR, loss_of
from mamltui.maml.mlp import MlpNetwork
from mamltui.maml.network import NetworkSpec
from mamltui.maml.parameters import Parameters
from mamltui.maml.verify import run_verification
from mamltui.profiles import load_profile
from mamltui.training.in_memory import train_in_memory
from mamltui.training.plan import Plan
from mamltui.tui.shared.wave import drawn, title
from mamltui.waves import Fit, fit_wave

Capture = pytest.CaptureFixture[str]


def plan(shot: int, iterations: int, *changes: str) -> Plan:
    settings = (f"meta.iterations={iterations}", *changes)
    profile = load_profile(f"sinusoid-{shot}shot", settings)
    return Plan.of(profile, Waves(), torch.device("cpu"))


def errors_of(of: Plan, parameters: Parameters, tasks: int) -> list[float]:
    learner, sampler = of.learner, of.sampler("test")
    episodes = sampler.batch(0, tasks)
    scores = score(learner.network, learner.inner, parameters, episodes, steps=1)
    return list(scores.transductive.loss.mean(dim=0).tolist())


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


def test_who_answers_0_has_the_error_that_divergence_is_measured_by() -> None:
    waves = SinusoidSampler(0, "validation", 5, 20).batch(0, 4_000).query_y
    assert float(waves.square().mean()) == pytest.approx(GUESSING, rel=0.05)


def test_training_makes_the_first_step_worth_more() -> None:
    told: list[int] = []
    of = plan(10, 500, "run.log_interval=50")
    untrained = train_in_memory(plan(10, 1))
    trained = train_in_memory(of, lambda iteration, _: told.append(iteration))
    assert told == list(range(50, 501, 50))
    before, after = (errors_of(of, each, tasks=100) for each in (untrained, trained))
    assert after[1] < 0.8 * after[0]
    assert before[1] > 0.9 * before[0]
    assert after[1] < before[1]


def test_a_training_repeats_to_the_bit() -> None:
    first, again = (train_in_memory(plan(5, 4, "meta.seed=2")) for _ in range(2))
    assert all(torch.equal(value, again[name]) for name, value in first.items())
    other = train_in_memory(plan(5, 4, "meta.seed=3"))
    assert not torch.equal(first["layer1.weight"], other["layer1.weight"])


def test_a_fit_is_of_the_wave_whose_points_it_adapts_to() -> None:
    of = plan(5, 1)
    sampler = SinusoidSampler(0, "test", 5, 5)
    fit = fit_wave(of.learner, train_in_memory(of), sampler, 4, steps=2, points=30)
    assert len(fit.fitted) == len(fit.support_error) == 3
    assert fit.steps == 2
    assert len(fit.support) == 5
    for x, y in fit.support:
        assert y == pytest.approx(fit.amplitude * math.sin(x + fit.phase), abs=1e-5)
    assert fit.wave[0] == pytest.approx(fit.amplitude * math.sin(-5 + fit.phase), abs=1e-5)


def test_a_curve_is_drawn_where_it_lies() -> None:
    x = tuple(-5 + 10 * place / (2 * WIDTH - 1) for place in range(2 * WIDTH))
    high, low = (5.0,) * len(x), (-5.0,) * len(x)
    fit = Fit(1.0, 0.0, ((0.0, 0.0),), x, low, (high, low), (1.0, 0.0))
    lines = drawn(fit, 0, WIDTH, HEIGHT)
    assert title(fit, 0) == "before any step: 100.000"
    assert len(lines) == HEIGHT
    assert {len(line) for line in lines} == {WIDTH}
    assert lines[0].strip() and not lines[1].strip()
    assert "o" in lines[HEIGHT // 2]
    assert lines[HEIGHT // 2].index("o") in (WIDTH // 2 - 1, WIDTH // 2)
    assert title(fit, 1) == "after 1 step: squared error 0.000"
    assert not drawn(fit, 1, WIDTH, HEIGHT)[0].strip()
    assert [len(line) for line in drawn(fit, 1, 60, 20)] == [60] * 20


def test_the_command_draws_the_steps_and_gives_the_errors(capsys: Capture) -> None:
    assert main(["sine", "--iterations", "10", "--tasks", "8", "--shot", "5"]) == 0
    printed = capsys.readouterr()
    assert "Unseen wave 4: 4.16 sin(x + 2.82), fitted from 5 points" in printed.out
    for above in ("before any step", "after 1 step:", "after 2 steps:", "after 10 steps:"):
        assert above in printed.out
    assert "Mean squared error on 8 unseen waves, 5 points each" in printed.out
    assert "Published: 0.69, MAML [Park and Oliva 2019], second hand" in printed.out
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
