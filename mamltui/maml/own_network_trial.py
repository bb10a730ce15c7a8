"""A network of the user's own tried on images of noise, before a training makes anything."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.func import functional_call

from mamltui.maml.own_network import ModuleNetwork, UnfitModuleError, seeded
from mamltui.maml.parameters import Parameters


def try_out(network: ModuleNetwork, second_order: bool) -> None:
    """Try it on images of noise: its output, what it leaves behind, its derivatives.

    Raises:
        UnfitModuleError: it cannot be meta-learned; the text says why.
    """
    size = (network.channels, network.image_size, network.image_size)
    images = torch.rand(1, 2 * network.way, *size, generator=torch.Generator().manual_seed(0))
    values = network.initial_parameters(0)
    leaves = {
        name: values[name].clone().requires_grad_() if name in network.learned() else values[name]
        for name in values
    }
    before = {name: value.clone() for name, value in _buffers(network.computed()).items()}
    try:
        _check_outputs(network, leaves, images, before)
        _check_derivatives(network, leaves, images, second_order)
    except UnfitModuleError:
        raise
    except Exception as error:  # whatever the user's code raises
        raise UnfitModuleError(
            f"it cannot compute {2 * network.way} images of {size[0]}x{size[1]}x{size[2]}: "
            f"{type(error).__name__}: {error}"
        ) from error


def _check_outputs(
    network: ModuleNetwork, values: Parameters, images: Tensor, before: Mapping[str, Tensor]
) -> None:
    model = network.computed()
    buffers = {name: value.clone() for name, value in _buffers(model).items()}
    given = {name: value.detach() for name, value in values.items()}
    outputs = []
    for seed in (1, 2):
        with seeded(seed), torch.no_grad():
            outputs.append(functional_call(model, given | buffers, (images[0],)))
    logits = outputs[0]
    wanted = (images.shape[1], network.way)
    if not isinstance(logits, Tensor):
        raise UnfitModuleError(
            f"it returns a {type(logits).__name__}, not a tensor [images, {network.way}]"
        )
    if tuple(logits.shape) != wanted or not logits.is_floating_point():
        raise UnfitModuleError(
            f"of {wanted[0]} images it gives {logits.dtype} {list(logits.shape)}, not floating "
            f"point {list(wanted)}: a logit for each image and class"
        )
    for name, value in before.items():
        if not torch.equal(value, buffers[name]) or not torch.equal(value, _buffers(model)[name]):
            raise UnfitModuleError(
                f"it changes its buffer {name} as it computes, so that tasks would see each "
                "other: normalise with the images at hand, and keep nothing of them"
            )
    if not torch.equal(outputs[0], outputs[1]):
        raise UnfitModuleError(
            "of the same images it gives another output each time, so no result could be "
            "repeated: leave functional dropout and other noise out (layers of nn.Dropout are "
            "switched off by themselves)"
        )
    if not bool(logits.isfinite().all()):
        raise UnfitModuleError("its output has values that are not finite")
    _check_independence(network, given, images)


def _check_independence(network: ModuleNetwork, values: Parameters, images: Tensor) -> None:
    """With given statistics no image is seen in the light of the others."""
    with torch.no_grad():
        whole, statistics = network.apply(values, images)
        first = images[:, : network.way]
        part, _ = network.apply(values, first, statistics=statistics)
    if not torch.allclose(part, whole[:, : network.way], rtol=1e-3, atol=1e-4):
        raise UnfitModuleError(
            "its output for an image depends on the other images by something else than a "
            "layer of nn.BatchNorm, so it could not be scored with the statistics of the "
            "support set: use nn.BatchNorm2d, or normalise each image by itself"
        )


def _check_derivatives(
    network: ModuleNetwork, values: Parameters, images: Tensor, second_order: bool
) -> None:
    learned = [values[name] for name in network.learned()]
    logits, _ = network.apply(values, images)
    if not logits.requires_grad:
        raise UnfitModuleError(
            "its output does not depend on its parameters by anything that torch can differentiate"
        )
    try:
        gradients = torch.autograd.grad(
            logits.square().mean(), learned, create_graph=second_order, materialize_grads=True
        )
    except RuntimeError as error:
        raise UnfitModuleError(f"it cannot be differentiated: {error}") from error
    total = sum((value.square().sum() for value in gradients), torch.zeros(()))
    if not second_order or not total.requires_grad:
        return
    try:
        # Not grad: that leaves out what does not lead to its inputs, and with it the node by
        # which a function says that it is differentiable once only.
        total.backward()  # type: ignore[no-untyped-call]
    except RuntimeError as error:
        raise UnfitModuleError(
            f"it cannot be differentiated twice, which MAML needs: {error}; "
            'algorithm = "fomaml" needs the first derivative alone'
        ) from error


def _buffers(model: nn.Module) -> dict[str, Tensor]:
    return dict(model.named_buffers())
