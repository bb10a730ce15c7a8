"""All that is settled before a training makes anything: profile, device, data, run to resume."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch

from mamltui.data.bank import ImageBank
from mamltui.data.banks import Banks
from mamltui.data.episodes import EpisodeSampler, SplitName
from mamltui.data.splits import ClassSplit, split_classes
from mamltui.errors import RunError, UsageError
from mamltui.learner import learner_of
from mamltui.maml.learner import Learner
from mamltui.profiles import Profile, other_learning
from mamltui.runs import RunFolder, find_latest_resumable, find_run, runs_root
from mamltui.training.choice import check_engine
from mamltui.training.device import resolve_device
from mamltui.training.transfer import find_transfer, with_whole_start


@dataclass(frozen=True)
class Plan:
    """A training that can begin: all of it fits together."""

    profile: Profile
    device: torch.device
    bank: ImageBank
    split: ClassSplit
    learner: Learner
    run: RunFolder | None = None
    """Where it is written, perhaps a run to go on with; None: a new one, made when it begins."""
    runs: Path | None = None
    """The folder that a new run is made in; None: the usual one."""

    @classmethod
    def of(
        cls,
        profile: Profile,
        bank: ImageBank,
        device: torch.device,
        *,
        run: RunFolder | None = None,
        runs: Path | None = None,
    ) -> Plan:
        """Check that the profile's tasks can be made of ``bank`` and its engine runs on ``device``.

        Raises:
            ProfileError: the data set has too few classes or drawings.
            UsageError: the engine does not apply.
        """
        split = split_classes(bank, profile.data.split)
        classes = {
            "train": len(split.train),
            "validation": len(split.validation),
            "test": len(split.test),
        }
        profile.check_against(classes, bank.drawings)
        learner = learner_of(profile, bank)
        check_engine(profile, learner, device)
        return cls(profile, device, bank, split, learner, run, runs)

    @property
    def title(self) -> str:
        """What is trained, e.g. ``5-way 1-shot on strokes``."""
        task = self.profile.task
        return f"{task.way}-way {task.shot}-shot on {self.bank.name}"

    def sampler(self, split: SplitName) -> EpisodeSampler:
        """The tasks of the training or of its validation."""
        return EpisodeSampler.of(
            self.profile, self.bank, self.split, split, augmented=split == "train"
        )


def make_plan(
    profile: Profile,
    *,
    device: str,
    runs: Path | None,
    banks: Banks,
    resume: str | None = None,
    say: Callable[[str], None] | None = None,
) -> Plan:
    """Check the device, the run to resume, the data and the run to start from.

    Args:
        device: ``auto``, ``cpu`` or ``cuda``.
        runs: the folder of the run folders; None: the usual one.
        resume: a run, or ``auto`` for the latest unfinished one of this profile if there is one.
        say: told in words what happens.

    Raises:
        MamltuiError: one of them does not hold.
    """
    say = say or (lambda _: None)
    where = resolve_device(device)
    root = runs_root(runs)
    if root.exists() and not root.is_dir():
        raise RunError("the runs folder is a file", where=str(root))
    try:
        profile = with_whole_start(profile, root)
    except RunError:
        if resume is None:
            raise  # else it has what it needs of that run
    run = _run_to_resume(profile, runs, resume, say)
    plan = Plan.of(profile, banks.bank(profile.data, say), where, run=run, runs=runs)
    if run is None or not run.checkpoint_path("last").exists():
        find_transfer(profile, plan.learner, root)
    return plan


def _run_to_resume(
    profile: Profile, runs: Path | None, resume: str | None, say: Callable[[str], None]
) -> RunFolder | None:
    if resume is None:
        return None
    if resume == "auto":
        found = find_latest_resumable(runs, profile)
        if found is None:
            say("there is no unfinished run of this profile: a new one starts")
        else:
            say(f"going on with {found.name}")
        return found
    run = find_run(resume, runs)
    others = other_learning(run.profile, profile)
    if others:
        raise UsageError(
            f"the run was trained with other settings: {', '.join(map(str, others))}",
            where=f"--resume {resume}",
            hint="A run goes on as it began; meta.iterations, validation.patience, "
            "validation.keep, [run], [evaluation] and [engine] may change.\n"
            f"Its own profile is {run.path / 'profile.toml'}",
        )
    return run
