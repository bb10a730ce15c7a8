"""What the engine is compared with: Algorithm 2 as ``maml.py`` has it, and its kin on top of it.

One task at a time with torch's own layers; nothing is shared with the engine but the description of
network and inner loop and the names and layout of the parameters.
"""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

from mamltui.maml import maml
from mamltui.maml.episode import Episodes
from mamltui.maml.inner import InnerLoop
from mamltui.maml.maml import L, Model, Task, conv_net, normalise
from mamltui.maml.network import NORM_EPSILON, NetworkSpec
from mamltui.maml.parameters import STATISTICS

Weights = dict[str, Tensor]
Observed = dict[int, Weights]
"""By inner steps taken: how far running statistics are from what a pass saw."""


def tasks_of(episodes: Episodes) -> list[Task]:
    return [((sx, sy), (qx, qy)) for sx, sy, qx, qy in zip(*episodes, strict=True)]


def meta_gradient(
    network: NetworkSpec, inner: InnerLoop, weights: Weights, episodes: Episodes
) -> tuple[Weights, float]:
    """Of MAML, plain or first-order: gradient of the mean query loss over tasks, and that loss."""
    return maml.meta_gradient(
        partial(conv_net, network),
        weights,
        tasks_of(episodes),
        alpha=inner.alpha * (network.way if inner.loss_scale == "paper" else 1),
        adapted=network.adapted(),
        steps=inner.steps,
        first_order=inner.first_order,
    )


def at_step(
    network: NetworkSpec, step: int, *, running: bool = False, observed: Observed | None = None
) -> Model:
    """The network after ``step`` inner steps, where each has normalisations of its own.

    Args:
        running: normalise with the running statistics, if there are any.
        observed: gets how far these are from the statistics of the images.
    """
    own, tracked = network.norm_steps, network.running_steps

    def norm(_: NetworkSpec, theta: Weights, layer: int, x: Tensor) -> Tensor:
        here = {f: theta.get(f"norm{layer}.{f}") for f in ("scale", "shift")}
        here = {f: v[min(step, own - 1)] if own and v is not None else v for f, v in here.items()}
        given = {f"norm{layer}.{f}": v for f, v in here.items() if v is not None}
        if not tracked:
            return normalise(network, given, layer, x)
        row = min(step, tracked - 1)
        mean, variance = (theta[f"norm{layer}.{f}"][row].detach() for f in STATISTICS)
        if observed is not None and step == row:
            off = x.detach() - mean.view(-1, 1, 1)
            rows = observed.setdefault(row, {})
            rows[f"norm{layer}.mean"] = -off.mean(dim=(0, 2, 3))
            rows[f"norm{layer}.variance"] = variance - off.square().mean(dim=(0, 2, 3))
        if not running:
            return normalise(network, given, layer, x)
        return F.batch_norm(x, mean, variance, here["scale"], here["shift"], eps=NORM_EPSILON)

    return partial(conv_net, network, norm=norm)


def family_gradient(
    network: NetworkSpec, inner: InnerLoop, weights: Weights, episodes: Episodes
) -> tuple[Weights, float]:
    """What the outer loop of any member of the family descends, and the loss after the last step.

    Of running statistics: how far they are from what was observed.
    """
    theta = {name: value.clone().requires_grad_() for name, value in weights.items()}
    total = {name: torch.zeros_like(value) for name, value in weights.items()}
    last = 0.0
    for task in tasks_of(episodes):
        observed: Observed = {}
        objective, loss, adapted = _one_task(network, inner, theta, task, observed)
        last += loss
        if inner.outer == "reptile":
            gradient = {name: (theta[name] - adapted[name]).detach() for name in theta}
        elif inner.outer == "implicit":
            gradient = _implicit(network, inner, theta, adapted, task)
        else:
            slopes = torch.autograd.grad(objective, list(theta.values()), materialize_grads=True)
            gradient = dict(zip(theta, slopes, strict=True))
        for name, value in gradient.items():
            if not name.endswith(STATISTICS):
                total[name] += value
        for step, rows in observed.items():
            for name, value in rows.items():
                total[name][step] += value.detach()
    return {name: value / episodes.tasks for name, value in total.items()}, last / episodes.tasks


def _one_task(
    network: NetworkSpec, inner: InnerLoop, theta: Weights, task: Task, observed: Observed
) -> tuple[Tensor, float, Weights]:
    """Objective, loss after the last step, and the parameters then."""
    (sx, sy), (qx, qy) = task
    # Copies: to a first step, a head of prototypes is a parameter and not a function of the others.
    theta_i = {name: value.clone() for name, value in theta.items()}
    if network.prototypes:
        support, query = (at_step(network, 0)(theta, x) for x in (sx, qx))
        means = torch.stack([support[sy == label].mean(dim=0) for label in range(network.way)])
        if not inner.steps:
            objective = F.cross_entropy(-(query[:, None] - means).square().sum(dim=2), qy)
            return objective, objective.item(), theta
        theta_i |= {"head.weight": 2 * means.T, "head.bias": -means.square().sum(dim=1)}

    def query_loss(theta_i: Weights, step: int, smoothing: float) -> Tensor:
        f = at_step(network, step, running=True, observed=observed if step == inner.steps else None)
        return F.cross_entropy(f(theta_i, qx), qy, label_smoothing=smoothing)

    adapted = _adapted(network, inner, theta_i)
    objective = torch.zeros(())
    for step in range(inner.steps):
        batch = (qx, qy) if inner.outer == "reptile" and step % 2 else (sx, sy)
        loss = L(at_step(network, step, observed=observed), theta_i, batch)
        if inner.outer == "implicit":
            for name in adapted:
                loss = loss + inner.proximal / 2 * (theta_i[name] - theta[name]).square().sum()
        slopes = torch.autograd.grad(
            loss, [theta_i[name] for name in adapted], create_graph=inner.outer == "query"
        )
        alfa = {}
        if inner.rates == "generated":
            known = [slope.detach() if inner.first_order else slope for slope in slopes]
            alfa = _alfa(theta, {name: theta_i[name] for name in adapted}, known, step)
        for name, slope in zip(adapted, slopes, strict=True):
            if inner.rates == "generated":
                theta_i[name] = alfa[name]
                continue
            slope = slope.detach() if inner.first_order else slope
            if inner.rates == "curvature":
                slope = _curved(theta, name, slope)
            learned = inner.rates in ("per-step", "per-element")
            rate = theta[f"rate.{name}"] if learned else inner.alpha
            rate = rate[step] if inner.rates == "per-step" else rate
            theta_i[name] = theta_i[name] - rate * slope
        if inner.query_weights and step + 1 < inner.steps:
            loss = query_loss(theta_i, step + 1, inner.label_smoothing)
            objective = objective + inner.query_weights[step] * loss
    weight = inner.query_weights[-1] if inner.query_weights else 1.0
    objective = objective + weight * query_loss(theta_i, inner.steps, inner.label_smoothing)
    return objective, query_loss(theta_i, inner.steps, 0.0).item(), theta_i


def _curved(theta: Weights, name: str, slope: Tensor) -> Tensor:
    """M_o, M_i and M_f times a gradient, index by index."""
    outputs = theta[f"rate.{name}.outputs"]
    if slope.dim() == 1:
        return torch.einsum("ab,b->a", outputs, slope)
    inputs = theta[f"rate.{name}.inputs"]
    if slope.dim() == 2:
        return torch.einsum("ij,ab,jb->ia", inputs, outputs, slope)
    positions = theta[f"rate.{name}.positions"].view(3, 3, 3, 3)
    return torch.einsum("hwxy,ij,ab,xyjb->hwia", positions, inputs, outputs, slope)


def _alfa(theta: Weights, at: Weights, slopes: list[Tensor], step: int) -> Weights:
    """A step whose sizes and decays a network of two layers gives."""
    seen = torch.stack([*(slope.mean() for slope in slopes), *(v.mean() for v in at.values())])
    layers = [
        (theta[f"rate.generator.{name}"], theta[f"rate.generator.{name}_bias"])
        for name in ("hidden", "out")
    ]
    hidden = F.relu(F.linear(seen, *layers[0]))
    given = F.linear(hidden, *layers[1])
    moved = {}
    for place, (name, slope) in enumerate(zip(at, slopes, strict=True)):
        size = given[place] * theta["rate.sizes"][step, place]
        decay = given[len(at) + place] * theta["rate.decays"][step, place]
        moved[name] = (1 - decay) * at[name] - size * slope
    return moved


def _adapted(network: NetworkSpec, inner: InnerLoop, theta: Weights) -> list[str]:
    """Kernels and head; shifts too, where there is no normalisation, and of Reptile all."""
    whole = network.normalisation == "none" or inner.outer == "reptile"
    names = [n for n in theta if not n.startswith("rate") and (whole or not n.startswith("norm"))]
    if inner.adapts == "all":
        return names
    return [name for name in names if name.startswith("head") == (inner.adapts == "head")]


def _implicit(
    network: NetworkSpec, inner: InnerLoop, theta: Weights, adapted: Weights, task: Task
) -> Weights:
    """The implicit gradient with the whole Hessian, written out and inverted."""
    support, query = task
    names = _adapted(network, inner, theta)
    others = [name for name in theta if name not in names]
    sizes = [adapted[name].numel() for name in [*names, *others]]
    point = torch.cat([adapted[name].detach().flatten() for name in [*names, *others]])

    def named(flat: Tensor) -> Weights:
        pieces = zip([*names, *others], flat.split(sizes), strict=True)
        return {name: piece.view(theta[name].shape) for name, piece in pieces}

    f = at_step(network, inner.steps)
    hessian = torch.autograd.functional.hessian(lambda flat: L(f, named(flat), support), point)
    leaf = point.requires_grad_()
    outer = torch.autograd.grad(L(f, named(leaf), query), leaf)[0]
    count = sum(theta[name].numel() for name in names)
    pull = torch.eye(count) * inner.proximal
    solution = torch.linalg.solve(hessian[:count, :count] + pull, outer[:count])
    return named(
        torch.cat([inner.proximal * solution, outer[count:] - hessian[count:, :count] @ solution])
    )


def random_problem(
    *,
    tasks: int = 3,
    way: int = 5,
    shot: int = 1,
    query: int = 2,
    filters: int = 16,
    channels: int = 1,
    size: int = 28,
    pooling: str = "stride",
    layers: int = 4,
    seed: int = 0,
    dtype: torch.dtype = torch.float64,
) -> tuple[NetworkSpec, Weights, Episodes]:
    """A network with random parameters (shifts and biases included) and random binary episodes."""
    network = NetworkSpec(way, channels, size, filters, layers, pooling=pooling)
    generator = torch.Generator().manual_seed(seed)

    def noise(*shape: int) -> Tensor:
        return torch.randn(shape, generator=generator, dtype=torch.float64)

    weights = {
        name: (value.double() + 0.1 * noise(*value.shape)).to(dtype)
        for name, value in network.initial_parameters(seed).items()
    }

    def images(count: int) -> Tensor:
        return (noise(tasks, way * count, channels, size, size) > 1).to(dtype)

    def labels(count: int) -> Tensor:
        return torch.arange(way).repeat_interleave(count).repeat(tasks, 1)

    return network, weights, Episodes(images(shot), labels(shot), images(query), labels(query))


def relative_difference(actual: Weights, expected: Weights) -> float:
    """Norm of the difference over norm of the expected, all tensors together."""
    assert actual.keys() == expected.keys()
    difference = sum(
        float((actual[n].double() - expected[n].double()).square().sum()) for n in expected
    )
    scale = sum(float(value.double().square().sum()) for value in expected.values())
    return float((difference / scale) ** 0.5)
