"""Random numbers without a state: each is a hash of its own coordinates.

In wrapping 64-bit integer arithmetic, so they are the same on every device, in any order and under
any version of torch.
"""

from __future__ import annotations

import torch
from torch import Tensor


def signed64(value: int) -> int:
    """``value`` modulo 2**64 as torch's int64 holds it."""
    return (value + 2**63) % 2**64 - 2**63


_GAMMA = signed64(0x9E3779B97F4A7C15)
_MULTIPLIER_1 = signed64(0xBF58476D1CE4E5B9)
_MULTIPLIER_2 = signed64(0x94D049BB133111EB)


def _shift_right(bits: Tensor, places: int) -> Tensor:
    """Logical shift: torch's own shift of a negative int64 would copy the sign."""
    return (bits >> places).bitwise_and_((1 << (64 - places)) - 1)


def random_bits(key: Tensor | int, counter: Tensor) -> Tensor:
    """Output number ``counter`` of SplitMix64 started in state ``key``.

    Steele, Lea and Flood 2014, "Fast splittable pseudorandom number generators".

    Args:
        key: int64, or an int in the range of int64; broadcasts against ``counter``.
        counter: int64.

    Returns:
        int64, all 64 bits uniform.
    """
    bits = (counter + 1) * _GAMMA + key
    bits = bits.bitwise_xor_(_shift_right(bits, 30)).mul_(_MULTIPLIER_1)
    bits = bits.bitwise_xor_(_shift_right(bits, 27)).mul_(_MULTIPLIER_2)
    return bits.bitwise_xor_(_shift_right(bits, 31))


def random_order(bits: Tensor, first: int | None = None) -> Tensor:
    """The ``first`` (omitted: all) numbers of a random order of 0 .. n - 1.

    Args:
        bits: [..., n] int64 of ``random_bits``.

    Returns:
        [..., first] int64, distinct along the last dimension; every order is equally likely.
    """
    numbers = torch.arange(bits.shape[-1], device=bits.device)
    # The number itself in the low bits makes all sort keys of a selection different: a tie, which
    # devices would break each in its own way, cannot happen.
    number_mask = (1 << (len(numbers) - 1).bit_length()) - 1
    return ((bits & ~number_mask) | numbers).topk(first or len(numbers)).indices
