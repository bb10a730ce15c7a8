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
    fast = per_task(network, theta, episodes.tasks)
    for _ in range(inner.steps):
        support = support_pass(fast, episodes.support_x, episodes.support_y, activation)
        fast = inner_step(network, inner, fast, support.losses, create_graph=not inner.first_order)
    logits, _ = forward(fast, episodes.query_x, activation=activation)
    loss = task_losses(logits, episodes.query_y).sum()
    gradients = torch.autograd.grad(loss, list(theta.values()))
    return MetaGradient(
        dict(zip(theta, gradients, strict=True)),
        loss.detach(),
        task_accuracies(logits.detach(), episodes.query_y).sum(),
    )
