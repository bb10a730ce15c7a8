"""The tensors of a batch of episodes (tasks): what the learner sees of the data."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor


class Episodes(NamedTuple):
    """A batch of N-way K-shot tasks; stroke = 1, paper = 0 for binary characters.

    Examples are ordered by class, ``shot`` (or ``query``) drawings each; which character carries
    which label is shuffled per task by the sampler.
    """

    support_x: Tensor
    """[tasks, way * shot, channels, size, size], floating point."""
    support_y: Tensor
    """[tasks, way * shot] int64 in 0 .. way - 1."""
    query_x: Tensor
    """[tasks, way * query, channels, size, size], floating point."""
    query_y: Tensor
    """[tasks, way * query] int64."""

    @property
    def tasks(self) -> int:
        return self.support_x.shape[0]

    def to(self, device: torch.device | str, dtype: torch.dtype | None = None) -> Episodes:
        """The same episodes on ``device``, images as ``dtype``."""
        return Episodes(
            self.support_x.to(device, dtype),
            self.support_y.to(device),
            self.query_x.to(device, dtype),
            self.query_y.to(device),
        )

    def chunks(self, size: int) -> list[Episodes]:
        """The same tasks in order, at most ``size`` at a time, and as equally as can be.

        So workers that take chunks in turn have the same to do.
        """
        count = -(-self.tasks // size)
        return [
            Episodes(*each) for each in zip(*(x.tensor_split(count) for x in self), strict=True)
        ]
