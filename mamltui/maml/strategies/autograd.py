"""Meta-gradient by differentiating through the inner loop: short, general, slower."""

from __future__ import annotations

import torch

from mamltui.maml.episode import Episodes
from mamltui.maml.gradient import MetaGradient
from mamltui.maml.inner import (
    InnerLoop,
    inner_step,
    per_task,
    support_pass,
    task_accuracies,
    task_losses,
)
from mamltui.maml.network import Activation, NetworkSpec, Parameters, forward, relu


def meta_gradient(
    network: NetworkSpec,
    inner: InnerLoop,
    parameters: Parameters,
    episodes: Episodes,
    *,
    activation: Activation = relu,
) -> MetaGradient:
    """Sums over the tasks of the query loss's gradient, of the loss and of the accuracy."""
    theta = {name: value.detach().requires_grad_() for name, value in parameters.items()}
    fast = per_task(network, inner, theta, episodes.tasks)
    weights = inner.query_weights or (0.0,) * (inner.steps - 1) + (1.0,)
    total = logits = torch.zeros(())
    for step in range(inner.steps + 1):
        if step == inner.steps or (step > 0 and weights[step - 1]):
            logits, _ = forward(network, fast, episodes.query_x, step=step, activation=activation)
            loss = task_losses(logits, episodes.query_y).sum()
            total = total + (weights[step - 1] if step else 1.0) * loss
        if step < inner.steps:
            support = support_pass(network, fast, episodes, step, activation)
            fast = inner_step(
                network, inner, fast, support.losses, step, create_graph=not inner.first_order
            )
    gradients = torch.autograd.grad(total, list(theta.values()), materialize_grads=True)
    return MetaGradient(
        dict(zip(theta, gradients, strict=True)),
        loss.detach(),
        task_accuracies(logits.detach(), episodes.query_y).sum(),
    )
