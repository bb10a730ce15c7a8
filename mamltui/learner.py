"""What a profile says of the network and of the inner loop, as the learning code wants it."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

import torch

from mamltui.data.sampling import DataSource
from mamltui.data.sinusoid import Waves
from mamltui.errors import UsageError
from mamltui.maml.inner import InnerLoop
from mamltui.maml.learner import Learner
from mamltui.maml.mlp import MlpNetwork
from mamltui.maml.network import NetworkSpec
from mamltui.maml.own_network import ModuleNetwork
from mamltui.maml.parameters import Network, Parameters
from mamltui.profiles import Profile, learns_rates
from mamltui.user_module import module_network

Head = Literal["learned", "fresh", "prototypes", "refined"]
"""Where the classifier starts: from the learned weights, as many of them as there are classes; with
weights drawn like them for further classes; from the means of the support set's classes, as in
ProtoNet and Proto-MAML; or, of ProtoNet, from such means after soft k-means with the query set."""
REFINEMENTS = 10
"""Of the means of classes; on validation tasks of Omniglot nothing changes after eight."""
LEAST_WEIGHT = 0.03
"""Of an inner step before the last, as a part of 1 / steps, in a multi-step loss (MAML++)."""


def learner_of(profile: Profile, bank: DataSource) -> Learner:
    """What ``profile`` trains on tasks of ``bank``."""
    return Learner(network_of(profile, bank), inner_loop_of(profile))


def network_of(profile: Profile, bank: DataSource) -> Network:
    """The network for tasks of ``profile`` on images, or waves, of ``bank``.

    What each inner step has of its own is there for 0, 1, ..., ``inner.steps`` steps taken. A
    module of the user's is imported and constructed.

    Raises:
        UsageError: the module cannot be imported, constructed or meta-learned.
    """
    network, plus = profile.network, profile.plus
    if isinstance(bank, Waves):
        return MlpNetwork((network.filters,) * network.layers)
    if network.module:
        return module_network(
            profile, way=profile.task.way, channels=bank.channels, image_size=bank.image_size
        )
    own = profile.inner.steps + 1
    return NetworkSpec(
        way=profile.task.way,
        channels=bank.channels,
        image_size=bank.image_size,
        filters=network.filters,
        layers=network.layers,
        pooling=network.pooling,
        normalisation=network.normalisation,
        head=network.head,
        norm_steps=own if plus.per_step_norm else 0,
        norm_scale=plus.per_step_norm,
        running_steps=own if plus.per_step_statistics else 0,
        prototypes=profile.algorithm in ("protonet", "proto-maml"),
    )


def inner_loop_of(profile: Profile) -> InnerLoop:
    """The inner loop of the profile's training, as it is when all annealing is over."""
    algorithm, inner = profile.algorithm, profile.inner
    own = {"meta-sgd": "per-element", "meta-curvature": "curvature", "alfa": "generated"}
    rates = own.get(algorithm, "per-step" if learns_rates(profile) else "fixed")
    return InnerLoop(
        inner.steps,
        inner.alpha,
        inner.loss_scale,
        first_order=algorithm == "fomaml",
        adapts={"anil": "head", "boil": "body"}.get(algorithm, "all"),
        rates=rates,
        label_smoothing=profile.meta.label_smoothing,
        outer={"reptile": "reptile", "imaml": "implicit"}.get(algorithm, "query"),
        proximal=inner.proximal if algorithm == "imaml" else 0.0,
        cg_steps=inner.cg_steps,
    )


def inner_loop_at(profile: Profile, iteration: int) -> InnerLoop:
    """The inner loop of meta-iteration ``iteration``, 0 being the first.

    MAML++ begins with first order (DA) and with the losses after all steps (MSL).
    """
    inner, plus = inner_loop_of(profile), profile.plus
    if plus.derivative_annealing and iteration < plus.first_order_iterations:
        inner = replace(inner, first_order=True)
    if plus.multi_step_loss and inner.steps > 1 and iteration < plus.multi_step_iterations:
        weights = multi_step_weights(inner.steps, iteration / plus.multi_step_iterations)
        inner = replace(inner, query_weights=weights)
    return inner


def annealing_ends(profile: Profile) -> list[int]:
    """Iterations from which on :func:`inner_loop_at` has another order, or the last loss alone."""
    plus, ends = profile.plus, []
    if plus.derivative_annealing:
        ends.append(plus.first_order_iterations)
    if plus.multi_step_loss and profile.inner.steps > 1:
        ends.append(plus.multi_step_iterations)
    return sorted(ends)


def multi_step_weights(steps: int, progress: float) -> tuple[float, ...]:
    """Of the query losses after 1, 2, ..., ``steps`` inner steps; they sum to 1.

    Equal at first, annealed to the last one (Antoniou, Edwards and Storkey 2019, section 4, and
    reference code), which changes them from epoch to epoch where this does so continuously.

    Args:
        progress: from 0 to 1, the part of the annealing that is over.
    """
    other = max((1 - progress) / steps, LEAST_WEIGHT / steps)
    return (*(other,) * (steps - 1), 1 - other * (steps - 1))


def plain_network(profile: Profile, bank: DataSource) -> Network:
    """The same without what an algorithm adds to the built-in one, as plain MAML would have it.

    Raises:
        UsageError: as :func:`network_of`.
    """
    network = network_of(profile, bank)
    if isinstance(network, NetworkSpec):
        return replace(network, norm_steps=0, norm_scale=False, running_steps=0, prototypes=False)
    return network


def importable(profile: Profile, network: Network) -> Network:
    """A network that a checkpoint of a run of ``profile`` is of, ready to compute.

    Raises:
        UsageError: it is a module that cannot be imported or constructed here.
    """
    if not isinstance(network, ModuleNetwork):
        return network
    return module_network(
        profile, way=network.way, channels=network.channels, image_size=network.image_size
    )


def with_way(
    learner: Learner, parameters: Parameters, way: int, head: Head | None = None
) -> tuple[Learner, Parameters]:
    """A trained learner for tasks of ``way`` classes, and its parameters.

    A learned head gives its first weights to fewer classes than it was learned for. Where alpha is
    of the mean loss it changes with the number of classes, so that an example moves the parameters
    as far as it did in training.

    Args:
        head: None: as it was trained.

    Raises:
        UsageError: the run has not learned what tasks of so many classes need.
    """
    network, inner = learner.network, learner.inner
    if way == network.way and head is None:
        return learner, parameters
    if not isinstance(network, NetworkSpec):
        if way == network.way and head == "learned":
            return learner, parameters
        raise UsageError(
            f"this run's network is a module of its user's, which answers for its {network.way} "
            "classes alone, with the head that it has learned",
            hint=f"Use {network.way} classes, and no other head.",
        )
    head = head or ("prototypes" if network.prototypes else "learned")
    is_computed = head in ("prototypes", "refined")
    if head == "refined":
        if not network.prototypes or inner.steps:
            raise UsageError(
                "the query set can refine the class means of protonet alone, which has no inner "
                "steps",
                where="--head refined",
            )
        inner = replace(inner, refinements=REFINEMENTS)
    if network.prototypes and not is_computed:
        raise UsageError(
            "this run has no learned head: its head is computed from the support set",
            where=f"--head {head}",
        )
    if head == "learned" and way > network.way:
        raise UsageError(
            f"the head of this run was learned for tasks of {network.way} classes, not of {way}",
            hint=f"--head fresh draws weights for the others, which cost accuracy. Better is a run "
            f"of {way} classes or more, or one of proto-maml or protonet, which take any number.",
        )
    network = replace(network, way=way, prototypes=is_computed)
    if inner.loss_scale == "mean" and inner.rates in ("fixed", "curvature"):
        inner = replace(inner, alpha=inner.alpha * way / learner.network.way)
    wanted = Learner(network, inner)
    if head == "fresh" and way > learner.network.way:
        parameters = parameters | _extended_head(parameters, way)
    fitted = {}
    for name, shape in wanted.shapes().items():
        value = parameters.get(name)
        if value is None or any(has < need for has, need in zip(value.shape, shape, strict=True)):
            raise UsageError(
                f"the inner steps of this run have learned {name} for {learner.network.way} "
                f"classes, and nothing for {way} with a head that is {head}",
                hint="Take a run whose step sizes do not depend on the number of classes.",
            )
        fitted[name] = value[tuple(slice(size) for size in shape)].clone()
    return wanted, fitted


def _extended_head(parameters: Parameters, way: int) -> Parameters:
    """The learned head, with weights for more classes that are drawn like those it has."""
    weight, bias = parameters["head.weight"], parameters["head.bias"]
    more = way - weight.shape[1]
    spread, mean = torch.std_mean(weight, dim=1, keepdim=True)
    drawn = torch.randn(len(weight), more, generator=torch.Generator().manual_seed(0))
    return {
        "head.weight": torch.cat([weight, mean + spread * drawn.to(weight)], dim=1),
        "head.bias": torch.cat([bias, bias.mean().expand(more)]),
    }
