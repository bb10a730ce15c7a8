"""What the precision of the products does to the meta-gradient, and what it leaves alone."""

from __future__ import annotations

import statistics
from functools import partial

import pytest
import torch
from torch import Tensor

from mamltui.errors import UsageError
from mamltui.maml.episode import Episodes
from mamltui.maml.inner import InnerLoop
from mamltui.maml.network import NetworkSpec
from mamltui.maml.outer import Backend
from mamltui.maml.outer import meta_gradient as outer_gradient
from mamltui.maml.precision import PRECISIONS, Products
from mamltui.maml.strategies.analytic import Analytic
from mamltui.maml.strategies.native import Kernels
from tests.fake_cuda import CUDA, Launches, fake_cuda, needs_cuda

from .reference import Weights, meta_gradient, random_problem, relative_difference

CPU = torch.device("cpu")
BF16_BOUND, TF32_BOUND = 0.7, 0.5
PRODUCTS = ("aten.mm.", "aten.bmm.", "aten.addmm", "aten.baddbmm")


def gradient(precision: str, steps: int, device: torch.device = CPU) -> tuple[float, float]:
    """Relative difference of the float32 meta-gradient to the float64 loop, and to fp32's."""
    network, weights, episodes = random_problem(tasks=4, filters=64, query=1)
    exact, _ = meta_gradient(network, InnerLoop(steps, 0.1), weights, episodes)
    single = {name: value.float().to(device) for name, value in weights.items()}
    arguments = (network, InnerLoop(steps, 0.1), single, episodes.to(device, torch.float32))
    found = outer_gradient(*arguments, partial(Analytic, precision=precision)).times(1 / 4)
    plain = outer_gradient(*arguments, Analytic).times(1 / 4)
    assert all(value.dtype == torch.float32 for value in found.gradient.values())
    here = {name: value.cpu() for name, value in found.gradient.items()}
    there = {name: value.cpu() for name, value in plain.gradient.items()}
    return relative_difference(here, exact), relative_difference(here, there)


@pytest.mark.parametrize("steps", [1, 3, 5])
def test_bf16_products_move_the_meta_gradient_by_a_part_of_its_length(steps: int) -> None:
    """Not by bfloat16's 0.4 %: where a rounding moves a value over zero, ReLU's mask jumps."""
    off, from_fp32 = gradient("bf16", steps)
    assert 0.01 < off < BF16_BOUND
    assert from_fp32 > 0.01


def test_a_bf16_product_is_as_close_as_its_factors() -> None:
    generator = torch.Generator().manual_seed(0)
    left, right = (torch.rand(2, 50, 50, generator=generator) for _ in range(2))
    found = Products("bf16", CPU, torch.float32).product(left, right)
    off = (found / (left @ right) - 1).abs().max().item()
    assert 0 < off < 2**-8


def test_fp32_is_the_default_and_close_to_float64() -> None:
    off, from_default = gradient("fp32", 3)
    assert off < 1e-4
    assert from_default == 0


def max_pooled_problem(seed: int) -> tuple[NetworkSpec, Weights, Episodes]:
    """As a training of photographs begins, one task, in float64."""
    network = NetworkSpec(5, 3, 16, 16, layers=3, pooling="max", head="flatten")
    generator = torch.Generator().manual_seed(seed)
    weights = {name: value.double() for name, value in network.initial_parameters(seed).items()}

    def examples(count: int) -> tuple[Tensor, Tensor]:
        images = (torch.rand(1, 5 * count, 3, 16, 16, generator=generator) > 0.8).double()
        return images, torch.arange(5).repeat_interleave(count).repeat(1, 1)

    return network, weights, Episodes(*examples(1), *examples(3))


@pytest.mark.parametrize("backend", [Kernels(), Analytic], ids=["native", "analytic"])
def test_float32_is_as_near_to_float64_as_the_plain_loop_of_torchs_own_layers(
    backend: Backend,
) -> None:
    """By the median: where a rounding changes what ReLU or a maximum lets through, any gradient
    jumps, the plain loop's too, and for which problems that is depends on the processor."""
    ours, theirs = [], []
    for seed in range(16):
        network, weights, episodes = max_pooled_problem(seed)
        inner = InnerLoop(3, 0.1)
        exact, _ = meta_gradient(network, inner, weights, episodes)
        single = {name: value.float() for name, value in weights.items()}
        rounded = episodes.to(CPU, torch.float32)
        plain, _ = meta_gradient(network, inner, single, rounded)
        found = outer_gradient(network, inner, single, rounded, backend).gradient
        ours.append(relative_difference(found, exact))
        theirs.append(relative_difference(plain, exact))
    assert statistics.median(ours) < 4 * statistics.median(theirs) < 1e-4


@pytest.mark.parametrize("backend", [Kernels(), Analytic], ids=["native", "analytic"])
def test_sums_over_large_images_lose_nothing_in_float32(backend: Backend) -> None:
    """Added up one by one, 176,400 positions would be off by some 1e-6."""
    network = NetworkSpec(5, 3, 84, 16, layers=1, pooling="max")
    images = torch.rand(1, 25, 3, 84, 84, generator=torch.Generator().manual_seed(0))
    parameters = network.initial_parameters(0)
    exact = {name: value.double() for name, value in parameters.items()}
    (expected,) = Analytic(network, images.double()).forward(exact).statistics
    (found,) = backend(network, images).forward(parameters).statistics
    deviation = expected.variance.sqrt()
    assert ((found.mean - expected.mean) / deviation).abs().max() < 1e-6
    assert (found.variance / expected.variance - 1).abs().max() < 1e-6


def test_bf16_sums_in_float32() -> None:
    """256 + 1 is 256 in bfloat16."""
    products = Products("bf16", CPU, torch.float32)
    left = torch.ones(1, 1, 257)
    assert products.product(left, torch.ones(257, 1)).item() == 257
    assert products.product(left, torch.ones(1, 257, 1)).item() == 257
    total = torch.full((1, 1, 1), 0.25)
    products.add_product(total, left, torch.ones(257, 1))
    assert total.item() == 257.25


def test_a_factor_is_rounded_once_and_lies_in_a_row() -> None:
    values = torch.randn(3, 4, 5, generator=torch.Generator().manual_seed(0)).transpose(1, 2)
    for precision in ("fp32", "bf16"):
        products = Products(precision, CPU, torch.float32)
        factor = products.factor(values)
        assert factor.is_contiguous()
        right = torch.ones(4, 2)
        assert torch.equal(products.product(factor, right), products.product(values, right))
    assert torch.equal(factor, values.bfloat16())


@pytest.mark.parametrize("precision", ["tf32", "bf16"])
def test_float64_has_no_products_of_lower_precision(precision: str) -> None:
    network, _, episodes = random_problem()
    with pytest.raises(UsageError, match=r"products are of float32 tensors, these are .*float64"):
        Analytic(network, episodes.support_x, precision=precision)


def test_tf32_is_refused_on_the_cpu_with_the_reason() -> None:
    with pytest.raises(UsageError, match="there is no TF32 on cpu"):
        Products("tf32", CPU, torch.float32)


def test_an_unknown_precision_is_refused() -> None:
    with pytest.raises(UsageError, match="there is no precision 'fp16'"):
        Products("fp16", CPU, torch.float32)


class Settings(Launches):
    """What held of TF32 at each product, and the products."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[tuple[str, str]] = []

    def launched(self, name: str) -> None:
        if name.startswith(PRODUCTS):
            self.seen.append((name, torch.backends.cuda.matmul.fp32_precision))


@pytest.mark.parametrize("before", ["none", "tf32"])
@pytest.mark.parametrize("precision", PRECISIONS)
def test_on_cuda_only_the_convolutions_products_are_of_lower_precision(
    precision: str, before: str
) -> None:
    matmul = torch.backends.cuda.matmul
    at_first = matmul.fp32_precision
    network, weights, episodes = random_problem(filters=4, dtype=torch.float32)
    matmul.fp32_precision = before
    try:
        with fake_cuda():
            there = {name: value.to(CUDA) for name, value in weights.items()}
            moved = episodes.to(CUDA)
            with Settings() as settings:
                backend = partial(Analytic, precision=precision)
                outer_gradient(network, InnerLoop(2, 0.1), there, moved, backend)
        assert matmul.fp32_precision == before
    finally:
        matmul.fp32_precision = at_first
    # A pass forward and back has 4 + 4 + 3 products with kernels and 3 in the head, the one back
    # through an inner step (4 + 3) + (4 + 3 + 3 + 3) and 6.
    heads = 3 * 3 + 2 * 6
    others = len(settings.seen) - heads
    assert others == 3 * 11 + 2 * 20
    lower = [name for name, held in settings.seen if "dtype" in name or held == "tf32"]
    assert len(lower) == (0 if precision == "fp32" else others)
    assert all(held == "ieee" for name, held in settings.seen if name not in lower)


@pytest.mark.gpu
@needs_cuda
@pytest.mark.parametrize(
    ("precision", "least", "most"), [("tf32", 0, TF32_BOUND), ("bf16", 0.01, BF16_BOUND)]
)
def test_lower_precision_on_a_gpu_stays_within_its_bound(
    precision: str, least: float, most: float
) -> None:
    off, from_fp32 = gradient(precision, 3, torch.device("cuda"))
    assert least <= off < most
    assert from_fp32 > least


@pytest.mark.gpu
@needs_cuda
def test_fp32_on_a_gpu_is_exact_whatever_the_process_allows() -> None:
    matmul = torch.backends.cuda.matmul
    at_first = matmul.fp32_precision
    matmul.fp32_precision = "tf32"
    try:
        off, _ = gradient("fp32", 3, torch.device("cuda"))
    finally:
        matmul.fp32_precision = at_first
    assert off < 1e-4
