"""Which runs can be evaluated, and what is already known of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from mamltui.errors import MamltuiError
from mamltui.profiles import Profile, method_of
from mamltui.profiles.steps import steps_text
from mamltui.results import Evaluation, StepResult, ensemble_of
from mamltui.results.evaluation import task_name
from mamltui.runs import RunFolder, RunInfo, list_runs
from mamltui.runs.kept import kept_iterations

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


@dataclass(frozen=True)
class Candidate:
    """A run in the list of those that could be evaluated."""

    name: str
    path: Path
    state: str
    info: RunInfo | None
    profile: Profile | None
    problem: str
    """Why it cannot be evaluated at all; empty if it can."""
    checkpoints: tuple[Kind, ...]
    """Those that are there."""
    kept: tuple[int, ...] = ()
    """The meta-iterations of those that make an ensemble."""

    @property
    def task(self) -> str:
        """The task in words; empty where the profile cannot be read."""
        if self.profile is None:
            return ""
        task = self.profile.task
        return task_name(self.profile.data.set, task.way, task.shot)

    def refusal(self, checkpoint: Kind) -> str:
        """Why this checkpoint cannot be evaluated, in words; empty if it can."""
        if self.problem:
            return self.problem
        if checkpoint not in self.checkpoints:
            if checkpoint == "ensemble":
                return "it keeps no ensemble (validation.keep), press o for another checkpoint"
            return f"it has no {checkpoint} checkpoint, press o for its {self.checkpoints[0]} one"
        return ""


def list_candidates(root: Path) -> list[Candidate]:
    """All runs below ``root``, as :func:`mamltui.runs.list_runs` sorts them.

    Raises:
        RunError: ``root`` is not a folder or not readable.
    """
    return [
        _candidate(run.name, run.path, run.state, run.info, run.problem) for run in list_runs(root)
    ]


def _candidate(
    name: str, path: Path, state: str, info: RunInfo | None, problem: str | None
) -> Candidate:
    run = RunFolder(path)
    profile = None
    if info is not None:
        try:
            profile = run.profile
        except MamltuiError as error:
            problem = str(error)
    singles: tuple[Literal["best", "last"], ...] = ("best", "last")
    checkpoints: tuple[Kind, ...] = tuple(
        kind for kind in singles if run.checkpoint_path(kind).is_file()
    )
    kept = tuple(kept_iterations(run))
    if kept:
        checkpoints += ("ensemble",)
    if problem is None and not checkpoints:
        problem = "it has no checkpoint yet"
    return Candidate(name, path, state, info, profile, problem or "", checkpoints, kept)


def known_evaluation(
    candidate: Candidate, settings: Settings, kept: Sequence[Evaluation]
) -> Evaluation | None:
    """What ``mamltui eval`` with these settings would find, if it is among ``kept``.

    A longer sweep holds a shorter one. Of a run that goes on the newest result is taken, of another
    only one of the checkpoint as it is now.
    """
    profile, info = candidate.profile, candidate.info
    if profile is None or info is None:
        return None
    steps = settings.steps_of(profile)
    checkpoint: str = settings.checkpoint
    if checkpoint == "ensemble":
        checkpoint = ensemble_of(len(candidate.kept))
    fitting = [
        evaluation
        for evaluation in kept
        if evaluation.split == settings.split
        and not evaluation.disjoint
        and evaluation.checkpoint == checkpoint
        and evaluation.episodes == settings.episodes_of(profile)
        and evaluation.seed == profile.meta.seed
        and set(steps) <= set(evaluation.steps)
    ]
    if info.state not in ("running", "paused"):
        now = info.iteration
        if settings.checkpoint == "best" and info.best is not None:
            now = info.best.iteration
        elif settings.checkpoint == "ensemble" and candidate.kept:
            now = candidate.kept[-1]
        fitting = [evaluation for evaluation in fitting if evaluation.iteration == now]
    if not fitting:
        return None
    newest = max(fitting, key=lambda evaluation: evaluation.iteration)
    return replace(
        newest,
        run=candidate.name,  # it may have been renamed since
        transductive=_only(newest.transductive, steps),
        support=_only(newest.support, steps),
    )


def _only(results: Sequence[StepResult], steps: Sequence[int]) -> tuple[StepResult, ...]:
    return tuple(result for result in results if result.steps in steps)


def unmeasured(candidate: Candidate, settings: Settings) -> Evaluation:
    """An evaluation of no episodes: every score is NaN. The profile must be there."""
    profile = candidate.profile
    assert profile is not None
    unknown = tuple(
        StepResult(step, UNKNOWN, UNKNOWN, UNKNOWN, UNKNOWN) for step in settings.steps_of(profile)
    )
    return Evaluation(
        run=candidate.name,
        profile=profile.name,
        data=profile.data.set,
        data_hash="",
        way=profile.task.way,
        shot=profile.task.shot,
        query=profile.task.query,
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
        device="",
        transductive=unknown,
        support=unknown,
        algorithm=method_of(profile),
        running_statistics=profile.plus.per_step_statistics,
    )
