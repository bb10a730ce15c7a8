"""What a profile says of the network and of the inner loop, as the learning code wants it."""

from __future__ import annotations

from dataclasses import replace

from mamltui.data.bank import ImageBank
from mamltui.maml.inner import InnerLoop
from mamltui.maml.learner import Learner
from mamltui.maml.network import NetworkSpec
from mamltui.profiles import Profile, learns_rates

LEAST_WEIGHT = 0.03
"""Of an inner step before the last, as a part of 1 / steps, in a multi-step loss (MAML++)."""


def learner_of(profile: Profile, bank: ImageBank) -> Learner:
    """What ``profile`` trains on tasks of ``bank``."""
    return Learner(network_of(profile, bank), inner_loop_of(profile))


def network_of(profile: Profile, bank: ImageBank) -> NetworkSpec:
    """The network for tasks of ``profile`` on images of ``bank``.

    What each inner step has of its own is there for 0, 1, ..., ``inner.steps`` steps taken.
    """
    network, plus = profile.network, profile.plus
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
