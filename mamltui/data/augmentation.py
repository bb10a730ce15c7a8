"""Drawings that are turned, moved, scaled, slanted and bent at random, a whole batch at once.

Affine and elastic distortions as of Simard, Steinkraus and Platt 2003, "Best practices for
convolutional neural networks applied to visual document analysis", section 2.

Devices and batch sizes round differently, and a drawing must come out the same in all of them. So
what comes from a sine is rounded far above its last digits, pixels are taken from places on a grid
of 1/256 pixel, and sums are of numbers whose sums float64 holds exactly. Nothing here waits for a
GPU: a captured graph can hold it.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from mamltui.data.randomness import random_bits

if TYPE_CHECKING:
    from mamltui.profiles import AugmentSection

VALUES = 5
"""Random numbers of a drawing before those of its displacement."""
NOISE_DEVIATION = math.sqrt((256**2 - 1) / 3)
"""Of odd integers, uniform from -255 to 255."""
FULL_WEIGHT = 2**15
"""The sum of the Gaussian's weights, but for their rounding: two passes over 8 bits stay exact."""


class Transformations(NamedTuple):
    """What is done to each of n drawings, about their centre and in this order; all float64."""

    scale: Tensor
    """[n] factor; above 1 the drawing grows."""
    shear: Tensor
    """[n] degrees by which an upright line leans, to the left above the centre."""
    angle: Tensor
    """[n] degrees, counter-clockwise as ``torch.rot90``."""
    shift: Tensor
    """[n, 2] pixels to the right and down."""
    displacement: Tensor | None = None
    """[n, 2, size, size] pixels right and down of its place from which each pixel is taken."""


def gaussian(size: int, smoothness: float) -> Tensor:
    """The weights of a Gaussian over images that go on at their other side, for one dimension.

    Args:
        size: of the images, pixels.
        smoothness: standard deviation, pixels.

    Returns:
        [size, size] float64 on the CPU, integers; symmetric.
    """
    offset = torch.arange(size)
    distance = torch.minimum(offset, size - offset).double() / smoothness
    weight = (-distance.square() / 2).exp()
    weight = (weight * (FULL_WEIGHT / weight.sum())).round()
    return weight[(offset[:, None] - offset) % size]


def random_transformations(
    key: Tensor, augment: AugmentSection, smoothing: Tensor
) -> Transformations:
    """Those of n drawings, each a function of its key alone.

    Args:
        key: [n] int64, of :func:`random_bits`.
        augment: the largest of each; uniform up to it, either way.
        smoothing: the :func:`gaussian` of ``augment.smoothness``, on the device of ``key``.
    """
    count = 2 * len(smoothing) ** 2 if augment.elastic else 0
    counter = torch.arange(VALUES + -(-count // 8), device=key.device)
    bits = random_bits(key[:, None], counter)
    uniform = (bits[:, :VALUES] >> 11).double() * 2.0**-52  # from -1 to below 1
    byte = bits[:, VALUES:].view(torch.uint8)[:, :count]
    return Transformations(
        scale=1 + augment.scale * uniform[:, 0],
        shear=augment.shear * uniform[:, 1],
        angle=augment.angle * uniform[:, 2],
        shift=augment.shift * uniform[:, 3:5],
        displacement=_displacement(byte, augment.elastic, smoothing) if augment.elastic else None,
    )


def transformed(images: Tensor, by: Transformations, *, binary: bool) -> Tensor:
    """Each image after its transformation, interpolated bilinearly; outside of images is paper.

    Args:
        images: [n, channels, size, size] uint8.
        binary: make pixels of at least half ink full ink, and the others paper.

    Returns:
        As ``images``.
    """
    size = images.shape[-1]
    turn = torch.deg2rad(by.angle)
    cos, sin, lean = turn.cos(), turn.sin(), torch.deg2rad(by.shear).tan()
    # The inverse: from a pixel of the result to its place in the image.
    back = torch.stack([cos - lean * sin, -sin - lean * cos, sin, cos], dim=-1)
    back = _rounded(back / by.scale[:, None], 16).view(-1, 2, 2, 1)
    position = torch.arange(size, dtype=torch.float64, device=images.device) - (size - 1) / 2
    x, y = (position - by.shift[:, None, axis, None] for axis in (0, 1))
    across, down = back[:, :, 0] * x, back[:, :, 1] * y
    position_in_source = across[:, :, None, :] + down[:, :, :, None]
    if by.displacement is not None:
        position_in_source += by.displacement
    position_in_source = _rounded(position_in_source, 8)
    grid = position_in_source.mul_(2 / size).movedim(1, -1)
    # The weights are products of two fractions of 8 bits: whatever is below is rounding error.
    sampled = _rounded(F.grid_sample(images.double(), grid, align_corners=False), 16)
    if binary:
        return (sampled >= 127.5).to(torch.uint8).mul_(255)
    return (sampled + 0.5).floor_().to(torch.uint8)


def augmented(
    images: Tensor, key: Tensor, augment: AugmentSection, smoothing: Tensor, *, binary: bool
) -> Tensor:
    """Each image after a random transformation of its own.

    Args:
        images: [..., channels, size, size] uint8.
        key: [...] int64, of :func:`random_bits`.
        augment: as for :func:`random_transformations`, and ``smoothing`` likewise.
        binary: as for :func:`transformed`.

    Returns:
        As ``images``.
    """
    by = random_transformations(key.flatten(), augment, smoothing)
    return transformed(images.flatten(0, -4), by, binary=binary).view(images.shape)


def _displacement(byte: Tensor, elastic: float, smoothing: Tensor) -> Tensor:
    """White noise [n, 2 * size * size] uint8 under a Gaussian.

    Returns:
        [n, 2, size, size] float64; ``elastic`` is the root mean square of its vectors' lengths.
    """
    size = len(smoothing)
    noise = byte.double().view(-1, 2, size, size).mul_(2).sub_(255)
    # Each pass transposes, so that both are one product of a tall matrix.
    for _ in range(2):
        noise = (noise @ smoothing).transpose(-1, -2)
    energy = smoothing[0].square().sum()
    return noise.mul_(elastic / math.sqrt(2) / NOISE_DEVIATION / energy)


def _rounded(values: Tensor, bits: int) -> Tensor:
    """To multiples of 2**-bits."""
    return (values * 2.0**bits).round_().mul_(2.0**-bits)
