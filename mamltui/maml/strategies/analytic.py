"""Derivatives by hand, with torch: no graph, many tasks at once, on any device.

The Hessian-vector product H v is the derivative of the gradient in the direction v: the forward
and backward pass are differentiated once more in that direction (forward over reverse; Pearlmutter
1994). Everything a pass saved on its way forward is used again, so an image and inner step costs
nine products a layer and no recomputation.

A layer is a product of patches P with the kernel W, normalisation, scale s and shift t, ReLU and,
where the network has it, 2x2 max-pooling:

    Z = P W,   C = Z - mean Z,   Y = r C,   A = pool(max(s Y + t, 0)),
    r = 1 / sqrt(mean C^2 + epsilon)

Means are over a task's examples and positions for each channel (batch norm), or over an example's
positions and channels (layer norm). The Jacobian of the normalisation at Z is

    J(u) = r (u - mean u - Y mean(Y u)),

and it is symmetric: it takes a tangent of Z to one of Y, and a gradient of Y to one of Z. With
running statistics J(u) = r u, and without normalisation Y = Z and J(u) = u. A tangent (the
derivative in the direction v) is written d, a gradient g. With G the gradient of s Y + t and
u = s G,

    g_Z = J(u),    dg_Z = J(du) - r mean(Y dZ) g_Z - r (mean(Y u) dY + mean(dY u) Y).

Element-wise passes cost as much as the products, so they are few: Y is never formed, and
activations are written where the next layer takes its patches from.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor
from torch.nn import functional

from mamltui.maml.network import NORM_EPSILON, NetworkSpec
from mamltui.maml.parameters import STATISTICS, Network, NormStatistics, Parameters
from mamltui.maml.patches import fold, new_padded, pad, windows
from mamltui.maml.precision import Products


@dataclass
class _Layer:
    """What one layer of one pass keeps; rows are [tasks, examples, positions, filters]."""

    patches: Tensor
    """P, [tasks, rows, 9 * inputs]; a factor of products."""
    centred: Tensor
    """C."""
    mean: Tensor | None
    """Of Z, [tasks, 1, 1, filters]; None without batch norm."""
    variance: Tensor | None
    """Of the images' own Z."""
    scale: Tensor | None
    """r, [tasks, 1, 1, filters] or [tasks, examples, 1, 1]; None: 1."""
    gain: Tensor | None
    """s, [... 1, 1, filters]; None: 1."""
    is_fixed: bool
    """Whether mean and r do not depend on Z."""
    output: Tensor
    """A, [images, size, size, filters]; positive where the ReLU lets through."""
    chosen: Tensor | None
    """Which position each pooled one took, [images, pooled positions, filters]."""
    g_gained: Tensor = field(init=False)
    """G."""
    g_normalised: Tensor = field(init=False)
    """u."""
    g_correlation: Tensor | None = field(init=False)
    """mean(Y u)."""
    g_product: Tensor = field(init=False)
    """Gradient of Z."""
    g_factor: Tensor = field(init=False)
    """The same as a factor of products, [tasks, rows, filters]."""


@dataclass
class _Tangent:
    """What the tangent of one layer leaves for the way back."""

    patches: Tensor | None
    normalised: Tensor
    """dY."""
    correlation: Tensor | None
    """mean(Y dZ)."""
    gain: Tensor | None
    """ds."""


@dataclass
class _Tape:
    values: Parameters
    layers: list[_Layer]
    features: Tensor
    """[tasks, examples, features]."""
    logits: Tensor
    g_logits: Tensor = field(init=False)
    direction: Parameters = field(init=False)
    tangents: list[_Tangent] = field(init=False)
    d_features: Tensor = field(init=False)

    @property
    def statistics(self) -> list[NormStatistics]:
        return [
            NormStatistics(layer.mean.flatten(1, 2), layer.variance.flatten(1, 2))
            for layer in self.layers
            if layer.mean is not None and layer.variance is not None
        ]


class Analytic:
    """:class:`~mamltui.maml.outer.Derivatives` of any :class:`NetworkSpec`.

    Args:
        precision: of the convolutions' products, see :mod:`mamltui.maml.precision`.

    Raises:
        UsageError: the device or the images' type does not have that precision.
    """

    def __init__(self, network: Network, images: Tensor, *, precision: str = "fp32") -> None:
        assert isinstance(network, NetworkSpec)
        self.network = network
        self.products = Products(precision, images.device, images.dtype)
        self.stride = network.stride()
        self.sizes = network.sizes()
        self.tasks, self.examples = images.shape[:2]
        self.filters = network.filters
        self.averaged = (1, 2) if network.normalisation == "batch" else (2, 3)
        self.patches = self._patches(pad(images.permute(0, 1, 3, 4, 2).flatten(0, 1), self.stride))

    # ---- Shapes ----

    def _patches(self, padded: Tensor) -> Tensor:
        """Padded images as rows of windows, a factor of products."""
        rows = self.products.factor(windows(padded, self.stride))
        return rows.view(self.tasks, self.examples * rows.shape[1] ** 2, -1)

    def _rows(self, images: Tensor) -> Tensor:
        """[images, size, size, filters] -> [tasks, examples, positions, filters]."""
        return images.reshape(self.tasks, self.examples, -1, self.filters)

    def _room(self, layer: int, like: Tensor) -> tuple[Tensor, Tensor]:
        """Room for ``layer``'s output as images, and what the next layer sees of it."""
        count, size = self.tasks * self.examples, self.sizes[layer]
        if layer < self.network.layers:
            return new_padded(count, size, self.filters, like, self.stride)
        plain = like.new_empty(count, size, size, self.filters)
        return plain, plain

    def _fold(self, patches: Tensor, layer: int) -> Tensor:
        """Transpose of taking the patches that enter ``layer``."""
        size = self.network.convolved_sizes()[layer - 1]
        shape = (-1, size, size, 3, 3, self.filters)
        return fold(patches.view(shape), self.sizes[layer - 1], self.stride)

    def _features(self, images: Tensor) -> Tensor:
        """What the head sees, [tasks, examples, features]."""
        rows = self._rows(images)
        return rows.flatten(2) if self.network.head == "flatten" else rows.mean(dim=2)

    def _spread(self, features: Tensor) -> Tensor:
        """Transpose of ``_features``."""
        size = self.sizes[-1]
        if self.network.head == "flatten":
            return features.reshape(-1, size, size, self.filters)
        spread = (features / size**2).view(-1, 1, 1, self.filters)
        return spread.expand(-1, size, size, -1)

    def _mean(self, rows: Tensor) -> Tensor:
        return rows.mean(dim=self.averaged, keepdim=True)

    # ---- Layers ----

    def _normalised(
        self, product: Tensor, given: NormStatistics | None
    ) -> tuple[Tensor, Tensor | None, Tensor | None, Tensor | None]:
        """C (in place of Z), the mean, the variance seen, and r."""
        if self.network.normalisation == "none":
            return product, None, None, None
        if given is None:
            mean = self._mean(product)
            product -= mean
            variance = self._mean(product.square())
            scale = torch.rsqrt(variance + NORM_EPSILON)
            if self.network.normalisation == "layer":
                return product, None, None, scale
            return product, mean, variance, scale
        mean, variance = (value.view(-1, 1, 1, self.filters) for value in given)
        product -= mean
        off = self._mean(product)
        own = self._mean((product - off).square())
        return product, off + mean, own, torch.rsqrt(variance + NORM_EPSILON)

    def _jacobian(self, layer: _Layer, u: Tensor) -> tuple[Tensor, Tensor | None]:
        """J(u), and mean(Y u) on the way."""
        scale = layer.scale
        if scale is None:
            return u, None
        if layer.is_fixed:
            return u * scale, None
        correlation = self._mean(layer.centred * u).mul_(scale)
        result = torch.addcmul(self._mean(u).mul_(-scale), u, scale)
        return result.addcmul_(layer.centred, correlation * scale.square(), value=-1), correlation

    def _activated(self, index: int, gained: Tensor) -> tuple[Tensor, Tensor, Tensor | None]:
        """The output of a layer, what the next layer sees of it, and what pooling chose."""
        size = self.network.convolved_sizes()[index - 1]
        images = gained.view(-1, size, size, self.filters)
        chosen = None
        if self.network.pooling == "max":
            first = images.permute(0, 3, 1, 2)
            pooled, indices = functional.max_pool2d(first, 2, return_indices=True)
            images = pooled.permute(0, 2, 3, 1)
            chosen = indices.permute(0, 2, 3, 1).flatten(1, 2)
        output, seen = self._room(index, gained)
        torch.clamp_min(images, 0, out=output)
        return output, seen, chosen

    def _d_activated(self, layer: _Layer, index: int, d_gained: Tensor) -> tuple[Tensor, Tensor]:
        """Tangent of ``_activated``."""
        output, seen = self._room(index, d_gained)
        if layer.chosen is not None:
            d_gained = d_gained.flatten(0, 1).gather(1, layer.chosen)
        _through_relu(layer, d_gained.view(output.shape), into=output)
        return output, seen

    def _g_activated(self, layer: _Layer, g_output: Tensor) -> Tensor:
        """Transpose of ``_d_activated``."""
        passed = _through_relu(layer, g_output)
        if layer.chosen is None:
            return self._rows(passed)
        whole = torch.zeros_like(layer.centred).flatten(0, 1)
        return self._rows(whole.scatter_(1, layer.chosen, passed.flatten(1, 2)))

    # ---- Passes ----

    def forward(
        self,
        values: Parameters,
        *,
        running: bool = False,
        statistics: list[NormStatistics] | None = None,
    ) -> _Tape:
        layers: list[_Layer] = []
        patches = self.patches
        for index in range(1, self.network.layers + 1):
            kernel = _matrix(values[f"conv{index}.weight"])
            product = self._rows(self.products.product(patches, kernel))
            given = statistics[index - 1] if statistics else None
            if running and self.network.running_steps:
                given = NormStatistics(*(values[f"norm{index}.{field}"] for field in STATISTICS))
            centred, mean, variance, scale = self._normalised(product, given)
            gain = _of_channels(values.get(f"norm{index}.scale"))
            shift = values[f"norm{index}.shift"].unsqueeze(-2).unsqueeze(-2)
            factor = scale if gain is None else gain if scale is None else scale * gain
            gained = shift + centred if factor is None else torch.addcmul(shift, centred, factor)
            output, seen, chosen = self._activated(index, gained)
            fixed = given is not None
            layers.append(
                _Layer(patches, centred, mean, variance, scale, gain, fixed, output, chosen)
            )
            if index < self.network.layers:
                patches = self._patches(seen)
        features = self._features(output)
        logits = features
        if "head.weight" in values:
            logits = features @ values["head.weight"] + values["head.bias"].unsqueeze(-2)
        return _Tape(values, layers, features, logits)

    def backward(self, tape: _Tape, g_logits: Tensor, *, keep: bool = False) -> Parameters:
        multiply, values = self.products.product, tape.values
        gradient, g_features = {}, g_logits
        if "head.weight" in values:
            gradient["head.weight"] = tape.features.transpose(1, 2) @ g_logits
            gradient["head.bias"] = g_logits.sum(dim=1)
            g_features = g_logits @ values["head.weight"].transpose(-1, -2)
        tape.g_logits = g_logits
        g_output = self._spread(g_features)
        for index in range(self.network.layers, 0, -1):
            layer = tape.layers[index - 1]
            g_gained = self._g_activated(layer, g_output)
            u = g_gained if layer.gain is None else g_gained * layer.gain
            g_product, correlation = self._jacobian(layer, u)
            gradient[f"norm{index}.shift"] = g_gained.sum(dim=(1, 2))
            if layer.gain is not None:
                gradient[f"norm{index}.scale"] = _normalised_sum(layer, g_gained)
            factor = self.products.factor(g_product.flatten(1, 2))
            gradient[f"conv{index}.weight"] = self._kernels(
                index, multiply(layer.patches.transpose(1, 2), factor)
            )
            if index > 1:
                kernel = _matrix(values[f"conv{index}.weight"]).transpose(-1, -2)
                g_output = self._fold(multiply(factor, kernel), index)
            if keep:
                layer.g_gained, layer.g_normalised = g_gained, u
                layer.g_product, layer.g_correlation = g_product, correlation
                layer.g_factor = factor
        return gradient

    def tangent(self, tape: _Tape, direction: Parameters) -> Tensor:
        multiply, add_product = self.products.product, self.products.add_product
        tape.direction, tape.tangents = direction, []
        d_patches: Tensor | None = None
        for index, layer in enumerate(tape.layers, 1):
            d_kernel = direction.get(f"conv{index}.weight")
            if d_kernel is None:
                d_product = torch.zeros_like(layer.centred).flatten(1, 2)
            else:
                d_product = multiply(layer.patches, _matrix(d_kernel))
            if d_patches is not None:
                add_product(d_product, d_patches, _matrix(tape.values[f"conv{index}.weight"]))
            d_normalised, correlation = self._jacobian(layer, self._rows(d_product))
            d_gain = _of_channels(direction.get(f"norm{index}.scale"))
            d_shift = _of_channels(direction.get(f"norm{index}.shift"))
            tape.tangents.append(_Tangent(d_patches, d_normalised, correlation, d_gain))
            d_gained = d_normalised if layer.gain is None else d_normalised * layer.gain
            if d_gain is not None:
                d_gained = d_gained + _normalised(layer) * d_gain
            if d_shift is not None:
                d_gained = d_gained + d_shift
            d_output, seen = self._d_activated(layer, index, d_gained)
            if index < self.network.layers:
                d_patches = self._patches(seen)
        tape.d_features = d_logits = self._features(d_output)
        if "head.weight" in tape.values:
            d_logits = d_logits @ tape.values["head.weight"]
        if "head.weight" in direction:
            d_logits = d_logits + tape.features @ direction["head.weight"]
        if "head.bias" in direction:
            d_logits = d_logits + direction["head.bias"].unsqueeze(-2)
        return d_logits

    def tangent_backward(self, tape: _Tape, dg_logits: Tensor) -> Parameters:
        multiply, add_product = self.products.product, self.products.add_product
        values, direction = tape.values, tape.direction
        result, dg_features = {}, dg_logits
        if "head.weight" in values:
            result["head.weight"] = (
                tape.d_features.transpose(1, 2) @ tape.g_logits
                + tape.features.transpose(1, 2) @ dg_logits
            )
            result["head.bias"] = dg_logits.sum(dim=1)
            dg_features = dg_logits @ values["head.weight"].transpose(-1, -2)
        if "head.weight" in direction:
            dg_features = dg_features + tape.g_logits @ direction["head.weight"].transpose(-1, -2)
        dg_output = self._spread(dg_features)
        for index in range(self.network.layers, 0, -1):
            layer, d = tape.layers[index - 1], tape.tangents.pop()
            dg_gained = self._g_activated(layer, dg_output)
            result[f"norm{index}.shift"] = dg_gained.sum(dim=(1, 2))
            if layer.gain is not None:
                result[f"norm{index}.scale"] = _normalised_sum(layer, dg_gained) + (
                    d.normalised * layer.g_gained
                ).sum(dim=(1, 2))
            du = dg_gained if layer.gain is None else dg_gained * layer.gain
            if d.gain is not None:
                du = du + layer.g_gained * d.gain
            dg_product, _ = self._jacobian(layer, du)
            if layer.scale is not None and not layer.is_fixed:
                assert layer.g_correlation is not None and d.correlation is not None
                scale, cross = layer.scale, self._mean(d.normalised * layer.g_normalised)
                dg_product.addcmul_(d.normalised, layer.g_correlation * scale, value=-1)
                dg_product.addcmul_(layer.centred, cross * scale.square(), value=-1)
                dg_product.addcmul_(layer.g_product, d.correlation * scale, value=-1)
            factor = self.products.factor(dg_product.flatten(1, 2))
            d_weight = multiply(layer.patches.transpose(1, 2), factor)
            if d.patches is not None:
                add_product(d_weight, d.patches.transpose(1, 2), layer.g_factor)
                name = f"conv{index}.weight"
                dg_patches = multiply(factor, _matrix(values[name]).transpose(-1, -2))
                if name in direction:
                    add_product(
                        dg_patches, layer.g_factor, _matrix(direction[name]).transpose(-1, -2)
                    )
                dg_output = self._fold(dg_patches, index)
            result[f"conv{index}.weight"] = self._kernels(index, d_weight)
        return result

    def _kernels(self, index: int, matrices: Tensor) -> Tensor:
        inputs = self.network.inputs()[index - 1]
        return matrices.view(self.tasks, 3, 3, inputs, self.filters)


def _matrix(kernel: Tensor) -> Tensor:
    """[..., 3, 3, in, out] -> [..., 9 * in, out]."""
    return kernel.flatten(-4, -2)


def _of_channels(value: Tensor | None) -> Tensor | None:
    """[..., filters] as it is applied to rows."""
    return value if value is None else value.unsqueeze(-2).unsqueeze(-2)


def _normalised(layer: _Layer) -> Tensor:
    """Y."""
    return layer.centred if layer.scale is None else layer.centred * layer.scale


def _normalised_sum(layer: _Layer, values: Tensor) -> Tensor:
    """Sum of Y times rows over examples and positions, [tasks, filters]."""
    product = layer.centred * values
    return (product if layer.scale is None else product * layer.scale).sum(dim=(1, 2))


def _through_relu(layer: _Layer, values: Tensor, into: Tensor | None = None) -> Tensor:
    """``values`` (as images) where the ReLU let through, else 0."""
    into = layer.output.new_empty(layer.output.shape) if into is None else into
    torch.ops.aten.threshold_backward.grad_input(values, layer.output, 0, grad_input=into)
    return into
