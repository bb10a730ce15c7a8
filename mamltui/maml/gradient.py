"""What one meta-step computes."""

from __future__ import annotations

from collections.abc import Collection
from typing import NamedTuple

import torch
from torch import Tensor

from mamltui.maml.parameters import Parameters


class MetaGradient(NamedTuple):
    """Gradient and metrics of a batch of tasks: their sum inside a strategy, their mean outside."""

    gradient: Parameters
    """For each learned parameter."""
    drift: Parameters
    """Running statistics less what was observed of them; no gradient, and not for the optimizer."""
    query_loss: Tensor
    """Scalar, mean cross-entropy in nats after adaptation."""
    query_accuracy: Tensor
    """Scalar in [0, 1]."""

    @classmethod
    def zero(cls, parameters: Parameters, tracked: Collection[str]) -> MetaGradient:
        """The sum over no tasks, for each of ``parameters``; ``tracked``: which drift."""
        zeros = {name: torch.zeros_like(value) for name, value in parameters.items()}
        scalar = next(iter(parameters.values())).new_zeros(())
        drift = {name: zeros.pop(name) for name in tracked}
        return cls(zeros, drift, scalar, scalar.clone())

    def together(self) -> MetaGradient:
        """The sum over tasks of values [tasks, ...], as [1, ...]."""
        return MetaGradient(
            {name: values.sum(dim=0, keepdim=True) for name, values in self.gradient.items()},
            {name: values.sum(dim=0, keepdim=True) for name, values in self.drift.items()},
            self.query_loss.sum(dim=0, keepdim=True),
            self.query_accuracy.sum(dim=0, keepdim=True),
        )

    def add_tasks(self, tasks: MetaGradient) -> None:
        """Add values [tasks, ...] to these sums, in place, one task after the other.

        So no bit depends on how the tasks were divided. It takes no memory, so it cannot fail
        halfway.
        """
        for sums, added in ((self.gradient, tasks.gradient), (self.drift, tasks.drift)):
            for name, values in added.items():
                _add(sums[name], values)
        _add(self.query_loss, tasks.query_loss)
        _add(self.query_accuracy, tasks.query_accuracy)

    def times(self, factor: float) -> MetaGradient:
        return MetaGradient(
            {name: value * factor for name, value in self.gradient.items()},
            {name: value * factor for name, value in self.drift.items()},
            self.query_loss * factor,
            self.query_accuracy * factor,
        )


ON_ONE_THREAD = 2**15
"""Elements; torch wakes its other threads to add more, and they are busy with other tasks."""


def _add(total: Tensor, values: Tensor) -> None:
    if not total.is_cuda and total.dim() > 1 and total.numel() > ON_ONE_THREAD:
        for part, of_part in zip(total, values.unbind(1), strict=True):
            _add(part, of_part)
        return
    for value in values.unbind():
        total += value
