"""Network and inner loop together: what is meta-learned."""

from __future__ import annotations

import math
from dataclasses import dataclass

from mamltui.maml import alfa
from mamltui.maml.inner import InnerLoop
from mamltui.maml.parameters import Network, Parameters


@dataclass(frozen=True)
class Learner:
    """A network and how it adapts."""

    network: Network
    inner: InnerLoop

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Name and shape of every tensor that a checkpoint holds the value of."""
        return self.network.parameter_shapes() | self.inner.rate_shapes(self.network)

    def initial_parameters(self, seed: int) -> Parameters:
        """float32 on the CPU, a function of ``seed`` alone."""
        return self.network.initial_parameters(seed) | self.inner.initial_rates(self.network, seed)

    def with_rates_times(self, factor: float, parameters: Parameters) -> Parameters:
        """The parameters with all learned step sizes multiplied by ``factor``."""
        return parameters | {
            name: factor * parameters[name]
            for name in self.inner.rate_shapes(self.network)
            if name == alfa.SIZES or self.inner.rates != "generated"
        }

    def parameter_count(self) -> int:
        return sum(math.prod(shape) for shape in self.shapes().values())
