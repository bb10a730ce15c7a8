"""The scores of one checkpoint after each number of inner steps."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mamltui.profiles import Profile

from mamltui.measures import counted
from mamltui.profiles.model import shape_text
from mamltui.score import ACCURACY, SQUARED_ERROR, Metric, Score
from mamltui.statistics import (
    Interval,
    Reliability,
    class_interval,
    episode_interval,
    image_interval,
    low_percentile,
)

OTHER_PROTOCOL = "*"
"""Behind a result that was not measured as its run's profile says."""
STATISTICS = ("transductive", "support")
"""Whose batch statistics normalise the query images: their own (paper) or the support set's."""


def ensemble_of(models: int) -> str:
    """What stands for the checkpoint where several were scored as one."""
    return f"ensemble of {models}"


def task_name(data: str, way: int, shot: int) -> str:
    """A task in words, e.g. ``omniglot 5-way 1-shot``; of waves, which have 0 ways, ``sinusoid
    10-shot``."""
    return f"{data} {shape_text(way, shot)}"


@dataclass(frozen=True)
class StepResult:
    """Means over the episodes after ``steps`` inner steps, with half widths of their 95% intervals.

    A half width is NaN where it is not known.
    """

    steps: int
    accuracy: float | None
    """Fraction in [0, 1]; None of a regression."""
    accuracy_ci95: float
    loss: float
    """Mean cross-entropy in nats; of a regression, mean squared error."""
    loss_ci95: float

    @property
    def score(self) -> Score:
        """The accuracy, or the error of a regression."""
        ci95 = self.loss_ci95 if self.accuracy is None else self.accuracy_ci95
        return Score.of(self.accuracy, self.loss, ci95)


@dataclass(frozen=True)
class Outcomes:
    """What became of each episode and each class at the headline, with one kind of statistics."""

    right: tuple[int, ...]
    """Of each episode, in order, the query images classified right."""
    class_right: tuple[int, ...]
    """Of each class of the split, in the split's order, likewise in all episodes."""
    class_queries: tuple[int, ...]
    """Query images of each class in all episodes."""
    reliability: Reliability


@dataclass(frozen=True)
class Spread:
    """How far a headline can be trusted: intervals of several sources, and the bad tasks."""

    episodes: Interval
    """Over the episodes as drawn; of disjoint ones, of the test images."""
    classes: Interval
    """Over other classes of the same kind, by bootstrap."""
    low: float
    """The accuracy that 5 % of the episodes stay below, a fraction."""
    worst: float
    """Of the worst episode."""
    calibration_error: float
    """Mean distance of confidence from accuracy, a fraction."""


@dataclass(frozen=True)
class Evaluation:
    """One checkpoint of one run, or an ensemble of several, scored on the episodes of one split."""

    run: str
    profile: str
    data: str
    """Name of the data set."""
    data_hash: str
    way: int
    """Classes of a task; 0 of a regression, which has none."""
    shot: int
    query: int
    """Query images per class, or points of a wave."""
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
    disjoint: bool = False
    """Whether the episodes share no image, so that their interval is one of the test images."""
    train_way: int = 0
    """Classes of a task in training; 0: as many as ``way``."""
    train_shot: int = 0
    """Support images a class in training; 0: as many as ``shot``."""
    module: str = ""
    """The network's class, where it is one of the user's own; the filters say nothing then."""
    head: str = "learned"
    """Where the classifier starts: ``learned``, ``fresh``, ``prototypes`` or ``refined``."""
    is_other_task: bool = False
    """Whether the tasks, or the head, are others than the profile's own at test."""
    is_other_data: bool = False
    """Whether the images are others than the run was trained on, of the same classes."""
    started_from: str = ""
    """What the training began with, in words; empty: random parameters, or not known."""
    together_with: str = ""
    """The further runs, with spaces between, whose models are in the ensemble as well."""
    outcomes: tuple[Outcomes, ...] = ()
    """For each of ``STATISTICS``; none of an evaluation under way, by an earlier version, or of a
    regression."""

    @property
    def metric(self) -> Metric:
        """What its scores are."""
        return ACCURACY if self.way else SQUARED_ERROR

    @property
    def statistics(self) -> tuple[str, ...]:
        """Those of ``STATISTICS`` that can differ: a network of waves normalises nothing."""
        return STATISTICS[:1] if self.metric.is_error else STATISTICS

    @property
    def steps(self) -> tuple[int, ...]:
        """The numbers of inner steps scored."""
        return tuple(result.steps for result in self.transductive)

    def results(self, statistics: str) -> tuple[StepResult, ...]:
        """Scores with one of ``STATISTICS``."""
        return {"transductive": self.transductive, "support": self.support}[statistics]

    def kind(self, statistics: str) -> str:
        """One of ``STATISTICS`` in words, as it was for this evaluation; of a regression, what is
        measured."""
        if self.metric.is_error:
            return self.metric.name
        if statistics == "support":
            return "support statistics"
        return "running statistics" if self.running_statistics else "transductive"

    def headline(self, statistics: str = "transductive") -> StepResult:
        """The score after the profile's own test steps: a step count never chosen on this split."""
        return next(item for item in self.results(statistics) if item.steps == self.test_steps)

    def departures(self, profile: Profile) -> list[str]:
        """What was measured otherwise than ``profile`` says, in words; empty: its own protocol.

        The protocol is the profile's episodes of the test split, by its seed, with the best
        checkpoint. Further step counts change no score.
        """
        own, task = profile.evaluation.episodes, profile.task.at_test
        asked = (self.way, self.shot, self.query)
        queries = f"{self.query} query {'images a class' if self.way else 'points'}"
        return [
            *(["other images than the training had"] if self.is_other_data else []),
            *(
                []
                if asked == (profile.classes_of(task), task.shot, task.query)
                else [f"{shape_text(self.way, self.shot)}, {queries}"]
            ),
            *([f"a {self.head} head"] if self.is_head_changed(profile) else []),
            *([] if self.split == "test" else [f"{self.split} split"]),
            *([] if self.checkpoint == "best" else [f"{self.checkpoint} checkpoint"]),
            *(["disjoint episodes"] if self.disjoint else []),
            *([] if self.episodes == own else [f"{self.episodes:,} episodes"]),
            *([] if self.seed == profile.meta.seed else [f"seed {self.seed}"]),
            *(
                []
                if self.test_steps == profile.inner.test_steps
                else [counted(self.test_steps, "inner step")]
            ),
        ]

    def is_head_changed(self, profile: Profile) -> bool:
        """Whether the classifier started elsewhere than in training."""
        is_computed = profile.algorithm in ("protonet", "proto-maml")
        if self.head == "prototypes":
            return not is_computed
        return self.head != "learned"

    @property
    def head_words(self) -> str:
        """Where the classifier starts, in words, if no training starts there; else empty."""
        words = {"fresh": "a fresh head", "refined": "class means refined with the query set"}
        return words.get(self.head, "")

    @property
    def trained_on(self) -> str:
        """The task of the training, if it was another; else empty."""
        way, shot = self.train_way or self.way, self.train_shot or self.shot
        return "" if (way, shot) == (self.way, self.shot) else shape_text(way, shot)

    @property
    def is_plain(self) -> bool:
        """Of one checkpoint on the profile's test tasks, drawn as papers draw them.

        It is what lists of runs show.
        """
        return self.split == "test" and self.models is None and not self.is_special

    @property
    def is_special(self) -> bool:
        """Whether tasks, images or models are others than those of the run's own evaluation."""
        is_other = self.disjoint or self.is_other_task or self.is_other_data
        return is_other or bool(self.together_with)

    def outcome(self, statistics: str = "transductive") -> Outcomes | None:
        """What became of each episode and class, with one of ``STATISTICS``; None: not known."""
        return self.outcomes[STATISTICS.index(statistics)] if self.outcomes else None

    def accuracies(self, statistics: str = "transductive") -> tuple[float, ...]:
        """Of each episode, in order, at the headline, as fractions; empty if not known."""
        outcome, queries = self.outcome(statistics), self.way * self.query
        return tuple(right / queries for right in outcome.right) if outcome else ()

    def spread(self, statistics: str = "transductive") -> Spread | None:
        """What the headline's mean does not say; None if not known."""
        outcome = self.outcome(statistics)
        if outcome is None:
            return None
        accuracies = self.accuracies(statistics)
        interval_of = image_interval if self.disjoint else episode_interval
        return Spread(
            episodes=interval_of(accuracies),
            classes=class_interval(outcome.class_right, outcome.class_queries),
            low=low_percentile(accuracies),
            worst=min(accuracies),
            calibration_error=outcome.reliability.error,
        )

    @property
    def models(self) -> int | None:
        """Of an ensemble, how many; None of a single checkpoint, whose result stands alone."""
        match = re.fullmatch(r"ensemble of (\d+)", self.checkpoint)
        return int(match[1]) if match else None

    @property
    def scored(self) -> str:
        """What was scored in words, e.g. ``best checkpoint, iteration 60,000``."""
        of = f"iteration {self.iteration:,}"
        if self.models is None:
            return f"{self.checkpoint} checkpoint, {of}"
        among = f" with {' and '.join(self.together_with.split())}" if self.together_with else ""
        return f"{self.checkpoint} checkpoint{'' if self.models == 1 else 's'}{among} up to {of}"

    @property
    def task(self) -> str:
        """The task in words."""
        return task_name(self.data, self.way, self.shot)
