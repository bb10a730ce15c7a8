"""A small profile, a run of it, and a checkpoint."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from mamltui.events import Step
from mamltui.maml.network import NetworkSpec
from mamltui.profiles import Profile, parse_profile
from mamltui.runs import AdamState, Best, Checkpoint, RunFolder

NETWORK = NetworkSpec(way=5, channels=1, image_size=8, filters=4)


@pytest.fixture
def profile() -> Profile:
    return parse_profile(
        'name = "small"\ndata.image_size = 8\nnetwork.filters = 4\nmeta.iterations = 60', "small"
    )


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "runs"


@pytest.fixture
def run(profile: Profile, root: Path) -> RunFolder:
    return RunFolder.create(profile, root)


@pytest.fixture
def checkpoint() -> Checkpoint:
    return make_checkpoint()


def make_checkpoint(iteration: int = 40, network: NetworkSpec = NETWORK) -> Checkpoint:
    generator = torch.Generator().manual_seed(iteration)
    parameters, exp_avg, exp_avg_sq = (
        {
            name: torch.randn(shape, generator=generator)
            for name, shape in network.parameter_shapes().items()
        }
        for _ in range(3)
    )
    return Checkpoint(
        iteration=iteration,
        parameters=parameters,
        adam=AdamState(iteration, exp_avg, exp_avg_sq),
        network=network,
        validated=iteration,
        best_iteration=max(0, iteration - 20),
        best_accuracy=0.1 + 0.2,
        best_loss=1 / 3,
        kept=(Best(iteration=max(0, iteration - 20), accuracy=0.1 + 0.2, loss=1 / 3),),
        elapsed=12.75,
    )


def make_step(iteration: int, query_loss: float = 1.5) -> Step:
    return Step(
        iteration,
        query_loss=query_loss,
        query_accuracy=0.25,
        support_loss=2.5,
        support_accuracy=0.125,
        query_loss_per_step=(1.75, query_loss),
        query_accuracy_per_step=(0.2, 0.25),
        gradient_norm=0.1 + 0.2,
        learning_rate=0.001,
        iterations_per_second=10.0,
        elapsed=3.5,
    )
