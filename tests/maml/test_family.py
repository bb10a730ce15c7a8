"""MAML's kin on the general strategy: each against a loop of its own in float64.

The loop takes one task at a time, with torch's own layers, and shares nothing with the engine but
the names of the parameters.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch.nn import functional as F  # noqa: N812

from mamltui.maml.engine import Engine, UncoveredError
from mamltui.maml.evaluate import score
from mamltui.maml.inner import InnerLoop, adapted_step_by_step
from mamltui.maml.network import NetworkSpec, Parameters

from .reference import random_problem, relative_difference

CPU = torch.device("cpu")
MAML = InnerLoop(3, 0.3)
FAMILY: dict[str, tuple[InnerLoop, dict[str, Any]]] = {
    "ANIL": (replace(MAML, adapts="head"), {}),
    "BOIL": (replace(MAML, adapts="body"), {}),
    "LSLR": (replace(MAML, rates="per-step"), {}),
    "Meta-SGD": (replace(MAML, rates="per-element"), {}),
    "MSL": (replace(MAML, query_weights=(0.2, 0.3, 0.5)), {}),
    "per-step shifts": (MAML, {"norm_steps": 2}),
    "MAML++": (
        replace(MAML, rates="per-step", query_weights=(0.2, 0.3, 0.5)),
        {"norm_steps": 4, "pooling": "max"},
    ),
    "first-order LSLR": (replace(MAML, rates="per-step", first_order=True), {}),
    "max-pooling": (MAML, {"pooling": "max"}),
    "flattened head": (MAML, {"head": "flatten"}),
    "layer norm": (MAML, {"normalisation": "layer"}),
    "no norm": (MAML, {"normalisation": "none"}),
    "six layers": (MAML, {"layers": 6}),
    "two layers, flattened": (MAML, {"layers": 2, "head": "flatten"}),
}


def logits_of(network: NetworkSpec, values: Parameters, x: torch.Tensor, step: int) -> torch.Tensor:
    """One task's: [examples, channels, size, size] -> [examples, way]."""
    for layer in range(1, network.layers + 1):
        kernel = values[f"conv{layer}.weight"].permute(3, 2, 0, 1)
        if network.pooling == "max":
            x = F.conv2d(x, kernel, padding=1)
        else:
            before = x.shape[-1] % 2
            x = F.conv2d(F.pad(x, (before, 1, before, 1)), kernel, stride=2)
        if network.normalisation == "batch":
            x = F.batch_norm(x, None, None, training=True, eps=1e-3)
        elif network.normalisation == "layer":
            x = F.layer_norm(x, x.shape[1:], eps=1e-3)
        shift = values[f"norm{layer}.shift"]
        if network.norm_steps:
            shift = shift[min(step, network.norm_steps - 1)]
        x = F.relu(x + shift.view(1, -1, 1, 1))
        if network.pooling == "max":
            x = F.max_pool2d(x, 2)
    # Features in the engine's order, positions before channels.
    x = x.permute(0, 2, 3, 1).flatten(1) if network.head == "flatten" else x.mean(dim=(2, 3))
    return x @ values["head.weight"] + values["head.bias"]


def plain_loop(
    network: NetworkSpec, inner: InnerLoop, parameters: Parameters, episodes: Any
) -> tuple[Parameters, float]:
    """Meta-gradient, and the mean query loss after the last step."""
    theta = {name: value.clone().requires_grad_() for name, value in parameters.items()}
    objective, last = torch.zeros(()), 0.0
    for sx, sy, qx, qy in zip(*episodes, strict=True):
        fast = dict(theta)
        for step in range(inner.steps):
            loss = F.cross_entropy(logits_of(network, fast, sx, step), sy)
            names = [n for n in fast if not n.startswith(("norm", "rate"))]
            if network.normalisation == "none":
                names = [n for n in fast if not n.startswith("rate")]
            if inner.adapts != "all":
                names = [n for n in names if n.startswith("head") == (inner.adapts == "head")]
            gradients = torch.autograd.grad(loss, [fast[n] for n in names], create_graph=True)
            for n, gradient in zip(names, gradients, strict=True):
                if inner.first_order:
                    gradient = gradient.detach()
                size = inner.alpha if inner.rates == "fixed" else theta[f"rate.{n}"]
                if inner.rates == "per-step":
                    size = size[step]
                fast[n] = fast[n] - size * gradient
            if inner.query_weights:
                query_loss = F.cross_entropy(logits_of(network, fast, qx, step + 1), qy)
                objective = objective + inner.query_weights[step] * query_loss
        query_loss = F.cross_entropy(logits_of(network, fast, qx, inner.steps), qy)
        last += query_loss.item()
        if not inner.query_weights:
            objective = objective + query_loss
    gradients = torch.autograd.grad(
        objective / episodes.tasks, list(theta.values()), materialize_grads=True
    )
    return dict(zip(theta, gradients, strict=True)), last / episodes.tasks


def problem(name: str) -> tuple[NetworkSpec, InnerLoop, Parameters, Any]:
    inner, changes = FAMILY[name]
    network, _, episodes = random_problem(tasks=2, way=3, query=2, filters=6)
    network = replace(network, **changes)
    generator = torch.Generator().manual_seed(1)
    start = network.initial_parameters(0) | inner.initial_rates(network)
    parameters = {
        name: value.double()
        + 0.1 * torch.randn(value.shape, generator=generator, dtype=torch.float64)
        for name, value in start.items()
    }
    return network, inner, parameters, episodes


@pytest.mark.parametrize("name", FAMILY)
def test_the_general_strategy_equals_a_loop_written_apart(name: str) -> None:
    network, inner, parameters, episodes = problem(name)
    engine = Engine(network, inner, device=CPU, strategy="autograd")
    found = engine.meta_gradient(parameters, episodes)
    expected, loss = plain_loop(network, inner, parameters, episodes)
    assert relative_difference(found.gradient, expected) <= 1e-10
    assert found.query_loss.item() == pytest.approx(loss, rel=1e-12)


@pytest.mark.parametrize("name", FAMILY)
def test_the_general_strategy_takes_over_by_itself(name: str) -> None:
    network, inner, _, _ = problem(name)
    network = replace(network, filters=16)  # which the fastest could do, were it MAML
    assert Engine(network, inner, device=CPU).strategy == "autograd"
    for strategy in ("native", "analytic"):
        with pytest.raises(UncoveredError, match=r"it covers .* only"):
            Engine(network, inner, device=CPU, strategy=strategy)


@pytest.mark.parametrize("name", FAMILY)
def test_more_steps_than_were_trained_are_defined(name: str) -> None:
    network, inner, parameters, episodes = problem(name)
    scores = score(network, inner, parameters, episodes, steps=inner.steps + 3)
    assert scores.transductive.loss.shape == (2, inner.steps + 4)
    assert scores.transductive.loss.isfinite().all()


def test_equal_learned_rates_are_maml() -> None:
    network, maml, parameters, episodes = problem("max-pooling")
    expected = Engine(network, maml, device=CPU).meta_gradient(parameters, episodes).gradient
    for rates in ("per-step", "per-element"):
        inner = replace(maml, rates=rates)
        start = {name: value.double() for name, value in inner.initial_rates(network).items()}
        start = {name: torch.full_like(value, maml.alpha) for name, value in start.items()}
        found = Engine(network, inner, device=CPU).meta_gradient(parameters | start, episodes)
        kept = {name: found.gradient[name] for name in expected}
        assert relative_difference(kept, expected) <= 1e-12


def test_the_body_of_anil_and_the_head_of_boil_do_not_move() -> None:
    network, _, parameters, episodes = problem("ANIL")
    for adapts, still in (("head", "conv1.weight"), ("body", "head.weight")):
        inner = replace(MAML, adapts=adapts)
        passes = list(adapted_step_by_step(network, inner, parameters, episodes, 2))
        first, last = passes[0][0], passes[-1][0]
        assert torch.equal(first[still], last[still])
        moved = "head.weight" if adapts == "head" else "conv1.weight"
        assert not torch.equal(first[moved], last[moved])


@pytest.mark.parametrize(
    "changes",
    [
        {"pooling": "mean"},
        {"normalisation": "group"},
        {"head": ""},
        {"filters": 0},
        {"layers": 17},
        {"norm_steps": -1},
        {"pooling": "max", "layers": 5},
        {"way": 2.0},
    ],
)
def test_a_network_that_cannot_be_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="there is no network"):
        replace(NetworkSpec(way=5), **changes)
