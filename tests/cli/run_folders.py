"""Run folders for commands to read: real data and checkpoints, metrics that nobody measured."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from mamltui.data.load import load_bank
from mamltui.data.splits import split_classes
from mamltui.events import Step, Validated
from mamltui.learner import learner_of
from mamltui.profiles import Profile
from mamltui.runs import AdamState, Best, Checkpoint, RunFolder, TrainedOn

SIZE = 12


def write_characters(folder: Path, classes: int = 25, drawings: int = 6) -> Path:
    """A folder of class folders, each a random picture drawn with a few errors."""
    generator = torch.Generator().manual_seed(0)
    for number in range(classes):
        character = torch.rand((SIZE, SIZE), generator=generator) < 0.3
        (folder / f"class{number:02}").mkdir(parents=True)
        for drawing in range(drawings):
            wrong = torch.rand((SIZE, SIZE), generator=generator) < 0.1
            paper = (~(character ^ wrong)).to(torch.uint8) * 255
            image = Image.fromarray(paper.numpy())
            image.save(folder / f"class{number:02}" / f"{drawing}.png")
    return folder


def write_photographs(folder: Path, classes: int = 19) -> Path:
    """A folder of class folders, each with 3 pictures of one colour and of different sizes."""
    generator = np.random.default_rng(0)
    for number in range(classes):
        (folder / f"class{number:02}").mkdir(parents=True)
        colour = generator.integers(0, 200, (1, 1, 3))
        for photograph, height in enumerate((32, 40, 90)):
            pixels = colour + generator.integers(0, 56, (height, 48, 3))
            image = Image.fromarray(pixels.astype(np.uint8))
            image.save(folder / f"class{number:02}" / f"{photograph}.png")
    return folder


def trained_run(root: Path, characters: Path, name: str = "small", **changes: Any) -> RunFolder:
    """A finished run of 40 iterations: checkpoints, metrics and a validation, but no results."""
    profile = Profile.model_validate(
        {
            "name": name,
            "data": {"set": "folder", "path": str(characters), "image_size": SIZE},
            "task": {"way": 3, "shot": 1, "query": 2},
            "network": {"filters": 4},
            "inner": {"steps": 1, "test_steps": 2},
            "meta": {"seed": 7, "iterations": 40},
            "evaluation": {"steps": (0, 1, 2, 3), "episodes": 6},
        }
        | changes
    )
    bank = load_bank(profile.data)
    classes = split_classes(bank, profile.data.split)
    run = RunFolder.create(profile, root)
    learner = learner_of(profile, bank)
    parameters, network = learner.initial_parameters(seed=1), learner.network
    first, second = (
        {key: torch.zeros_like(value) for key, value in parameters.items()} for _ in range(2)
    )
    for kind in ("best", "last"):
        run.save_checkpoint(kind, Checkpoint(40, parameters, AdamState(0, first, second), network))
    for iteration in (20, 40):
        run.append_metrics(step_at(iteration))
    run.append_event(
        Validated(40, 0.9125, 0.01, 0.25, (0.33, 0.8, 0.9125), (1.1, 0.4, 0.25), True, 4.0)
    )
    run.update(
        state="finished",
        iteration=40,
        device="cpu",
        elapsed=4.0,
        best=Best(iteration=40, accuracy=0.9125, loss=0.25),
        data=TrainedOn(
            name=bank.name,
            content_hash=bank.content_hash,
            split=classes.name,
            split_hash=classes.hash,
        ),
    )
    run.release()
    return run


def step_at(iteration: int) -> Step:
    return Step(
        iteration,
        query_loss=0.5,
        query_accuracy=0.75,
        support_loss=1.1,
        support_accuracy=0.25,
        query_loss_per_step=(1.125, 0.5),
        query_accuracy_per_step=(0.375, 0.75),
        gradient_norm=2.5,
        learning_rate=0.001,
        iterations_per_second=10.0,
        elapsed=iteration / 10,
    )
