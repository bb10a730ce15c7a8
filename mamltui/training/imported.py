"""Weights that were trained elsewhere as a run folder, so that all can be done with them."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from pathlib import Path

import torch
from torch import Tensor

from mamltui.data.banks import Banks
from mamltui.data.sampling import images_of
from mamltui.errors import RunError, UsageError
from mamltui.events import Finished, Notice, Validated
from mamltui.layouts import KNOWN, Layout, recognised
from mamltui.maml.engine import Engine
from mamltui.profiles import NetworkSection, Profile
from mamltui.profiles.arguments import parse_arguments
from mamltui.runs import RunFolder, TrainedOn
from mamltui.text import shortened
from mamltui.training.clock import Seconds
from mamltui.training.device import describe_device
from mamltui.training.plan import Plan
from mamltui.training.state import TrainingState
from mamltui.training.validation import Validator
from mamltui.weights import fitted, read_state_dict

Say = Callable[[str], None]


def import_weights(
    path: Path,
    profile: Profile,
    *,
    banks: Banks,
    device: torch.device,
    runs: Path | None = None,
    title: str = "",
    say: Say = lambda _: None,
) -> RunFolder:
    """Make a finished run of a state dict: its checkpoints and one validation.

    The profile says of which tasks, and how to adapt; its network gives way to the one that the
    file is of, unless it names a module itself.

    Args:
        say: told in words what the file is of, and what takes time.

    Raises:
        UsageError: the file cannot be read, is of no known layout, or does not fit the tasks.
        DataError: the data of the profile are not there.
        RunError: no run folder can be made.
    """
    state, digest = read_state_dict(path)
    if not profile.network.module:
        layout = recognised(state, profile.data.image_size)
        if layout is None:
            names = ", ".join(map(shortened, list(state)[:4]))
            raise UsageError(
                f"its tensors ({names}, ...) are of no layout that is known: {KNOWN}",
                where=str(path),
                hint="Name the class that they are of: --set network.module=package:Class",
            )
        say(f"{path} is of {layout.origin}: {len(state)} tensors, {layout.way} classes")
        profile = _of_layout(profile, layout, path)
    bank = images_of(banks.bank(profile.data, say), "an import of weights")
    try:
        plan = Plan.of(profile, bank, device)
    except UsageError as error:
        shapes = ", ".join(f"{name} {list(value.shape)}" for name, value in _ends(state))
        raise UsageError(
            f"the network of {path} does not fit the profile's tasks: {error.what}; the file has "
            f"{shapes}",
            where=error.where,
            hint=f"Images are {bank.channels}x{bank.image_size}x{bank.image_size} here: "
            "--set data.image_size=N for another size, or another profile.",
        ) from error
    learner, seed = plan.learner, profile.meta.seed
    start = TrainingState.fresh(learner, profile.meta, device, fitted(state, learner.network, path))
    say(f"validating on {profile.validation.episodes:,} episodes")
    engine = Engine(learner.network, learner.inner, device=device, say=say)
    sampler = plan.sampler("validation")
    validator = Validator(profile, engine, sampler, device)
    scores = validator.scores(start.parameters, lambda: False)
    assert scores is not None
    best = scores.best(0)
    start.best = best
    checkpoint = start.checkpoint(Seconds(processor=None))
    run = RunFolder.create(profile, runs, title=title)
    try:
        run.begin(
            device=describe_device(device),
            threads=torch.get_num_threads(),
            strategy=engine.strategy,
            data=TrainedOn.of(plan.bank, plan.split),
            seed=seed,
            best=best,
        )
        words = f"imported from {path} (SHA-256 {digest[:12]}...), which was trained elsewhere"
        run.append_event(Notice(0, words))
        run.append_event(
            Validated(
                0,
                accuracy=best.accuracy,
                ci95=scores.ci95[-1],
                loss=best.loss,
                accuracy_per_step=scores.accuracy,
                loss_per_step=scores.loss,
                is_best=True,
                elapsed=0.0,
            )
        )
        run.save_checkpoint("last", checkpoint)
        run.save_checkpoint("best", checkpoint)
        finished = Finished(
            0, best_iteration=0, best_accuracy=best.accuracy, best_loss=best.loss, elapsed=0.0
        )
        run.append_event(finished)
        run.update(state="finished")
        if not run.settle():
            raise RunError("the disk refuses the run's files", where=str(run.path))
    except BaseException:
        shutil.rmtree(run.path, ignore_errors=True)
        raise
    finally:
        run.release()
    return run


def _ends(state: Mapping[str, Tensor]) -> list[tuple[str, Tensor]]:
    """The first and the last matrix or kernel."""
    several = [(name, value) for name, value in state.items() if value.dim() > 1]
    return several[:1] + several[1:][-1:]


def _of_layout(profile: Profile, layout: Layout, path: Path) -> Profile:
    """The profile with the layout's network.

    Raises:
        UsageError: it is for tasks of another way.
    """
    if layout.way != profile.task.way:
        raise UsageError(
            f"its classifier is for {layout.way} classes, and the tasks of profile {profile.name} "
            f"have {profile.task.way}",
            where=str(path),
            hint=f"Take a {layout.way}-way profile, or --set task.way={layout.way}",
        )
    if not layout.module:
        return profile
    network = NetworkSection(
        module=layout.module,
        arguments=parse_arguments(layout.arguments),
        weights=str(path.expanduser().absolute()),
    )
    return Profile.model_validate({**dict(profile), "network": network})
