"""The mean of several models' logits, against a plain loop and against the score of one."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch.nn import functional as F  # noqa: N812

from mamltui.maml.chunks import Interrupted
from mamltui.maml.ensemble import ensemble_scores
from mamltui.maml.evaluate import score
from mamltui.maml.inner import InnerLoop
from mamltui.maml.learner import Learner
from mamltui.maml.maml import conv_net
from mamltui.maml.parameters import Parameters

from .reference import random_problem

INNER = InnerLoop(1, 0.3)


def test_equals_the_mean_of_logits_of_each_adapted_alone() -> None:
    network, first, episodes = random_problem(tasks=2, query=3)
    members = [first, random_problem(seed=1)[1], random_problem(seed=2)[1]]
    steps = 2
    scores = ensemble_scores(network, INNER, members, episodes, steps=steps)
    for task, (sx, sy, qx, qy) in enumerate(zip(*episodes, strict=True)):
        logits = torch.zeros(steps + 1, len(members), 15, 5, dtype=torch.float64)
        support = torch.zeros(steps + 1, len(members), 5, 5, dtype=torch.float64)
        for place, weights in enumerate(members):
            fast = {name: value.clone().requires_grad_() for name, value in weights.items()}
            for step in range(steps + 1):
                logits[step, place] = conv_net(network, fast, qx).detach()
                support[step, place] = conv_net(network, fast, sx).detach()
                names = [name for name in fast if not name.startswith("norm")]
                loss = F.cross_entropy(conv_net(network, fast, sx), sy)
                grads = torch.autograd.grad(loss, [fast[name] for name in names])
                for name, grad in zip(names, grads, strict=True):
                    fast[name] = (fast[name] - 0.3 * grad).detach().requires_grad_()
        for found, sets, labels in (
            (scores.transductive, logits, qy),
            (scores.support, support, sy),
        ):
            for step, mean in enumerate(sets.mean(dim=1)):
                expected = F.cross_entropy(mean, labels).item()
                assert found.loss[task, step].item() == pytest.approx(expected, rel=1e-9)
                right = (mean.argmax(dim=1) == labels).double().mean().item()
                assert found.accuracy[task, step].item() == pytest.approx(right)
                if found.answers is not None:
                    confidence = found.answers[task, step, :, 1].double()
                    torch.testing.assert_close(
                        confidence, mean.softmax(1).amax(1), rtol=1e-6, atol=0
                    )


KIN: dict[str, tuple[InnerLoop, dict[str, Any]]] = {
    "MAML": (INNER, {}),
    "MAML++": (replace(INNER, rates="per-step"), {"norm_steps": 2, "running_steps": 2}),
    "ProtoNet": (replace(INNER, steps=0), {"prototypes": True}),
    "layer norm": (INNER, {"normalisation": "layer"}),
}


@pytest.mark.parametrize("kin", KIN)
def test_models_that_are_the_same_score_as_one(kin: str) -> None:
    inner, changes = KIN[kin]
    plain, _, episodes = random_problem(query=3, filters=6)
    network = replace(plain, **changes)
    start = Learner(network, inner).initial_parameters(3)
    weights: Parameters = {name: value.double() for name, value in start.items()}
    steps = inner.steps + 1 if inner.steps else 0
    one = score(network, inner, weights, episodes, steps=steps)
    alone = ensemble_scores(network, inner, [weights], episodes, steps=steps)
    together = ensemble_scores(network, inner, [weights] * 3, episodes, steps=steps)
    for found in (alone, together):
        for ours, theirs in zip(found, one, strict=True):
            assert ours is not None and theirs is not None
            torch.testing.assert_close(ours.loss, theirs.loss)
            assert torch.equal(ours.accuracy, theirs.accuracy)


def test_it_does_not_depend_on_the_chunk_nor_on_the_order() -> None:
    network, first, episodes = random_problem(tasks=5)
    members = [first, random_problem(seed=1)[1]]
    whole = ensemble_scores(network, INNER, members, episodes, steps=2)
    chunked = ensemble_scores(network, INNER, members[::-1], episodes, steps=2, task_chunk=2)
    for ours, theirs in zip(chunked, whole, strict=True):
        assert ours is not None and theirs is not None
        torch.testing.assert_close(ours.loss, theirs.loss)
        assert torch.equal(ours.accuracy, theirs.accuracy)
        if ours.answers is not None and theirs.answers is not None:
            torch.testing.assert_close(ours.answers, theirs.answers)
    assert whole.support_statistics is not None
    assert not torch.allclose(whole.support_statistics.loss, whole.transductive.loss)


@pytest.mark.parametrize("allowed", [0, 4, 11])
def test_a_stop_is_obeyed_before_the_next_pass_of_any_model(allowed: int) -> None:
    network, weights, episodes = random_problem(tasks=2)
    asked = 0

    def should_stop() -> bool:
        nonlocal asked
        asked += 1
        return asked > allowed

    with pytest.raises(Interrupted):
        ensemble_scores(
            network,
            INNER,
            [weights, weights],
            episodes,
            steps=2,
            task_chunk=1,
            should_stop=should_stop,
        )
    assert asked == allowed + 1
