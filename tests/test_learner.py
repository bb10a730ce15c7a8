"""From a profile to network and inner loop: every switch arrives, and alone."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from mamltui.learner import (
    annealing_ends,
    inner_loop_at,
    inner_loop_of,
    learner_of,
    multi_step_weights,
)
from mamltui.maml.inner import InnerLoop
from mamltui.maml.network import NetworkSpec
from tests.training.small import make_bank, make_profile

PLAIN_NETWORK = NetworkSpec(3, image_size=8, filters=4)
PLAIN_INNER = InnerLoop(2, 0.4)


@pytest.mark.parametrize(
    ("overrides", "network", "inner"),
    [
        ([], {}, {}),
        (["algorithm=fomaml"], {}, {"first_order": True}),
        (["algorithm=anil"], {}, {"adapts": "head"}),
        (["algorithm=boil"], {}, {"adapts": "body"}),
        (["algorithm=meta-sgd"], {}, {"rates": "per-element"}),
        (["algorithm=meta-curvature"], {}, {"rates": "curvature"}),
        (["algorithm=alfa"], {}, {"rates": "generated"}),
        (["algorithm=proto-maml"], {"prototypes": True}, {}),
        (["algorithm=reptile"], {}, {"outer": "reptile"}),
        (
            ["algorithm=imaml", "inner.proximal=3.0", "inner.cg_steps=7"],
            {},
            {"outer": "implicit", "proximal": 3.0, "cg_steps": 7},
        ),
        (
            [
                "algorithm=protonet",
                "inner.steps=0",
                "inner.test_steps=0",
                "evaluation.steps=0",
            ],
            {"prototypes": True},
            {"steps": 0},
        ),
        (["plus.per_step_norm=true"], {"norm_steps": 3, "norm_scale": True}, {}),
        (["plus.per_step_statistics=true"], {"running_steps": 3}, {}),
        (["plus.learned_rates=true"], {}, {"rates": "per-step"}),
        (["plus.multi_step_loss=true", "plus.derivative_annealing=true"], {}, {}),
        (["meta.label_smoothing=0.1"], {}, {"label_smoothing": 0.1}),
        (["network.layers=2"], {"layers": 2}, {}),
        (["network.pooling=max", "network.layers=3"], {"pooling": "max", "layers": 3}, {}),
        (["network.normalisation=layer"], {"normalisation": "layer"}, {}),
        (["network.head=flatten"], {"head": "flatten"}, {}),
    ],
    ids=lambda value: value[0] if isinstance(value, list) and value else None,
)
def test_a_switch_changes_what_it_names_and_nothing_else(
    overrides: list[str], network: dict[str, Any], inner: dict[str, Any]
) -> None:
    learner = learner_of(make_profile(*overrides), make_bank())
    assert learner.network == replace(PLAIN_NETWORK, **network)
    assert learner.inner == replace(PLAIN_INNER, **inner)


@pytest.mark.parametrize(
    ("steps", "progress", "weights"),
    [
        # Antoniou et al.: max(1/N - e/(N E), 0.03/N), and min(1/N + e (N-1)/(N E), ...) the last.
        (5, 0.0, (0.2, 0.2, 0.2, 0.2, 0.2)),
        (5, 0.5, (0.1, 0.1, 0.1, 0.1, 0.6)),
        (5, 0.9, (0.02, 0.02, 0.02, 0.02, 0.92)),
        (5, 0.98, (0.006, 0.006, 0.006, 0.006, 0.976)),
        (2, 0.5, (0.25, 0.75)),
        (1, 0.3, (1.0,)),
    ],
)
def test_multi_step_weights_are_those_worked_out_by_hand(
    steps: int, progress: float, weights: tuple[float, ...]
) -> None:
    assert multi_step_weights(steps, progress) == pytest.approx(weights, abs=1e-15)


def test_a_multi_step_loss_is_annealed_to_the_last_step() -> None:
    profile = make_profile("plus.multi_step_loss=true", "plus.multi_step_iterations=10")
    assert inner_loop_at(profile, 0).query_weights == pytest.approx((0.5, 0.5))
    assert inner_loop_at(profile, 5).query_weights == pytest.approx((0.25, 0.75))
    assert inner_loop_at(profile, 9).query_weights == pytest.approx((0.05, 0.95))
    assert inner_loop_at(profile, 10) == inner_loop_of(profile)


def test_derivative_annealing_begins_with_first_order() -> None:
    profile = make_profile("plus.derivative_annealing=true", "plus.first_order_iterations=4")
    orders = [inner_loop_at(profile, iteration).first_order for iteration in range(6)]
    assert orders == [True] * 4 + [False] * 2


@pytest.mark.parametrize(
    ("overrides", "ends"),
    [
        ([], []),
        (["plus.multi_step_loss=true"], [7]),
        (["plus.multi_step_loss=true", "inner.steps=1"], []),
        (["plus.derivative_annealing=true"], [4]),
        (["plus.multi_step_loss=true", "plus.derivative_annealing=true"], [4, 7]),
        (["plus.learned_rates=true", "plus.per_step_norm=true"], []),
    ],
)
def test_it_is_known_when_annealing_ends(overrides: list[str], ends: list[int]) -> None:
    profile = make_profile(
        *overrides, "plus.multi_step_iterations=7", "plus.first_order_iterations=4"
    )
    assert annealing_ends(profile) == ends
    kinds = [
        (inner.first_order, len(inner.query_weights))
        for inner in (inner_loop_at(profile, iteration) for iteration in range(12))
    ]
    assert ends == [at for at in range(1, 12) if kinds[at] != kinds[at - 1]]
