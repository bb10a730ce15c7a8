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
    """Gradient descent on the support loss: plain, as MAML's, or as its kin have it.

    ``loss_scale`` is ``mean``, the mean cross-entropy over the support examples, or ``paper``,
    their sum divided by ``shot`` as in the MAML paper's reference code, which is ``way`` times
    the mean.
    """

    steps: int
    alpha: float
    loss_scale: str = "mean"
    first_order: bool = False
    """Leave out the second derivatives (FOMAML)."""
    adapts: str = "all"
    """``all`` parameters, only the ``head`` (ANIL, Raghu et al. 2020) or only the ``body`` (BOIL,
    Oh et al. 2021)."""
    rates: str = "fixed"
    """``fixed``: alpha for all. ``per-step``: parameters ``rate.NAME`` [steps] are learned, the
    last one for all further steps (LSLR of MAML++). ``per-element``: ``rate.NAME`` of the shape of
    ``NAME`` (Meta-SGD, Li et al. 2017)."""
    query_weights: tuple[float, ...] = ()
    """Of the query losses after 1, 2, ..., ``steps`` inner steps (MSL of MAML++); none: the last
    loss alone counts."""

    def step_size(self, way: int) -> float:
        """Alpha on the mean cross-entropy."""
        return self.alpha * way if self.loss_scale == "paper" else self.alpha

    def adapted(self, network: NetworkSpec) -> tuple[str, ...]:
        """The parameters that a step changes."""
        names = network.adapted()
        if self.adapts == "all":
            return names
        return tuple(name for name in names if name.startswith("head") == (self.adapts == "head"))

    def rate_shapes(self, network: NetworkSpec) -> dict[str, tuple[int, ...]]:
        """Name and shape of the learned rates; none where they are fixed."""
        if self.rates == "fixed":
            return {}
        shapes = network.parameter_shapes()
        return {
            f"rate.{name}": (self.steps,) if self.rates == "per-step" else shapes[name]
            for name in self.adapted(network)
        }

    def initial_rates(self, network: NetworkSpec) -> Parameters:
        """Learned rates before the first meta-iteration: all alpha, so that they equal MAML."""
        size = self.step_size(network.way)
        return {name: torch.full(shape, size) for name, shape in self.rate_shapes(network).items()}

    def is_plain(self) -> bool:
        """Whether it is MAML's own, or FOMAML's."""
        plain = InnerLoop(self.steps, self.alpha, self.loss_scale, self.first_order)
        return self == plain


def task_losses(logits: Tensor, labels: Tensor) -> Tensor:
    """Mean cross-entropy in nats of logits [tasks, examples, way], a task: [tasks]."""
    return functional.cross_entropy(logits.transpose(1, 2), labels, reduction="none").mean(dim=1)


def task_accuracies(logits: Tensor, labels: Tensor) -> Tensor:
    """Fraction of each task's examples classified right: [tasks]."""
    return (logits.argmax(dim=2) == labels).to(logits.dtype).mean(dim=1)


def per_task(
    network: NetworkSpec, inner: InnerLoop, parameters: Parameters, tasks: int
) -> Parameters:
    """Adapted parameters with a leading tasks dimension (no copy); the others as they are."""
    adapted = set(inner.adapted(network))
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
    network: NetworkSpec,
    parameters: Parameters,
    episodes: Episodes,
    step: int,
    activation: Activation = relu,
) -> SupportPass:
    """The support set after ``step`` inner steps, at the parameters that they gave."""
    logits, statistics = forward(
        network, parameters, episodes.support_x, step=step, activation=activation
    )
    return SupportPass(logits, statistics, task_losses(logits, episodes.support_y))


def inner_step(
    network: NetworkSpec,
    inner: InnerLoop,
    parameters: Parameters,
    losses: Tensor,
    step: int,
    *,
    create_graph: bool,
) -> Parameters:
    """theta' = theta - alpha * grad of each task's support loss, by autograd; step 0 is the first.

    Tasks share nothing in the inner loop, so the gradient of the summed losses is each task's own.
    """
    names = inner.adapted(network)
    gradients = torch.autograd.grad(
        losses.sum(), [parameters[name] for name in names], create_graph=create_graph
    )
    adapted = dict(parameters)
    for name, gradient in zip(names, gradients, strict=True):
        rate: Tensor | float = inner.step_size(network.way)
        if inner.rates != "fixed":
            rate = parameters[f"rate.{name}"]
        if inner.rates == "per-step":
            assert isinstance(rate, Tensor)
            rate = rate[min(step, inner.steps - 1)]
        adapted[name] = parameters[name] - rate * gradient
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
    adapted = set(inner.adapted(network))
    fast = per_task(network, inner, parameters, episodes.tasks)
    for step in range(steps + 1):
        if should_stop is not None and should_stop():
            raise Interrupted
        fast = {
            name: value.detach().requires_grad_(name in adapted and step < steps)
            for name, value in fast.items()
        }
        with torch.set_grad_enabled(step < steps):
            support = support_pass(network, fast, episodes, step)
        yield fast, support
        if step < steps:
            fast = inner_step(network, inner, fast, support.losses, step, create_graph=False)
