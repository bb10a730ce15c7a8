"""All that is settled before a training makes anything: profile, device, data, run to resume."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from mamltui.data.banks import Banks
from mamltui.data.episodes import SplitName
from mamltui.data.sampling import DataSource, Sampler, sampler_of
from mamltui.data.sinusoid import GUESSING, Waves
from mamltui.data.splits import ClassSplit, split_classes
from mamltui.errors import RunError
from mamltui.learner import learner_of
from mamltui.maml.learner import Learner
from mamltui.maml.ranks import Ranks
from mamltui.profiles import Profile
from mamltui.runs import RunFolder, runs_root
from mamltui.training.choice import check_engine
from mamltui.training.device import resolve_device
from mamltui.training.resumable import find_resumable
from mamltui.training.transfer import find_transfer, with_whole_start


@dataclass(frozen=True)
class Plan:
    """A training that can begin: all of it fits together."""

    profile: Profile
    device: torch.device
    bank: DataSource
    split: ClassSplit
    learner: Learner
    run: RunFolder | None = None
    """Where it is written, perhaps a run to go on with; None: a new one, made when it begins."""
    runs: Path | None = None
    """The folder that a new run is made in; None: the usual one."""
    is_trained: bool = False
    """The run to go on with needs no more training: its evaluation alone is left."""
    ranks: Ranks | None = None
    """The processes that share out its tasks, seen from that of rank 0; None: this one alone."""

    @classmethod
    def of(
        cls,
        profile: Profile,
        bank: DataSource,
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
        if not isinstance(bank, Waves):
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
        return f"{self.profile.shape} on {self.bank.name}"

    @property
    def guessing(self) -> float:
        """The loss of who has learned nothing: of all classes alike, or of answering 0."""
        return GUESSING if self.profile.is_regression else math.log(self.profile.task.way)

    def sampler(self, split: SplitName) -> Sampler:
        """The tasks of the training or of its validation."""
        profile = self.profile if split == "train" else self.profile.scored
        return sampler_of(profile, self.bank, self.split, split, augmented=split == "train")


def make_plan(
    profile: Profile,
    *,
    device: str,
    runs: Path | None,
    banks: Banks,
    resume: str | None = None,
    overrides: Sequence[str] = (),
    say: Callable[[str], None] | None = None,
) -> Plan:
    """Check the device, the run to resume, the data and the run to start from.

    Args:
        device: ``auto``, ``cpu`` or ``cuda``.
        runs: the folder of the run folders; None: the usual one.
        resume: a run, or ``auto`` for the latest unfinished one of this profile if there is one.
            It goes on by its own profile, in which ``overrides`` alone are changed.
        overrides: what is set explicitly, as for :func:`load_profile`; ``profile`` includes it.
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
    resumable = None
    if resume is not None:
        resumable = find_resumable(profile, overrides, resume, runs, say)
    if resumable is None:
        plan = Plan.of(profile, banks.bank(profile.data, say), where, runs=runs)
    else:
        bank = banks.bank(resumable.profile.data, say)
        plan = Plan.of(resumable.profile, bank, where, run=resumable.run, runs=runs)
        plan = replace(plan, is_trained=resumable.is_trained)
    if resumable is None or resumable.iteration is None:
        find_transfer(plan.profile, plan.learner, root)
    return plan
