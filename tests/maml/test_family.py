"""MAML's kin: every strategy that covers one against the plain statement in float64."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch.nn import functional as F  # noqa: N812

from mamltui.maml.engine import Engine
from mamltui.maml.ensemble import ensemble_scores
from mamltui.maml.evaluate import score
from mamltui.maml.inner import InnerLoop
from mamltui.maml.learner import Learner
from mamltui.maml.maml import L
from mamltui.maml.network import NetworkSpec, forward
from mamltui.maml.outer import Backend, adapted_step_by_step
from mamltui.maml.outer import meta_gradient as outer_gradient
from mamltui.maml.parameters import Parameters
from mamltui.maml.strategies.analytic import Analytic
from mamltui.maml.strategies.autograd import Autograd
from mamltui.maml.strategies.native import Kernels

from .reference import at_step, family_gradient, random_problem, relative_difference, tasks_of

CPU = torch.device("cpu")
MAML = InnerLoop(3, 0.3)
# Pulled back so strongly that the inner objective is convex, as conjugate gradients want it.
IMAML = InnerLoop(3, 0.01, outer="implicit", proximal=30.0, cg_steps=60)
FAMILY: dict[str, tuple[InnerLoop, dict[str, Any]]] = {
    "ANIL": (replace(MAML, adapts="head"), {}),
    "BOIL": (replace(MAML, adapts="body"), {}),
    "LSLR": (replace(MAML, rates="per-step"), {}),
    "Meta-SGD": (replace(MAML, rates="per-element"), {}),
    "MSL": (replace(MAML, query_weights=(0.2, 0.3, 0.5)), {}),
    "per-step shifts": (MAML, {"norm_steps": 2}),
    "MAML++ with max-pooling": (
        replace(MAML, rates="per-step", query_weights=(0.2, 0.3, 0.5)),
        {"norm_steps": 4, "pooling": "max"},
    ),
    "first-order LSLR": (replace(MAML, rates="per-step", first_order=True), {}),
    "first-order MSL": (replace(MAML, query_weights=(0.2, 0.3, 0.5), first_order=True), {}),
    "MSL without a middle": (replace(MAML, query_weights=(0.4, 0.0, 0.6)), {}),
    "label smoothing": (replace(MAML, label_smoothing=0.2), {}),
    "scale": (MAML, {"norm_scale": True}),
    "per-step scales": (MAML, {"norm_scale": True, "norm_steps": 4}),
    "running statistics": (MAML, {"running_steps": 4}),
    "few running statistics": (MAML, {"running_steps": 2, "norm_scale": True}),
    "all of MAML++": (
        replace(MAML, rates="per-step", query_weights=(0.2, 0.3, 0.5)),
        {"norm_scale": True, "norm_steps": 4, "running_steps": 4},
    ),
    "MAML++ by element": (
        replace(MAML, rates="per-element", query_weights=(0.2, 0.3, 0.5), label_smoothing=0.1),
        {"norm_scale": True, "norm_steps": 4},
    ),
    "ANIL with LSLR": (replace(MAML, adapts="head", rates="per-step"), {"norm_scale": True}),
    "no steps": (replace(MAML, steps=0), {}),
    "Curvature": (replace(MAML, rates="curvature"), {}),
    "Curvature without norm, flattened": (
        replace(MAML, rates="curvature", first_order=True),
        {"normalisation": "none", "head": "flatten"},
    ),
    "ALFA": (replace(MAML, rates="generated"), {}),
    "first-order ALFA with MSL": (
        replace(MAML, rates="generated", first_order=True, query_weights=(0.2, 0.3, 0.5)),
        {},
    ),
    "Proto-MAML": (MAML, {"prototypes": True}),
    "first-order Proto-MAML, flattened": (
        replace(MAML, first_order=True),
        {"prototypes": True, "head": "flatten", "pooling": "max"},
    ),
    "Proto-MAML++": (
        replace(MAML, rates="per-step", query_weights=(0.2, 0.3, 0.5)),
        {"prototypes": True, "norm_scale": True, "norm_steps": 4, "running_steps": 4},
    ),
    "Proto-MAML by element": (replace(MAML, rates="per-element"), {"prototypes": True}),
    "Reptile": (replace(MAML, outer="reptile"), {}),
    "Reptile with a scale": (replace(MAML, outer="reptile"), {"norm_scale": True}),
    "iMAML": (IMAML, {"filters": 3}),
    "iMAML without norm": (IMAML, {"filters": 3, "normalisation": "none"}),
    "ProtoNet": (replace(MAML, steps=0), {"prototypes": True}),
    "ProtoNet, flattened": (
        replace(MAML, steps=0),
        {"prototypes": True, "head": "flatten", "pooling": "max"},
    ),
    "max-pooling": (MAML, {"pooling": "max"}),
    "flattened head": (MAML, {"head": "flatten"}),
    "layer norm": (MAML, {"normalisation": "layer"}),
    "no norm": (MAML, {"normalisation": "none"}),
    "six layers": (MAML, {"layers": 6}),
    "two layers, flattened": (MAML, {"layers": 2, "head": "flatten"}),
}


def problem(name: str) -> tuple[NetworkSpec, InnerLoop, Parameters, Any]:
    inner, changes = FAMILY[name]
    network, _, episodes = random_problem(tasks=2, way=3, query=2, filters=6)
    network = replace(network, **changes)
    generator = torch.Generator().manual_seed(1)
    start = Learner(network, inner).initial_parameters(0)
    parameters = {
        name: value.double()
        + 0.1 * torch.rand(value.shape, generator=generator, dtype=torch.float64)
        for name, value in start.items()
    }
    return network, inner, parameters, episodes


BACKENDS: dict[str, Backend] = {"autograd": Autograd, "analytic": Analytic, "native": Kernels()}


@pytest.mark.parametrize("strategy", BACKENDS)
@pytest.mark.parametrize("name", FAMILY)
def test_a_strategy_equals_a_loop_written_apart(name: str, strategy: str) -> None:
    network, inner, parameters, episodes = problem(name)
    backend = BACKENDS[strategy]
    found = outer_gradient(network, inner, parameters, episodes, backend).times(1 / episodes.tasks)
    expected, loss = family_gradient(network, inner, parameters, episodes)
    assert set(found.drift) == set(network.tracked())
    assert list(found.gradient) == [each for each in parameters if each not in found.drift]
    ours = found.gradient | found.drift
    assert relative_difference(ours, expected) <= 1e-10
    for part in expected:  # small beside the kernels, so looked at apart
        if part.startswith(("rate", "norm")):
            assert torch.allclose(ours[part], expected[part], rtol=1e-8, atol=1e-12), part
    assert found.query_loss.item() == pytest.approx(loss, rel=1e-12)


NETWORKS = ("max-pooling", "flattened head", "layer norm", "no norm", "two layers, flattened")


@pytest.mark.parametrize("strategy", ["analytic", "native"])
@pytest.mark.parametrize("name", [*NETWORKS, "MAML++ with max-pooling", "ProtoNet, flattened"])
def test_single_precision_stays_close_to_that_loop(name: str, strategy: str) -> None:
    network, inner, parameters, episodes = problem(name)
    expected, _ = family_gradient(network, inner, parameters, episodes)
    single = {name: value.float() for name, value in parameters.items()}
    single_episodes = episodes.to(CPU, torch.float32)
    found = outer_gradient(network, inner, single, single_episodes, BACKENDS[strategy])
    found = found.times(1 / episodes.tasks)
    assert relative_difference(found.gradient | found.drift, expected) <= 1e-4


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


def test_identities_leave_the_gradient_as_it_is() -> None:
    network, inner, _, episodes = problem("Curvature")
    parameters = {n: v.double() for n, v in Learner(network, inner).initial_parameters(0).items()}
    plain = {name: value for name, value in parameters.items() if not name.startswith("rate.")}
    expected = Engine(network, MAML, device=CPU).meta_gradient(plain, episodes).gradient
    found = Engine(network, inner, device=CPU).meta_gradient(parameters, episodes).gradient
    kept = {name: found[name] for name in expected}
    assert relative_difference(kept, expected) <= 1e-12


def test_alfa_starts_with_steps_of_alpha_and_hardly_a_decay() -> None:
    network, inner, _, _ = problem("ALFA")
    learned = Learner(network, inner).initial_parameters(3)
    assert learned["rate.generator.hidden"].unique().numel() > 100
    values = {name: torch.randn(2, 4, 5) for name in inner.adapted(network)}
    gradients = {name: torch.randn(2, 4, 5) for name in values}
    moved = inner.update(network, values, gradients, learned, {}, 7)
    for name, value in values.items():
        plain = (1 - 5e-4 * inner.alpha) * value - inner.alpha * gradients[name]
        torch.testing.assert_close(moved[name], plain)


def test_a_kernels_gradient_has_three_modes_a_heads_two_and_a_biass_one() -> None:
    network = NetworkSpec(3, 1, 28, 6)
    shapes = replace(MAML, rates="curvature").rate_shapes(network)
    assert shapes["rate.conv1.weight.positions"] == (9, 9)
    assert shapes["rate.conv1.weight.inputs"] == (1, 1)
    assert shapes["rate.conv1.weight.outputs"] == (6, 6)
    assert shapes["rate.head.weight.inputs"] == (6, 6)
    assert shapes["rate.head.weight.outputs"] == shapes["rate.head.bias.outputs"] == (3, 3)
    assert len(shapes) == 4 * 3 + 2 + 1


def test_proto_maml_starts_as_protonet_and_moves_the_head_too() -> None:
    network, inner, parameters, episodes = problem("Proto-MAML")
    start, *_, last = adapted_step_by_step(network, inner, parameters, episodes, 2)
    nearest = score(network, replace(inner, steps=0), parameters, episodes, steps=0)
    adapted = score(network, inner, parameters, episodes, steps=2)
    assert torch.equal(nearest.transductive.loss[:, 0], adapted.transductive.loss[:, 0])
    for name in ("head.weight", "head.bias", "conv1.weight"):
        assert not torch.equal(start.parameters[name], last.parameters[name])
    assert adapted.support.loss[:, 2].mean() < adapted.support.loss[:, 0].mean()


@pytest.mark.parametrize("backend", BACKENDS)
def test_refined_class_means_are_those_of_a_plain_loop_and_only_of_the_queries_together(
    backend: str,
) -> None:
    network, inner, parameters, episodes = problem("ProtoNet")
    nearest = score(network, inner, parameters, episodes, steps=0)
    refines = replace(inner, refinements=2)
    refined = score(network, refines, parameters, episodes, steps=0, backend=BACKENDS[backend])
    for task, (sx, sy, qx, qy) in enumerate(zip(*episodes, strict=True)):
        support, query = (forward(network, parameters, x[None])[0][0] for x in (sx, qx))
        members = [support[sy == label] for label in range(network.way)]
        means = [each.mean(dim=0) for each in members]
        for _ in range(2):
            share = torch.stack([-(query - mean).square().sum(dim=1) for mean in means]).softmax(0)
            means = [
                (own.sum(dim=0) + part @ query) / (len(own) + part.sum())
                for own, part in zip(members, share, strict=True)
            ]
        distance = torch.stack([(query - mean).square().sum(dim=1) for mean in means], dim=1)
        expected = F.cross_entropy(-distance, qy).item()
        assert refined.transductive.loss[task, 0].item() == pytest.approx(expected, rel=1e-10)
    assert not torch.allclose(refined.transductive.loss, nearest.transductive.loss)
    assert refined.support_statistics is not None and nearest.support_statistics is not None
    torch.testing.assert_close(refined.support_statistics.loss, nearest.support_statistics.loss)
    together = ensemble_scores(network, refines, [parameters] * 2, episodes, steps=0)
    torch.testing.assert_close(together.transductive.loss, refined.transductive.loss)
    with pytest.raises(ValueError, match="there is no inner loop"):
        replace(MAML, refinements=1)


def test_the_body_of_anil_and_the_head_of_boil_do_not_move() -> None:
    network, _, parameters, episodes = problem("ANIL")
    for adapts, still in (("head", "conv1.weight"), ("body", "head.weight")):
        inner = replace(MAML, adapts=adapts)
        passes = list(adapted_step_by_step(network, inner, parameters, episodes, 2))
        first, last = passes[0].parameters, passes[-1].parameters
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


def test_first_order_is_second_order_where_the_hessian_vanishes() -> None:
    """Of answers that are sure and wrong, the gradient is large and its derivative zero."""
    network, _, parameters, episodes = problem("ANIL")
    parameters["head.weight"] = parameters["head.weight"] * 1e5
    inner = replace(MAML, adapts="head")
    whole, short = (
        Engine(network, each, device=CPU, dtype=torch.float64)
        .meta_gradient(parameters, episodes)
        .gradient
        for each in (inner, replace(inner, first_order=True))
    )
    for name in ("head.weight", "head.bias"):
        assert torch.allclose(whole[name], short[name], rtol=1e-10)
        assert whole[name].abs().max() > 0.1
    curved = dict(parameters)
    curved["head.weight"] = parameters["head.weight"] / 1e5
    whole, short = (
        Engine(network, each, device=CPU, dtype=torch.float64)
        .meta_gradient(curved, episodes)
        .gradient
        for each in (inner, replace(inner, first_order=True))
    )
    assert not torch.allclose(whole["head.weight"], short["head.weight"], rtol=1e-3)


def test_no_inner_steps_are_plain_training() -> None:
    network, inner, parameters, episodes = problem("no steps")
    theta = {name: value.clone().requires_grad_() for name, value in parameters.items()}
    losses = [L(at_step(network, 0), theta, query) for _, query in tasks_of(episodes)]
    torch.stack(losses).mean().backward()
    expected = {name: value.grad for name, value in theta.items() if value.grad is not None}
    found = Engine(network, inner, device=CPU, dtype=torch.float64)
    assert (
        relative_difference(found.meta_gradient(parameters, episodes).gradient, expected) <= 1e-12
    )


def test_reptile_takes_the_support_and_the_query_set_in_turns() -> None:
    network, inner, parameters, episodes = problem("Reptile")
    engine = Engine(network, replace(inner, steps=1), device=CPU, dtype=torch.float64)
    other = episodes._replace(query_x=1 - episodes.query_x)
    once = engine.meta_gradient(parameters, episodes).gradient
    assert torch.equal(
        engine.meta_gradient(parameters, other).gradient["head.bias"], once["head.bias"]
    )
    engine = Engine(network, replace(inner, steps=2), device=CPU, dtype=torch.float64)
    twice = engine.meta_gradient(parameters, episodes).gradient["head.bias"]
    assert not torch.allclose(engine.meta_gradient(parameters, other).gradient["head.bias"], twice)
