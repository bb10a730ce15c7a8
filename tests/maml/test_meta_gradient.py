"""The meta-gradient against the paper's algorithm, an outside library and finite differences."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest
import torch
from torch.nn import functional as F  # noqa: N812

from mamltui.maml import outer
from mamltui.maml.engine import Engine, MetaGradient
from mamltui.maml.episode import Episodes
from mamltui.maml.inner import InnerLoop
from mamltui.maml.maml import conv_net
from mamltui.maml.network import forward_at
from mamltui.maml.strategies.autograd import Autograd

from .reference import meta_gradient, random_problem, relative_difference

STRATEGIES = ("native", "analytic", "autograd")
FLOAT64_TOLERANCE = 1e-10
FLOAT32_TOLERANCE = 1e-4


def engine_gradient(
    network: Any, weights: Any, episodes: Episodes, inner: InnerLoop, **kwargs: Any
) -> MetaGradient:
    engine = Engine(network, inner, device=torch.device("cpu"), **kwargs)
    return engine.meta_gradient(weights, episodes)


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize("first_order", [False, True], ids=["second-order", "first-order"])
@pytest.mark.parametrize("steps", [0, 1, 3, 5])
def test_equals_algorithm_2_in_float64(strategy: str, steps: int, first_order: bool) -> None:
    network, weights, episodes = random_problem(tasks=5)
    inner = InnerLoop(steps, 0.4, first_order=first_order)
    actual = engine_gradient(network, weights, episodes, inner, strategy=strategy, task_chunk=2)
    expected, loss = meta_gradient(network, inner, weights, episodes)
    assert relative_difference(actual.gradient, expected) <= FLOAT64_TOLERANCE
    assert actual.query_loss.item() == pytest.approx(loss, rel=1e-12)


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize(
    "shape",
    [
        {"way": 20, "shot": 5, "query": 5, "filters": 16, "tasks": 2},
        {"way": 2, "shot": 3, "query": 1, "channels": 3, "size": 33},
        {"way": 5, "filters": 64, "tasks": 2},
        {"way": 3, "size": 12},
    ],
    ids=["20w5s", "colour 33x33", "64 filters", "12x12"],
)
def test_equals_algorithm_2_for_other_shapes(strategy: str, shape: dict[str, int]) -> None:
    network, weights, episodes = random_problem(**shape)
    inner = InnerLoop(2, 0.1, "paper")
    actual = engine_gradient(network, weights, episodes, inner, strategy=strategy, task_chunk=1)
    expected, _ = meta_gradient(network, inner, weights, episodes)
    assert relative_difference(actual.gradient, expected) <= FLOAT64_TOLERANCE


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize("steps", [1, 3, 5])
def test_single_precision_stays_close_to_it(strategy: str, steps: int) -> None:
    network, weights, episodes = random_problem(tasks=4, filters=64)
    inner = InnerLoop(steps, 0.1)
    expected, _ = meta_gradient(network, inner, weights, episodes)
    single = {name: value.float() for name, value in weights.items()}
    actual = engine_gradient(
        network, single, episodes.to("cpu", torch.float32), inner, strategy=strategy
    )
    assert all(value.dtype == torch.float32 for value in actual.gradient.values())
    assert relative_difference(actual.gradient, expected) <= FLOAT32_TOLERANCE


def test_second_order_differs_from_first_order() -> None:
    network, weights, episodes = random_problem()
    second, _ = meta_gradient(network, InnerLoop(1, 0.4), weights, episodes)
    first = engine_gradient(network, weights, episodes, InnerLoop(1, 0.4, first_order=True))
    assert relative_difference(first.gradient, second) > 0.01


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_chunking_changes_only_rounding(strategy: str) -> None:
    network, weights, episodes = random_problem(tasks=7)
    whole = engine_gradient(network, weights, episodes, InnerLoop(2, 0.4), strategy=strategy)
    for chunk in (1, 2, 3, 7):
        chunked = engine_gradient(
            network, weights, episodes, InnerLoop(2, 0.4), strategy=strategy, task_chunk=chunk
        )
        assert relative_difference(chunked.gradient, whole.gradient) <= 1e-12


@pytest.mark.parametrize("steps", [1, 3])
def test_equals_higher(steps: int) -> None:
    """The library `higher` differentiates through torch modules and optimisers of its own."""
    higher = pytest.importorskip("higher")
    network, weights, episodes = random_problem(tasks=3)

    class Conv4(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weights = torch.nn.ParameterDict(
                {n.replace(".", "_"): torch.nn.Parameter(v.clone()) for n, v in weights.items()}
            )

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return conv_net(network, {n: self.weights[n.replace(".", "_")] for n in weights}, x)

    module = Conv4()
    adapted = [p for n, p in module.named_parameters() if "norm" not in n]
    optimiser = torch.optim.SGD(adapted, lr=0.4)
    total = 0.0
    for sx, sy, qx, qy in zip(*episodes, strict=True):
        with higher.innerloop_ctx(module, optimiser, copy_initial_weights=False) as (fast, inner):
            for _ in range(steps):
                inner.step(F.cross_entropy(fast(sx), sy))
            loss = F.cross_entropy(fast(qx), qy) / episodes.tasks
            loss.backward()
            total += loss.item()
    expected = {n: module.weights[n.replace(".", "_")].grad for n in weights}
    for strategy in STRATEGIES:
        actual = engine_gradient(
            network, weights, episodes, InnerLoop(steps, 0.4), strategy=strategy
        )
        assert relative_difference(actual.gradient, expected) <= FLOAT64_TOLERANCE
        assert actual.query_loss.item() == pytest.approx(total, rel=1e-12)


@pytest.mark.parametrize("steps", [1, 3])
def test_equals_finite_differences_with_a_smooth_activation(steps: int) -> None:
    """ReLU would not do: the inner gradient jumps, and differences diverge there."""
    network, weights, episodes = random_problem(tasks=2, filters=4)
    inner = InnerLoop(steps, 0.1)

    def evaluate(values: dict[str, torch.Tensor]) -> MetaGradient:
        def backend(network: Any, images: torch.Tensor) -> Autograd:
            smooth = partial(forward_at, network, activation=F.softplus)
            return Autograd(network, images, compute=smooth)

        return outer.meta_gradient(network, inner, values, episodes, backend)

    gradient = evaluate(weights).gradient
    generator = torch.Generator().manual_seed(1)
    for _ in range(3):
        direction = {
            n: torch.randn(v.shape, generator=generator, dtype=v.dtype) for n, v in weights.items()
        }
        slope = sum(float((gradient[n] * direction[n]).sum()) for n in weights)
        # Fourth-order central difference.
        h = 1e-4
        losses = {
            k: evaluate({n: weights[n] + k * h * direction[n] for n in weights}).query_loss.item()
            for k in (-2, -1, 1, 2)
        }
        measured = (losses[-2] - 8 * losses[-1] + 8 * losses[1] - losses[2]) / (12 * h)
        assert measured == pytest.approx(slope, rel=1e-7)


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_leaves_the_parameters_and_no_graph_behind(strategy: str) -> None:
    network, weights, episodes = random_problem()
    before = {name: value.clone() for name, value in weights.items()}
    result = engine_gradient(network, weights, episodes, InnerLoop(2, 0.4), strategy=strategy)
    assert all(torch.equal(weights[name], before[name]) for name in before)
    assert not any(value.requires_grad for value in [*weights.values(), result.query_loss])
    assert not any(value.requires_grad for value in result.gradient.values())
