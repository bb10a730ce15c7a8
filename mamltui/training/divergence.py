"""Noticing that a training has left the finite numbers, or that its loss ran away."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from mamltui.maml.network import Parameters


class Divergence(Exception):  # noqa: N818 - an outcome, not an error of the program
    """Nothing that is computed from here on can be trusted; the text says why."""


class Watch:
    """Looks at every meta-gradient, without waiting for the device.

    Args:
        limit: query loss in nats that no training that still learns reaches.
    """

    def __init__(self, limit: float, device: torch.device) -> None:
        self._limit = limit
        self._broken = torch.zeros((), dtype=torch.bool, device=device)
        self._latest: tuple[int, Tensor, Tensor] | None = None

    def note(self, iteration: int, query_loss: Tensor, gradient_norm: Tensor) -> None:
        """Take the scalars of meta-iteration ``iteration``, before its gradient is applied."""
        # A NaN is not below the limit either.
        self._broken |= ~((query_loss < self._limit) & gradient_norm.isfinite())
        self._latest = (iteration, query_loss, gradient_norm)

    def check(self) -> None:
        """Wait for the device and look.

        Raises:
            Divergence: at some meta-iteration since the start.
        """
        if self._latest is None or not bool(self._broken):
            return
        iteration, query_loss, gradient_norm = self._latest
        loss, norm = float(query_loss), float(gradient_norm)
        if not math.isfinite(loss):
            what = f"the query loss is {loss}"
        elif loss >= self._limit:
            what = f"the query loss is {loss:.4g}, the limit is {self._limit:.4g}"
        elif not math.isfinite(norm):
            what = f"the gradient's norm is {norm}"
        else:
            what = "the query loss or the gradient was out of bounds"
        raise Divergence(f"{what} in meta-iteration {iteration} or shortly before")


def global_norm(gradient: Parameters) -> Tensor:
    """L2 norm over all parameters: a scalar."""
    norms = torch.stack([torch.linalg.vector_norm(value) for value in gradient.values()])
    norm: Tensor = torch.linalg.vector_norm(norms)
    return norm
