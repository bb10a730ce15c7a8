"""The 3x3 SAME windows of images as rows of a matrix, and the transpose of that map.

Windows lie at every position (stride 1) or every other one (stride 2). Both maps are linear and
each is the other's gradient, so products with their result can be differentiated any number of
times. Images are channels-last: a window's row is then three contiguous runs of memory.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor


def output_size(size: int, stride: int) -> int:
    """Height (= width) after one SAME convolution."""
    return (size + stride - 1) // stride


def leading_pad(size: int, stride: int) -> int:
    """Zeros in front of the first row or column; with stride 2 SAME puts the odd one behind."""
    return size % 2 if stride == 2 else 1


def padded_size(size: int, stride: int) -> int:
    """Rows or columns that the windows cover, the padding included."""
    return stride * (output_size(size, stride) - 1) + 3


def windows(padded: Tensor, stride: int) -> Tensor:
    """[images, output, output, 3, 3, channels] view of the windows of contiguous padded images."""
    images, height, _, channels = padded.shape
    size = (height - 3) // stride + 1
    batch, row, column, channel = padded.stride()
    return padded.as_strided(
        (images, size, size, 3, 3, channels),
        (batch, stride * row, stride * column, row, column, channel),
        padded.storage_offset(),
    )


def new_padded(
    images: int, size: int, channels: int, like: Tensor, stride: int
) -> tuple[Tensor, Tensor]:
    """Room for [images, size, size, channels], and the padded images that it is the inside of.

    The inside is left unwritten, the zeros around it are not.
    """
    width, start = padded_size(size, stride), leading_pad(size, stride)
    padded = like.new_empty(images, width, width, channels)
    padded[:, start + size :].zero_()
    padded[:, :, start + size :].zero_()
    if start:
        padded[:, 0].zero_()
        padded[:, :, 0].zero_()
    return padded[:, start : start + size, start : start + size], padded


def pad(hidden: Tensor, stride: int) -> Tensor:
    """[images, size, size, channels] with the zeros that the windows cover."""
    images, size, _, channels = hidden.shape
    inside, padded = new_padded(images, size, channels, hidden, stride)
    inside.copy_(hidden)
    return padded


def patches_of(hidden: Tensor, stride: int) -> Tensor:
    """[images, size, size, channels] -> [images, output, output, 3, 3, channels], contiguous."""
    return windows(pad(hidden, stride), stride).contiguous()


def fold_padded(patches: Tensor) -> Tensor:
    """Sum stride-2 windows [images, output, output, 3, 3, channels] back to padded images.

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


def fold(patches: Tensor, size: int, stride: int) -> Tensor:
    """Transpose of :func:`patches_of` for images of height and width ``size``."""
    if stride == 2:
        start = leading_pad(size, stride)
        return fold_padded(patches)[:, start : start + size, start : start + size]
    folded = patches[:, :, :, 1, 1].clone()
    for row in range(3):
        for column in range(3):
            if (row, column) != (1, 1):
                to_rows, of_rows = _shifted(row - 1, size)
                to_columns, of_columns = _shifted(column - 1, size)
                part = patches[:, of_rows, of_columns, row, column]
                folded[:, to_rows, to_columns] += part
    return folded


def _shifted(by: int, size: int) -> tuple[slice, slice]:
    """Where pixels lie that are ``by`` behind the middle of a window, and where those windows."""
    return slice(max(0, by), size + min(0, by)), slice(max(0, -by), size + min(0, -by))


class _Patches(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, hidden: Tensor, stride: int) -> Tensor:
        ctx.size, ctx.stride = hidden.shape[1], stride
        return patches_of(hidden, stride)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        return _Fold.apply(gradient, ctx.size, ctx.stride), None


class _Fold(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, patches: Tensor, size: int, stride: int) -> Tensor:
        ctx.stride = stride
        return fold(patches, size, stride)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        return _Patches.apply(gradient, ctx.stride), None, None


def extract_patches(hidden: Tensor, stride: int) -> Tensor:
    """Windows of a batch of tasks' images as rows of one matrix a task, differentiable.

    Args:
        hidden: [tasks, images, size, size, channels].

    Returns:
        [tasks, images * output * output, 9 * channels].
    """
    tasks, images, size, _, channels = hidden.shape
    rows: Tensor = _Patches.apply(hidden.reshape(tasks * images, size, size, channels), stride)
    return rows.view(tasks, images * output_size(size, stride) ** 2, 9 * channels)
