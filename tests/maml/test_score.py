"""Scores after each inner step against a plain loop, and what they must not depend on."""

from __future__ import annotations

import math

import pytest
import torch
from torch.nn import functional as F  # noqa: N812

from mamltui.maml.chunks import Interrupted
from mamltui.maml.evaluate import mean_and_ci95, score
from mamltui.maml.inner import InnerLoop
from mamltui.maml.maml import conv_net
from mamltui.maml.network import forward

from .reference import random_problem


def test_equals_adapting_each_task_alone() -> None:
    network, weights, episodes = random_problem(tasks=3, query=3)
    steps, alpha = 4, 0.3
    scores = score(network, InnerLoop(1, alpha), weights, episodes, steps=steps)
    for task, (sx, sy, qx, qy) in enumerate(zip(*episodes, strict=True)):
        fast = {name: value.clone().requires_grad_() for name, value in weights.items()}
        for step in range(steps + 1):
            logits = conv_net(network, fast, qx)
            loss = F.cross_entropy(logits, qy).item()
            accuracy = (logits.argmax(dim=1) == qy).double().mean().item()
            assert scores.transductive.loss[task, step].item() == pytest.approx(loss, rel=1e-9)
            assert scores.transductive.accuracy[task, step].item() == pytest.approx(accuracy)
            assert scores.transductive.answers is not None
            right, confidence = scores.transductive.answers[task, step].double().unbind(dim=1)
            assert torch.equal(right, (logits.argmax(dim=1) == qy).double())
            torch.testing.assert_close(confidence, logits.softmax(1).amax(1), rtol=1e-6, atol=1e-6)
            support_loss = F.cross_entropy(conv_net(network, fast, sx), sy)
            assert scores.support.loss[task, step].item() == pytest.approx(
                support_loss.item(), rel=1e-9
            )
            names = [name for name in fast if not name.startswith("norm")]
            grads = torch.autograd.grad(support_loss, [fast[name] for name in names])
            for name, grad in zip(names, grads, strict=True):
                fast[name] = (fast[name] - alpha * grad).detach().requires_grad_()


def test_paper_loss_scale_is_way_times_the_mean() -> None:
    network, weights, episodes = random_problem(way=5)
    summed = score(network, InnerLoop(1, 0.1, "paper"), weights, episodes, steps=2)
    mean = score(network, InnerLoop(1, 0.5, "mean"), weights, episodes, steps=2)
    torch.testing.assert_close(summed.transductive.loss, mean.transductive.loss)


def test_does_not_depend_on_the_chunk() -> None:
    network, weights, episodes = random_problem(tasks=5)
    whole = score(network, InnerLoop(1, 0.4), weights, episodes, steps=3)
    chunked = score(network, InnerLoop(1, 0.4), weights, episodes, steps=3, task_chunk=2)
    torch.testing.assert_close(chunked.transductive.loss, whole.transductive.loss)
    assert whole.support_statistics is not None and chunked.support_statistics is not None
    torch.testing.assert_close(chunked.support_statistics.loss, whole.support_statistics.loss)


def test_a_longer_sweep_repeats_a_shorter_one() -> None:
    network, weights, episodes = random_problem()
    short = score(network, InnerLoop(1, 0.4), weights, episodes, steps=2)
    long = score(network, InnerLoop(1, 0.4), weights, episodes, steps=5)
    assert torch.equal(long.transductive.loss[:, :3], short.transductive.loss)


@pytest.mark.parametrize("allowed", [0, 1, 5])
def test_a_stop_is_obeyed_before_the_next_pass(allowed: int) -> None:
    network, weights, episodes = random_problem(tasks=3)
    asked = 0

    def should_stop() -> bool:
        nonlocal asked
        asked += 1
        return asked > allowed

    with pytest.raises(Interrupted):
        score(
            network,
            InnerLoop(1, 0.4),
            weights,
            episodes,
            steps=2,
            task_chunk=1,
            should_stop=should_stop,
        )
    assert asked == allowed + 1


def test_being_asked_whether_to_stop_changes_nothing() -> None:
    network, weights, episodes = random_problem(tasks=3)
    inner = InnerLoop(1, 0.4)
    plain = score(network, inner, weights, episodes, steps=2)
    asked = score(network, inner, weights, episodes, steps=2, should_stop=lambda: False)
    assert torch.equal(asked.transductive.loss, plain.transductive.loss)


def test_support_statistics_keep_queries_from_seeing_each_other() -> None:
    network, weights, episodes = random_problem(query=3)
    alone = episodes._replace(query_x=episodes.query_x[:, :1], query_y=episodes.query_y[:, :1])
    inner = InnerLoop(1, 0.4)
    together_scores = score(network, inner, weights, episodes, steps=1)
    _, statistics = forward(network, weights, episodes.support_x)
    together, _ = forward(network, weights, episodes.query_x, statistics=statistics)
    single, _ = forward(network, weights, alone.query_x, statistics=statistics)
    torch.testing.assert_close(together[:, :1], single)
    transductive, _ = forward(network, weights, episodes.query_x)
    assert not torch.allclose(transductive, together)
    assert together_scores.support_statistics is not None
    expected = F.cross_entropy(together.flatten(0, 1), episodes.query_y.flatten()).double()
    torch.testing.assert_close(together_scores.support_statistics.loss[:, 0].mean(), expected)


def test_statistics_of_the_same_images_change_nothing() -> None:
    network, weights, episodes = random_problem()
    own, statistics = forward(network, weights, episodes.query_x)
    given, _ = forward(network, weights, episodes.query_x, statistics=statistics)
    assert torch.equal(own, given)


def test_interval_is_1_96_standard_errors() -> None:
    values = torch.tensor([[0.2, 1.0], [0.4, 1.0], [0.9, 1.0]], dtype=torch.float64)
    mean, half = mean_and_ci95(values)
    assert mean.tolist() == pytest.approx([0.5, 1.0])
    assert half[0].item() == pytest.approx(1.96 * math.sqrt(0.13) / math.sqrt(3))
    assert half[1].item() == 0
