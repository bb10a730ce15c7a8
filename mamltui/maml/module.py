"""The network as a ``torch.nn.Module`` of standard layers, for use outside of mamltui.

The same function as :func:`mamltui.maml.network.forward` of one task, in torch's own layouts:
images [images, channels, size, size], kernels [out, in, 3, 3], the head [way, features].
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional

from mamltui.maml.mlp import MlpNetwork
from mamltui.maml.network import NORM_EPSILON, NetworkSpec
from mamltui.maml.own_network import ModuleNetwork
from mamltui.maml.parameters import STATISTICS, Network, NormStatistics, Parameters, at_step
from mamltui.maml.patches import leading_pad, padded_size


class Norm(nn.Module):
    """Normalisation with a shift and perhaps a scale, over the batch or over each image.

    With ``mean`` and ``variance``, buffers [filters], batch normalisation is a fixed map of each
    image; without, it takes the statistics of the images it is given, all together.
    """

    mean: Tensor | None
    variance: Tensor | None

    def __init__(self, kind: str, filters: int, has_scale: bool) -> None:
        super().__init__()
        self.kind = kind
        self.shift = nn.Parameter(torch.zeros(filters))
        self.scale = nn.Parameter(torch.ones(filters)) if has_scale else None
        self.register_buffer("mean", None)
        self.register_buffer("variance", None)

    def forward(self, hidden: Tensor) -> Tensor:
        if self.kind != "none":
            over = (0, 2, 3) if self.kind == "batch" else (1, 2, 3)
            mean, variance = self.mean, self.variance
            if mean is None or variance is None:
                mean = hidden.mean(dim=over, keepdim=True)
                variance = (hidden - mean).square().mean(dim=over, keepdim=True)
            else:
                mean, variance = mean.view(-1, 1, 1), variance.view(-1, 1, 1)
            hidden = (hidden - mean) * torch.rsqrt(variance + NORM_EPSILON)
        if self.scale is not None:
            hidden = hidden * self.scale.view(-1, 1, 1)
        return hidden + self.shift.view(-1, 1, 1)


class ConvNet(nn.Module):
    """Conv-4 and its kin: ``conv1``, ``norm1``, ..., and ``head`` unless there is none.

    Args:
        network: what to build; its parameters are zero.
        has_head: without one the output is the features, [images, features].
    """

    def __init__(self, network: NetworkSpec, *, has_head: bool = True) -> None:
        super().__init__()
        self.network = network
        filters = network.filters
        for layer, inputs in enumerate(network.inputs(), 1):
            conv = nn.Conv2d(inputs, filters, 3, stride=network.stride(), bias=False)
            self.add_module(f"conv{layer}", conv)
            norm = Norm(network.normalisation, filters, network.norm_scale)
            self.add_module(f"norm{layer}", norm)
        self.head = nn.Linear(network.features(), network.way) if has_head else None

    def forward(self, images: Tensor) -> Tensor:
        """Logits [images, way] of images [images, channels, size, size], ink 1 and paper 0."""
        network, hidden = self.network, images
        for layer in range(1, network.layers + 1):
            size = network.sizes()[layer - 1]
            before = leading_pad(size, network.stride())
            after = padded_size(size, network.stride()) - size - before
            hidden = functional.pad(hidden, (before, after, before, after))
            hidden = self.get_submodule(f"conv{layer}")(hidden)
            hidden = functional.relu(self.get_submodule(f"norm{layer}")(hidden))
            if network.pooling == "max":
                hidden = functional.max_pool2d(hidden, 2)
        if network.head == "mean":
            features = hidden.mean(dim=(2, 3))
        else:  # in the order of the head's weights: row, column, filter
            features = hidden.permute(0, 2, 3, 1).flatten(1)
        return features if self.head is None else self.head(features)


def as_module(
    network: Network,
    parameters: Parameters,
    *,
    step: int = 0,
    statistics: Sequence[NormStatistics] = (),
    running: bool = False,
) -> nn.Module:
    """A network with its parameters, in evaluation mode; a module of the user's as tasks see it.

    Args:
        parameters: of a checkpoint, each of its own shape, or after adapting one task [1, ...].
        step: inner steps taken, where each number of steps has normalisation of its own.
        statistics: normalise with these, of one task; none: with the images' own.
        running: normalise with the running statistics that the parameters hold.
    """
    values = {name: value.detach() for name, value in at_step(network, parameters, step).items()}
    if isinstance(network, ModuleNetwork):
        return network.handed_out(values, list(statistics))
    if isinstance(network, MlpNetwork):
        return _fully_connected(network, values)
    assert isinstance(network, NetworkSpec)
    shapes = network.value_shapes()
    module = ConvNet(network, has_head="head.weight" in values)

    def fill(target: Tensor | None, value: Tensor) -> None:
        assert target is not None
        with torch.no_grad():
            target.copy_(value)

    for layer in range(1, network.layers + 1):
        conv, norm = module.get_submodule(f"conv{layer}"), module.get_submodule(f"norm{layer}")
        assert isinstance(conv, nn.Conv2d)
        assert isinstance(norm, Norm)
        kernel = values[f"conv{layer}.weight"].reshape(shapes[f"conv{layer}.weight"])
        fill(conv.weight, kernel.permute(3, 2, 0, 1))
        for field in network.norm_fields():
            fill(getattr(norm, field), values[f"norm{layer}.{field}"].reshape(-1))
        known: Sequence[Tensor] = ()
        if running and network.running_steps:
            known = [values[f"norm{layer}.{field}"] for field in STATISTICS]
        elif statistics:
            known = statistics[layer - 1]
        for field, value in zip(STATISTICS, known, strict=False):
            setattr(norm, field, value.detach().reshape(-1).clone().cpu())
    if module.head is not None:
        fill(module.head.weight, values["head.weight"].reshape(shapes["head.weight"]).T)
        fill(module.head.bias, values["head.bias"].reshape(-1))
    return module.eval()


def _fully_connected(network: MlpNetwork, values: Parameters) -> nn.Module:
    """Outputs [examples, outputs] of inputs [examples, inputs], by torch's linear layers."""
    layers: list[nn.Module] = []
    for layer, (inputs, outputs) in enumerate(pairwise(network.sizes()), 1):
        linear = nn.Linear(inputs, outputs)
        with torch.no_grad():
            linear.weight.copy_(values[f"layer{layer}.weight"].reshape(inputs, outputs).T)
            linear.bias.copy_(values[f"layer{layer}.bias"].reshape(outputs))
        layers += [linear, nn.ReLU()]
    return nn.Sequential(*layers[:-1]).eval()
