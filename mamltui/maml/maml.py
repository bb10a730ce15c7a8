"""MAML as it stands in the paper: Finn, Abbeel and Levine (2017, arXiv 1703.03400), Algorithm 2.

This is the plain statement that all else is compared with, by the tests and by ``mamltui verify``:
one task after the other, torch's own layers, every derivative by autograd, in whatever precision
``theta`` has (the comparisons take float64). Training uses the faster ways of
:mod:`mamltui.maml.engine`, which have to agree with it. The symbols are the paper's: ``f`` the
network, ``theta`` its parameters, ``theta_i`` those adapted to task T_i, ``L`` the loss, ``D_i``
and ``D_i_`` (D_i') the support and the query set, ``alpha`` and ``beta`` the step sizes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

from mamltui.maml.network import NORM_EPSILON, NetworkSpec
from mamltui.maml.parameters import Parameters

Model = Callable[[Parameters, Tensor], Tensor]
"""``f(theta, x)``: images [examples, channels, size, size] -> logits [examples, way]."""
Data = tuple[Tensor, Tensor]
"""Images, and their labels [examples] int64; in a regression inputs and their targets."""
Task = tuple[Data, Data]
"""D_i and D_i'."""


def maml(
    f: Model,
    theta: Parameters,
    batches: Iterable[Sequence[Task]],
    *,
    alpha: float,
    beta: float,
    adapted: Sequence[str],
    steps: int = 1,
    first_order: bool = False,
) -> Iterator[Parameters]:
    """Algorithm 2: ``theta`` after each meta-iteration.

    Args:
        batches: the tasks of each meta-iteration, sampled from p(T) (line 3) with their data
            (lines 5 and 8).
        adapted: the parameters that line 7 changes; line 10 changes all.
        steps: how often lines 6 and 7 are done; the algorithm is written for one.
        first_order: take the gradient of line 6 for a constant in line 10 (section 5.2).
    """
    for tasks in batches:
        gradient, _ = meta_gradient(
            f, theta, tasks, alpha=alpha, adapted=adapted, steps=steps, first_order=first_order
        )
        theta = {name: value - beta * gradient[name] for name, value in theta.items()}  # line 10
        yield theta


def meta_gradient(
    f: Model,
    theta: Parameters,
    tasks: Iterable[Task],
    *,
    alpha: float,
    adapted: Sequence[str],
    steps: int = 1,
    first_order: bool = False,
) -> tuple[Parameters, float]:
    """The gradient of line 10 and what it is taken of; of the tasks' mean, where it has their sum.

    The paper's own code takes the mean too, so that beta does not depend on the number of tasks.
    """
    theta = {name: value.detach().requires_grad_() for name, value in theta.items()}
    losses = []
    for D_i, D_i_ in tasks:  # line 4  # noqa: N806
        theta_i = adapt(f, theta, D_i, alpha, adapted, steps, first_order)
        losses.append(L(f, theta_i, D_i_))
    mean = torch.stack(losses).mean()
    gradient = torch.autograd.grad(mean, list(theta.values()), materialize_grads=True)
    return dict(zip(theta, gradient, strict=True)), mean.item()


def adapt(
    f: Model,
    theta: Parameters,
    D_i: Data,  # noqa: N803
    alpha: float,
    adapted: Sequence[str],
    steps: int = 1,
    first_order: bool = False,
) -> Parameters:
    """Lines 6 and 7: theta_i = theta - alpha * grad L(f_theta), ``steps`` times."""
    theta_i = dict(theta)
    for _ in range(steps):
        gradient = torch.autograd.grad(  # line 6
            L(f, theta_i, D_i), [theta_i[name] for name in adapted], create_graph=not first_order
        )
        for name, slope in zip(adapted, gradient, strict=True):
            theta_i[name] = theta_i[name] - alpha * slope  # line 7
    return theta_i


def L(f: Model, theta: Parameters, D: Data) -> Tensor:  # noqa: N802, N803
    """The mean over the examples of the cross-entropy in nats (equation 3), or in a regression,
    whose targets are no labels, of the square error (equation 2)."""
    x, y = D
    return F.mse_loss(f(theta, x), y) if y.is_floating_point() else F.cross_entropy(f(theta, x), y)


def conv_net(
    network: NetworkSpec,
    theta: Parameters,
    x: Tensor,
    *,
    activation: Callable[[Tensor], Tensor] = F.relu,
    norm: Callable[[NetworkSpec, Parameters, int, Tensor], Tensor] | None = None,
) -> Tensor:
    """``f`` of section 5.2 and its kin, as ``network`` has it; parameters as it lays them out.

    Without a head among the parameters: what it would see, [examples, features].
    """
    for layer in range(1, network.layers + 1):
        kernel = theta[f"conv{layer}.weight"].permute(3, 2, 0, 1)  # [out, in, 3, 3]
        if network.pooling == "max":
            x = F.conv2d(x, kernel, padding=1)
        else:  # TensorFlow's SAME: of an even size, nothing is padded before the first pixel
            before = x.shape[-1] % 2
            x = F.conv2d(F.pad(x, (before, 1, before, 1)), kernel, stride=2)
        x = activation((norm or normalise)(network, theta, layer, x))
        if network.pooling == "max":
            x = F.max_pool2d(x, 2)
    x = x.permute(0, 2, 3, 1)  # the engine flattens positions before channels
    x = x.flatten(1) if network.head == "flatten" else x.mean(dim=(1, 2))
    return x @ theta["head.weight"] + theta["head.bias"] if "head.weight" in theta else x


def normalise(network: NetworkSpec, theta: Parameters, layer: int, x: Tensor) -> Tensor:
    """Batch normalisation with the statistics of ``x`` itself, or what ``network`` has instead."""
    scale, shift = theta.get(f"norm{layer}.scale"), theta[f"norm{layer}.shift"].view(-1, 1, 1)
    if network.normalisation == "batch":
        # The shift is added here: torch 2.14 fails to differentiate twice where it has no scale.
        return F.batch_norm(x, None, None, scale, training=True, eps=NORM_EPSILON) + shift
    if network.normalisation == "layer":
        x = F.layer_norm(x, x.shape[1:], eps=NORM_EPSILON)
    return (x if scale is None else x * scale.view(-1, 1, 1)) + shift
