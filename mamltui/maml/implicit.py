"""The implicit meta-gradient of iMAML (Rajeswaran, Finn, Kakade and Levine 2019).

The inner loop minimises the support loss L plus lambda / 2 times the square distance to its start
theta. At the minimum phi the gradients cancel, so phi depends on theta through

    d phi / d theta = (I + H / lambda)^-1,    H the Hessian of L at phi,

and the meta-gradient is this matrix times the query loss's gradient: no inner step is
differentiated (their eq. 6). The product is found by conjugate gradients, each task its own.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping

import torch
from torch import Tensor

from mamltui.maml.parameters import Parameters

HessianProduct = Callable[[Parameters], Parameters]
"""H v for every learned parameter, of a direction v of the adapted ones."""


def implicit_gradient(
    hessian_product: HessianProduct,
    outer: Mapping[str, Tensor],
    adapted: Collection[str],
    proximal: float,
    cg_steps: int,
) -> Parameters:
    """Each task's meta-gradient, [tasks, ...].

    Args:
        hessian_product: of the support loss at the adapted parameters.
        outer: gradient of the query loss there, for every learned parameter.
        adapted: names of the parameters that the inner loop changes.
        proximal: lambda.
    """

    def product(direction: Parameters) -> Parameters:
        """(I + H / lambda) times a direction."""
        curvature = hessian_product(direction)
        return {name: value + curvature[name] / proximal for name, value in direction.items()}

    right = {name: outer[name] for name in adapted}
    solution = conjugate_gradients(product, right, cg_steps)
    gradient = dict(solution)
    others = [name for name in outer if name not in solution]
    if others:  # they shape the support loss, though the inner loop does not change them
        curvature = hessian_product(solution)
        gradient |= {name: outer[name] - curvature[name] / proximal for name in others}
    return gradient


def conjugate_gradients(product: HessianProduct, right: Parameters, steps: int) -> Parameters:
    """Solve product(x) = right for each task (Hestenes and Stiefel 1952), from x = 0.

    Args:
        right: [tasks, ...] each.
    """

    def dot(left: Parameters, other: Parameters) -> Tensor:
        parts = [(left[name] * other[name]).flatten(1).sum(dim=1) for name in left]
        return torch.stack(parts).sum(dim=0)

    def plus(left: Parameters, factor: Tensor, other: Parameters) -> Parameters:
        return {
            name: value + factor.view(-1, *(1,) * (value.dim() - 1)) * other[name]
            for name, value in left.items()
        }

    solution = {name: torch.zeros_like(value) for name, value in right.items()}
    residual = direction = right
    square = dot(residual, residual)
    for _ in range(steps):
        image = product(direction)
        # Not above zero: the task is solved already, or its Hessian is not convex enough.
        curvature = dot(direction, image)
        length = torch.where(curvature > 0, square / curvature, 0)
        solution = plus(solution, length, direction)
        residual = plus(residual, -length, image)
        following = dot(residual, residual)
        ratio = torch.where(square > 0, following / square, 0)
        direction = plus(residual, ratio, direction)
        square = following
    return solution
