"""Meta-Curvature: a learned transformation of the inner gradient (Park and Oliva 2019).

The gradient of a parameter is a tensor with a mode for the positions of a kernel, one for its
inputs and one for its outputs, and each mode of size n is multiplied by a learned matrix [n, n]:
their M_f, M_i and M_o (section 3). All are identities at first, so that training starts as MAML. A
bias has outputs alone.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

MODES = ("positions", "inputs", "outputs")


def mode_sizes(shape: Sequence[int]) -> dict[str, int]:
    """Name and size of each mode of a parameter: [3, 3, in, out], [in, out] or [out]."""
    sizes = (math.prod(shape[:-2]), *shape[-2:]) if len(shape) > 2 else tuple(shape)
    return dict(zip(MODES[-len(sizes) :], sizes, strict=True))


def transformed(gradient: Tensor, matrices: Sequence[Tensor]) -> Tensor:
    """Each mode of ``gradient`` [tasks, ...] times its matrix.

    With the matrices transposed it is the adjoint.
    """
    value = _unfolded(gradient, matrices)
    for mode, matrix in enumerate(matrices, 1):
        value = _product(value, matrix, mode)
    return value.reshape(gradient.shape)


def matrix_gradients(gradient: Tensor, matrices: Sequence[Tensor], outer: Tensor) -> list[Tensor]:
    """Of <transformed(gradient), outer> in each matrix: [tasks, n, n]."""
    derivatives = []
    for mode, own in enumerate(matrices, 1):
        value = _unfolded(gradient, matrices)
        for other, matrix in enumerate(matrices, 1):
            value = value if other == mode else _product(value, matrix, other)
        rows, columns = (
            each.movedim(mode, -1).reshape(len(each), -1, len(own))
            for each in (_unfolded(outer, matrices), value)
        )
        derivatives.append(rows.mT @ columns)
    return derivatives


def _unfolded(value: Tensor, matrices: Sequence[Tensor]) -> Tensor:
    """[tasks, n_1, n_2, ...], a dimension a mode."""
    return value.reshape(-1, *(matrix.shape[-1] for matrix in matrices))


def _product(value: Tensor, matrix: Tensor, mode: int) -> Tensor:
    return torch.movedim(value.movedim(mode, -1) @ matrix.mT, -1, mode)
