"""What one meta-step computes."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor

from mamltui.maml.network import Parameters


class MetaGradient(NamedTuple):
    """Gradient and metrics of a batch of tasks: their sum inside a strategy, their mean outside."""

    gradient: Parameters
    query_loss: Tensor
    """Scalar, mean cross-entropy in nats after adaptation."""
    query_accuracy: Tensor
    """Scalar in [0, 1]."""

    def times(self, factor: float) -> MetaGradient:
        return MetaGradient(
            {name: value * factor for name, value in self.gradient.items()},
            self.query_loss * factor,
            self.query_accuracy * factor,
        )
