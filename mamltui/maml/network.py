"""Conv-4, the network of the MAML paper, as a function of its parameters, batched over tasks.

Four modules of 3x3 convolution (stride 2, SAME), batch normalisation with the batch's own
statistics and ReLU; the spatial mean of the last one goes into a linear head (Finn et al. 2017,
section 5.2 and reference code). Three details are the reference code's: batch normalisation has a
learned shift but no scale, with epsilon 1e-3; the shift is meta-learned and not adapted in the
inner loop; convolution weights start Xavier-uniform, head weights N(0, 1), all else 0.
Other members of the family are values of :class:`NetworkSpec`.
Convolutions have no bias: in front of batch normalisation its gradient is exactly zero, so Adam
would only amplify rounding noise.

Weights are stored as [height, width, in, out], so that a kernel is a matrix [9 * in, out] without a
copy, and a convolution is the product of the image's patches with it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, fields
from functools import cached_property

import torch
from torch import Tensor
from torch.nn import functional

from mamltui.maml.parameters import (
    HEAD,
    STATISTICS,
    Network,
    NormStatistics,
    Parameters,
    ParameterSpec,
    at_step,
)
from mamltui.maml.patches import extract_patches

LAYERS = 4
MOST_LAYERS = 16
POOLINGS = ("stride", "max")
NORMALISATIONS = ("batch", "layer", "none")
HEADS = ("mean", "flatten")
NORM_EPSILON = 1e-3

Activation = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class NetworkSpec(Network):
    """The shape of a network: what a checkpoint must agree with to be loaded.

    The defaults are the paper's Conv-4.
    """

    way: int
    channels: int = 1
    image_size: int = 28
    filters: int = 64
    layers: int = LAYERS
    pooling: str = "stride"
    """``stride``: convolutions of stride 2; ``max``: of stride 1, then 2x2 max-pooling."""
    normalisation: str = "batch"
    """``batch``, ``layer`` (each example by itself) or ``none``; then shifts are adapted biases."""
    head: str = "mean"
    """What the linear head sees of the last module: its spatial ``mean``, or all (``flatten``)."""
    norm_steps: int = 0
    """Shifts (and scales) after 0, 1, ... inner steps, the last of so many for all further steps;
    0: one for all (MAML++, Antoniou, Edwards and Storkey 2019, section 4)."""
    norm_scale: bool = False
    """Whether the normalisation has a scale beside its shift."""
    running_steps: int = 0
    """Running statistics of batch normalisation after 0, 1, ... inner steps, as ``norm_steps``, for
    the query set; 0: it is normalised by its own (transductive) statistics."""
    prototypes: bool = False
    """The head is computed from the means of the support set's classes and has no parameters
    (ProtoNet, Snell, Swersky and Zemel 2017); inner steps start from it (Proto-MAML, Triantafillou
    et al. 2020)."""

    def __post_init__(self) -> None:
        """Raises ValueError for a network that cannot be."""
        counts = (self.way, self.channels, self.image_size, self.filters, self.layers)
        words = (
            (self.pooling, POOLINGS),
            (self.normalisation, NORMALISATIONS),
            (self.head, HEADS),
        )
        if (
            not all(type(count) is int and count > 0 for count in counts)
            or min(self.norm_steps, self.running_steps) < 0
            or (self.running_steps and self.normalisation != "batch")
            or self.layers > MOST_LAYERS
            or not all(word in allowed for word, allowed in words)
            or self.sizes()[-1] < 1
        ):
            raise ValueError(f"there is no network {self}")

    def sizes(self) -> tuple[int, ...]:
        """Height (= width) of the input and of each module's output: (28, 14, 7, 4, 2)."""
        sizes = [self.image_size]
        for _ in range(self.layers):
            sizes.append(sizes[-1] // 2 if self.pooling == "max" else math.ceil(sizes[-1] / 2))
        return tuple(sizes)

    def convolved_sizes(self) -> tuple[int, ...]:
        """Height (= width) of each convolution's output, before pooling."""
        sizes = self.sizes()
        return sizes[:-1] if self.pooling == "max" else sizes[1:]

    def stride(self) -> int:
        """Of the convolutions."""
        return 1 if self.pooling == "max" else 2

    def inputs(self) -> tuple[int, ...]:
        """Channels that each convolution sees."""
        return (self.channels, *[self.filters] * (self.layers - 1))

    def features(self) -> int:
        """What the head sees of an image."""
        return self.filters * (self.sizes()[-1] ** 2 if self.head == "flatten" else 1)

    def norm_fields(self) -> tuple[str, ...]:
        """What each module's normalisation has parameters for, besides statistics."""
        return ("shift", "scale") if self.norm_scale else ("shift",)

    @cached_property
    def parameters(self) -> dict[str, ParameterSpec]:
        """Every parameter tensor by its name, in the order of the forward pass."""
        specs: dict[str, ParameterSpec] = {}
        rows = self.norm_steps
        own = (rows, self.filters) if rows else (self.filters,)
        for layer, inputs in enumerate(self.inputs(), 1):
            kernel = (3, 3, inputs, self.filters)
            specs[f"conv{layer}.weight"] = ParameterSpec(
                kernel, "kernel", "xavier", is_decayed=True
            )
            specs[f"norm{layer}.shift"] = ParameterSpec(own, "norm", "zeros", rows)
            if self.norm_scale:
                specs[f"norm{layer}.scale"] = ParameterSpec(own, "norm", "ones", rows)
            if self.running_steps:
                seen = self.running_steps, self.filters
                mean = ParameterSpec(seen, "norm", "zeros", self.running_steps, is_tracked=True)
                specs[f"norm{layer}.mean"] = mean
                specs[f"norm{layer}.variance"] = mean._replace(initial="ones")
        return specs if self.prototypes else specs | self._head()

    def _head(self) -> dict[str, ParameterSpec]:
        shapes = (self.features(), self.way), (self.way,)
        weight = ParameterSpec(shapes[0], "head", "normal", is_decayed=True)
        return dict(zip(HEAD, (weight, ParameterSpec(shapes[1], "head", "zeros")), strict=True))

    def value_shapes(self) -> dict[str, tuple[int, ...]]:
        """Name and shape of what one pass reads: after one number of inner steps, with a head."""
        return {
            name: parameter.shape[-1:] if parameter.rows else parameter.shape
            for name, parameter in (self.parameters | self._head()).items()
        }

    def adapted(self) -> tuple[str, ...]:
        """The parameters that the inner loop changes; the outer loop learns the others too.

        A head of prototypes is among them, which is not learned but computed.
        """
        learned = tuple(
            name
            for name in self.learned()
            if self.normalisation == "none" or self.parameters[name].part != "norm"
        )
        return (*learned, *HEAD) if self.prototypes else learned

    def head_names(self) -> tuple[str, ...]:
        return HEAD

    @property
    def normalises_by_batch(self) -> bool:
        return self.normalisation == "batch"

    def floats_an_image(self) -> int:
        # The patches and activations of the first two modules outweigh all the others'.
        return 8 * self.filters * self.sizes()[1] ** 2

    def to_json(self) -> dict[str, object]:
        return asdict(self)

    def describe(self) -> str:
        size = self.image_size
        plain = NetworkSpec(self.way, self.channels, size, self.filters)
        others = [
            f"{field.name} {getattr(self, field.name)}"
            for field in fields(self)
            if getattr(self, field.name) != getattr(plain, field.name)
        ]
        words = (
            f"Conv-4 with {self.filters} filters, {self.way}-way, "
            f"{self.channels}x{size}x{size} images"
        )
        return ", ".join([words, *others])

    def apply(
        self,
        values: Mapping[str, Tensor],
        images: Tensor,
        *,
        statistics: list[NormStatistics] | None = None,
        running: bool = False,
    ) -> tuple[Tensor, list[NormStatistics]]:
        return forward_at(self, values, images, statistics=statistics, running=running)

    def initial_parameters(self, seed: int) -> Parameters:
        """float32 parameters on the CPU, a function of ``seed`` alone."""
        generator = torch.Generator().manual_seed(seed)
        parameters: Parameters = {}
        for name, (shape, _, initial, *_) in self.parameters.items():
            if initial == "xavier":
                height, width, inputs, outputs = shape
                bound = math.sqrt(6 / (height * width * (inputs + outputs)))
                parameters[name] = (torch.rand(shape, generator=generator) * 2 - 1) * bound
            elif initial == "normal":
                parameters[name] = torch.randn(shape, generator=generator)
            else:
                parameters[name] = torch.full(shape, 1.0 if initial == "ones" else 0.0)
        return parameters


def relu(values: Tensor) -> Tensor:
    return functional.relu(values)


def forward(
    network: NetworkSpec,
    parameters: Mapping[str, Tensor],
    images: Tensor,
    *,
    step: int = 0,
    statistics: list[NormStatistics] | None = None,
    running: bool = False,
    activation: Activation = relu,
) -> tuple[Tensor, list[NormStatistics]]:
    """Logits of a batch of tasks, and the statistics that the images have.

    Args:
        parameters: each either shared by all tasks (its own shape) or with a leading tasks
            dimension.
        images: [tasks, examples, channels, size, size].
        step: inner steps taken before: which shifts are meant, where each step has its own.
        statistics: normalise with these instead of the images' own (transductive) statistics;
            one entry a layer, as returned by an earlier call.
        running: normalise with the running statistics, if the network has them.

    Returns:
        Logits [tasks, examples, way], or without a head among the parameters what it would see
        [tasks, examples, features]; one ``NormStatistics`` a layer, the images' own, or those
        given; none without batch normalisation.
    """
    return forward_at(
        network,
        at_step(network, parameters, step),
        images,
        statistics=statistics,
        running=running,
        activation=activation,
    )


def forward_at(
    network: NetworkSpec,
    parameters: Mapping[str, Tensor],
    images: Tensor,
    *,
    statistics: list[NormStatistics] | None = None,
    running: bool = False,
    activation: Activation = relu,
) -> tuple[Tensor, list[NormStatistics]]:
    """:func:`forward` at parameters that :func:`at_step` gave."""
    tasks, examples = images.shape[:2]
    hidden = images.permute(0, 1, 3, 4, 2)
    used: list[NormStatistics] = []
    for layer, size in enumerate(network.convolved_sizes(), 1):
        hidden = _convolve(network, hidden, parameters[f"conv{layer}.weight"])
        if network.normalisation == "batch":
            if running and network.running_steps:
                tracked = (parameters[f"norm{layer}.{field}"] for field in STATISTICS)
                known = NormStatistics(*(value.unsqueeze(-2) for value in tracked))
                hidden, seen = _running_norm(hidden, known)
            else:
                given = None if statistics is None else statistics[layer - 1]
                hidden, seen = _batch_norm(hidden, given)
            used.append(seen)
        elif network.normalisation == "layer":
            hidden = _layer_norm(hidden, examples)
        if network.norm_scale:
            hidden = hidden * parameters[f"norm{layer}.scale"].unsqueeze(-2)
        hidden = activation(hidden + parameters[f"norm{layer}.shift"].unsqueeze(-2))
        hidden = hidden.view(tasks, examples, size, size, -1)
        if network.pooling == "max":
            hidden = _max_pool(hidden)
    features = hidden.flatten(2) if network.head == "flatten" else hidden.mean(dim=(2, 3))
    if "head.weight" not in parameters:
        return features, used
    return features @ parameters["head.weight"] + parameters["head.bias"].unsqueeze(-2), used


def _running_norm(rows: Tensor, given: NormStatistics) -> tuple[Tensor, NormStatistics]:
    variance, mean = torch.var_mean(rows.detach(), dim=1, keepdim=True, correction=0)
    normalised = (rows - given.mean) * torch.rsqrt(given.variance + NORM_EPSILON)
    return normalised, NormStatistics(mean, variance)


def _convolve(network: NetworkSpec, hidden: Tensor, weight: Tensor) -> Tensor:
    """[tasks, examples, size, size, in] -> [tasks, examples * positions, out]."""
    return extract_patches(hidden, network.stride()) @ weight.flatten(-4, -2)


def _batch_norm(rows: Tensor, given: NormStatistics | None) -> tuple[Tensor, NormStatistics]:
    if given is None:
        # Not var_mean: over a middle dimension it is some thirty times slower on a CPU.
        mean = rows.mean(dim=1, keepdim=True)
        given = NormStatistics(mean, (rows - mean).square().mean(dim=1, keepdim=True))
    return (rows - given.mean) * torch.rsqrt(given.variance + NORM_EPSILON), given


def _layer_norm(rows: Tensor, examples: int) -> Tensor:
    """Each example by its own mean and variance over positions and channels."""
    values = rows.view(rows.shape[0], examples, -1, rows.shape[2])
    centred = values - values.mean(dim=(2, 3), keepdim=True)
    variance = centred.square().mean(dim=(2, 3), keepdim=True)
    normalised: Tensor = centred * torch.rsqrt(variance + NORM_EPSILON)
    return normalised.flatten(1, 2)


def _max_pool(hidden: Tensor) -> Tensor:
    """2x2 windows without overlap; an odd last row or column is left out."""
    images = hidden.flatten(0, 1).permute(0, 3, 1, 2)
    pooled: Tensor = functional.max_pool2d(images, 2).permute(0, 2, 3, 1)
    return pooled.reshape(*hidden.shape[:2], *pooled.shape[1:])
