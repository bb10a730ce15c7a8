"""Evaluating a run: one adaptation to each episode scores every number of inner steps."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import torch

from mamltui.data.disjoint import DisjointSampler
from mamltui.data.episodes import EpisodeSampler, SplitName
from mamltui.data.sampling import DataSource, Sampler, sampler_of
from mamltui.data.sinusoid import Waves
from mamltui.data.splits import split_classes
from mamltui.errors import CheckpointError, UsageError
from mamltui.learner import Head, learner_of, with_way
from mamltui.maml.evaluate import StepScores
from mamltui.maml.learner import Learner
from mamltui.maml.parameters import Parameters
from mamltui.maml.ranks import Ranks
from mamltui.measures import counted
from mamltui.profiles import Profile, TaskSection, method_of
from mamltui.results import (
    STATISTICS,
    Evaluation,
    ensemble_of,
    kept_evaluations,
    write_results,
)
from mamltui.runs import RunFolder
from mamltui.runs.checkpoint import Checkpoint
from mamltui.runs.kept import load_kept
from mamltui.scoring import (
    Results,
    RunningScores,
    ShouldStop,
    final_results,
    only_after,
    outcomes_of,
    score_chunks,
)

Kind = Literal["best", "last", "ensemble"]
"""Of the checkpoints: the best by validation, the last, or all that ``validation.keep`` kept."""
Progress = Callable[[int, int], None]
"""Called with the episodes done and the episodes asked for."""
Partial = Callable[[Evaluation], None]
"""Called with the evaluation of the episodes done so far; its ``episodes`` says how many."""


def evaluate_run(
    run: RunFolder,
    *,
    bank: DataSource,
    others: Sequence[RunFolder] = (),
    split: SplitName = "test",
    checkpoint: Kind = "best",
    steps: Sequence[int],
    episodes: int | None,
    device: torch.device,
    seed: int | None = None,
    disjoint: bool = False,
    way: int | None = None,
    shot: int | None = None,
    query: int | None = None,
    head: Head | None = None,
    other_images: bool = False,
    progress: Progress | None = None,
    partial: Partial | None = None,
    should_stop: ShouldStop | None = None,
    say: Callable[[str], None] | None = None,
    ranks: Ranks | None = None,
) -> Evaluation:
    """Score tasks 0 .. ``episodes`` - 1 of a split after each of ``steps`` inner steps.

    The profile's own inner steps at test are scored as well if they are not among ``steps``: the
    headline is read there.

    Args:
        bank: the data the run was trained on.
        others: runs of the same network, inner loop and data, whose models are scored with those of
            ``run`` as one, by the mean of their logits.
        episodes: None: the profile's, or as many disjoint ones as there are images for.
        seed: of the evaluation's episodes; None: the profile's.
        disjoint: no image is used twice.
        way: classes of a task; None: the profile's at test. So are shot and query.
        head: where the classifier starts, as of :func:`~mamltui.learner.with_way`.
        other_images: whether ``bank`` may hold other images of the classes of the training; the
            result says so.
        should_stop: asked at every inner step of every chunk of episodes.
        say: told in words what takes time before the first episode.
        ranks: the processes among which episodes are shared out; not those of an ensemble.

    Raises:
        Interrupted: ``should_stop`` said so.
        RunError: the run cannot be read.
        CheckpointError: a checkpoint is missing, damaged or of another network.
        DataError: ``bank`` holds other data than the run was trained on.
        UsageError: no steps, fewer than two episodes, the split is too small for them, the run has
            not learned what tasks of so many classes need, one of ``others`` differs in more than
            its training, or something of images is asked for where there are none.
        DeviceError: the device is out of memory.
    """
    if not steps or min(steps) < 0:
        raise UsageError("an evaluation needs step counts of 0 or more")
    profile = run.profile
    if profile.is_regression:
        _refuse_of_images(
            {
                "--way": way is not None,
                "--head": head is not None,
                "--disjoint": disjoint,
                "--other-images": other_images,
            }
        )
    classes = split_classes(bank, profile.data.split)
    for each in (run, *others):
        if each.info().data is None:
            raise CheckpointError("the run has not begun to train", where=str(each.path))
        each.check_data(bank, classes, other_images=other_images)
    info = run.info()
    assert info.data is not None
    trained, task = profile.task, _asked_task(profile, way, shot, query)
    if head == "refined" and max(steps) > 0:
        raise UsageError(
            "class means that the query set has refined are not adapted any further",
            where=f"--head refined with {counted(max(steps), 'step')}",
            hint="Leave --steps out.",
        )
    models = _load_models(run, bank, checkpoint, task.way, head)
    for other in others:
        models = models.beside(_load_models(other, bank, checkpoint, task.way, head), other)
    learner = models.learner
    own_head = "prototypes" if learner.network.prototypes else "learned"
    started = head or own_head
    profile = profile.model_copy(update={"task": task})
    sampler: Sampler
    if disjoint and not isinstance(bank, Waves):
        sampler = DisjointSampler.of(profile, bank, classes, split, seed=seed)
    else:
        sampler = sampler_of(profile, bank, classes, split, seed=seed)
    if episodes is None:
        episodes = profile.evaluation.episodes
        if isinstance(sampler, DisjointSampler):
            episodes = sampler.tasks
    if episodes < 2:
        raise UsageError("an interval needs at least 2 episodes", where=f"--episodes {episodes}")
    wanted = sorted({*steps, profile.inner.test_steps})
    asked = Evaluation(
        run=run.name,
        profile=profile.name,
        data=bank.name,
        data_hash=bank.content_hash,
        way=profile.classes_of(profile.task),
        shot=profile.task.shot,
        query=profile.task.query,
        train_steps=profile.inner.steps,
        test_steps=profile.inner.test_steps,
        split=split,
        class_split=classes.name,
        checkpoint=ensemble_of(len(models.parameters))
        if others or checkpoint == "ensemble"
        else checkpoint,
        iteration=models.iteration,
        seed=sampler.seed,
        episodes=episodes,
        rotations=profile.data.rotations and not profile.is_regression,
        resize="" if profile.is_regression else profile.data.resize,
        image_size=0 if isinstance(bank, Waves) else bank.image_size,
        filters=profile.network.filters,
        module=profile.network.module,
        device=device.type,
        transductive=(),
        support=(),
        algorithm=method_of(profile),
        running_statistics=profile.plus.per_step_statistics,
        disjoint=disjoint,
        train_way=0 if trained.way == task.way else trained.way,
        train_shot=0 if trained.shot == task.shot else trained.shot,
        head=started,
        is_other_data=bank.content_hash != info.data.content_hash,
        is_other_task=task != trained.at_test or started != own_head,
        started_from=info.start.text if info.start else profile.network.weights,
        together_with=" ".join(other.name for other in others),
    )
    chunks = score_chunks(
        profile,
        learner,
        [{name: tensor.to(device) for name, tensor in each.items()} for each in models.parameters],
        sampler,
        steps=wanted[-1],
        episodes=episodes,
        device=device,
        should_stop=should_stop,
        say=say,
        ranks=ranks,
    )
    chunk_scores: list[dict[str, StepScores]] = []
    running = RunningScores(wanted, asked.metric)
    done = 0
    for scores in chunks:
        chunk_scores.append(
            {kind: only_after(each, profile.inner.test_steps) for kind, each in scores.items()}
        )
        done += scores["transductive"].loss.shape[0]
        if partial is not None:
            running.add(scores)
            partial(_with_results(asked, done, running.results()))
        if progress is not None:
            progress(done, episodes)
    results = final_results(chunk_scores, wanted, disjoint, asked.metric)
    evaluation = _with_results(asked, done, results)
    if not isinstance(sampler, EpisodeSampler):
        return evaluation
    drawn = sampler.plan(0, episodes).class_index
    return replace(
        evaluation,
        outcomes=tuple(
            outcomes_of([scores[kind] for scores in chunk_scores], drawn, sampler.classes)
            for kind in STATISTICS
        ),
    )


def _refuse_of_images(asked: dict[str, bool]) -> None:
    """Raises UsageError where one of the options, which only images have, is given."""
    for option, is_given in asked.items():
        if is_given:
            raise UsageError(
                "this run fits sine waves, which have no classes and no images",
                where=option,
                hint=f"Leave {option} out; --shot, --query, --steps and --episodes apply.",
            )


def _asked_task(
    profile: Profile, way: int | None, shot: int | None, query: int | None
) -> TaskSection:
    """The task of an evaluation: the profile's at test, but for what is given."""
    asked = {"way": way, "shot": shot, "query": query}
    given = {name: value for name, value in asked.items() if value is not None}
    if way is not None and way < 2:
        raise UsageError("a choice needs at least two classes", where=f"way {way}")
    return profile.task.at_test.model_copy(update=given)


def kept_result(run: RunFolder, profile: Profile) -> Evaluation | None:
    """The result of :func:`evaluate_as_planned` that is kept in ``run``; None: none yet.

    One of more steps than asked for will do.
    """
    best = run.info().best
    wanted = {*profile.evaluation.steps, profile.inner.test_steps}
    for evaluation in kept_evaluations(run.evaluation):
        if (
            not evaluation.departures(profile)
            and wanted <= {*evaluation.steps}
            and (best is None or evaluation.iteration == best.iteration)
        ):
            return evaluation
    return None


def evaluate_as_planned(
    run: RunFolder,
    bank: DataSource,
    *,
    device: torch.device,
    progress: Progress | None = None,
    partial: Partial | None = None,
    should_stop: ShouldStop | None = None,
    ranks: Ranks | None = None,
    say: Callable[[str], None] | None = None,
) -> Evaluation:
    """Evaluate the best checkpoint on the test split as the run's profile says.

    Raises:
        Interrupted: ``should_stop`` said so.
        MamltuiError: as ``evaluate_run``.
    """
    settings = run.profile.evaluation
    return evaluate_run(
        run,
        bank=bank,
        steps=settings.steps,
        episodes=settings.episodes,
        device=device,
        progress=progress,
        partial=partial,
        should_stop=should_stop,
        ranks=ranks,
        say=say,
    )


def keep_results(run: RunFolder, evaluation: Evaluation) -> tuple[Path, ...]:
    """Write an evaluation into its run's folder: the files; none of a reference run.

    Raises:
        RunError: the folder cannot be written.
    """
    return () if run.is_reference else write_results(run.evaluation, evaluation)


@dataclass(frozen=True)
class _Models:
    """What is scored as one, and how each of it adapts."""

    learner: Learner
    parameters: list[Parameters]
    iteration: int
    """Behind the newest."""
    test_steps: int

    def beside(self, others: _Models, run: RunFolder) -> _Models:
        """These and the ``others``, which are of ``run``.

        Raises:
            UsageError: they do not adapt as these do.
        """
        for differs, what in (
            (self.learner.network != others.learner.network, "network"),
            (self.learner.inner != others.learner.inner, "inner loop"),
            (self.test_steps != others.test_steps, "number of inner steps at test"),
        ):
            if differs:
                raise UsageError(
                    f"its {what} is not that of the first run",
                    where=run.name,
                    hint="Runs that are scored as one differ in their training alone.",
                )
        return replace(
            self,
            parameters=[*self.parameters, *others.parameters],
            iteration=max(self.iteration, others.iteration),
        )


def _load_models(
    run: RunFolder, bank: DataSource, kind: Kind, way: int, head: Head | None
) -> _Models:
    """Those of a run for tasks of ``way`` classes."""
    profile = run.profile
    learner = learner_of(profile, bank)
    members = _load_members(run, kind, learner)
    parameters = [member.parameters for member in members]
    if way != profile.task.way or head is not None:
        fitted = [with_way(learner, each, way, head) for each in parameters]
        learner, parameters = fitted[0][0], [each for _, each in fitted]
    return _Models(learner, parameters, members[-1].iteration, profile.inner.test_steps)


def _load_members(run: RunFolder, kind: Kind, learner: Learner) -> list[Checkpoint]:
    """What is scored as one, in the order of their iterations."""
    if kind == "ensemble":
        return load_kept(run, learner)
    path = run.checkpoint_path(kind)
    if kind == "best" and not path.exists() and run.checkpoint_path("last").exists():
        raise CheckpointError(
            "there is no best checkpoint: the run ended before its first validation",
            where=str(path),
            hint="Evaluate the last one: --checkpoint last",
        )
    return [run.load_checkpoint(kind, learner)]


def _with_results(evaluation: Evaluation, episodes: int, results: Results) -> Evaluation:
    return replace(
        evaluation,
        episodes=episodes,
        transductive=results["transductive"],
        support=results["support"],
    )
