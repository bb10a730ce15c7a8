"""The outer update beside torch's optimizers, on made-up parameters in float64."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from mamltui.events import Step
from mamltui.maml.network import NetworkSpec
from mamltui.profiles import MetaSection
from mamltui.training import Control
from mamltui.training.clipping import clipped, global_norm
from mamltui.training.clock import Seconds
from mamltui.training.schedule import learning_rate
from mamltui.training.state import TrainingState
from tests.training.small import (
    ALL_REMEDIES,
    CPU,
    assert_same_training,
    make_profile,
    make_run,
    make_trainer,
    train,
)

NETWORK = NetworkSpec(way=3, channels=1, image_size=8, filters=4, running_steps=2)
SHAPES = {
    "conv1.weight": (3, 4),
    "norm1.shift": (4,),
    "norm1.mean": (2, 4),
    "norm1.variance": (2, 4),
    "head.weight": (4, 3),
    "rate.head.weight": (2,),
}
TRACKED = ["norm1.mean", "norm1.variance"]
LEARNED = [name for name in SHAPES if name not in TRACKED]
DECAYED = ["conv1.weight", "head.weight"]
FINE, BAD = torch.tensor(False), torch.tensor(True)


def random(seed: int) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return {
        name: torch.randn(shape, generator=generator, dtype=torch.float64)
        for name, shape in SHAPES.items()
    }


def found(seed: int) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """A gradient, and how far running statistics are from what was observed."""
    values = random(seed)
    return {name: values[name] for name in LEARNED}, {name: values[name] for name in TRACKED}


def make_state(**settings: Any) -> TrainingState:
    parameters = random(0)
    zeros = [{name: torch.zeros_like(value) for name, value in parameters.items()} for _ in "12"]
    return TrainingState(
        network=NETWORK,
        meta=MetaSection(**settings),
        parameters=parameters,
        exp_avg=zeros[0],
        exp_avg_sq=zeros[1],
        steps=[torch.tensor(0.0) for _ in LEARNED],
    )


def as_torch_does(meta: MetaSection, iterations: int) -> dict[str, Tensor]:
    """The learned parameters after as many updates."""
    parameters = {name: random(0)[name].requires_grad_() for name in LEARNED}
    groups = [
        {"params": [parameters[name] for name in DECAYED], "weight_decay": meta.weight_decay},
        {"params": [parameters[name] for name in LEARNED if name not in DECAYED]},
    ]
    if meta.optimizer == "sgd":
        # Without momentum, decay that is decoupled is that of the loss.
        optimizer: torch.optim.Optimizer = torch.optim.SGD(groups)
    elif meta.weight_decay:
        groups[1]["weight_decay"] = 0.0  # AdamW's own default is another
        optimizer = torch.optim.AdamW(groups)
    else:
        optimizer = torch.optim.Adam(groups)
    for iteration in range(iterations):
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(meta, iteration)
        for name, parameter in parameters.items():
            parameter.grad = random(iteration + 1)[name]
        if meta.clip_value:
            torch.nn.utils.clip_grad_value_(parameters.values(), meta.clip_value)
        if meta.clip_norm:
            torch.nn.utils.clip_grad_norm_(parameters.values(), meta.clip_norm)
        optimizer.step()
    return {name: value.detach() for name, value in parameters.items()}


@pytest.mark.parametrize("optimizer", ["adam", "sgd"])
@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"weight_decay": 0.3},
        {"clip_norm": 0.7},
        {"clip_norm": 1e6},
        {"clip_value": 0.4},
        {"clip_value": 0.4, "clip_norm": 0.7},
        {"schedule": "cosine", "warmup": 3},
        {
            "schedule": "linear",
            "warmup": 2,
            "weight_decay": 0.3,
            "clip_value": 0.4,
            "clip_norm": 0.7,
        },
    ],
    ids=lambda settings: " ".join(settings) or "default",
)
def test_an_update_is_that_of_torch(optimizer: str, settings: dict[str, Any]) -> None:
    state = make_state(iterations=12, learning_rate=0.05, optimizer=optimizer, **settings)
    for iteration in range(12):
        state.apply(*found(iteration + 1), unless=FINE)
    for name, expected in as_torch_does(state.meta, 12).items():
        torch.testing.assert_close(state.parameters[name], expected, rtol=1e-12, atol=1e-12)


def test_clipping_is_by_value_first_and_then_by_the_norm_of_what_is_left() -> None:
    gradient = {"a": torch.tensor([30.0, -0.3]), "b": torch.tensor([0.4])}
    limited = clipped(gradient, value=1.2, norm=0.65)
    torch.testing.assert_close(limited["a"], torch.tensor([0.6, -0.15]))
    torch.testing.assert_close(limited["b"], torch.tensor([0.2]))


def test_a_gradient_within_its_limits_is_left_as_it_is() -> None:
    gradient, _ = found(3)
    for limited in (clipped(gradient), clipped(gradient, value=99.0, norm=99.0)):
        assert list(limited) == LEARNED
        assert all(torch.equal(limited[name], gradient[name]) for name in LEARNED)


def test_a_gradient_of_zeros_can_be_clipped() -> None:
    limited = clipped({"a": torch.zeros(3)}, value=1.0, norm=1.0)
    assert torch.equal(limited["a"], torch.zeros(3))


@pytest.mark.parametrize("optimizer", ["adam", "sgd"])
def test_running_statistics_are_followed_and_no_gradient(optimizer: str) -> None:
    state = make_state(optimizer=optimizer, clip_norm=0.1, clip_value=0.1, weight_decay=0.3)
    gradient, drift = found(1)
    state.apply(gradient, drift, unless=FINE)
    for name in TRACKED:
        expected = random(0)[name] - 0.1 * drift[name]
        torch.testing.assert_close(state.parameters[name], expected, rtol=0, atol=1e-15)
        assert not state.exp_avg[name].any()
        assert not state.exp_avg_sq[name].any()
    learned = torch.cat([gradient[name].flatten() for name in LEARNED])
    torch.testing.assert_close(global_norm(gradient), learned.norm(), rtol=1e-12, atol=0)


def test_a_learned_rate_does_not_decay() -> None:
    state = make_state(optimizer="sgd", weight_decay=100.0)
    still = {name: torch.zeros_like(value) for name, value in found(0)[0].items()}
    state.apply(still, {}, unless=FINE)
    changed = [name for name, value in random(0).items() if (state.parameters[name] != value).any()]
    assert changed == DECAYED


@pytest.mark.parametrize("optimizer", ["adam", "sgd"])
def test_a_bad_gradient_changes_nothing(optimizer: str) -> None:
    state = make_state(optimizer=optimizer, weight_decay=0.3, clip_norm=0.1)
    bad = [{name: value * torch.nan for name, value in part.items()} for part in found(1)]
    state.update(*bad, unless=BAD)
    for name, value in random(0).items():
        assert torch.equal(state.parameters[name], value)


@pytest.mark.parametrize("name", SHAPES)
def test_where_a_device_is_not_waited_for_a_bad_gradient_changes_nothing_either(name: str) -> None:
    state = make_state(optimizer="sgd")
    state._replace(name, state.parameters[name] * torch.nan, BAD)
    assert torch.equal(state.parameters[name], random(0)[name])


@pytest.mark.parametrize("optimizer", ["adam", "sgd"])
def test_a_stopped_training_with_all_remedies_goes_on_to_the_same_end(
    root: Path, optimizer: str
) -> None:
    profile = make_profile(*ALL_REMEDIES, f"meta.optimizer={optimizer}")
    straight, run = make_run(root, profile), make_run(root, profile)
    train(straight)
    control = Control()
    for event in make_trainer(run, control=control).train():
        if isinstance(event, Step) and event.iteration == 6:
            control.stop("now")
    assert run.load_checkpoint("last").iteration == 6
    train(run)
    assert_same_training(run, straight)


def test_plain_gradient_descent_keeps_no_moments(root: Path) -> None:
    run = make_run(root, make_profile("meta.optimizer=sgd"))
    train(run)
    adam = run.load_checkpoint("last").adam
    assert adam.step == 0
    assert not any(value.any() for value in (*adam.exp_avg.values(), *adam.exp_avg_sq.values()))


def test_a_checkpoint_of_running_statistics_is_gone_on_from_exactly() -> None:
    straight, stopped = make_state(weight_decay=0.3), make_state(weight_decay=0.3)
    for iteration in range(6):
        straight.apply(*found(iteration), unless=FINE)
    for iteration in range(3):
        stopped.apply(*found(iteration), unless=FINE)
    again = TrainingState.restored(stopped.checkpoint(Seconds()), straight.meta, CPU)
    for iteration in range(3, 6):
        again.apply(*found(iteration), unless=FINE)
    for ours, theirs in zip(again.tensors, straight.tensors, strict=True):
        assert torch.equal(ours, theirs)
