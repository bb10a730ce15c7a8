"""Patches against torch's own unfold and convolution, and fold as their transpose."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F  # noqa: N812

from mamltui.maml.patches import extract_patches, fold, output_size, patches_of


def images(size: int, channels: int = 3) -> torch.Tensor:
    generator = torch.Generator().manual_seed(size)
    return torch.randn(2, size, size, channels, generator=generator, dtype=torch.float64)


@pytest.mark.parametrize("size", [1, 2, 3, 4, 7, 14, 28])
def test_product_of_patches_is_the_stride_two_same_convolution(size: int) -> None:
    x = images(size)
    generator = torch.Generator().manual_seed(0)
    kernel = torch.randn(3, 3, 3, 5, generator=generator, dtype=torch.float64)
    before = size % 2
    padded = F.pad(x.permute(0, 3, 1, 2), (before, 1, before, 1))
    expected = F.conv2d(padded, kernel.permute(3, 2, 0, 1), stride=2)
    actual = patches_of(x).flatten(3) @ kernel.flatten(0, 2)
    assert actual.shape[1] == output_size(size)
    torch.testing.assert_close(actual, expected.permute(0, 2, 3, 1))


@pytest.mark.parametrize("size", [1, 2, 3, 4, 7, 14, 28])
def test_fold_is_the_transpose_of_taking_patches(size: int) -> None:
    x = images(size)
    generator = torch.Generator().manual_seed(1)
    patches = patches_of(x)
    y = torch.randn(patches.shape, generator=generator, dtype=torch.float64)
    assert (patches * y).sum().item() == pytest.approx((x * fold(y, size)).sum().item(), rel=1e-12)


def test_can_be_differentiated_twice() -> None:
    x = images(7)[None].requires_grad_()

    def energy(hidden: torch.Tensor) -> torch.Tensor:
        rows, _ = extract_patches(hidden)
        return rows.pow(3)

    assert torch.autograd.gradcheck(energy, x[:, :1, :, :, :1].detach().requires_grad_())
    assert torch.autograd.gradgradcheck(energy, x[:, :1, :3, :3, :1].detach().requires_grad_())
