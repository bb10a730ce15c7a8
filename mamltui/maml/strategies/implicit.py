"""The implicit meta-gradient of iMAML (Rajeswaran, Finn, Kakade and Levine 2019).

The inner loop minimises the support loss L plus lambda / 2 times the square distance to its start
theta. At the minimum phi the gradients cancel, so phi depends on theta through

    d phi / d theta = (I + H / lambda)^-1,    H the Hessian of L at phi,

and the meta-gradient is this matrix times the query loss's gradient: no inner step is
differentiated (their eq. 6). The product is found by conjugate gradients, each task its own.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from mamltui.maml.episode import Episodes
from mamltui.maml.inner import InnerLoop, support_pass
from mamltui.maml.network import NetworkSpec, Parameters


def implicit_gradient(
    network: NetworkSpec,
    inner: InnerLoop,
    theta: Parameters,
    adapted: Parameters,
    episodes: Episodes,
    objective: Tensor,
) -> Parameters:
    """Sum over the tasks of the meta-gradient.

    Args:
        theta: leaves, before the inner loop.
        adapted: each task's parameters after it.
        objective: the query losses' sum at ``adapted``, differentiable.
    """
    names = inner.adapted(network)
    fast = [adapted[name] for name in names]
    others = [name for name in theta if name not in names]
    found_at = torch.autograd.grad(
        objective, [*fast, *(theta[name] for name in others)], materialize_grads=True
    )
    query, direct = list(found_at[: len(names)]), found_at[len(names) :]
    support = support_pass(network, adapted, episodes, inner.steps).losses.sum()
    gradients = torch.autograd.grad(support, fast, create_graph=True)

    def product(direction: list[Tensor]) -> list[Tensor]:
        """(I + H / lambda) times a direction."""
        curved = torch.autograd.grad(gradients, fast, direction, retain_graph=True)
        return [
            value + bend / inner.proximal for value, bend in zip(direction, curved, strict=True)
        ]

    solution = _conjugate_gradients(product, query, inner.cg_steps)
    mixed = torch.autograd.grad(
        gradients,
        [theta[name] for name in others],
        solution,
        materialize_grads=True,
    )
    found = {name: value.sum(dim=0) for name, value in zip(names, solution, strict=True)}
    for name, value, bend in zip(others, direct, mixed, strict=True):
        found[name] = value - bend / inner.proximal
    return found


def _conjugate_gradients(
    product: Callable[[list[Tensor]], list[Tensor]], right: list[Tensor], steps: int
) -> list[Tensor]:
    """Solve product(x) = right for each task (Hestenes and Stiefel 1952), from x = 0.

    Args:
        right: [tasks, ...] each.
    """

    def dot(left: list[Tensor], other: list[Tensor]) -> Tensor:
        parts = [(a * b).flatten(1).sum(dim=1) for a, b in zip(left, other, strict=True)]
        return torch.stack(parts).sum(dim=0)

    def plus(left: list[Tensor], factor: Tensor, other: list[Tensor]) -> list[Tensor]:
        return [
            a + factor.view(-1, *(1,) * (b.dim() - 1)) * b for a, b in zip(left, other, strict=True)
        ]

    solution = [torch.zeros_like(value) for value in right]
    residual = direction = right
    square = dot(residual, residual)
    for _ in range(steps):
        bent = product(direction)
        # Not above zero: the task is solved already, or its Hessian is not convex enough.
        curvature = dot(direction, bent)
        length = torch.where(curvature > 0, square / curvature, 0)
        solution = plus(solution, length, direction)
        residual = plus(residual, -length, bent)
        following = dot(residual, residual)
        ratio = torch.where(square > 0, following / square, 0)
        direction = plus(residual, ratio, direction)
        square = following
    return solution
