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

Rate = Tensor | float
ADAPTS = ("all", "head", "body")
RATES = ("fixed", "per-step", "per-element")
OUTER = ("query", "reptile", "implicit")


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
    label_smoothing: float = 0.0
    """Part of the query loss's target that is spread over all classes (Szegedy et al. 2016); the
    losses that are reported are without."""
    outer: str = "query"
    """What the outer gradient is: ``query``, of the query loss through the inner loop (MAML);
    ``reptile``, the parameters before the inner loop less those after it, whose steps take the
    support and the query set in turns (Nichol, Achiam and Schulman 2018); ``implicit``, at the end
    of an inner loop that is pulled back to its start (iMAML, Rajeswaran et al. 2019)."""
    proximal: float = 0.0
    """Weight of half the square distance to the start in the inner loss (iMAML)."""
    cg_steps: int = 5
    """Conjugate-gradient steps of the implicit gradient."""

    def __post_init__(self) -> None:
        """Raises ValueError for an inner loop that cannot be."""
        if (
            self.steps < 0
            or self.rates not in RATES
            or self.adapts not in ADAPTS
            or self.outer not in OUTER
            or len(self.query_weights) not in (0, self.steps)
            or (self.steps == 0 and (self.rates == "per-step" or self.outer != "query"))
            or (self.outer != "query" and (self.rates != "fixed" or self.query_weights))
            or (self.outer == "implicit") != (self.proximal > 0)
        ):
            raise ValueError(f"there is no inner loop {self}")

    def step_size(self, way: int) -> float:
        """Alpha on the mean cross-entropy."""
        return self.alpha * way if self.loss_scale == "paper" else self.alpha

    def adapted(self, network: NetworkSpec) -> tuple[str, ...]:
        """The parameters that a step changes; Reptile has no other way to learn shifts."""
        names = network.learned() if self.outer == "reptile" else network.adapted()
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

    def weights(self) -> tuple[float, ...]:
        """Of the query losses after 0, 1, ..., ``steps`` inner steps; zero: not looked at."""
        if self.query_weights:
            return (0.0, *self.query_weights)
        return (*(0.0,) * self.steps, 1.0)

    def rate(self, network: NetworkSpec, parameters: Parameters, name: str, step: int) -> Rate:
        """Size of inner step number ``step`` (0 is the first) for a parameter."""
        if self.rates == "fixed":
            return self.step_size(network.way)
        rate = parameters[f"rate.{name}"]
        return rate[min(step, self.steps - 1)] if self.rates == "per-step" else rate


def task_losses(logits: Tensor, labels: Tensor, smoothing: float = 0.0) -> Tensor:
    """Mean cross-entropy in nats of logits [tasks, examples, way], a task: [tasks].

    ``smoothing``: part of the target that is spread over all classes.
    """
    losses = functional.cross_entropy(
        logits.transpose(1, 2), labels, reduction="none", label_smoothing=smoothing
    )
    return losses.mean(dim=1)


def task_accuracies(logits: Tensor, labels: Tensor) -> Tensor:
    """Fraction of each task's examples classified right: [tasks]."""
    return (logits.argmax(dim=2) == labels).to(logits.dtype).mean(dim=1)


def start_of(
    network: NetworkSpec, inner: InnerLoop, parameters: Parameters, episodes: Episodes
) -> Parameters:
    """Each task's parameters before the first inner step.

    The adapted ones have a leading tasks dimension (no copy), the others are as they are; a head of
    prototypes is computed here.
    """
    adapted = set(inner.adapted(network))
    start = {
        name: value.expand(episodes.tasks, *value.shape) if name in adapted else value
        for name, value in parameters.items()
    }
    return start | prototype_head(network, parameters, episodes) if network.prototypes else start


def prototype_head(network: NetworkSpec, parameters: Parameters, episodes: Episodes) -> Parameters:
    """The linear head that prefers the nearest class mean of the support set's features.

    The square distance of a feature f to a mean c is |f|^2 - 2 f c + |c|^2, and the first term is
    the same for all classes (Snell, Swersky and Zemel 2017, section 2.4).
    """
    features, _ = forward(network, parameters, episodes.support_x)
    one_hot = functional.one_hot(episodes.support_y, network.way).to(features.dtype)
    means = one_hot.transpose(1, 2) @ features / one_hot.sum(dim=1).unsqueeze(-1)
    return {"head.weight": 2 * means.transpose(1, 2), "head.bias": -means.square().sum(dim=2)}


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
    start: Parameters | None = None,
) -> Parameters:
    """theta' = theta - alpha * grad of each task's support loss, by autograd; step 0 is the first.

    Tasks share nothing in the inner loop, so the gradient of the summed losses is each task's own.
    ``start``: the parameters before the first step, which iMAML is pulled back to.
    """
    names = inner.adapted(network)
    gradients = torch.autograd.grad(
        losses.sum(), [parameters[name] for name in names], create_graph=create_graph
    )
    adapted = dict(parameters)
    for name, gradient in zip(names, gradients, strict=True):
        if inner.proximal and start is not None:
            gradient = gradient + inner.proximal * (parameters[name] - start[name])
        rate = inner.rate(network, parameters, name, step)
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
    start = fast = start_of(network, inner, parameters, episodes)
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
            fast = inner_step(
                network, inner, fast, support.losses, step, create_graph=False, start=start
            )
