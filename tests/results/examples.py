"""Evaluations that are no evaluations: made up, to be written, compared and read back."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from mamltui.results import Evaluation, Outcomes, StepResult
from mamltui.statistics import Reliability

ACCURACIES = (0.2, 0.9, 0.95, 0.9821)


def step_result(steps: int, accuracy: float, ci95: float = 0.0031) -> StepResult:
    return StepResult(steps, accuracy, ci95, 1.6 - accuracy, 0.0125)


OWN_PROTOCOL: dict[str, Any] = {
    "task": {"way": 5, "shot": 1, "query": 1},
    "inner": {"steps": 1, "test_steps": 3},
    "meta": {"seed": 0, "iterations": 40},
    "evaluation": {"steps": (0, 1, 2, 3), "episodes": 600},
}
"""Of a profile by which these evaluations are measured."""


def evaluation(**changes: Any) -> Evaluation:
    """A run of the paper's profile on Omniglot, 5-way 1-shot, 98.21 % after its 3 test steps."""
    plain = Evaluation(
        run="5way1shot-20260131-142501-3f9a",
        profile="5way1shot",
        data="omniglot",
        data_hash="d" * 64,
        way=5,
        shot=1,
        query=1,
        train_steps=1,
        test_steps=3,
        split="test",
        class_split="finn",
        checkpoint="best",
        iteration=60_000,
        seed=0,
        episodes=600,
        rotations=True,
        resize="nearest",
        image_size=28,
        filters=64,
        device="cpu",
        transductive=tuple(step_result(steps, a) for steps, a in enumerate(ACCURACIES)),
        support=tuple(step_result(steps, a - 0.05) for steps, a in enumerate(ACCURACIES)),
    )
    return replace(plain, **changes)


def with_headline(accuracy: float, ci95: float, **changes: Any) -> Evaluation:
    """The same with this transductive headline, as fractions."""
    results = (*evaluation().transductive[:3], step_result(3, accuracy, ci95))
    return evaluation(transductive=results, **changes)


def with_outcomes(name: str, right: list[int], **changes: Any) -> Evaluation:
    """An evaluation of episodes of 5 query images, so many of them right in each; 4 classes."""
    total = 5 * len(right)
    results = tuple(step_result(steps, sum(right) / total, 0.0101) for steps in range(4))
    changes = {"transductive": results, "support": results} | changes
    bins = Reliability.of([0.9] * total, [place < sum(right) for place in range(total)])
    one = Outcomes(tuple(right), (sum(right) // 4,) * 4, (total // 4,) * 4, bins)
    return evaluation(run=name, episodes=len(right), outcomes=(one, one), **changes)
