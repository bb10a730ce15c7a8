"""The scores of one checkpoint after each number of inner steps."""

from __future__ import annotations

import re
from dataclasses import dataclass

STATISTICS = ("transductive", "support")
"""Whose batch statistics normalise the query images: their own (paper) or the support set's."""


def ensemble_of(models: int) -> str:
    """What stands for the checkpoint where several were scored as one."""
    return f"ensemble of {models}"


def task_name(data: str, way: int, shot: int) -> str:
    """A task in words, e.g. ``omniglot 5-way 1-shot``."""
    return f"{data} {way}-way {shot}-shot"


@dataclass(frozen=True)
class StepResult:
    """Means over the episodes after ``steps`` inner steps, with half widths of their 95% intervals.

    A half width is NaN where it is not known.
    """

    steps: int
    accuracy: float
    """Fraction in [0, 1]."""
    accuracy_ci95: float
    loss: float
    """Mean cross-entropy in nats."""
    loss_ci95: float


@dataclass(frozen=True)
class Evaluation:
    """One checkpoint of one run, or an ensemble of several, scored on the episodes of one split."""

    run: str
    profile: str
    data: str
    """Name of the data set."""
    data_hash: str
    way: int
    shot: int
    query: int
    """Query images per class."""
    train_steps: int
    """Inner steps in training."""
    test_steps: int
    """The profile's inner steps at test: where the headline is read, whatever the sweep shows."""
    split: str
    """``train``, ``validation`` or ``test``."""
    class_split: str
    """Name of the rule that parted the classes."""
    checkpoint: str
    """``best``, ``last`` or what ``ensemble_of`` says."""
    iteration: int
    """Meta-iterations behind the checkpoint; of an ensemble, behind its newest."""
    seed: int
    """Seed of the evaluation's episodes."""
    episodes: int
    rotations: bool
    resize: str
    image_size: int
    filters: int
    device: str
    """``cpu`` or ``cuda``: rounding differs between them."""
    transductive: tuple[StepResult, ...]
    """In the order of the steps, each step once."""
    support: tuple[StepResult, ...]
    algorithm: str = "maml"
    """What was trained, e.g. ``anil`` or ``maml + LSLR``."""
    running_statistics: bool = False
    """Whether the scores called transductive are by running statistics of the training instead."""

    @property
    def steps(self) -> tuple[int, ...]:
        """The numbers of inner steps scored."""
        return tuple(result.steps for result in self.transductive)

    def results(self, statistics: str) -> tuple[StepResult, ...]:
        """Scores with one of ``STATISTICS``."""
        return {"transductive": self.transductive, "support": self.support}[statistics]

    def kind(self, statistics: str) -> str:
        """One of ``STATISTICS`` in words, as it was for this evaluation."""
        if statistics == "support":
            return "support statistics"
        return "running statistics" if self.running_statistics else "transductive"

    def headline(self, statistics: str = "transductive") -> StepResult:
        """The score after the profile's own test steps: a step count never chosen on this split."""
        return next(item for item in self.results(statistics) if item.steps == self.test_steps)

    @property
    def models(self) -> int | None:
        """Of an ensemble, how many; None of a single checkpoint, whose result stands alone."""
        found = re.fullmatch(r"ensemble of (\d+)", self.checkpoint)
        return int(found[1]) if found else None

    @property
    def scored(self) -> str:
        """What was scored in words, e.g. ``best checkpoint, iteration 60,000``."""
        of = f"iteration {self.iteration:,}"
        if self.models is None:
            return f"{self.checkpoint} checkpoint, {of}"
        return f"{self.checkpoint} checkpoint{'' if self.models == 1 else 's'} up to {of}"

    @property
    def task(self) -> str:
        """The task in words."""
        return task_name(self.data, self.way, self.shot)
