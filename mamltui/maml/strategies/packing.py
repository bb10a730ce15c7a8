"""What is meta-learned, laid out as ``conv4.cpp`` wants it, and back."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from mamltui.maml.inner import InnerLoop
from mamltui.maml.learner import Learner
from mamltui.maml.network import STATISTICS, NetworkSpec, Parameters

FIELDS = ("shift", "scale", *STATISTICS)
"""Of a normalisation, in the order of the kernels."""


class Packed(NamedTuple):
    """Parameters, or their gradient: ``Learned`` of ``conv4.cpp``."""

    weights: Tensor
    """[parameters]: kernels and head, in the order of the forward pass."""
    norms: Tensor
    """[rows, layers, fields, filters]: after 0, 1, ... inner steps; the last row from there on."""
    rates: Tensor
    """[rows, tensors] or [rows, parameters]: of inner step 0, 1, ..., the last row from there on;
    zero for what the inner loop does not adapt."""


@dataclass(frozen=True)
class Packing:
    """The layout for one network and inner loop."""

    network: NetworkSpec
    inner: InnerLoop

    def packed(self, parameters: Parameters) -> Packed:
        weights = torch.cat([parameters[name].reshape(-1) for name in self._weights()])
        return Packed(weights, self._norms(parameters), self._rates(parameters))

    def unpacked(self, packed: Packed) -> Parameters:
        """A gradient by name, in the shapes of the parameters."""
        network = self.network
        shapes = Learner(network, self.inner).shapes()
        named = self._split(packed.weights)
        for layer in range(network.layers):
            for place, field in enumerate(FIELDS):
                name = f"norm{layer + 1}.{field}"
                if name in shapes:
                    named[name] = self._folded(packed.norms[:, layer, place], field)
        if self.inner.rates == "per-element":
            rates = self._split(packed.rates[0])
        else:
            rates = dict(zip(self._weights(), packed.rates.unbind(dim=1), strict=True))
        named |= {f"rate.{name}": value for name, value in rates.items()}
        return {name: named[name] for name in shapes}

    def _weights(self) -> list[str]:
        return [name for name in self.network.parameter_shapes() if not name.startswith("norm")]

    def _split(self, flat: Tensor) -> Parameters:
        shapes = self.network.parameter_shapes()
        names = self._weights()
        pieces = torch.split(flat, [math.prod(shapes[name]) for name in names])
        return {name: piece.view(shapes[name]) for name, piece in zip(names, pieces, strict=True)}

    def _rows(self) -> int:
        return max(1, self.network.norm_steps, self.network.running_steps)

    def _own_rows(self, field: str) -> int:
        """How many numbers of steps the field has values of its own for; 0: one for all."""
        return self.network.running_steps if field in STATISTICS else self.network.norm_steps

    def _norms(self, parameters: Parameters) -> Tensor:
        """Fields that the network does not have are a scale of 1, and zeros that nobody reads."""
        rows, filters = self._rows(), self.network.filters
        like = parameters["norm1.shift"]
        norms = like.new_zeros(rows, self.network.layers, len(FIELDS), filters)
        norms[:, :, FIELDS.index("scale")] = 1
        for layer in range(self.network.layers):
            for place, field in enumerate(FIELDS):
                value = parameters.get(f"norm{layer + 1}.{field}")
                if value is None:
                    continue
                own = self._own_rows(field)
                at = [min(row, own - 1) for row in range(rows)]
                norms[:, layer, place] = value[at] if own else value
        return norms

    def _folded(self, gradient: Tensor, field: str) -> Tensor:
        """[rows, filters] as the parameter is: steps that share a value share its gradient."""
        own = self._own_rows(field)
        if not own:
            return gradient.sum(dim=0)
        if field in STATISTICS:
            return gradient[:own]  # further passes are not looked at
        return torch.cat([gradient[: own - 1], gradient[own - 1 :].sum(dim=0, keepdim=True)])

    def _rates(self, parameters: Parameters) -> Tensor:
        inner, like = self.inner, parameters["head.weight"]
        adapted = set(inner.adapted(self.network))
        if inner.rates == "per-element":
            pieces = [
                parameters[f"rate.{name}" if name in adapted else name].reshape(-1)
                * (name in adapted)
                for name in self._weights()
            ]
            return torch.cat(pieces).unsqueeze(0)
        rates = like.new_zeros(max(1, inner.steps), len(self._weights()))
        for place, name in enumerate(self._weights()):
            if name in adapted:
                fixed = inner.step_size(self.network.way)
                rates[:, place] = parameters[f"rate.{name}"] if inner.rates == "per-step" else fixed
        return rates
