"""The outer loop, written once: the gradient of what tasks cost after adaptation (paper, eq. 1).

A backend supplies the derivatives of a network on one set of examples (:class:`Derivatives`), for a
block of tasks at once, and nothing else. The inner loop, its adjoint, the losses after every step,
learned rates, first order, partial adaptation, Reptile, implicit gradients and running statistics
are here, in terms of tensors [tasks, ...].

One inner step is theta' = U(theta, g), with g the gradient of the support loss at theta and U the
rule of :meth:`~mamltui.maml.inner.InnerLoop.update`. Its adjoint takes the outer gradient v at
theta' to

    (dU/dtheta)^T v  +  H (dU/dg)^T v

at theta, H being the Hessian of the support loss. The two transposed products are those of
:meth:`~mamltui.maml.inner.InnerLoop.adjoint`, beside the rule; the product with H is the backend's.
For MAML, U is theta - alpha g and the sum v - alpha H v. A new member of the family is thus a new
rule and its adjoint, with parameters of its own if it learns any (``InnerLoop.rate_shapes``), or
another start of the inner loop (``_Tasks.start``), which autograd takes back to the features that
it was computed from.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol, TypeVar

import torch
from torch import Tensor

from mamltui.maml.chunks import Interrupted
from mamltui.maml.episode import Episodes
from mamltui.maml.gradient import MetaGradient
from mamltui.maml.implicit import implicit_gradient
from mamltui.maml.inner import InnerLoop, prototype_head, refined_head
from mamltui.maml.losses import loss_of
from mamltui.maml.network import NetworkSpec
from mamltui.maml.parameters import STATISTICS, Network, NormStatistics, Parameters, at_step
from mamltui.maml.precision import exact_products
from mamltui.maml.strategies.analytic import Analytic
from mamltui.maml.strategies.autograd import Autograd


class Tape(Protocol):
    """What one forward pass leaves behind for the passes that follow it."""

    @property
    def logits(self) -> Tensor:
        """[tasks, examples, way], or without a head among the parameters what it would see,
        [tasks, examples, features]."""

    @property
    def statistics(self) -> list[NormStatistics]:
        """Of the images in each batch normalisation, one entry a layer; else none."""


TapeT = TypeVar("TapeT", bound=Tape)


class Derivatives(Protocol[TapeT]):
    """A network on one set of examples of each task, and its derivatives.

    Parameters are as they are after some number of inner steps
    (:func:`~mamltui.maml.network.at_step`), each either shared by all tasks (its own shape) or
    [tasks, ...]. All results are [tasks, ...].
    """

    def forward(
        self,
        values: Parameters,
        *,
        running: bool = False,
        statistics: list[NormStatistics] | None = None,
    ) -> TapeT:
        """The logits at ``values``.

        Args:
            running: normalise with running statistics, if the network has them.
            statistics: normalise with these, of another pass, instead of the images' own.
        """

    def backward(self, tape: TapeT, g_logits: Tensor, *, keep: bool = False) -> Parameters:
        """The logits' Jacobian, transposed, times ``g_logits``, for every learned parameter.

        Args:
            keep: what ``tangent`` and ``tangent_backward`` need of this pass.
        """

    def tangent(self, tape: TapeT, direction: Parameters) -> Tensor:
        """The logits' derivative in a direction of the parameters; what is not there is zero."""

    def tangent_backward(self, tape: TapeT, dg_logits: Tensor) -> Parameters:
        """The derivative of what ``backward`` gave in the direction that ``tangent`` was given.

        ``dg_logits`` is the derivative of ``g_logits`` in that direction. It comes once after each
        ``tangent``.
        """


Backend = Callable[[Network, Tensor], Derivatives[Any]]
"""Makes them of images [tasks, examples, channels, size, size]."""


def usual_backend(network: Network, images: Tensor) -> Derivatives[Any]:
    """The one that covers a network on every machine and in every precision."""
    if isinstance(network, NetworkSpec):
        return Analytic(network, images)
    return Autograd(network, images)


def meta_gradient(
    network: Network,
    inner: InnerLoop,
    parameters: Parameters,
    episodes: Episodes,
    backend: Backend,
    *,
    weights: Sequence[Tensor] | None = None,
    onto: MetaGradient | None = None,
) -> MetaGradient:
    """Sums over the tasks of the outer gradient, of the query loss and of the accuracy.

    Args:
        weights: scalars on the device, in place of those of ``inner.weights()`` that are not
            zero: a captured graph reads them where they are put for each replay.
        onto: the sums of the tasks before, which are added to in place.
    """
    total = MetaGradient.zero(parameters, network.tracked()) if onto is None else onto
    total.add_tasks(task_gradients(network, inner, parameters, episodes, backend, weights=weights))
    return total


def task_gradients(
    network: Network,
    inner: InnerLoop,
    parameters: Parameters,
    episodes: Episodes,
    backend: Backend,
    *,
    weights: Sequence[Tensor] | None = None,
) -> MetaGradient:
    """The same of each task by itself, [tasks, ...]; parameters without a gradient are left out.

    On a GPU, where it is slow to add one task after the other, of all together, [1, ...].
    """
    with exact_products(episodes.support_x.device), torch.no_grad():
        tasks = _Tasks(network, inner, parameters, episodes, backend)
        if inner.outer == "reptile":
            logits = _reptile(tasks)
        else:
            logits = _through_the_inner_loop(tasks, weights)
        gradient = {name: tasks.gradient[name] for name in parameters if name in tasks.gradient}
        losses = tasks.loss.per_task(logits, episodes.query_y)
        accuracies = tasks.loss.accuracy(logits, episodes.query_y)
        meta_gradient = MetaGradient(gradient, tasks.drift, losses, accuracies)
        return meta_gradient.together() if losses.is_cuda else meta_gradient


@dataclass(frozen=True)
class Adapted:
    """A block of tasks after some inner steps."""

    parameters: Parameters
    """The adapted ones are [tasks, ...], the others shared; with a head."""
    support: Tape
    """The support set at them."""
    query: Callable[[list[NormStatistics] | None], Tape]
    """The query set at them: normalised as in training, or with the statistics given."""


def adapted_step_by_step(
    network: Network,
    inner: InnerLoop,
    parameters: Parameters,
    episodes: Episodes,
    steps: int,
    *,
    backend: Backend = usual_backend,
    should_stop: Callable[[], bool] | None = None,
) -> Iterator[Adapted]:
    """The tasks after 0, 1, ..., ``steps`` inner steps.

    Nothing is kept from step to step, so memory does not grow with ``steps``. ``should_stop`` is
    asked before each step.

    Raises:
        Interrupted: ``should_stop`` said so.
    """
    with torch.no_grad():
        tasks = _Tasks(network, inner, parameters, episodes, backend)
        values = tasks.start()
    for step in range(steps + 1):
        if should_stop is not None and should_stop():
            raise Interrupted
        with torch.no_grad():
            adapted = tasks.adapted_to(values, step)
        yield adapted
        if step < steps:
            with torch.no_grad():
                sets = tasks.support, episodes.support_y, adapted.support
                values = tasks.moved(*sets, values, step).moved


def _through_the_inner_loop(tasks: _Tasks, weights: Sequence[Tensor] | None) -> Tensor:
    """Algorithm 2, lines 5-10; logits of the query set after the last step."""
    network, inner, support, query = tasks.network, tasks.inner, tasks.support, tasks.query
    values = tasks.start()
    query_gradients: dict[int, Parameters] = {}
    steps: list[_Step] = []
    for step, weight in enumerate(inner.weights()):
        here = at_step(network, values, step)
        if weight:
            looked = query.forward(here, running=True)
            g_logits = tasks.loss.gradient(
                looked.logits,
                tasks.query_y,
                weight=weight if weights is None else weights[step],
                smoothing=inner.label_smoothing,
            )
            query_gradients[step] = query.backward(looked, g_logits)
        if step < inner.steps:
            taken = tasks.step(support, tasks.support_y, values, step)
            tasks.observe(taken.tape, step)
            steps.append(taken)
            values = taken.moved
    tasks.observe(looked, inner.steps)
    if inner.outer == "implicit":
        tasks.add_implicit(values, query_gradients[inner.steps])
    else:
        tasks.add(query_gradients[inner.steps], inner.steps)
        for step in range(inner.steps - 1, -1, -1):
            tasks.back(steps.pop(), step)
            if step in query_gradients:
                tasks.add(query_gradients[step], step)
    tasks.back_to_features()
    logits: Tensor = looked.logits
    return logits


def _reptile(tasks: _Tasks) -> Tensor:
    """Before less after (Nichol, Achiam and Schulman 2018, Algorithm 2).

    The steps take the support and the query set in turns: without other examples from step to step
    the update would say nothing about what is common to them.
    """
    start = values = tasks.start()
    sets = (tasks.support, tasks.support_y), (tasks.query, tasks.query_y)
    for step in range(tasks.inner.steps):
        values = tasks.step(*sets[step % 2], values, step).moved
    tasks.gradient |= {name: start[name] - values[name] for name in tasks.adapted}
    here = at_step(tasks.network, values, tasks.inner.steps)
    logits: Tensor = tasks.query.forward(here, running=True).logits
    return logits


class _Step(NamedTuple):
    """One inner step, for the way back."""

    tape: Tape
    before: Parameters
    """All parameters before it."""
    gradients: Parameters
    """Of the support loss, for each adapted parameter."""
    moved: Parameters
    """All parameters after it."""


class _Tasks:
    """A block of tasks on its way through the inner loop, and back with its gradient."""

    def __init__(
        self,
        network: Network,
        inner: InnerLoop,
        parameters: Parameters,
        episodes: Episodes,
        backend: Backend,
    ) -> None:
        self.network, self.inner, self.loss = network, inner, loss_of(network)
        self.count = episodes.tasks
        self.theta = {name: value.detach() for name, value in parameters.items()}
        self.support, self.query = (
            backend(network, images) for images in (episodes.support_x, episodes.query_x)
        )
        self.support_y, self.query_y = episodes.support_y, episodes.query_y
        self.adapted = inner.adapted(network)
        self.curved = inner.outer == "query" and not inner.first_order
        """Whether the way back takes Hessian-vector products."""
        self.gradient: Parameters = {}
        """Of what is outer so far, [tasks, ...], in the shapes of the parameters."""
        self.drift: Parameters = {}
        """Running statistics less what was observed, likewise."""
        self._prototypes: tuple[Tape, Tensor, Parameters] | None = None
        self._start: Parameters = {}

    # ---- Forward ----

    def start(self) -> Parameters:
        """The parameters before the first inner step; a head of prototypes is computed here."""
        self._start = dict(self.theta)
        if self.network.prototypes:
            tape = self.support.forward(at_step(self.network, self.theta, 0))
            features = tape.logits.detach().requires_grad_()
            with torch.enable_grad():
                head = prototype_head(features, self.support_y, self.network.way)
            self._prototypes = tape, features, head
            self._start |= {name: value.detach() for name, value in head.items()}
        return self._start

    def step(
        self, examples: Derivatives[Any], labels: Tensor, values: Parameters, step: int
    ) -> _Step:
        """One inner step on a set of examples, from ``values``."""
        tape = examples.forward(at_step(self.network, values, step))
        return self.moved(examples, labels, tape, values, step)

    def moved(
        self, examples: Derivatives[Any], labels: Tensor, tape: Tape, values: Parameters, step: int
    ) -> _Step:
        """The same with the forward pass at hand."""
        gradient = examples.backward(tape, self._slope(tape, labels), keep=self.curved)
        gradients = {name: self._lifted(name, gradient[name], step) for name in self.adapted}
        moved = self.inner.update(self.network, values, gradients, self.theta, self._start, step)
        return _Step(tape, values, gradients, values | moved)

    def observe(self, tape: Tape, step: int) -> None:
        """How far running statistics are from what a pass after ``step`` inner steps saw.

        The variance is about the running mean: it includes that from task to task.
        """
        if step >= self.network.running_steps:
            return  # there are none, or the last ones are kept for further steps
        known, off = at_step(self.network, self.theta, step), {}
        for layer, (means, variances) in enumerate(tape.statistics, 1):
            mean, variance = (known[f"norm{layer}.{field}"] for field in STATISTICS)
            error = means.squeeze(1) - mean
            off[f"norm{layer}.mean"] = -error
            off[f"norm{layer}.variance"] = variance - (variances.squeeze(1) + error.square())
        self._add(self.drift, off, step)

    def adapted_to(self, values: Parameters, step: int) -> Adapted:
        """Both sets at ``values``, the parameters after ``step`` inner steps.

        Where queries refine the head, those that are normalised with statistics given do not: none
        of them sees another.
        """
        here = at_step(self.network, values, step)
        together = here | self._refined_head() if self.inner.refinements else here

        def query(statistics: list[NormStatistics] | None) -> Tape:
            is_alone = statistics is not None
            tape: Tape = self.query.forward(
                here if is_alone else together, running=not is_alone, statistics=statistics
            )
            return tape

        return Adapted(values, self.support.forward(here), query)

    def _refined_head(self) -> Parameters:
        assert self._prototypes is not None
        _, features, _ = self._prototypes
        queries = self.query.forward(at_step(self.network, self.theta, 0)).logits
        way, times = self.network.way, self.inner.refinements
        return refined_head(features.detach(), self.support_y, way, queries, times)

    # ---- Backward ----

    def add(self, gradients: Mapping[str, Tensor], step: int, factor: float = 1.0) -> None:
        """Add ``factor`` times gradients in the parameters as they were after ``step`` steps."""
        self._add(self.gradient, gradients, step, factor)

    def _add(
        self, totals: Parameters, gradients: Mapping[str, Tensor], step: int, factor: float = 1.0
    ) -> None:
        for name, value in gradients.items():
            if self.network.rows(name):
                total = totals.get(name)
                if total is None:
                    total = value.new_zeros(self.count, *self.theta[name].shape)
                    totals[name] = total
                at_step(self.network, {name: total}, step)[name].add_(value, alpha=factor)
            elif name in totals:
                totals[name].add_(value, alpha=factor)
            else:
                totals[name] = value if factor == 1.0 else factor * value

    def back(self, taken: _Step, step: int) -> None:
        """The adjoint of one inner step."""
        outer = {name: self.gradient[name] for name in self.adapted}
        adjoint = self.inner.adjoint(
            self.network, taken.before, taken.gradients, self.theta, outer, step
        )
        self.gradient |= adjoint.values
        self.add(adjoint.learned, step)
        if self.curved:
            direction = at_step(self.network, adjoint.gradients, step)
            self.add(self._hessian_product(taken.tape, direction), step, adjoint.factor)

    def back_to_features(self) -> None:
        """What a head of prototypes leaves to the features that it was computed from."""
        if self._prototypes is None:
            return
        tape, features, head = self._prototypes
        arrived = [self.gradient.pop(name) for name in head]
        (g_features,) = torch.autograd.grad(list(head.values()), [features], arrived)
        self.add(self.support.backward(tape, g_features), 0)

    def add_implicit(self, values: Parameters, outer: Parameters) -> None:
        """The implicit gradient (iMAML) from the query loss's at the adapted parameters."""
        step = self.inner.steps
        tape = self.support.forward(at_step(self.network, values, step))
        self.support.backward(tape, self._slope(tape, self.support_y), keep=True)
        gradient = implicit_gradient(
            lambda direction: self._hessian_product(tape, direction),
            outer,
            self.adapted,
            self.inner.proximal,
            self.inner.cg_steps,
        )
        self.add(gradient, step)

    def _hessian_product(self, tape: TapeT, direction: Parameters) -> Parameters:
        """H v of the support loss: forward over reverse (Pearlmutter 1994)."""
        d_logits = self.support.tangent(tape, direction)
        return self.support.tangent_backward(tape, self.loss.curvature(tape.logits, d_logits))

    def _slope(self, tape: Tape, targets: Tensor) -> Tensor:
        """Gradient of the inner loss in the logits."""
        return self.loss.gradient(tape.logits, targets)

    # ---- Shapes ----

    def _lifted(self, name: str, value: Tensor, step: int) -> Tensor:
        """In the shape of the parameter: zero at other numbers of steps, where each has its own."""
        if not self.network.rows(name):
            return value
        whole = value.new_zeros(self.count, *self.theta[name].shape)
        at_step(self.network, {name: whole}, step)[name].copy_(value)
        return whole
