"""What both loops minimise: a loss of a network's outputs, with its first two derivatives."""

from __future__ import annotations

from typing import Protocol

from torch import Tensor

from mamltui.maml.inner import (
    loss_curvature,
    loss_gradient,
    task_accuracies,
    task_losses,
)
from mamltui.maml.parameters import Network


class Loss(Protocol):
    """Of outputs [tasks, examples, outputs] and what they should be."""

    def per_task(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """The mean over each task's examples: [tasks]."""

    def accuracy(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Fraction of each task's examples answered right: [tasks]."""

    def gradient(
        self, outputs: Tensor, targets: Tensor, *, weight: Tensor | float, smoothing: float
    ) -> Tensor:
        """Of ``weight`` times each task's loss in the outputs, of their shape."""

    def curvature(self, outputs: Tensor, direction: Tensor) -> Tensor:
        """The Hessian of each task's loss in the outputs, times a direction."""


class CrossEntropy:
    """In nats, of logits and labels [tasks, examples]."""

    def per_task(self, outputs: Tensor, targets: Tensor) -> Tensor:
        return task_losses(outputs, targets)

    def accuracy(self, outputs: Tensor, targets: Tensor) -> Tensor:
        return task_accuracies(outputs, targets)

    def gradient(
        self,
        outputs: Tensor,
        targets: Tensor,
        *,
        weight: Tensor | float = 1.0,
        smoothing: float = 0.0,
    ) -> Tensor:
        return loss_gradient(outputs, targets, weight=weight, smoothing=smoothing)

    def curvature(self, outputs: Tensor, direction: Tensor) -> Tensor:
        return loss_curvature(outputs, direction)


class SquaredError:
    """Its mean, of outputs and targets [tasks, examples, outputs] (paper, equation 2)."""

    def per_task(self, outputs: Tensor, targets: Tensor) -> Tensor:
        return (outputs - targets).square().mean(dim=(1, 2))

    def accuracy(self, outputs: Tensor, targets: Tensor) -> Tensor:  # noqa: ARG002
        """Nothing is right or wrong: zero."""
        return outputs.new_zeros(len(outputs))

    def gradient(
        self,
        outputs: Tensor,
        targets: Tensor,
        *,
        weight: Tensor | float = 1.0,
        smoothing: float = 0.0,  # noqa: ARG002 - a matter of labels
    ) -> Tensor:
        return (outputs - targets) * (weight * 2.0 / outputs[0].numel())

    def curvature(self, outputs: Tensor, direction: Tensor) -> Tensor:
        return direction * (2.0 / outputs[0].numel())


CROSS_ENTROPY, SQUARED_ERROR = CrossEntropy(), SquaredError()


def loss_of(network: Network) -> Loss:
    """What ``network`` is trained by."""
    return SQUARED_ERROR if network.is_regression else CROSS_ENTROPY
