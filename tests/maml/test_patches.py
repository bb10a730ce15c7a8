"""Patches against torch's own unfold and convolution, and fold as their transpose."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F  # noqa: N812

from mamltui.maml.patches import extract_patches, fold, output_size, patches_of


def images(size: int, channels: int = 3) -> torch.Tensor:
    generator = torch.Generator().manual_seed(size)
    return torch.randn(2, size, size, channels, generator=generator, dtype=torch.float64)


sizes = pytest.mark.parametrize("size", [1, 2, 3, 4, 7, 14, 28])
strides = pytest.mark.parametrize("stride", [1, 2])


@sizes
@strides
def test_product_of_patches_is_the_same_convolution(size: int, stride: int) -> None:
    x = images(size)
    generator = torch.Generator().manual_seed(0)
    kernel = torch.randn(3, 3, 3, 5, generator=generator, dtype=torch.float64)
    before = size % 2 if stride == 2 else 1
    padded = F.pad(x.permute(0, 3, 1, 2), (before, 1, before, 1))
    expected = F.conv2d(padded, kernel.permute(3, 2, 0, 1), stride=stride)
    actual = patches_of(x, stride).flatten(3) @ kernel.flatten(0, 2)
    assert actual.shape[1] == output_size(size, stride)
    torch.testing.assert_close(actual, expected.permute(0, 2, 3, 1))


@sizes
@strides
def test_fold_is_the_transpose_of_taking_patches(size: int, stride: int) -> None:
    x = images(size)
    generator = torch.Generator().manual_seed(1)
    patches = patches_of(x, stride)
    y = torch.randn(patches.shape, generator=generator, dtype=torch.float64)
    folded = fold(y, size, stride)
    assert (patches * y).sum().item() == pytest.approx((x * folded).sum().item(), rel=1e-12)


@strides
def test_can_be_differentiated_twice(stride: int) -> None:
    x = images(7)[None].requires_grad_()

    def energy(hidden: torch.Tensor) -> torch.Tensor:
        return extract_patches(hidden, stride).pow(3)

    assert torch.autograd.gradcheck(energy, x[:, :1, :, :, :1].detach().requires_grad_())
    assert torch.autograd.gradgradcheck(energy, x[:, :1, :3, :3, :1].detach().requires_grad_())
