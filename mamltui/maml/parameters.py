"""What all networks have in common: named tensors, and what each of them is for."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Literal, NamedTuple

from torch import Tensor

STATISTICS = ("mean", "variance")
"""Of a batch normalisation, as parameters are named after them."""
HEAD = ("head.weight", "head.bias")

Parameters = dict[str, Tensor]


class ParameterSpec(NamedTuple):
    """What one parameter tensor of a network is."""

    shape: tuple[int, ...]
    part: Literal["kernel", "norm", "head"]
    initial: Literal["xavier", "normal", "zeros", "ones", "own"]
    """``own``: what the constructor of a module of the user's gives it."""
    rows: int = 0
    """How many numbers of inner steps taken (0, 1, ...) it has a row for; 0: one for all."""
    is_tracked: bool = False
    """Whether no gradient moves it: a running statistic, which goes a fixed part of the way to
    what was observed, or a constant, of which nothing is observed."""
    is_decayed: bool = False
    """Whether weight decay pulls at it."""


class NormStatistics(NamedTuple):
    """What one batch normalisation used, per task and channel."""

    mean: Tensor
    """[tasks, 1, filters]"""
    variance: Tensor
    """[tasks, 1, filters], biased."""


class Network(ABC):
    """A function of parameters, as data: what a checkpoint must agree with to be loaded.

    What is computed with it are the derivatives that a strategy supplies.
    """

    way: int
    """Classes it tells apart."""
    channels: int
    image_size: int
    norm_steps: int = 0
    running_steps: int = 0
    prototypes: bool = False
    is_regression: bool = False
    """Whether its outputs are numbers, trained by their square error; else logits."""
    tasks_at_once: int = 1
    """How many tasks it computes well side by side, where that is not found out otherwise."""

    @property
    @abstractmethod
    def parameters(self) -> Mapping[str, ParameterSpec]:
        """Every parameter tensor by its name, in the order of the forward pass."""

    @property
    @abstractmethod
    def normalises_by_batch(self) -> bool:
        """Whether images of a set are seen in the light of the others."""

    @abstractmethod
    def adapted(self) -> tuple[str, ...]:
        """The parameters that the inner loop changes; the outer loop learns the others too."""

    @abstractmethod
    def head_names(self) -> tuple[str, ...]:
        """The parameters of the classifier, the others being the body; none: it has no such."""

    @abstractmethod
    def initial_parameters(self, seed: int) -> Parameters:
        """float32 parameters on the CPU, a function of ``seed`` alone."""

    @abstractmethod
    def apply(
        self,
        values: Mapping[str, Tensor],
        images: Tensor,
        *,
        statistics: list[NormStatistics] | None = None,
        running: bool = False,
    ) -> tuple[Tensor, list[NormStatistics]]:
        """Logits [tasks, examples, way] of a batch of tasks, and the statistics of the images.

        Args:
            values: as :func:`at_step` gives them, each either shared by all tasks or [tasks, ...].
            images: [tasks, examples, channels, size, size].
            statistics: normalise with these, of another pass, instead of the images' own.
            running: normalise with running statistics, if there are any.
        """

    @abstractmethod
    def floats_an_image(self) -> int:
        """About how many numbers one image takes while it is scored."""

    @abstractmethod
    def to_json(self) -> dict[str, object]:
        """What a checkpoint says of it."""

    def further_names(self) -> frozenset[str]:
        """What a state dict of it may hold besides its parameters."""
        return frozenset()

    @abstractmethod
    def describe(self) -> str:
        """In a few words."""

    def parameter_shapes(self) -> dict[str, tuple[int, ...]]:
        """Name and shape of every parameter tensor."""
        return {name: parameter.shape for name, parameter in self.parameters.items()}

    def value_shapes(self) -> dict[str, tuple[int, ...]]:
        """Name and shape of what one pass reads: after one number of inner steps, with a head."""
        return self.parameter_shapes()

    def rows(self, name: str) -> int:
        """Of a parameter: see :class:`ParameterSpec`; all else has one value for all steps."""
        return self.parameters[name].rows if name in self.parameters else 0

    def tracked(self) -> tuple[str, ...]:
        """The running statistics and constants."""
        return tuple(name for name, parameter in self.parameters.items() if parameter.is_tracked)

    def learned(self) -> tuple[str, ...]:
        """The parameters that a gradient moves, in one loop or the other."""
        return tuple(
            name for name, parameter in self.parameters.items() if not parameter.is_tracked
        )

    def parameter_count(self) -> int:
        return sum(math.prod(shape) for shape in self.parameter_shapes().values())


def at_step(network: Network, parameters: Mapping[str, Tensor], step: int) -> dict[str, Tensor]:
    """The parameters, with those that each step has its own of as they are after ``step`` steps.

    Shifts, scales and running statistics become [..., filters], views of what is given.
    """
    values = dict(parameters)
    if not (network.norm_steps or network.running_steps):
        return values
    for name, value in parameters.items():
        rows = network.rows(name)
        if rows:
            values[name] = value.select(-2, min(step, rows - 1))
    return values
