"""Which runs can be evaluated, and what is already known of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from mamltui.profiles import Profile, method_of
from mamltui.profiles.steps import steps_text
from mamltui.results import Evaluation, StepResult, ensemble_of
from mamltui.results.evaluation import task_name
from mamltui.runs import ListedRun

Split = Literal["test", "validation", "train"]
Kind = Literal["best", "last", "ensemble"]
SPLITS: tuple[Split, ...] = ("test", "validation", "train")
KINDS: tuple[Kind, ...] = ("best", "last", "ensemble")
UNKNOWN = float("nan")


@dataclass(frozen=True)
class Settings:
    """What is measured: the options of ``mamltui eval``."""

    steps: tuple[int, ...] | None = None
    """Inner steps at test; None: each profile's own."""
    episodes: int | None = None
    """None: each profile's own."""
    split: Split = "test"
    checkpoint: Kind = "best"

    def steps_of(self, profile: Profile) -> tuple[int, ...]:
        """The steps that an evaluation scores: the headline's are always among them."""
        asked = profile.evaluation.steps if self.steps is None else self.steps
        return tuple(sorted({*asked, profile.inner.test_steps}))

    def episodes_of(self, profile: Profile) -> int:
        return profile.evaluation.episodes if self.episodes is None else self.episodes

    def options(self) -> list[str]:
        """As ``mamltui eval`` takes them; its defaults are left out."""
        return [
            *([] if self.steps is None else ["--steps", steps_text(self.steps)]),
            *([] if self.episodes is None else ["--episodes", str(self.episodes)]),
            *([] if self.split == "test" else ["--split", self.split]),
            *([] if self.checkpoint == "best" else ["--checkpoint", self.checkpoint]),
        ]


def task_of(run: ListedRun) -> str:
    """The task in words; empty where the profile cannot be read."""
    if run.profile is None:
        return ""
    task = run.profile.task.at_test
    return task_name(run.profile.data.set, run.profile.classes_of(task), task.shot)


def kept_of(run: ListedRun) -> list[int]:
    """The meta-iterations of the checkpoints that make an ensemble."""
    return [name for name in run.checkpoints if isinstance(name, int)]


def refusal(run: ListedRun, checkpoint: Kind) -> str:
    """Why this checkpoint cannot be evaluated, in words; empty if it can."""
    if run.profile is None:
        return run.profile_problem
    kinds: list[Kind] = [kind for kind in KINDS if kind in run.checkpoints]
    kinds += ["ensemble"] if kept_of(run) else []
    if not kinds:
        return "it has no checkpoint"
    if checkpoint in kinds:
        return ""
    if checkpoint == "ensemble":
        return "it keeps no ensemble (validation.keep), press o for another checkpoint"
    return f"it has no {checkpoint} checkpoint, press o for its {kinds[0]} one"


def known_evaluation(
    run: ListedRun, settings: Settings, evaluations: Sequence[Evaluation]
) -> Evaluation | None:
    """What ``mamltui eval`` with these settings would find, if it is in ``evaluations``.

    A longer sweep holds a shorter one. Of a run that goes on the newest result is taken, of another
    only one of the checkpoint as it is now.
    """
    profile, info = run.profile, run.info
    if profile is None or info is None:
        return None
    steps = settings.steps_of(profile)
    checkpoint: str = settings.checkpoint
    if checkpoint == "ensemble":
        checkpoint = ensemble_of(len(kept_of(run)))
    fitting = [
        evaluation
        for evaluation in evaluations
        if evaluation.split == settings.split
        and not evaluation.is_special
        and evaluation.checkpoint == checkpoint
        and evaluation.episodes == settings.episodes_of(profile)
        and evaluation.seed == profile.meta.seed
        and set(steps) <= set(evaluation.steps)
    ]
    if info.state not in ("running", "paused"):
        now = info.iteration
        if settings.checkpoint == "best" and info.best is not None:
            now = info.best.iteration
        elif settings.checkpoint == "ensemble" and kept_of(run):
            now = kept_of(run)[-1]
        fitting = [evaluation for evaluation in fitting if evaluation.iteration == now]
    if not fitting:
        return None
    newest = max(fitting, key=lambda evaluation: evaluation.iteration)
    return replace(
        newest,
        run=run.name,  # it may have been renamed since
        transductive=_only(newest.transductive, steps),
        support=_only(newest.support, steps),
    )


def _only(results: Sequence[StepResult], steps: Sequence[int]) -> tuple[StepResult, ...]:
    return tuple(result for result in results if result.steps in steps)


def unmeasured(run: ListedRun, settings: Settings) -> Evaluation:
    """An evaluation of no episodes: every score is NaN. The profile must be there."""
    profile = run.profile
    assert profile is not None
    task = profile.task.at_test
    accuracy = None if profile.is_regression else UNKNOWN
    unknown = tuple(
        StepResult(step, accuracy, UNKNOWN, UNKNOWN, UNKNOWN) for step in settings.steps_of(profile)
    )
    return Evaluation(
        run=run.name,
        profile=profile.name,
        data=profile.data.set,
        data_hash="",
        way=profile.classes_of(task),
        shot=task.shot,
        query=task.query,
        train_steps=profile.inner.steps,
        test_steps=profile.inner.test_steps,
        split=settings.split,
        class_split=profile.data.split,
        checkpoint=settings.checkpoint,
        iteration=0,
        seed=profile.meta.seed,
        episodes=0,
        rotations=profile.data.rotations,
        resize=profile.data.resize,
        image_size=profile.data.image_size,
        filters=profile.network.filters,
        module=profile.network.module,
        device="",
        transductive=unknown,
        support=unknown,
        algorithm=method_of(profile),
        running_statistics=profile.plus.per_step_statistics,
    )
