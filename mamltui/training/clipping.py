"""The meta-gradient's norm and limits."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor
from torch.nn.utils import get_total_norm

from mamltui.maml.parameters import Parameters

NORM_EPSILON = 1e-6
"""torch's, in ``torch.nn.utils.clip_grad_norm_``: no division by zero."""


def global_norm(gradient: Mapping[str, Tensor]) -> Tensor:
    """L2 norm over all that is learned: a scalar."""
    norm: Tensor = get_total_norm(list(gradient.values()))
    return norm


def clipped(gradient: Mapping[str, Tensor], value: float = 0.0, norm: float = 0.0) -> Parameters:
    """The gradient within its limits.

    Args:
        value: each element is kept within plus and minus this; 0: as it is.
        norm: then all together is made no longer than this global L2 norm; 0: as it is.
    """
    result = dict(gradient)
    if value:
        result = {name: part.clamp(-value, value) for name, part in result.items()}
    if norm:
        factor = (norm / (global_norm(result) + NORM_EPSILON)).clamp(max=1.0)
        result = {name: part * factor for name, part in result.items()}
    return result
