"""What happens inside an episode agrees with its scores, image by image."""

from __future__ import annotations

import gc
from itertools import pairwise

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

from mamltui.maml.adaptation import Predictions, adapt
from mamltui.maml.chunks import Interrupted
from mamltui.maml.evaluate import StepScores, score
from mamltui.maml.inner import InnerLoop
from mamltui.maml.maml import conv_net

from .reference import random_problem

INNER = InnerLoop(1, 0.4)


@pytest.mark.parametrize("tasks", [1, 3])
def test_losses_and_accuracies_are_those_of_the_score(tasks: int) -> None:
    network, weights, episodes = random_problem(tasks=tasks, query=3, dtype=torch.float32)
    found = adapt(network, INNER, weights, episodes, steps=4)
    expected = score(network, INNER, weights, episodes, steps=4)
    for ours, theirs in (
        (found.query.scores, expected.transductive),
        (found.support.scores, expected.support),
    ):
        assert torch.equal(ours.loss, theirs.loss)
        assert torch.equal(ours.accuracy, theirs.accuracy)


def scores_of(probabilities: Tensor, labels: Tensor) -> StepScores:
    """By their definition, from probabilities [tasks, steps + 1, images, way]."""
    label = labels[:, None, :, None].expand(*probabilities.shape[:3], 1)
    likelihood = probabilities.gather(3, label).squeeze(3)
    right = probabilities.argmax(dim=3) == labels[:, None, :]
    return StepScores(-likelihood.log().mean(dim=2), right.double().mean(dim=2))


def test_probabilities_sum_to_one_and_give_the_losses_and_accuracies() -> None:
    network, weights, episodes = random_problem(tasks=2, way=4, shot=2, query=3)
    found = adapt(network, INNER, weights, episodes, steps=3)
    assert found.support.probabilities.shape == (2, 4, 8, 4)
    assert found.query.probabilities.shape == (2, 4, 12, 4)
    sets: list[tuple[Predictions, Tensor]] = [
        (found.support, episodes.support_y),
        (found.query, episodes.query_y),
    ]
    for seen, labels in sets:
        total = seen.probabilities.sum(dim=3)
        torch.testing.assert_close(total, torch.ones_like(total), rtol=0, atol=1e-12)
        expected = scores_of(seen.probabilities, labels)
        torch.testing.assert_close(seen.scores.loss, expected.loss)
        torch.testing.assert_close(seen.scores.accuracy, expected.accuracy)


def test_equals_adapting_a_task_alone_with_torch_itself() -> None:
    network, weights, episodes = random_problem(tasks=2, query=3)
    found = adapt(network, INNER, weights, episodes, steps=2)
    for task, (sx, sy, qx, _) in enumerate(zip(*episodes, strict=True)):
        fast = {name: value.clone().requires_grad_() for name, value in weights.items()}
        for step in range(3):
            expected = conv_net(network, fast, qx).softmax(dim=1)
            torch.testing.assert_close(found.query.probabilities[task, step], expected)
            names = [name for name in fast if not name.startswith("norm")]
            loss = F.cross_entropy(conv_net(network, fast, sx), sy)
            for name, grad in zip(
                names, torch.autograd.grad(loss, [fast[name] for name in names]), strict=True
            ):
                fast[name] = (fast[name] - INNER.alpha * grad).detach().requires_grad_()


def test_before_adaptation_the_step_size_does_not_matter() -> None:
    network, weights, episodes = random_problem()
    small = adapt(network, InnerLoop(1, 0.1), weights, episodes, steps=1)
    large = adapt(network, InnerLoop(1, 0.9), weights, episodes, steps=1)
    assert torch.equal(small.query.probabilities[:, 0], large.query.probabilities[:, 0])
    assert not torch.equal(small.query.probabilities[:, 1], large.query.probabilities[:, 1])


def test_no_graph_is_kept_of_the_steps() -> None:
    network, weights, episodes = random_problem(tasks=2)
    alive: list[int] = []

    def living() -> list[object]:
        gc.collect()
        return [thing for thing in gc.get_objects() if issubclass(type(thing), torch.Tensor)]

    def count() -> bool:
        alive.append(len(living()))
        return False

    others = living()  # held: tensors of other tests would be counted as they go
    found = adapt(network, INNER, weights, episodes, steps=6, should_stop=count)
    del others
    # From one step to the next only the step's probabilities, loss and accuracy of two sets.
    assert [after - before for before, after in pairwise(alive[2:])] == [6] * 4
    assert not found.query.probabilities.requires_grad
    assert not found.support.scores.loss.requires_grad


def test_stops_between_two_inner_steps() -> None:
    network, weights, episodes = random_problem()
    asked = 0

    def third_time() -> bool:
        nonlocal asked
        asked += 1
        return asked == 3

    with pytest.raises(Interrupted):
        adapt(network, INNER, weights, episodes, steps=9, should_stop=third_time)
    assert asked == 3
