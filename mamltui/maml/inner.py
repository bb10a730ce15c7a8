"""Adaptation on a support set: MAML's inner loop (Finn et al. 2017, Algorithm 2, lines 5-7)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from mamltui.maml import alfa
from mamltui.maml.curvature import MODES, matrix_gradients, mode_sizes, transformed
from mamltui.maml.parameters import Network, Parameters

ADAPTS = ("all", "head", "body")
RATES = ("fixed", "per-step", "per-element", "curvature", "generated")
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
    ``NAME`` (Meta-SGD, Li et al. 2017). ``curvature``: alpha for all, and for each mode of a
    gradient a matrix ``rate.NAME.MODE`` that it is multiplied by (Meta-Curvature, Park and Oliva
    2019; :mod:`mamltui.maml.curvature`). ``generated``: by a small network, from where the step
    stands (ALFA, Baik et al. 2020; :mod:`mamltui.maml.alfa`)."""
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
    refinements: int = 0
    """How often the test, without inner steps, refines a head of class means with the query set
    (:func:`refined_head`)."""

    def __post_init__(self) -> None:
        """Raises ValueError for an inner loop that cannot be."""
        if (
            self.steps < 0
            or self.rates not in RATES
            or self.adapts not in ADAPTS
            or self.outer not in OUTER
            or len(self.query_weights) not in (0, self.steps)
            or (self.steps == 0 and self.rates in ("per-step", "generated"))
            or (self.steps == 0 and self.outer != "query")
            or (self.outer != "query" and (self.rates != "fixed" or self.query_weights))
            or (self.outer == "implicit") != (self.proximal > 0)
            or self.refinements < 0
            or (self.refinements and self.steps)
        ):
            raise ValueError(f"there is no inner loop {self}")

    def step_size(self, way: int) -> float:
        """Alpha on the mean cross-entropy."""
        return self.alpha * way if self.loss_scale == "paper" else self.alpha

    def adapted(self, network: Network) -> tuple[str, ...]:
        """The parameters that a step changes; Reptile has no other way to learn shifts."""
        names = network.learned() if self.outer == "reptile" else network.adapted()
        if self.adapts == "all":
            return names
        head = network.head_names()
        return tuple(name for name in names if (name in head) == (self.adapts == "head"))

    def rate_shapes(self, network: Network) -> dict[str, tuple[int, ...]]:
        """Name and shape of the learned rates; none where they are fixed."""
        if self.rates == "fixed":
            return {}
        if self.rates == "generated":
            return alfa.learned_shapes(len(self.adapted(network)), self.steps)
        shapes = network.value_shapes() | network.parameter_shapes()
        if self.rates == "curvature":
            return {
                f"rate.{name}.{mode}": (size, size)
                for name in self.adapted(network)
                for mode, size in mode_sizes(shapes[name]).items()
            }
        return {
            f"rate.{name}": (self.steps,) if self.rates == "per-step" else shapes[name]
            for name in self.adapted(network)
        }

    def initial_rates(self, network: Network, seed: int = 0) -> Parameters:
        """Before the first meta-iteration: alpha, or identities, so that steps are MAML's."""
        shapes, size = self.rate_shapes(network), self.step_size(network.way)
        if self.rates == "generated":
            return alfa.initial_values(len(self.adapted(network)), self.steps, size, seed)
        if self.rates == "curvature":
            return {name: torch.eye(*shape) for name, shape in shapes.items()}
        return {name: torch.full(shape, size) for name, shape in shapes.items()}

    def weights(self) -> tuple[float, ...]:
        """Of the query losses after 0, 1, ..., ``steps`` inner steps; zero: not looked at."""
        if self.query_weights:
            return (0.0, *self.query_weights)
        return (*(0.0,) * self.steps, 1.0)

    def update(
        self,
        network: Network,
        values: Parameters,
        gradients: Parameters,
        learned: Parameters,
        start: Parameters,
        step: int,
    ) -> Parameters:
        """The adapted parameters after inner step number ``step`` (0 is the first).

        Args:
            values: the parameters before the step, [tasks, ...] or shared by all tasks.
            gradients: of each task's support loss there, [tasks, ...].
            learned: what the step itself has learned, named as in ``rate_shapes``.
            start: the parameters before the first step.
        """
        if self.rates == "generated":
            return alfa.updated(self.adapted(network), values, gradients, learned, step)
        moved = {}
        for name in self.adapted(network):
            value, gradient = values[name], gradients[name]
            if self.proximal:
                gradient = gradient + self.proximal * (value - start[name])
            if self.rates == "curvature":
                gradient = transformed(gradient, list(self._matrices(name, learned).values()))
            if self.rates in ("fixed", "curvature"):
                size = min(self.step_size(network.way), torch.finfo(value.dtype).max)
                moved[name] = torch.sub(value, gradient, alpha=size)
            else:
                moved[name] = value - self._rate(learned[f"rate.{name}"], step) * gradient
        return moved

    def adjoint(
        self,
        network: Network,
        before: Parameters,
        gradients: Parameters,
        learned: Parameters,
        outer: Parameters,
        step: int,
    ) -> Adjoint:
        """The transposed derivative of ``update``, times the outer gradient after the step.

        Args:
            before: the parameters before the step.
            outer: for each adapted parameter, [tasks, ...].
        """
        names = self.adapted(network)
        if self.rates == "generated":
            derivatives = alfa.adjoints(names, before, gradients, learned, outer, step)
            return Adjoint(derivatives[0], derivatives[1], derivatives[2])
        values = {name: outer[name] for name in names}
        if self.rates == "fixed":
            return Adjoint(values, values, {}, -self.step_size(network.way))
        if self.rates == "curvature":
            return self._adjoint_curvature(network, gradients, learned, values)
        of_gradients, of_learned = {}, {}
        for name in names:
            rate = f"rate.{name}"
            of_gradients[name] = -self._rate(learned[rate], step) * outer[name]
            product = -outer[name] * gradients[name]
            if self.rates == "per-step":
                # In two stages: a sum to a single number depends on the number of threads.
                total = product.view(len(product), -1, product.shape[-1]).sum(dim=1).sum(dim=1)
                product = product.new_zeros(len(product), self.steps)
                product[:, min(step, self.steps - 1)] = total
            of_learned[rate] = product
        return Adjoint(values, of_gradients, of_learned)

    def _adjoint_curvature(
        self, network: Network, gradients: Parameters, learned: Parameters, outer: Parameters
    ) -> Adjoint:
        of_gradients: Parameters = {}
        of_learned: Parameters = {}
        for name, value in outer.items():
            matrices = self._matrices(name, learned)
            pulled = -self.step_size(network.way) * value
            of_gradients[name] = transformed(pulled, [each.mT for each in matrices.values()])
            derivatives = matrix_gradients(gradients[name], list(matrices.values()), pulled)
            of_learned |= dict(zip(matrices, derivatives, strict=True))
        return Adjoint(outer, of_gradients, of_learned)

    def _matrices(self, name: str, learned: Parameters) -> Parameters:
        """Of each mode of a parameter, by their own names."""
        names = (f"rate.{name}.{mode}" for mode in MODES)
        return {each: learned[each] for each in names if each in learned}

    def _rate(self, rates: Tensor, step: int) -> Tensor:
        return rates[min(step, self.steps - 1)] if self.rates == "per-step" else rates


class Adjoint(NamedTuple):
    """Transposed derivatives of an inner step, each [tasks, ...]."""

    values: Parameters
    """With respect to the parameters before it."""
    gradients: Parameters
    """With respect to the support gradient, but for ``factor``."""
    learned: Parameters
    """With respect to what the step has learned."""
    factor: float = 1.0


def prototype_head(features: Tensor, labels: Tensor, way: int) -> Parameters:
    """The linear head that prefers the nearest class mean of the features, each task's own.

    The square distance of a feature f to a mean c is |f|^2 - 2 f c + |c|^2, and the first term is
    the same for all classes (Snell, Swersky and Zemel 2017, section 2.4).

    Args:
        features: [tasks, examples, features].
        labels: [tasks, examples].
    """
    sums, counts = _class_sums(features, labels, way)
    return _nearest_mean(sums / counts)


def refined_head(
    features: Tensor, labels: Tensor, way: int, queries: Tensor, times: int
) -> Parameters:
    """:func:`prototype_head` after soft k-means over support and query set.

    Each time, a query counts in the mean of each class as much as the means before say that it is
    probable (Ren et al. 2018, "Meta-learning for semi-supervised few-shot classification", eqs. 2
    and 3, with the query set as what is unlabelled).

    Args:
        queries: features of the query set, [tasks, queries, features].
        times: that the means are refined.
    """
    sums, counts = _class_sums(features, labels, way)
    head = _nearest_mean(sums / counts)
    for _ in range(times):
        logits = queries @ head["head.weight"] + head["head.bias"].unsqueeze(1)
        shares = logits.softmax(dim=2).transpose(1, 2)
        head = _nearest_mean((sums + shares @ queries) / (counts + shares.sum(dim=2, keepdim=True)))
    return head


def _class_sums(features: Tensor, labels: Tensor, way: int) -> tuple[Tensor, Tensor]:
    """Of each class the sum of its features [tasks, way, features] and their number [.., .., 1]."""
    one_hot = functional.one_hot(labels, way).to(features.dtype)
    return one_hot.transpose(1, 2) @ features, one_hot.sum(dim=1).unsqueeze(-1)


def _nearest_mean(means: Tensor) -> Parameters:
    return {"head.weight": 2 * means.transpose(1, 2), "head.bias": -means.square().sum(dim=2)}
