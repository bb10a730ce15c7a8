"""The plain float64 loop: MAML one task at a time, with torch's own convolution and batch norm.

Written apart from the engine and sharing nothing with it but the parameter layout, so that
agreement means something.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

from mamltui.maml.episode import Episodes
from mamltui.maml.network import NetworkSpec

Weights = dict[str, Tensor]


def conv4(weights: Weights, x: Tensor, activation: Callable[[Tensor], Tensor] = F.relu) -> Tensor:
    """One task's logits: [examples, channels, size, size] -> [examples, way]."""
    for layer in range(1, 5):
        before = x.shape[-1] % 2
        x = F.pad(x, (before, 1, before, 1))
        x = F.conv2d(x, weights[f"conv{layer}.weight"].permute(3, 2, 0, 1), stride=2)
        shift = weights[f"norm{layer}.shift"]
        x = F.batch_norm(x, None, None, torch.ones_like(shift), shift, training=True, eps=1e-3)
        x = activation(x)
    return x.mean(dim=(2, 3)) @ weights["head.weight"] + weights["head.bias"]


def meta_gradient(
    weights: Weights,
    episodes: Episodes,
    *,
    steps: int,
    alpha: float,
    loss_scale: str = "mean",
    shot: int = 1,
    first_order: bool = False,
    activation: Callable[[Tensor], Tensor] = F.relu,
) -> tuple[Weights, float]:
    """Gradient of the mean query loss over tasks, and that loss."""
    theta = {name: value.detach().clone().requires_grad_() for name, value in weights.items()}
    losses = []
    for sx, sy, qx, qy in zip(*episodes, strict=True):
        fast = dict(theta)
        for _ in range(steps):
            logits = conv4(fast, sx, activation)
            if loss_scale == "paper":
                loss = F.cross_entropy(logits, sy, reduction="sum") / shot
            else:
                loss = F.cross_entropy(logits, sy)
            names = [name for name in fast if not name.startswith("norm")]
            grads = torch.autograd.grad(
                loss, [fast[name] for name in names], create_graph=not first_order
            )
            for name, grad in zip(names, grads, strict=True):
                fast[name] = fast[name] - alpha * grad
        losses.append(F.cross_entropy(conv4(fast, qx, activation), qy))
    loss = torch.stack(losses).mean()
    gradient = torch.autograd.grad(loss, list(theta.values()))
    return dict(zip(theta, gradient, strict=True)), loss.item()


def random_problem(
    *,
    tasks: int = 3,
    way: int = 5,
    shot: int = 1,
    query: int = 2,
    filters: int = 16,
    channels: int = 1,
    size: int = 28,
    seed: int = 0,
    dtype: torch.dtype = torch.float64,
) -> tuple[NetworkSpec, Weights, Episodes]:
    """A network with random parameters (shifts and biases included) and random binary episodes."""
    network = NetworkSpec(way, channels, size, filters)
    generator = torch.Generator().manual_seed(seed)

    def noise(*shape: int) -> Tensor:
        return torch.randn(shape, generator=generator, dtype=torch.float64)

    weights = {
        name: (value.double() + 0.1 * noise(*value.shape)).to(dtype)
        for name, value in network.initial_parameters(seed).items()
    }

    def images(count: int) -> Tensor:
        return (noise(tasks, way * count, channels, size, size) > 1).to(dtype)

    def labels(count: int) -> Tensor:
        return torch.arange(way).repeat_interleave(count).repeat(tasks, 1)

    return network, weights, Episodes(images(shot), labels(shot), images(query), labels(query))


def relative_difference(actual: Weights, expected: Weights) -> float:
    """Norm of the difference over norm of the expected, all tensors together."""
    assert actual.keys() == expected.keys()
    difference = sum(
        float((actual[n].double() - expected[n].double()).square().sum()) for n in expected
    )
    scale = sum(float(value.double().square().sum()) for value in expected.values())
    return float((difference / scale) ** 0.5)
