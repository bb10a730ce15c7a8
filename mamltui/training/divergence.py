"""Noticing that a training has left the finite numbers, or that its loss ran away."""

from __future__ import annotations

import math

import torch
from torch import Tensor


class Divergence(Exception):  # noqa: N818 - an outcome, not an error of the program
    """Nothing that is computed from here on can be trusted; the text says why."""

    def __init__(self, reason: str, good: int | None = None) -> None:
        super().__init__(reason)
        self.good = good
        """The last meta-iteration that was applied; None: that of the training's state."""


class Watch:
    """Looks at every meta-gradient, without waiting for the device.

    All that it remembers is in tensors that stay where they are, so that a captured graph can look.

    Args:
        limit: query loss in nats that no training that still learns reaches.
    """

    def __init__(self, limit: float, device: torch.device) -> None:
        self._limit = limit
        self.broken = torch.zeros((), dtype=torch.bool, device=device)
        """Whether a look was at a bad gradient; none is to be applied from there on."""
        self._looks_broken = torch.zeros((), dtype=torch.int64, device=device)
        """Looks at the first bad gradient and after it."""
        self._seen = torch.zeros(2, dtype=torch.float64, device=device)
        """Loss and norm at the first bad look; as long as there is none, at the latest."""
        self.iteration = 0
        """The meta-iteration of the latest look."""

    @property
    def tensors(self) -> list[Tensor]:
        """All that looks change."""
        return [self.broken, self._looks_broken, self._seen]

    def note(self, iteration: int, query_loss: Tensor, gradient_norm: Tensor) -> None:
        """Take the scalars of meta-iteration ``iteration``, before its gradient is applied."""
        self.look(query_loss, gradient_norm)
        self.iteration = iteration

    def look(self, query_loss: Tensor, gradient_norm: Tensor) -> None:
        """``note`` for a graph: whoever replays it sets ``iteration``."""
        seen = torch.stack([query_loss, gradient_norm]).double()
        self._seen.copy_(torch.where(self.broken, self._seen, seen))
        # A NaN is not below the limit either.
        self.broken |= ~((query_loss < self._limit) & gradient_norm.isfinite())
        self._looks_broken += self.broken

    def check(self) -> None:
        """Wait for the device and look.

        Raises:
            Divergence: at some meta-iteration since the start; it names the first.
        """
        if not bool(self.broken):
            return
        iteration = self.iteration - int(self._looks_broken) + 1
        loss, norm = self._seen.tolist()
        if not math.isfinite(loss):
            what = f"the query loss is {loss}"
        elif loss >= self._limit:
            what = f"the query loss is {loss:.4g}, the limit is {self._limit:.4g}"
        else:
            what = f"the gradient's norm is {norm}"
        raise Divergence(f"{what} in meta-iteration {iteration}", good=iteration - 1)
