"""Meta-gradient of Conv-4 by hand-derived derivatives: no graph, one pass of memory a step.

The derivative of one inner step, theta' = theta - alpha g(theta), maps an outer gradient v at
theta' to v - alpha H v at theta, with H the Hessian of the support loss. H v is the derivative of
the inner gradient in the direction v: the forward and backward pass are differentiated once more
in that direction (forward over reverse; Pearlmutter 1994). Everything a step saved on its way
forward is used again, so an image and inner step costs nine products a layer and no
recomputation.

A layer is a product of patches P with the kernel W, batch normalisation and ReLU:

    Z = P W,   C = Z - mean Z,   Y = r C,   A = max(Y + shift, 0),   r = 1 / sqrt(mean C^2 +
    epsilon)

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
from mamltui.maml.inner import InnerLoop
from mamltui.maml.network import LAYERS, NORM_EPSILON, NetworkSpec, Parameters
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
    adapted = network.adapted()
    step = inner.step_size(network.way)
    support = Conv4(network, episodes.support_x, episodes.support_y, products)
    query = Conv4(network, episodes.query_x, episodes.query_y, products)
    values = {
        name: value.flatten(0, -2) if name.startswith("conv") else value
        for name, value in parameters.items()
    }
    trail: list[tuple[_Pass, dict[str, Tensor]]] = []
    for _ in range(inner.steps):
        done = support.forward(values)
        gradient = support.backward(done, values, shifts=False)
        if not inner.first_order:
            trail.append((done, values))
        values = values | {name: values[name] - step * gradient[name] for name in adapted}
    done = query.forward(values)
    outer = query.backward(done, values, shifts=True)
    loss, accuracy = query.losses(done).sum(), query.accuracies(done).sum()
    while trail:
        done, values = trail.pop()
        curvature = support.hessian_product(done, values, outer)
        for name, value in curvature.items():
            outer[name].sub_(value, alpha=step)
    return MetaGradient(
        {name: outer[name].sum(dim=0).view_as(value) for name, value in parameters.items()},
        loss,
        accuracy,
    )


@dataclass
class _Layer:
    """What one layer of one pass keeps; rows are a task's examples and positions."""

    patches: Tensor
    """P, [tasks, rows, 9 * inputs]; a factor of products."""
    centred: Tensor
    """C, [tasks, rows, filters]."""
    scale: Tensor
    """r, [tasks, 1, filters]."""
    output: Tensor
    """A, [images, size, size, filters]; positive where the ReLU lets through."""
    g_normalised: Tensor = field(init=False)
    """Gradient of Y, [tasks, rows, filters]."""
    g_correlation: Tensor = field(init=False)
    """r mean(C g_Y), [tasks, 1, filters]."""
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

    def forward(self, values: Mapping[str, Tensor]) -> _Pass:
        multiply = self.products.product
        layers: list[_Layer] = []
        patches = self.patches
        for index in range(1, LAYERS + 1):
            centred = multiply(patches, values[f"conv{index}.weight"])
            centred -= _mean(centred)
            scale = torch.rsqrt(_mean(centred.square()) + NORM_EPSILON)
            shift = values[f"norm{index}.shift"].expand_as(scale)
            output, padded = self._room(index, centred)
            torch.clamp_min(
                self._images(torch.addcmul(shift, centred, scale), index), 0, out=output
            )
            layers.append(_Layer(patches, centred, scale, output))
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
        self, done: _Pass, values: Mapping[str, Tensor], *, shifts: bool
    ) -> dict[str, Tensor]:
        """Gradient of each task's mean cross-entropy, [tasks, ...]; keeps what H v needs."""
        multiply = self.products.product
        done.probabilities = done.logits.softmax(dim=-1)
        done.g_logits = (done.probabilities - self.targets) / self.examples
        gradient = {
            "head.weight": done.features.transpose(1, 2) @ done.g_logits,
            "head.bias": done.g_logits.sum(dim=1),
        }
        g_output = self._spread(done.g_logits @ values["head.weight"].transpose(-1, -2))
        for index in range(LAYERS, 0, -1):
            layer = done.layers[index - 1]
            layer.g_normalised = self._rows(_through_relu(layer, g_output))
            if shifts:
                gradient[f"norm{index}.shift"] = layer.g_normalised.sum(dim=1)
            layer.g_product, layer.g_correlation = _normalisation_jacobian(
                layer, layer.g_normalised
            )
            layer.g_factor = self.products.factor(layer.g_product)
            gradient[f"conv{index}.weight"] = multiply(
                layer.patches.transpose(1, 2), layer.g_factor
            )
            if index > 1:
                weight = values[f"conv{index}.weight"].transpose(-1, -2)
                g_output = self._fold(multiply(layer.g_factor, weight), index)
        return gradient

    def hessian_product(
        self, done: _Pass, values: Mapping[str, Tensor], direction: Mapping[str, Tensor]
    ) -> dict[str, Tensor]:
        """Derivative of ``backward``'s gradient in a direction [tasks, ...] of adapted tensors."""
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
            _through_relu(layer, self._images(d_normalised, index), into=d_output)
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
            dg_normalised = self._rows(_through_relu(layer, dg_output))
            result[f"norm{index}.shift"] = dg_normalised.sum(dim=1)
            # Product rule on r (g - mean g - Y mean(Y g)), with dr = -r^2 mean(Y dZ).
            dg_product, _ = _normalisation_jacobian(layer, dg_normalised)
            scale = layer.scale
            cross = _mean(d_normalised * layer.g_normalised)
            dg_product.addcmul_(d_normalised, layer.g_correlation * scale, value=-1)
            dg_product.addcmul_(layer.centred, cross * scale.square(), value=-1)
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
