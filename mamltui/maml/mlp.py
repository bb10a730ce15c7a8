"""The network of the MAML paper's regression (Finn et al. 2017, section 5.1), over tasks."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from mamltui.maml.parameters import Network, NormStatistics, Parameters, ParameterSpec

KIND = "fully connected"
MOST_LAYERS = 16


@dataclass(frozen=True)
class MlpNetwork(Network):
    """Fully connected layers with ReLU between them, and a number for each input.

    All parameters are adapted. Weights [in, out] and biases start as torch's linear layers do,
    uniform within 1 / sqrt(in); the paper's code draws weights of 0.01 and starts biases at 0.
    """

    hidden: tuple[int, ...] = (40, 40)
    way: int = 1
    """Outputs."""
    channels: int = 1
    """Inputs."""
    image_size: int = 1
    is_regression: bool = True
    tasks_at_once: int = 1_000

    def sizes(self) -> tuple[int, ...]:
        """Of the input, of each hidden layer, and of the output."""
        return (self.channels, *self.hidden, self.way)

    @cached_property
    def parameters(self) -> dict[str, ParameterSpec]:
        specs: dict[str, ParameterSpec] = {}
        last = len(self.hidden) + 1
        for layer, (inputs, outputs) in enumerate(pairwise(self.sizes()), 1):
            weight = ParameterSpec((inputs, outputs), "kernel", "own", is_decayed=True)
            part = weight._replace(part="head") if layer == last else weight
            specs[f"layer{layer}.weight"] = part
            specs[f"layer{layer}.bias"] = part._replace(shape=(outputs,), is_decayed=False)
        return specs

    @property
    def normalises_by_batch(self) -> bool:
        return False

    def adapted(self) -> tuple[str, ...]:
        return self.learned()

    def head_names(self) -> tuple[str, ...]:
        return tuple(name for name, spec in self.parameters.items() if spec.part == "head")

    def initial_parameters(self, seed: int) -> Parameters:
        generator = torch.Generator().manual_seed(seed)
        values: Parameters = {}
        for layer, (inputs, outputs) in enumerate(pairwise(self.sizes()), 1):
            for name, shape in (("weight", (inputs, outputs)), ("bias", (outputs,))):
                drawn = 2 * torch.rand(shape, generator=generator) - 1
                values[f"layer{layer}.{name}"] = drawn / math.sqrt(inputs)
        return values

    def apply(
        self,
        values: Mapping[str, Tensor],
        images: Tensor,
        *,
        statistics: list[NormStatistics] | None = None,  # noqa: ARG002 - it has none
        running: bool = False,  # noqa: ARG002
    ) -> tuple[Tensor, list[NormStatistics]]:
        """Outputs [tasks, examples, outputs] of inputs [tasks, examples, inputs]."""
        hidden, last = images, len(self.hidden) + 1
        for layer in range(1, last + 1):
            hidden = hidden @ values[f"layer{layer}.weight"]
            hidden = hidden + values[f"layer{layer}.bias"].unsqueeze(-2)
            hidden = functional.relu(hidden) if layer < last else hidden
        return hidden, []

    def floats_an_image(self) -> int:
        return sum(self.sizes())

    def to_json(self) -> dict[str, object]:
        return {"kind": KIND, "hidden": list(self.hidden)}

    @classmethod
    def from_json(cls, values: Mapping[str, Any], largest: int) -> MlpNetwork:
        """What ``to_json`` wrote.

        Raises:
            ValueError: it is none, or a layer has more than ``largest`` units.
        """
        hidden = values.get("hidden")
        if (
            values.get("kind") != KIND
            or not isinstance(hidden, list)
            or not 0 < len(hidden) <= MOST_LAYERS
            or not all(type(size) is int and 0 < size <= largest for size in hidden)
        ):
            raise ValueError("there is no such network of fully connected layers")
        return cls(tuple(hidden))

    def describe(self) -> str:
        return f"fully connected layers of {' and '.join(map(str, self.hidden))} units"
