"""What both loops minimise: a loss of a network's outputs, with its first two derivatives."""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor
from torch.nn import functional

from mamltui.maml.parameters import Network


class Loss(Protocol):
    """Of outputs [tasks, examples, outputs] and what they should be."""

    def per_task(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """The mean over each task's examples: [tasks]."""

    def accuracy(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Fraction of each task's examples answered right: [tasks]."""

    def answers(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Of outputs [..., examples, outputs], ``StepScores.answers`` [..., examples, 2]."""

    def gradient(
        self,
        outputs: Tensor,
        targets: Tensor,
        *,
        weight: Tensor | float = 1.0,
        smoothing: float = 0.0,
    ) -> Tensor:
        """Of ``weight`` times each task's loss in the outputs, of their shape.

        Args:
            smoothing: part of a label's target that is spread over all classes.
        """

    def curvature(self, outputs: Tensor, direction: Tensor) -> Tensor:
        """The Hessian of each task's loss in the outputs, times a direction."""


class CrossEntropy:
    """In nats, of logits and labels [tasks, examples]."""

    def per_task(self, outputs: Tensor, targets: Tensor) -> Tensor:
        losses = functional.cross_entropy(outputs.transpose(1, 2), targets, reduction="none")
        return losses.mean(dim=1)

    def accuracy(self, outputs: Tensor, targets: Tensor) -> Tensor:
        return (outputs.argmax(dim=2) == targets).to(outputs.dtype).mean(dim=1)

    def answers(self, outputs: Tensor, targets: Tensor) -> Tensor:
        probability, answer = outputs.detach().softmax(dim=-1).max(dim=-1)
        return torch.stack([(answer == targets).to(probability.dtype), probability], dim=-1)

    def gradient(
        self,
        outputs: Tensor,
        targets: Tensor,
        *,
        weight: Tensor | float = 1.0,
        smoothing: float = 0.0,
    ) -> Tensor:
        way = outputs.shape[-1]
        classes = torch.arange(way, device=targets.device)
        wanted = (targets.unsqueeze(-1) == classes).to(outputs.dtype)
        if smoothing:
            wanted = (1 - smoothing) * wanted + smoothing / way
        return (outputs.softmax(dim=-1) - wanted) * (weight / outputs.shape[-2])

    def curvature(self, outputs: Tensor, direction: Tensor) -> Tensor:
        p = outputs.softmax(dim=-1)
        mean = (p * direction).sum(dim=-1, keepdim=True)
        return p * (direction - mean) / outputs.shape[-2]


class SquaredError:
    """Its mean, of outputs and targets [tasks, examples, outputs] (paper, equation 2)."""

    def per_task(self, outputs: Tensor, targets: Tensor) -> Tensor:
        return (outputs - targets).square().mean(dim=(1, 2))

    def accuracy(self, outputs: Tensor, targets: Tensor) -> Tensor:  # noqa: ARG002
        """Nothing is right or wrong: zero."""
        return outputs.new_zeros(len(outputs))

    def answers(self, outputs: Tensor, targets: Tensor) -> Tensor:  # noqa: ARG002
        """Likewise."""
        return outputs.new_zeros(*outputs.shape[:-1], 2)

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
