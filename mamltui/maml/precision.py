"""How exact the products of the meta-gradient are: the convolutions' only, all else stays float32.

- ``fp32``: products of float32 (or float64) as they are; on CUDA with TF32 switched off.
- ``tf32``: CUDA's TF32, which reads 10 bits of each factor's mantissa and sums in float32.
- ``bf16``: both factors rounded to bfloat16 (7 bits), their products summed in float32.

Rounding moves some values over zero, where the mask of ReLU jumps, and the inner gradient and its
derivative with it. So the meta-gradient moves by far more than the rounding, about as its square
root: on drawn characters with factors of 7 bits by 0.3 to 0.8 of its length, of 10 bits by 0.1 to
0.6, of float32 by 1e-6. (The gradient of another batch of tasks is 1.4 of its length away.)
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor

from mamltui.errors import UsageError

PRECISIONS = ("fp32", "tf32", "bf16")


class Products:
    """Matrix products of one precision, for tensors of one kind.

    Args:
        precision: one of ``PRECISIONS``.
        device: where the factors are.
        dtype: of the factors before they are rounded, and of every result.

    Raises:
        UsageError: there is no such precision, or not on this device or of this type.
    """

    def __init__(self, precision: str, device: torch.device, dtype: torch.dtype) -> None:
        if precision not in PRECISIONS:
            raise UsageError(
                f"there is no precision {precision!r}", hint=f"Precisions: {', '.join(PRECISIONS)}."
            )
        if precision != "fp32" and dtype != torch.float32:
            raise UsageError(
                f"{precision} products are of float32 tensors, these are {dtype}",
                hint="Use fp32, which multiplies tensors of any type as they are.",
            )
        if precision == "tf32" and device.type != "cuda":
            raise UsageError(
                f"there is no TF32 on {device.type}: it is a mode of NVIDIA's matrix units",
                hint="Use fp32, or bf16 for products of lower precision.",
            )
        self._rounds = precision == "bf16"
        self._tf32 = precision == "tf32"
        self._is_cuda = device.type == "cuda"

    def factor(self, values: Tensor) -> Tensor:
        """``values`` contiguous and ready for several products: rounded once, if they are to be."""
        if self._rounds:
            return values.to(torch.bfloat16, memory_format=torch.contiguous_format)
        return values.contiguous()

    def product(self, left: Tensor, right: Tensor) -> Tensor:
        """left @ right: [tasks, rows, inner] with [tasks, inner, columns] or, shared, [inner, ...].

        Either may be a ``factor``. The result is not rounded.
        """
        if self._rounds:
            return self._rounded_product(left, right)
        if self._tf32:
            with _cuda_matmul("tf32"):
                return left @ right
        return left @ right

    def add_product(self, total: Tensor, left: Tensor, right: Tensor) -> None:
        """total += left @ right, in place."""
        if self._rounds:
            total.add_(self._rounded_product(left, right))
        elif self._tf32:
            with _cuda_matmul("tf32"):
                _add_product(total, left, right)
        else:
            _add_product(total, left, right)

    def _rounded_product(self, left: Tensor, right: Tensor) -> Tensor:
        left, right = left.to(torch.bfloat16), right.to(torch.bfloat16)
        if not self._is_cuda:
            # torch sums in float32 here too, but would round the sum: these products it does not.
            return left.float() @ right.float()
        if right.dim() == 2:
            rows = torch.mm(left.flatten(0, 1), right, out_dtype=torch.float32)
            return rows.view(*left.shape[:2], -1)
        return torch.bmm(left, right, out_dtype=torch.float32)


@contextmanager
def exact_products(device: torch.device) -> Iterator[None]:
    """float32 products without TF32 inside, whatever is set for the process; as before after.

    The setting is the process's: nothing else may multiply on the GPU from another thread meanwhile
    and count on another one. A captured graph keeps what held while it was captured.
    """
    if device.type != "cuda":
        yield
        return
    with _cuda_matmul("ieee"):
        yield


@contextmanager
def _cuda_matmul(precision: str) -> Iterator[None]:
    matmul = torch.backends.cuda.matmul
    before = matmul.fp32_precision
    matmul.fp32_precision = precision
    try:
        yield
    finally:
        matmul.fp32_precision = before


def _add_product(total: Tensor, left: Tensor, right: Tensor) -> None:
    if right.dim() == 2:
        total.flatten(0, 1).addmm_(left.flatten(0, 1), right)
    else:
        total.baddbmm_(left, right)
