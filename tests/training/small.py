"""A training small enough for tests: random images, a tiny network, 12 meta-iterations."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from mamltui.data.bank import ImageBank
from mamltui.events import Event
from mamltui.profiles import Profile, parse_profile
from mamltui.runs import Checkpoint, RunFolder
from mamltui.runs.folder import CheckpointName
from mamltui.runs.kept import kept_iterations
from mamltui.training import Control, Plan, Trainer

CPU = torch.device("cpu")
PROFILE = """
name = "small"
data.split = "proportional"
data.image_size = 8
task.way = 3
task.shot = 2
network.filters = 4
inner.steps = 2
inner.test_steps = 3
meta.batch = 3
meta.iterations = 12
meta.seed = 5
validation.interval = 5
validation.episodes = 8
run.log_interval = 2
run.checkpoint_interval = 4
"""
ALL_REMEDIES = (
    "meta.learning_rate=0.01",
    "meta.schedule=cosine",
    "meta.warmup=3",
    "meta.weight_decay=0.1",
    "meta.clip_norm=0.5",
    "meta.clip_value=0.1",
)
COMPARED = ("iteration", "validated", "best_iteration", "best_accuracy", "best_loss", "kept")
TIMINGS = {"iterations_per_second", "elapsed", "processor_seconds"}


def make_profile(*overrides: str) -> Profile:
    return parse_profile(PROFILE, "small", overrides)


def make_bank(seed: int = 0, classes: int = 40) -> ImageBank:
    generator = torch.Generator().manual_seed(seed)
    images = (torch.rand(classes, 6, 1, 8, 8, generator=generator) > 0.7).to(torch.uint8) * 255
    names = tuple(f"class {number}" for number in range(classes))
    return ImageBank("strokes", images, names, f"random-{seed}-{classes}", "random")


def make_run(root: Path, profile: Profile | None = None) -> RunFolder:
    return RunFolder.create(profile or make_profile(), root)


def make_trainer(
    run: RunFolder,
    profile: Profile | None = None,
    bank: ImageBank | None = None,
    control: Control | None = None,
) -> Trainer:
    plan = Plan.of(profile or run.profile, bank or make_bank(), CPU)
    return Trainer(plan, run, control)


def train(run: RunFolder, profile: Profile | None = None) -> list[Event]:
    return list(make_trainer(run, profile).train())


def copied(run: RunFolder, root: Path) -> RunFolder:
    """A run folder of the test's own."""
    return RunFolder(shutil.copytree(run.path, root / run.name))


def interrupted(
    root: Path, at: type[Event], iteration: int, profile: Profile | None = None
) -> RunFolder:
    """A run whose reader went away at an event."""
    run = make_run(root, profile)
    events = make_trainer(run).train()
    for event in events:
        if isinstance(event, at) and event.iteration == iteration:
            events.close()  # type: ignore[attr-defined]
            return run
    raise AssertionError(f"no {at.name} at {iteration}")


def without_timings(events: Sequence[Event]) -> list[dict[str, Any]]:
    return [
        {key: value for key, value in event.to_dict().items() if key not in TIMINGS}
        for event in events
    ]


def metrics(run: RunFolder) -> list[dict[str, Any]]:
    return without_timings(run.read_metrics().records)


def validations(run: RunFolder) -> list[dict[str, Any]]:
    logged = without_timings([record.event for record in run.read_events().records])
    return [values for values in logged if values["event"] == "validated"]


def assert_same_tensors(first: Checkpoint, second: Checkpoint) -> None:
    assert first.adam.step == second.adam.step
    for ours, theirs in (
        (first.parameters, second.parameters),
        (first.adam.exp_avg, second.adam.exp_avg),
        (first.adam.exp_avg_sq, second.adam.exp_avg_sq),
    ):
        assert list(ours) == list(theirs)
        for name, value in ours.items():
            assert torch.equal(value, theirs[name]), name


def assert_same_training(first: RunFolder, second: RunFolder) -> None:
    """Bit for bit the same metrics, validations and checkpoints."""
    assert metrics(first) == metrics(second)
    assert validations(first) == validations(second)
    kept = kept_iterations(first)
    assert kept == kept_iterations(second)
    places: tuple[CheckpointName, ...] = ("last", "best", *kept)
    for place in places:
        ours, theirs = first.load_checkpoint(place), second.load_checkpoint(place)
        assert_same_tensors(ours, theirs)
        for key in COMPARED:
            assert getattr(ours, key) == getattr(theirs, key), (place, key)
