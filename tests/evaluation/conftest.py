"""A run of a small network on made-up characters, with a checkpoint that nobody trained."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from mamltui.data.bank import ImageBank
from mamltui.data.splits import split_classes
from mamltui.maml.network import NetworkSpec
from mamltui.profiles import Profile
from mamltui.runs import AdamState, Checkpoint, RunFolder, TrainedOn

SIZE = 12
MakeRun = Callable[..., RunFolder]


@pytest.fixture(scope="session")
def bank() -> ImageBank:
    """25 classes x 8 drawings: a random picture a class, a little of it wrong in each drawing."""
    generator = torch.Generator().manual_seed(0)

    def random(*shape: int) -> torch.Tensor:
        return torch.rand(shape, generator=generator)

    character = random(25, 1, 1, SIZE, SIZE) < 0.3
    wrong = random(25, 8, 1, SIZE, SIZE) < 0.15
    images = (character ^ wrong).to(torch.uint8) * 255
    names = tuple(f"class{number:02}" for number in range(25))
    return ImageBank("folder", images, names, "c" * 64, "made up")


@pytest.fixture(scope="session")
def profile() -> Profile:
    return Profile.model_validate(
        {
            "name": "small",
            "data": {"set": "folder", "path": "made-up", "image_size": SIZE},
            "task": {"way": 3, "shot": 2, "query": 3},
            "network": {"filters": 6},
            "inner": {"steps": 1, "test_steps": 2, "alpha": 0.3},
            "meta": {"seed": 7, "iterations": 60},
            "evaluation": {"steps": (0, 1, 2), "episodes": 12},
        }
    )


def checkpoint_of(network: NetworkSpec, iteration: int = 40) -> Checkpoint:
    """Random parameters, shifts and biases included."""
    generator = torch.Generator().manual_seed(iteration)
    parameters = {
        name: value + 0.1 * torch.randn(value.shape, generator=generator)
        for name, value in network.initial_parameters(iteration).items()
    }
    first, second = (
        {name: torch.zeros_like(value) for name, value in parameters.items()} for _ in range(2)
    )
    return Checkpoint(iteration, parameters, AdamState(0, first, second), network)


@pytest.fixture
def make_run(tmp_path: Path, bank: ImageBank, profile: Profile) -> MakeRun:
    """Makes a run folder with a best and a last checkpoint, of iterations 40 and 60."""

    def make(**changes: Any) -> RunFolder:
        changed = Profile.model_validate({**profile.model_dump(), **changes})
        run = RunFolder.create(changed, tmp_path / "runs")
        classes = split_classes(bank, changed.data.split)
        trained_on = TrainedOn(
            name=bank.name,
            content_hash=bank.content_hash,
            split=classes.name,
            split_hash=classes.hash,
        )
        run.update(state="finished", data=trained_on, device="cpu", iteration=60)
        network = NetworkSpec(
            changed.task.way, bank.channels, bank.image_size, changed.network.filters
        )
        run.save_checkpoint("best", checkpoint_of(network, 40))
        run.save_checkpoint("last", checkpoint_of(network, 60))
        run.release()
        return run

    return make
