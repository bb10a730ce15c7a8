"""Derivatives by autograd: short, and for every network, a module of the user's too; slow.

With g a variable of its own, G(theta, g) = J(theta)^T g is the gradient of <logits, g>, and <G, v>
has the derivatives J v in g and, as second derivatives are symmetric, (d/d epsilon)
J(theta + epsilon v)^T g in theta: one more backward pass gives both halves of a Hessian-vector
product.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch import Tensor

from mamltui.maml.parameters import Network, NormStatistics, Parameters

Compute = Callable[..., tuple[Tensor, list[NormStatistics]]]
"""As :meth:`~mamltui.maml.parameters.Network.apply`."""


@dataclass
class _Tape:
    values: Parameters
    """The learned ones; leaves of the graph."""
    graph: Tensor
    """The logits, differentiable."""
    statistics: list[NormStatistics]
    g_logits: Tensor = field(init=False)
    gradient: Parameters = field(init=False)
    curvature: Parameters = field(init=False)

    @property
    def logits(self) -> Tensor:
        return self.graph.detach()


class Autograd:
    """:class:`~mamltui.maml.outer.Derivatives` of what a network computes, whatever it is.

    Args:
        compute: in place of ``network.apply``.
    """

    def __init__(self, network: Network, images: Tensor, *, compute: Compute | None = None) -> None:
        self._network = network
        self._images = images
        self._compute = compute or network.apply

    def forward(
        self,
        values: Parameters,
        *,
        running: bool = False,
        statistics: list[NormStatistics] | None = None,
    ) -> _Tape:
        tasks = self._images.shape[0]
        shapes, tracked = self._network.value_shapes(), self._network.tracked()
        leaves = {
            name: value.detach().expand(tasks, *shapes[name]).requires_grad_()
            for name, value in values.items()
            if name in shapes and name not in tracked
        }
        with torch.enable_grad():
            logits, seen = self._compute(
                {**values, **leaves}, self._images, statistics=statistics, running=running
            )
        return _Tape(leaves, logits, [NormStatistics(*(v.detach() for v in each)) for each in seen])

    def backward(self, tape: _Tape, g_logits: Tensor, *, keep: bool = False) -> Parameters:
        tape.g_logits = g_logits.detach().requires_grad_(keep)
        gradients = torch.autograd.grad(
            tape.graph,
            list(tape.values.values()),
            tape.g_logits,
            create_graph=keep,
            materialize_grads=True,
        )
        tape.gradient = dict(zip(tape.values, gradients, strict=True))
        return {name: value.detach() for name, value in tape.gradient.items()}

    def tangent(self, tape: _Tape, direction: Parameters) -> Tensor:
        names = [name for name in direction if tape.gradient[name].requires_grad]
        d_logits, *products = torch.autograd.grad(
            [tape.gradient[name] for name in names],
            [tape.g_logits, *tape.values.values()],
            [direction[name] for name in names],
            retain_graph=True,
            materialize_grads=True,
        )
        tape.curvature = dict(zip(tape.values, products, strict=True))
        return d_logits

    def tangent_backward(self, tape: _Tape, dg_logits: Tensor) -> Parameters:
        products = torch.autograd.grad(
            tape.graph,
            list(tape.values.values()),
            dg_logits,
            retain_graph=True,
            materialize_grads=True,
        )
        return {
            name: tape.curvature[name] + value
            for name, value in zip(tape.values, products, strict=True)
        }
