"""Meta-gradient of Conv-4 by hand-derived derivatives: no graph, one pass of memory a step.

The derivative of one inner step, theta' = theta - alpha g(theta), maps an outer gradient v at
theta' to v - alpha H v at theta, with H the Hessian of the support loss. H v is the derivative of
the inner gradient in the direction v: the forward and backward pass are differentiated once more
in that direction (forward over reverse; Pearlmutter 1994). Everything a step saved on its way
forward is used again, so an image and inner step costs nine products a layer and no
recomputation.

A layer is a product of patches P with the kernel W, batch normalisation and ReLU:

    Z = P W,   C = Z - mean Z,   Y = r C,   A = max(s Y + shift, 0),   r = 1 / sqrt(mean C^2 +
    epsilon)

with a scale s where the network has one.

The Jacobian of the normalisation at Z is J(u) = r (u - mean u - r^2 C mean(C u)), and it is
symmetric: it takes a tangent of Z to one of Y, and a gradient of Y to one of Z. Means are over a
task's examples and positions, per channel. A tangent (the derivative in the direction v) is
written d, a gradient g.

Element-wise passes cost as much as the products, so they are few: Y is never formed, and
activations are written where the next layer takes its patches from.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor

from mamltui.maml.episode import Episodes
from mamltui.maml.gradient import MetaGradient
from mamltui.maml.inner import InnerLoop, Rate
from mamltui.maml.network import (
    LAYERS,
    NORM_EPSILON,
    STATISTICS,
    NetworkSpec,
    Parameters,
    at_step,
)
from mamltui.maml.patches import fold, new_padded, pad, windows
from mamltui.maml.precision import Products, exact_products


def meta_gradient(
    network: NetworkSpec,
    inner: InnerLoop,
    parameters: Parameters,
    episodes: Episodes,
    *,
    precision: str = "fp32",
) -> MetaGradient:
    """Sums over the tasks of the query loss's gradient, of the loss and of the accuracy.

    Args:
        precision: of the convolutions' products, see :mod:`mamltui.maml.precision`.

    Raises:
        UsageError: the device or the tensors' type does not have that precision.
    """
    images = episodes.support_x
    products = Products(precision, images.device, images.dtype)
    with exact_products(images.device):
        return _meta_gradient(network, inner, parameters, episodes, products)


def _meta_gradient(
    network: NetworkSpec,
    inner: InnerLoop,
    parameters: Parameters,
    episodes: Episodes,
    products: Products,
) -> MetaGradient:
    support = Conv4(network, episodes.support_x, episodes.support_y, products)
    query = Conv4(network, episodes.query_x, episodes.query_y, products)
    theta = {
        name: value.flatten(0, -2) if name.startswith("conv") else value
        for name, value in parameters.items()
    }
    total = _Total(network, theta)
    if inner.outer == "reptile":
        done = _reptile(network, inner, theta, support, query, total)
    else:
        done = _through_the_inner_loop(network, inner, theta, support, query, total)
    return MetaGradient(
        {name: total.gradient[name].view_as(value) for name, value in parameters.items()},
        query.losses(done).sum(),
        query.accuracies(done).sum(),
    )


def _through_the_inner_loop(
    network: NetworkSpec,
    inner: InnerLoop,
    theta: Parameters,
    support: Conv4,
    query: Conv4,
    total: _Total,
) -> _Pass:
    """The query loss's gradient, added to ``total``; the last pass over the query set."""
    values = at_step(network, theta, 0)
    trail: list[tuple[_Pass, Parameters, Parameters]] = []
    looks: dict[int, Parameters] = {}
    weights = inner.weights()
    for step, weight in enumerate(weights):
        if weight:
            seen = query.forward(values, running=True)
            looks[step] = query.backward(
                seen, values, norms=True, weight=weight, smoothing=inner.label_smoothing
            )
        if step < inner.steps:
            done = support.forward(values)
            total.observe(step, done, values)
            gradient = support.backward(done, values, norms=False)
            if not inner.first_order or inner.rates != "fixed":
                trail.append((done, values, gradient))
            moved = _moved(network, inner, theta, values, gradient, step)
            values = at_step(network, theta | moved, step + 1)
    total.observe(inner.steps, seen, values)
    outer = looks[inner.steps]
    total.add(_norms(outer), inner.steps)
    for step in range(inner.steps - 1, -1, -1):
        if trail:
            done, values, gradient = trail.pop()
            direction = {name: torch.zeros_like(value) for name, value in outer.items()}
            for name in inner.adapted(network):
                direction[name] = _rate(inner, network, theta, name, step) * outer[name]
                if inner.rates != "fixed":
                    total.add_rate(inner, name, step, -outer[name] * gradient[name])
            if not inner.first_order:
                curvature = support.hessian_product(done, values, direction)
                total.add({name: -value for name, value in _norms(curvature).items()}, step)
                outer = {name: outer[name] - curvature[name] for name in outer}
        if step in looks:
            total.add(_norms(looks[step]), step)
            outer = {name: outer[name] + looks[step][name] for name in outer}
    total.add({name: value for name, value in outer.items() if name not in _norms(outer)}, 0)
    return seen


def _reptile(
    network: NetworkSpec,
    inner: InnerLoop,
    theta: Parameters,
    support: Conv4,
    query: Conv4,
    total: _Total,
) -> _Pass:
    """Parameters before the inner loop less those after it, added to ``total``."""
    values = theta
    for step in range(inner.steps):
        batch = query if step % 2 else support
        gradient = batch.backward(batch.forward(values), values, norms=True)
        values = theta | _moved(network, inner, theta, values, gradient, step)
    total.add({name: theta[name] - values[name] for name in theta}, 0)
    return query.forward(values)


def _moved(
    network: NetworkSpec,
    inner: InnerLoop,
    theta: Parameters,
    values: Parameters,
    gradient: Parameters,
    step: int,
) -> Parameters:
    """The adapted parameters after an inner step."""
    return {
        name: values[name] - _rate(inner, network, theta, name, step) * gradient[name]
        for name in inner.adapted(network)
    }


def _rate(inner: InnerLoop, network: NetworkSpec, theta: Parameters, name: str, step: int) -> Rate:
    """Of a kernel, a matrix here, where each of its elements has its own."""
    rate = inner.rate(network, theta, name, step)
    return rate.flatten(0, -2) if isinstance(rate, Tensor) and rate.dim() == 4 else rate


def _norms(values: Parameters) -> Parameters:
    return {name: value for name, value in values.items() if name.startswith("norm")}


class _Total:
    """The gradient, summed over tasks, in the shapes of ``theta``."""

    def __init__(self, network: NetworkSpec, theta: Parameters) -> None:
        self.gradient = {name: torch.zeros_like(value) for name, value in theta.items()}
        self._network = network

    def add(self, values: Parameters, step: int) -> None:
        """Of each task, [tasks, ...]; of normalisations, those after ``step`` inner steps."""
        own = at_step(self._network, self.gradient, step)  # views
        for name, value in values.items():
            own[name] += value.sum(dim=0)

    def add_rate(self, inner: InnerLoop, name: str, step: int, values: Tensor) -> None:
        """Of a learned rate, from those of each element of the parameter, [tasks, ...]."""
        total = self.gradient[f"rate.{name}"]
        if inner.rates == "per-step":
            total[step] += values.sum()
        else:
            total += values.sum(dim=0).view_as(total)

    def observe(self, step: int, done: _Pass, values: Parameters) -> None:
        """How far running statistics are from what a pass after ``step`` inner steps saw."""
        if step >= self._network.running_steps:
            return  # there are none, or the last ones are kept for further steps
        off = {}
        for index, layer in enumerate(done.layers, 1):
            mean, variance = (values[f"norm{index}.{field}"] for field in STATISTICS)
            apart = layer.centred + (layer.mean - mean)
            off[f"norm{index}.mean"] = -apart.mean(dim=1)
            off[f"norm{index}.variance"] = variance - apart.square().mean(dim=1)
        self.add(off, step)


@dataclass
class _Layer:
    """What one layer of one pass keeps; rows are a task's examples and positions."""

    patches: Tensor
    """P, [tasks, rows, 9 * inputs]; a factor of products."""
    centred: Tensor
    """C, [tasks, rows, filters]."""
    mean: Tensor
    """Of Z, [tasks, 1, filters]."""
    scale: Tensor
    """r, [tasks, 1, filters]."""
    gain: Tensor | None
    """s, [... 1, filters]; None: 1."""
    is_fixed: bool
    """Whether the mean and r are running statistics, which do not depend on Z."""
    output: Tensor
    """A, [images, size, size, filters]; positive where the ReLU lets through."""
    g_gained: Tensor = field(init=False)
    """Gradient of s Y, [tasks, rows, filters]."""
    g_correlation: Tensor = field(init=False)
    """r mean(C g), g the gradient of s Y; [tasks, 1, filters]."""
    g_product: Tensor = field(init=False)
    """Gradient of Z, [tasks, rows, filters]."""
    g_factor: Tensor = field(init=False)
    """The same as a factor of products."""


@dataclass
class _Pass:
    """One forward (and backward) pass over a set of examples at some parameters."""

    layers: list[_Layer]
    features: Tensor
    """[tasks, examples, filters]."""
    logits: Tensor
    probabilities: Tensor = field(init=False)
    g_logits: Tensor = field(init=False)


def _mean(values: Tensor) -> Tensor:
    return values.mean(dim=1, keepdim=True)


def _normalisation_jacobian(layer: _Layer, u: Tensor) -> tuple[Tensor, Tensor]:
    """J(u), and r mean(C u) on the way."""
    scale = layer.scale
    correlation = _mean(layer.centred * u).mul_(scale)
    if layer.is_fixed:
        return u * scale, correlation
    result = torch.addcmul(_mean(u).mul_(-scale), u, scale)
    return result.addcmul_(layer.centred, correlation * scale.square(), value=-1), correlation


def _through_relu(layer: _Layer, values: Tensor, into: Tensor | None = None) -> Tensor:
    """``values`` (as images) where the ReLU let through, else 0."""
    into = layer.output.new_empty(layer.output.shape) if into is None else into
    torch.ops.aten.threshold_backward.grad_input(values, layer.output, 0, grad_input=into)
    return into


class Conv4:
    """Forward, backward and Hessian-vector pass over one set of examples [tasks, examples, ...].

    Kernels are matrices here, [9 * inputs, filters]: shared by all tasks, or with tasks in front.
    """

    def __init__(
        self, network: NetworkSpec, images: Tensor, labels: Tensor, products: Products
    ) -> None:
        self.products = products
        self.sizes = network.sizes()
        self.tasks, self.examples = labels.shape
        self.filters = network.filters
        self.patches = self._patches(pad(images.permute(0, 1, 3, 4, 2).flatten(0, 1)))
        way = torch.arange(network.way, device=labels.device)
        self.targets = (labels.unsqueeze(-1) == way).to(images.dtype)

    def _rows(self, images: Tensor) -> Tensor:
        """[images, size, size, ...] -> [tasks, rows, ...], the trailing dimensions as one."""
        return images.view(self.tasks, self.examples * images.shape[1] ** 2, -1)

    def _patches(self, padded: Tensor) -> Tensor:
        """Padded images as rows of windows, a factor of products."""
        return self._rows(self.products.factor(windows(padded)))

    def _images(self, rows: Tensor, layer: int) -> Tensor:
        """Transpose of ``_rows`` for the output of ``layer``."""
        size = self.sizes[layer]
        return rows.view(self.tasks * self.examples, size, size, -1)

    def _features(self, images: Tensor) -> Tensor:
        """Spatial mean, [tasks, examples, filters]."""
        return images.mean(dim=(1, 2)).view(self.tasks, self.examples, -1)

    def _spread(self, features: Tensor) -> Tensor:
        """Transpose of ``_features``."""
        size = self.sizes[-1]
        spread = (features / size**2).view(-1, 1, 1, self.filters)
        return spread.expand(-1, size, size, -1)

    def _room(self, layer: int, like: Tensor) -> tuple[Tensor, Tensor]:
        """Room for ``layer``'s activation as images, and what the next layer sees of it."""
        count, size = self.tasks * self.examples, self.sizes[layer]
        if layer < LAYERS:
            return new_padded(count, size, self.filters, like)
        plain = like.new_empty(count, size, size, self.filters)
        return plain, plain

    def _fold(self, patches: Tensor, layer: int) -> Tensor:
        """Transpose of taking the patches that enter ``layer``."""
        size = self.sizes[layer]
        return fold(patches.view(-1, size, size, 3, 3, self.filters), self.sizes[layer - 1])

    def forward(self, values: Mapping[str, Tensor], *, running: bool = False) -> _Pass:
        """``running``: normalised with running statistics, if there are any."""
        multiply = self.products.product
        layers: list[_Layer] = []
        patches = self.patches
        for index in range(1, LAYERS + 1):
            centred = multiply(patches, values[f"conv{index}.weight"])
            is_fixed = running and f"norm{index}.mean" in values
            if is_fixed:
                fixed = (values[f"norm{index}.{field}"] for field in STATISTICS)
                mean, variance = (value.expand(self.tasks, 1, -1) for value in fixed)
                centred -= mean
            else:
                mean = _mean(centred)
                centred -= mean
                variance = _mean(centred.square())
            scale = torch.rsqrt(variance + NORM_EPSILON)
            gain = values.get(f"norm{index}.scale")
            gain = gain if gain is None else gain.unsqueeze(-2)
            shift = values[f"norm{index}.shift"].unsqueeze(-2).expand_as(scale)
            output, padded = self._room(index, centred)
            gained = torch.addcmul(shift, centred, scale if gain is None else scale * gain)
            torch.clamp_min(self._images(gained, index), 0, out=output)
            layers.append(_Layer(patches, centred, mean, scale, gain, is_fixed, output))
            if index < LAYERS:
                patches = self._patches(padded)
        features = self._features(output)
        logits = features @ values["head.weight"] + values["head.bias"].unsqueeze(-2)
        return _Pass(layers, features, logits)

    def losses(self, done: _Pass) -> Tensor:
        """Mean cross-entropy of each task, [tasks]."""
        return -(self.targets * done.logits.log_softmax(dim=-1)).sum(dim=-1).mean(dim=-1)

    def accuracies(self, done: _Pass) -> Tensor:
        right = done.logits.argmax(dim=-1) == self.targets.argmax(dim=-1)
        return right.to(done.logits.dtype).mean(dim=-1)

    def backward(
        self,
        done: _Pass,
        values: Mapping[str, Tensor],
        *,
        norms: bool,
        weight: float = 1.0,
        smoothing: float = 0.0,
    ) -> dict[str, Tensor]:
        """Gradient of each task's mean cross-entropy, [tasks, ...]; keeps what H v needs.

        Args:
            norms: of the normalisations' shifts and scales as well.
            weight: of the loss.
            smoothing: part of the target that is spread over all classes.
        """
        multiply = self.products.product
        done.probabilities = done.logits.softmax(dim=-1)
        targets = self.targets
        if smoothing:
            targets = (1 - smoothing) * targets + smoothing / targets.shape[-1]
        done.g_logits = (done.probabilities - targets) * (weight / self.examples)
        gradient = {
            "head.weight": done.features.transpose(1, 2) @ done.g_logits,
            "head.bias": done.g_logits.sum(dim=1),
        }
        g_output = self._spread(done.g_logits @ values["head.weight"].transpose(-1, -2))
        for index in range(LAYERS, 0, -1):
            layer = done.layers[index - 1]
            layer.g_gained = self._rows(_through_relu(layer, g_output))
            layer.g_product, layer.g_correlation = _normalisation_jacobian(layer, layer.g_gained)
            if norms:
                gradient[f"norm{index}.shift"] = layer.g_gained.sum(dim=1)
            if layer.gain is not None:
                layer.g_product *= layer.gain
                if norms:
                    rows = layer.centred.shape[1]
                    gradient[f"norm{index}.scale"] = layer.g_correlation.squeeze(1) * rows
            layer.g_factor = self.products.factor(layer.g_product)
            gradient[f"conv{index}.weight"] = multiply(
                layer.patches.transpose(1, 2), layer.g_factor
            )
            if index > 1:
                kernel = values[f"conv{index}.weight"].transpose(-1, -2)
                g_output = self._fold(multiply(layer.g_factor, kernel), index)
        return gradient

    def hessian_product(
        self, done: _Pass, values: Mapping[str, Tensor], direction: Mapping[str, Tensor]
    ) -> dict[str, Tensor]:
        """Derivative of ``backward``'s gradient in a direction [tasks, ...] of adapted tensors.

        Of a pass that was not normalised with running statistics.
        """
        multiply, add_product = self.products.product, self.products.add_product
        d_layers: list[tuple[Tensor | None, Tensor, Tensor]] = []
        d_patches: Tensor | None = None
        for index, layer in enumerate(done.layers, 1):
            d_product = multiply(layer.patches, direction[f"conv{index}.weight"])
            if d_patches is not None:
                add_product(d_product, d_patches, values[f"conv{index}.weight"])
            d_normalised, d_correlation = _normalisation_jacobian(layer, d_product)
            d_layers.append((d_patches, d_normalised, d_correlation))
            d_output, padded = self._room(index, d_normalised)
            d_gained = d_normalised if layer.gain is None else d_normalised * layer.gain
            _through_relu(layer, self._images(d_gained, index), into=d_output)
            if index < LAYERS:
                d_patches = self._patches(padded)
        d_features = self._features(d_output)
        d_logits = (
            d_features @ values["head.weight"]
            + done.features @ direction["head.weight"]
            + direction["head.bias"].unsqueeze(-2)
        )
        p = done.probabilities
        dg_logits = p * (d_logits - (p * d_logits).sum(dim=-1, keepdim=True)) / self.examples
        result = {
            "head.weight": d_features.transpose(1, 2) @ done.g_logits
            + done.features.transpose(1, 2) @ dg_logits,
            "head.bias": dg_logits.sum(dim=1),
        }
        dg_output = self._spread(
            dg_logits @ values["head.weight"].transpose(-1, -2)
            + done.g_logits @ direction["head.weight"].transpose(-1, -2)
        )
        for index in range(LAYERS, 0, -1):
            layer = done.layers[index - 1]
            d_patches, d_normalised, d_correlation = d_layers.pop()
            dg_gained = self._rows(_through_relu(layer, dg_output))
            result[f"norm{index}.shift"] = dg_gained.sum(dim=1)
            # Product rule on r (g - mean g - Y mean(Y g)), with dr = -r^2 mean(Y dZ).
            dg_product, dg_correlation = _normalisation_jacobian(layer, dg_gained)
            scale = layer.scale
            cross = _mean(d_normalised * layer.g_gained)
            dg_product.addcmul_(d_normalised, layer.g_correlation * scale, value=-1)
            dg_product.addcmul_(layer.centred, cross * scale.square(), value=-1)
            if layer.gain is not None:
                dg_product *= layer.gain
                rows = layer.centred.shape[1]
                result[f"norm{index}.scale"] = (dg_correlation + cross).squeeze(1) * rows
            dg_product.addcmul_(layer.g_product, d_correlation * scale, value=-1)
            dg_factor = self.products.factor(dg_product)
            d_weight = multiply(layer.patches.transpose(1, 2), dg_factor)
            if d_patches is not None:
                add_product(d_weight, d_patches.transpose(1, 2), layer.g_factor)
                kernel, d_kernel = (
                    tensors[f"conv{index}.weight"].transpose(-1, -2)
                    for tensors in (values, direction)
                )
                dg_patches = multiply(dg_factor, kernel)
                add_product(dg_patches, layer.g_factor, d_kernel)
                dg_output = self._fold(dg_patches, index)
            result[f"conv{index}.weight"] = d_weight
        return result
