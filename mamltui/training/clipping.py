"""The meta-gradient's norm and limits, and what of it is no gradient."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from torch import Tensor
from torch.nn.utils import get_total_norm

from mamltui.maml.network import Parameters, is_tracked

TRACKING_RATE = 0.1
"""Part of the way that running statistics go to a batch's own: 1 - the momentum of 0.9."""
NORM_EPSILON = 1e-6
"""torch's, in ``torch.nn.utils.clip_grad_norm_``: no division by zero."""


def global_norm(gradient: Mapping[str, Tensor]) -> Tensor:
    """L2 norm over all that is learned: a scalar."""
    return _norm(value for name, value in gradient.items() if not is_tracked(name))


def clipped(gradient: Mapping[str, Tensor], value: float = 0.0, norm: float = 0.0) -> Parameters:
    """What is learned of the gradient, within its limits; running statistics are left out.

    Args:
        value: each element is kept within plus and minus this; 0: as it is.
        norm: then all together is made no longer than this global L2 norm; 0: as it is.
    """
    found = {name: part for name, part in gradient.items() if not is_tracked(name)}
    if value:
        found = {name: part.clamp(-value, value) for name, part in found.items()}
    if norm:
        factor = (norm / (_norm(found.values()) + NORM_EPSILON)).clamp(max=1.0)
        found = {name: part * factor for name, part in found.items()}
    return found


def _norm(tensors: Iterable[Tensor]) -> Tensor:
    norm: Tensor = get_total_norm(list(tensors))
    return norm
