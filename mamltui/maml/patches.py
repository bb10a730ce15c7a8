"""The 3x3, stride-2, SAME windows of images as rows of a matrix, and the transpose of that map.

Both maps are linear and each is the other's gradient, so products with their result can be
differentiated any number of times. Images are channels-last: a window's row is then three
contiguous runs of memory.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor


def output_size(size: int) -> int:
    """Height (= width) after one stride-2 SAME convolution."""
    return (size + 1) // 2


def leading_pad(size: int) -> int:
    """Zeros in front of the first row or column; SAME puts the odd one behind."""
    return size % 2


def padded_size(size: int) -> int:
    """Rows or columns that the windows cover, the padding included."""
    return 2 * output_size(size) + 1


def windows(padded: Tensor) -> Tensor:
    """[images, size, size, 3, 3, channels] view of the windows of contiguous padded images."""
    images, height, _, channels = padded.shape
    size = height // 2
    batch, row, column, channel = padded.stride()
    return padded.as_strided(
        (images, size, size, 3, 3, channels),
        (batch, 2 * row, 2 * column, row, column, channel),
        padded.storage_offset(),
    )


def new_padded(images: int, size: int, channels: int, like: Tensor) -> tuple[Tensor, Tensor]:
    """Room for [images, size, size, channels], and the padded images that it is the inside of.

    The inside is left unwritten, the zeros around it are not.
    """
    width, start = padded_size(size), leading_pad(size)
    padded = like.new_empty(images, width, width, channels)
    padded[:, start + size :].zero_()
    padded[:, :, start + size :].zero_()
    if start:
        padded[:, 0].zero_()
        padded[:, :, 0].zero_()
    return padded[:, start : start + size, start : start + size], padded


def pad(hidden: Tensor) -> Tensor:
    """[images, size, size, channels] with the zeros that the windows cover."""
    images, size, _, channels = hidden.shape
    inside, padded = new_padded(images, size, channels, hidden)
    inside.copy_(hidden)
    return padded


def patches_of(hidden: Tensor) -> Tensor:
    """[images, size, size, channels] -> [images, output, output, 3, 3, channels], contiguous."""
    return windows(pad(hidden)).contiguous()


def fold_padded(patches: Tensor) -> Tensor:
    """Sum windows [images, output, output, 3, 3, channels] back to padded images.

    Every padded pixel is in one, two or four windows: a window's first two rows and columns tile
    the image, its third row and column fall on the next window's first.
    """
    images, size, _, _, _, channels = patches.shape
    even = 2 * (size + 1)
    folded = patches.new_empty(images, even, even, channels)
    tiles = folded.view(images, size + 1, 2, size + 1, 2, channels)
    tiles[:, :size, :, :size] = patches[:, :, :, :2, :2].permute(0, 1, 3, 2, 4, 5)
    tiles[:, size].zero_()
    tiles[:, :size, :, size].zero_()
    tiles[:, 1:, 0, :size] += patches[:, :, :, 2, :2]
    tiles[:, :size, :, 1:, 0] += patches[:, :, :, :2, 2].permute(0, 1, 3, 2, 4)
    tiles[:, 1:, 0, 1:, 0] += patches[:, :, :, 2, 2]
    return folded


def fold(patches: Tensor, size: int) -> Tensor:
    """Transpose of :func:`patches_of` for images of height and width ``size``."""
    start = leading_pad(size)
    return fold_padded(patches)[:, start : start + size, start : start + size]


class _Patches(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, hidden: Tensor) -> Tensor:
        ctx.size = hidden.shape[1]
        return patches_of(hidden)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        folded: Tensor = _Fold.apply(gradient, ctx.size)
        return folded


class _Fold(torch.autograd.Function):
    @staticmethod
    def forward(_ctx: Any, patches: Tensor, size: int) -> Tensor:
        return fold(patches, size)

    @staticmethod
    def backward(_ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        return _Patches.apply(gradient), None


def extract_patches(hidden: Tensor) -> tuple[Tensor, int]:
    """Windows of a batch of tasks' images as rows of one matrix a task, differentiable.

    Args:
        hidden: [tasks, images, size, size, channels].

    Returns:
        [tasks, images * output * output, 9 * channels] and the output's height (= width).
    """
    tasks, images, size, _, channels = hidden.shape
    rows = _Patches.apply(hidden.reshape(tasks * images, size, size, channels))
    output = output_size(size)
    return rows.view(tasks, images * output * output, 9 * channels), output
