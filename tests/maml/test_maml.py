"""Algorithm 2 as it is written down against calculus by hand."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

from mamltui.maml.maml import adapt, maml, meta_gradient

Data = tuple[Tensor, Tensor]
CLASSES, FEATURES, ALPHA = 3, 4, 0.7


def f(theta: dict[str, Tensor], x: Tensor) -> Tensor:
    """Softmax regression: its gradient and Hessian are known."""
    return x @ theta["W"]


def slope(W: Tensor, D: Data) -> Tensor:  # noqa: N803
    """Gradient of the cross-entropy: X' (P - Y) / n."""
    x, y = D
    return x.T @ ((x @ W).softmax(dim=1) - F.one_hot(y, CLASSES)) / len(y)


def hessian_times(W: Tensor, D: Data, direction: Tensor) -> Tensor:  # noqa: N803
    """X' (P * (Z - sum(P * Z))) / n, with Z = X direction."""
    x, _ = D
    probabilities, change = (x @ W).softmax(dim=1), x @ direction
    centred = change - (probabilities * change).sum(dim=1, keepdim=True)
    return x.T @ (probabilities * centred) / len(x)


def problem() -> tuple[Tensor, list[tuple[Data, Data]]]:
    generator = torch.Generator().manual_seed(0)

    def data(count: int) -> Data:
        x = torch.randn(count, FEATURES, generator=generator, dtype=torch.float64)
        return x, torch.randint(CLASSES, (count,), generator=generator)

    weights = torch.randn(FEATURES, CLASSES, generator=generator, dtype=torch.float64)
    return weights, [(data(5), data(7)) for _ in range(3)]


def by_hand(W: Tensor, tasks: list[tuple[Data, Data]], steps: int, first_order: bool) -> Tensor:  # noqa: N803
    """Mean over tasks of (I - alpha H_1) ... (I - alpha H_k) times the query set's gradient."""
    total = torch.zeros_like(W)
    for support, query in tasks:
        path = [W]
        for _ in range(steps):
            path.append(path[-1] - ALPHA * slope(path[-1], support))
        gradient = slope(path[-1], query)
        if not first_order:
            for before in reversed(path[:-1]):
                gradient = gradient - ALPHA * hessian_times(before, support, gradient)
        total += gradient
    return total / len(tasks)


@pytest.mark.parametrize("first_order", [False, True], ids=["second-order", "first-order"])
@pytest.mark.parametrize("steps", [0, 1, 3])
def test_the_meta_gradient_is_the_product_of_the_steps_jacobians(
    steps: int, first_order: bool
) -> None:
    weights, tasks = problem()
    gradient, loss = meta_gradient(
        f,
        {"W": weights},
        tasks,
        alpha=ALPHA,
        adapted=["W"],
        steps=steps,
        first_order=first_order,
    )
    torch.testing.assert_close(gradient["W"], by_hand(weights, tasks, steps, first_order))
    adapted = [adapt(f, {"W": weights.requires_grad_()}, D, ALPHA, ["W"], steps) for D, _ in tasks]
    losses = [
        F.cross_entropy(f(theta, x), y) for theta, (_, (x, y)) in zip(adapted, tasks, strict=True)
    ]
    assert loss == pytest.approx(torch.stack(losses).mean().item(), rel=1e-12)


def test_each_meta_iteration_descends_the_meta_gradient_of_its_own_tasks() -> None:
    weights, tasks = problem()
    expected = weights
    batches = [tasks[:2], tasks[2:], tasks]
    found = maml(f, {"W": weights}, batches, alpha=ALPHA, beta=0.3, adapted=["W"])
    for theta, batch in zip(found, batches, strict=True):
        expected = expected - 0.3 * by_hand(expected, batch, 1, False)
        torch.testing.assert_close(theta["W"], expected)


def test_what_is_not_adapted_is_learned_by_the_outer_loop_alone() -> None:
    weights, tasks = problem()
    theta = {"W": weights, "b": torch.ones(CLASSES, dtype=torch.float64, requires_grad=True)}

    def biased(theta: dict[str, Tensor], x: Tensor) -> Tensor:
        return f(theta, x) + theta["b"]

    weights.requires_grad_()
    adapted = adapt(biased, theta, tasks[0][0], ALPHA, ["W"])
    assert adapted["b"] is theta["b"]
    assert not torch.equal(adapted["W"], weights)
    gradient, _ = meta_gradient(biased, theta, tasks, alpha=ALPHA, adapted=["W"])
    assert gradient["b"].abs().max() > 0
