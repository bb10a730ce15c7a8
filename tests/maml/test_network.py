"""The network against torch's own layers, its parameters and their start."""

from __future__ import annotations

import math

import pytest
import torch

from mamltui.maml.maml import conv_net
from mamltui.maml.network import NetworkSpec, forward

from .reference import random_problem


@pytest.mark.parametrize("size", [28, 33, 12, 84])
@pytest.mark.parametrize("channels", [1, 3])
def test_equals_torchs_convolution_and_batch_norm(size: int, channels: int) -> None:
    network, weights, episodes = random_problem(tasks=2, size=size, channels=channels, filters=4)
    logits, _ = forward(network, weights, episodes.query_x)
    expected = torch.stack([conv_net(network, weights, images) for images in episodes.query_x])
    torch.testing.assert_close(logits, expected)


def test_tasks_do_not_see_each_other() -> None:
    network, weights, episodes = random_problem(tasks=3)
    together, _ = forward(network, weights, episodes.query_x)
    alone, _ = forward(network, weights, episodes.query_x[1:2])
    torch.testing.assert_close(together[1:2], alone)


def test_parameters_start_as_in_the_papers_code() -> None:
    network = NetworkSpec(way=20)
    parameters = network.initial_parameters(seed=0)
    assert {name: tuple(value.shape) for name, value in parameters.items()} == (
        network.parameter_shapes()
    )
    bound = math.sqrt(6 / (9 * (64 + 64)))
    kernel = parameters["conv2.weight"]
    assert kernel.abs().max() <= bound
    assert kernel.std().item() == pytest.approx(bound / math.sqrt(3), rel=0.02)
    assert parameters["head.weight"].std().item() == pytest.approx(1, rel=0.05)
    zeros = [name for name in parameters if name.endswith(("shift", "bias"))]
    assert all(not parameters[name].any() for name in zeros)
    assert network.parameter_count() == sum(value.numel() for value in parameters.values())


def test_parameters_depend_on_the_seed_alone() -> None:
    network = NetworkSpec(way=5)
    torch.manual_seed(7)
    first = network.initial_parameters(seed=3)
    torch.manual_seed(8)
    again, other = network.initial_parameters(seed=3), network.initial_parameters(seed=4)
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not torch.equal(first["conv1.weight"], other["conv1.weight"])


def test_normalisation_shifts_are_not_adapted() -> None:
    network = NetworkSpec(way=5)
    outer_only = set(network.parameter_shapes()) - set(network.adapted())
    assert outer_only == {f"norm{layer}.shift" for layer in range(1, 5)}
