"""Meta-gradient by differentiating through the inner loop: short, general, slower."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping

import torch
from torch import Tensor

from mamltui.maml.episode import Episodes
from mamltui.maml.gradient import MetaGradient
from mamltui.maml.inner import (
    InnerLoop,
    inner_step,
    start_of,
    support_pass,
    task_accuracies,
    task_losses,
)
from mamltui.maml.network import (
    STATISTICS,
    Activation,
    NetworkSpec,
    NormStatistics,
    Parameters,
    forward,
    is_tracked,
    relu,
)
from mamltui.maml.strategies.implicit import implicit_gradient


def meta_gradient(
    network: NetworkSpec,
    inner: InnerLoop,
    parameters: Parameters,
    episodes: Episodes,
    *,
    activation: Activation = relu,
) -> MetaGradient:
    """Sums over the tasks of the outer gradient, of the query loss and of the accuracy."""
    theta = {
        name: value.detach().requires_grad_(not is_tracked(name))
        for name, value in parameters.items()
    }
    if inner.outer == "reptile":
        return _reptile(network, inner, theta, episodes)
    start = fast = start_of(network, inner, theta, episodes)
    seen: list[list[NormStatistics]] = []
    objective = torch.zeros(())
    through = inner.outer == "query" and not inner.first_order
    for step, weight in enumerate(inner.weights()):
        if weight:
            logits, statistics = forward(
                network, fast, episodes.query_x, step=step, running=True, activation=activation
            )
            losses = task_losses(logits, episodes.query_y, inner.label_smoothing)
            objective = objective + weight * losses.sum()
        if step < inner.steps:
            support = support_pass(network, fast, episodes, step, activation)
            seen.append(support.statistics)
            fast = inner_step(
                network, inner, fast, support.losses, step, create_graph=through, start=start
            )
    seen.append(statistics)
    if inner.outer == "implicit":
        gradient = implicit_gradient(network, inner, theta, fast, episodes, objective)
    else:
        learned = {name: value for name, value in theta.items() if value.requires_grad}
        found = torch.autograd.grad(objective, list(learned.values()), materialize_grads=True)
        gradient = dict(zip(learned, found, strict=True))
    gradient |= _tracked_gradient(network, theta, seen)
    logits = logits.detach()
    return MetaGradient(
        {name: gradient[name] for name in theta},
        task_losses(logits, episodes.query_y).sum(),
        task_accuracies(logits, episodes.query_y).sum(),
    )


def _tracked_gradient(
    network: NetworkSpec, parameters: Mapping[str, Tensor], seen: list[list[NormStatistics]]
) -> Parameters:
    """Sum over tasks of how far running statistics are from what passes 0, 1, ... saw.

    Those are the passes over the support set, and the last one over the query set. The variance is
    about the running mean: it includes that from task to task.
    """
    if not network.running_steps:
        return {}
    rows: dict[str, list[Tensor]] = defaultdict(list)
    for step in range(network.running_steps):
        for layer in range(1, network.layers + 1):
            mean, variance = (parameters[f"norm{layer}.{field}"][step] for field in STATISTICS)
            off, beyond = torch.zeros_like(mean), torch.zeros_like(mean)
            if step < len(seen):
                apart = seen[step][layer - 1].mean - mean  # [tasks, 1, filters]
                square = seen[step][layer - 1].variance + apart.square()
                off, beyond = -apart.sum(dim=(0, 1)), (variance - square).sum(dim=(0, 1))
            rows[f"norm{layer}.mean"].append(off.detach())
            rows[f"norm{layer}.variance"].append(beyond.detach())
    return {name: torch.stack(values) for name, values in rows.items()}


def _reptile(
    network: NetworkSpec, inner: InnerLoop, theta: Parameters, episodes: Episodes
) -> MetaGradient:
    """Before less after (Nichol, Achiam and Schulman 2018, Algorithm 2).

    The steps take the support and the query set in turns: without other examples from step to step
    the update would say nothing about what is common to them.
    """
    swapped = Episodes(episodes.query_x, episodes.query_y, episodes.support_x, episodes.support_y)
    start = fast = start_of(network, inner, theta, episodes)
    for step in range(inner.steps):
        fast = {
            name: value.detach().requires_grad_(not is_tracked(name))
            for name, value in fast.items()
        }
        batch = swapped if step % 2 else episodes
        losses = support_pass(network, fast, batch, step).losses
        fast = inner_step(network, inner, fast, losses, step, create_graph=False)
    with torch.no_grad():
        logits, _ = forward(network, fast, episodes.query_x, step=inner.steps)
        return MetaGradient(
            {name: (start[name] - fast[name]).sum(dim=0) for name in theta},
            task_losses(logits, episodes.query_y).sum(),
            task_accuracies(logits, episodes.query_y).sum(),
        )
