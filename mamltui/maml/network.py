"""Conv-4, the network of the MAML paper, as a function of its parameters, batched over tasks.

Four modules of 3x3 convolution (stride 2, SAME), batch normalisation with the batch's own
statistics and ReLU; the spatial mean of the last one goes into a linear head (Finn et al. 2017,
section 5.2 and reference code). Three details are the reference code's: batch normalisation has a
learned shift but no scale, with epsilon 1e-3; the shift is meta-learned and not adapted in the
inner loop; convolution weights start Xavier-uniform, head weights N(0, 1), all else 0.
Convolutions have no bias: in front of batch normalisation its gradient is exactly zero, so Adam
would only amplify rounding noise.

Weights are stored as [height, width, in, out], so that a kernel is a matrix [9 * in, out] without a
copy, and a convolution is the product of the image's patches with it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from mamltui.maml.patches import extract_patches

LAYERS = 4
NORM_EPSILON = 1e-3

Parameters = dict[str, Tensor]
Activation = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class NetworkSpec:
    """The shape of a Conv-4: what a checkpoint must agree with to be loaded."""

    way: int
    channels: int = 1
    image_size: int = 28
    filters: int = 64

    def sizes(self) -> tuple[int, ...]:
        """Height (= width) of the input and of each module's output: (28, 14, 7, 4, 2)."""
        sizes = [self.image_size]
        for _ in range(LAYERS):
            sizes.append(math.ceil(sizes[-1] / 2))
        return tuple(sizes)

    def parameter_shapes(self) -> dict[str, tuple[int, ...]]:
        """Name and shape of every parameter tensor, in the order of the forward pass."""
        shapes: dict[str, tuple[int, ...]] = {}
        inputs = self.channels
        for layer in range(1, LAYERS + 1):
            shapes[f"conv{layer}.weight"] = (3, 3, inputs, self.filters)
            shapes[f"norm{layer}.shift"] = (self.filters,)
            inputs = self.filters
        shapes["head.weight"] = (self.filters, self.way)
        shapes["head.bias"] = (self.way,)
        return shapes

    def adapted(self) -> tuple[str, ...]:
        """The parameters that the inner loop changes; the outer loop learns the others too."""
        return tuple(name for name in self.parameter_shapes() if not name.startswith("norm"))

    def parameter_count(self) -> int:
        return sum(math.prod(shape) for shape in self.parameter_shapes().values())

    def initial_parameters(self, seed: int) -> Parameters:
        """float32 parameters on the CPU, a function of ``seed`` alone."""
        generator = torch.Generator().manual_seed(seed)
        parameters: Parameters = {}
        for name, shape in self.parameter_shapes().items():
            if name.startswith("conv"):
                height, width, inputs, outputs = shape
                bound = math.sqrt(6 / (height * width * (inputs + outputs)))
                parameters[name] = (torch.rand(shape, generator=generator) * 2 - 1) * bound
            elif name == "head.weight":
                parameters[name] = torch.randn(shape, generator=generator)
            else:
                parameters[name] = torch.zeros(shape)
        return parameters


class NormStatistics(NamedTuple):
    """What one batch normalisation used, per task and channel."""

    mean: Tensor
    """[tasks, 1, filters]"""
    variance: Tensor
    """[tasks, 1, filters], biased."""


def relu(values: Tensor) -> Tensor:
    return functional.relu(values)


def forward(
    parameters: Mapping[str, Tensor],
    images: Tensor,
    *,
    statistics: list[NormStatistics] | None = None,
    activation: Activation = relu,
) -> tuple[Tensor, list[NormStatistics]]:
    """Logits of a batch of tasks, and the statistics that the normalisations used.

    Args:
        parameters: each either shared by all tasks (its own shape) or with a leading tasks
        dimension. images: [tasks, examples, channels, size, size]. statistics: normalise with
        these instead of the images' own (transductive) statistics;
            one entry a layer, as returned by an earlier call.

    Returns:
        Logits [tasks, examples, way]; one ``NormStatistics`` a layer.
    """
    tasks, examples = images.shape[:2]
    hidden = images.permute(0, 1, 3, 4, 2)
    used: list[NormStatistics] = []
    for layer in range(1, LAYERS + 1):
        patches, size = extract_patches(hidden)
        hidden = patches @ parameters[f"conv{layer}.weight"].flatten(-4, -2)
        if statistics is None:
            # Not var_mean: over a middle dimension it is some thirty times slower on a CPU.
            mean = hidden.mean(dim=1, keepdim=True)
            variance = (hidden - mean).square().mean(dim=1, keepdim=True)
            used.append(NormStatistics(mean, variance))
        else:
            used.append(statistics[layer - 1])
        mean, variance = used[-1]
        hidden = (hidden - mean) * torch.rsqrt(variance + NORM_EPSILON)
        hidden = activation(hidden + parameters[f"norm{layer}.shift"].unsqueeze(-2))
        hidden = hidden.view(tasks, examples, size, size, -1)
    features = hidden.mean(dim=(2, 3))
    return features @ parameters["head.weight"] + parameters["head.bias"].unsqueeze(-2), used
