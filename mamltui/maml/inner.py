"""Adaptation on a support set: MAML's inner loop (Finn et al. 2017, Algorithm 2, lines 5-7)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from mamltui.maml.chunks import Interrupted
from mamltui.maml.episode import Episodes
from mamltui.maml.network import Activation, NetworkSpec, NormStatistics, Parameters, forward, relu


@dataclass(frozen=True)
class InnerLoop:
    """Plain gradient descent on the support loss.

    ``loss_scale`` is ``mean``, the mean cross-entropy over the support examples, or ``paper``,
    their sum divided by ``shot`` as in the MAML paper's reference code, which is ``way`` times
    the mean.
    """

    steps: int
    alpha: float
    loss_scale: str = "mean"
    first_order: bool = False
    """Leave out the second derivatives (FOMAML)."""

    def step_size(self, way: int) -> float:
        """Alpha on the mean cross-entropy."""
        return self.alpha * way if self.loss_scale == "paper" else self.alpha


def task_losses(logits: Tensor, labels: Tensor) -> Tensor:
    """Mean cross-entropy in nats of logits [tasks, examples, way], a task: [tasks]."""
    return functional.cross_entropy(logits.transpose(1, 2), labels, reduction="none").mean(dim=1)


def task_accuracies(logits: Tensor, labels: Tensor) -> Tensor:
    """Fraction of each task's examples classified right: [tasks]."""
    return (logits.argmax(dim=2) == labels).to(logits.dtype).mean(dim=1)


def per_task(network: NetworkSpec, parameters: Parameters, tasks: int) -> Parameters:
    """Adapted parameters with a leading tasks dimension (no copy); the others as they are."""
    adapted = set(network.adapted())
    return {
        name: value.expand(tasks, *value.shape) if name in adapted else value
        for name, value in parameters.items()
    }


@dataclass(frozen=True)
class SupportPass:
    """The support set seen at some parameters: logits, statistics, losses [tasks]."""

    logits: Tensor
    statistics: list[NormStatistics]
    losses: Tensor


def support_pass(
    parameters: Parameters, support_x: Tensor, support_y: Tensor, activation: Activation = relu
) -> SupportPass:
    logits, statistics = forward(parameters, support_x, activation=activation)
    return SupportPass(logits, statistics, task_losses(logits, support_y))


def inner_step(
    network: NetworkSpec,
    inner: InnerLoop,
    parameters: Parameters,
    losses: Tensor,
    *,
    create_graph: bool,
) -> Parameters:
    """theta' = theta - alpha * grad of each task's support loss, by autograd.

    Tasks share nothing in the inner loop, so the gradient of the summed losses is each task's own.
    """
    names = network.adapted()
    gradients = torch.autograd.grad(
        losses.sum(), [parameters[name] for name in names], create_graph=create_graph
    )
    step = inner.step_size(network.way)
    adapted = dict(parameters)
    for name, gradient in zip(names, gradients, strict=True):
        adapted[name] = parameters[name] - step * gradient
    return adapted


def adapted_step_by_step(
    network: NetworkSpec,
    inner: InnerLoop,
    parameters: Parameters,
    episodes: Episodes,
    steps: int,
    should_stop: Callable[[], bool] | None = None,
) -> Iterator[tuple[Parameters, SupportPass]]:
    """Each task's parameters after 0, 1, ..., ``steps`` inner steps, and the support set at them.

    Parameters are detached after each step: there is no second-order graph, and memory does not
    grow with ``steps``. ``should_stop`` is asked before each pass.

    Raises:
        Interrupted: ``should_stop`` said so.
    """
    adapted = set(network.adapted())
    fast = per_task(network, parameters, episodes.tasks)
    for step in range(steps + 1):
        if should_stop is not None and should_stop():
            raise Interrupted
        fast = {
            name: value.detach().requires_grad_(name in adapted and step < steps)
            for name, value in fast.items()
        }
        with torch.set_grad_enabled(step < steps):
            support = support_pass(fast, episodes.support_x, episodes.support_y)
        yield fast, support
        if step < steps:
            fast = inner_step(network, inner, fast, support.losses, create_graph=False)
