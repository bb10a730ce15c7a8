"""Evaluating a run: one adaptation to each episode scores every number of inner steps."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor

from mamltui.data.disjoint import DisjointSampler
from mamltui.data.episodes import EpisodeSampler, SplitName
from mamltui.data.sampling import DataSource, Sampler, sampler_of
from mamltui.data.sinusoid import Waves
from mamltui.data.splits import split_classes
from mamltui.errors import CheckpointError, UsageError
from mamltui.learner import Head, learner_of, with_way
from mamltui.maml.engine import Engine
from mamltui.maml.episode import Episodes
from mamltui.maml.evaluate import StepScores, mean_and_ci95
from mamltui.maml.learner import Learner
from mamltui.maml.memory import halving, memory_explained
from mamltui.maml.parameters import Network, Parameters
from mamltui.maml.ranks import Ranks
from mamltui.maml.shared_engine import SharedEngine
from mamltui.maml.strategies import Case, why_not
from mamltui.profiles import Profile, TaskSection, method_of
from mamltui.results import (
    STATISTICS,
    Evaluation,
    Outcomes,
    StepResult,
    ensemble_of,
    kept_evaluations,
    write_results,
)
from mamltui.runs import RunFolder
from mamltui.runs.checkpoint import Checkpoint
from mamltui.runs.kept import load_kept
from mamltui.score import Metric
from mamltui.statistics import Z95, Reliability, student_quantile

Kind = Literal["best", "last", "ensemble"]
"""Of the checkpoints: the best by validation, the last, or all that ``validation.keep`` kept."""
Progress = Callable[[int, int], None]
"""Called with the episodes done and the episodes asked for."""
Partial = Callable[[Evaluation], None]
"""Called with the evaluation of the episodes done so far; its ``episodes`` says how many."""
ShouldStop = Callable[[], bool]
Results = dict[str, tuple[StepResult, ...]]
"""For each of ``STATISTICS``, the scores in the order of the steps."""

BLOCK_BYTES = {"cpu": 256 * 2**20, "cuda": 8 * 2**30}
"""Memory for the episodes scored at once: fixed, for the same rounding at every repetition."""


def evaluate_run(
    run: RunFolder,
    *,
    bank: DataSource,
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
            not learned what tasks of so many classes need, or something of images is asked for
            where there are none.
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
    trained_on = run.info().data
    if trained_on is None:
        raise CheckpointError("the run has not begun to train", where=str(run.path))
    run.check_data(bank, classes, other_images=other_images)
    learner = learner_of(profile, bank)
    members = _load_members(run, checkpoint, learner)
    trained, task = profile.task, _asked_task(profile, way, shot, query)
    parameters = [member.parameters for member in members]
    own_head = "prototypes" if learner.network.prototypes else "learned"
    started = head or own_head
    if task.way != trained.way or head is not None:
        fitted = [with_way(learner, each, task.way, head) for each in parameters]
        learner, parameters = fitted[0][0], [each for _, each in fitted]
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
        checkpoint=ensemble_of(len(members)) if checkpoint == "ensemble" else checkpoint,
        iteration=members[-1].iteration,
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
        is_other_data=bank.content_hash != trained_on.content_hash,
        is_other_task=task != trained.at_test or started != own_head,
    )
    chunks = _score_chunks(
        profile,
        learner,
        [{name: tensor.to(device) for name, tensor in member.items()} for member in parameters],
        sampler,
        steps=wanted[-1],
        episodes=episodes,
        device=device,
        should_stop=should_stop,
        say=say,
        ranks=ranks,
    )
    chunk_scores: list[dict[str, StepScores]] = []
    running = _Running(wanted, asked.metric)
    done = 0
    for scores in chunks:
        chunk_scores.append(
            {kind: _only_after(each, profile.inner.test_steps) for kind, each in scores.items()}
        )
        done += scores["transductive"].loss.shape[0]
        if partial is not None:
            running.add(scores)
            partial(_with_results(asked, done, running.results()))
        if progress is not None:
            progress(done, episodes)
    results = _final_results(chunk_scores, wanted, disjoint, asked.metric)
    evaluation = _with_results(asked, done, results)
    if not isinstance(sampler, EpisodeSampler):
        return evaluation
    drawn = sampler.plan(0, episodes).class_index
    return replace(
        evaluation,
        outcomes=tuple(
            _outcomes([scores[kind] for scores in chunk_scores], drawn, sampler.classes)
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


def _score_chunks(
    profile: Profile,
    learner: Learner,
    members: Sequence[Parameters],
    sampler: Sampler,
    *,
    steps: int,
    episodes: int,
    device: torch.device,
    should_stop: ShouldStop | None,
    say: Callable[[str], None] | None,
    ranks: Ranks | None,
) -> Iterator[dict[str, StepScores]]:
    """The scores of the episodes in order, a chunk at a time, for each of ``STATISTICS``."""
    network, inner = learner.network, learner.inner
    asked = profile.engine.strategy
    strategy = "auto" if why_not(asked, Case(network, inner, device)) else asked
    make = Engine if ranks is None else partial(SharedEngine, ranks)
    engine = make(
        network,
        inner,
        device=device,
        strategy=strategy,
        task_chunk=profile.engine.task_chunk,
        say=say,
        should_stop=should_stop,
    )
    score = partial(engine.score_ensemble, members)
    if len(members) == 1:
        score = partial(engine.score, members[0])
    first = 0
    block = block_size(profile, network, device) * (1 if ranks is None else ranks.size)
    remedy = "look for a machine with more of it: one episode alone does not fit"
    if device.type != "cpu":
        remedy = "evaluate on the processor: --device cpu"

    def drawn(size: int) -> Episodes:
        return sampler.batch(first, min(size, episodes - first), device=device)

    while first < episodes:
        with memory_explained(remedy):
            batch, block = halving(drawn, block, say or (lambda _: None), of="episodes")
        for chunk in batch.chunks(engine.tasks_at_once(batch)):
            with memory_explained(remedy):
                scores = score(chunk, steps=steps, should_stop=should_stop)
            assert scores.support_statistics is not None
            yield {"transductive": scores.transductive, "support": scores.support_statistics}
        first += batch.tasks


def block_size(profile: Profile, network: Network, device: torch.device) -> int:
    """Episodes scored at once: at least 1, and no more than ``BLOCK_BYTES`` hold."""
    classes = 1 if profile.is_regression else profile.task.way
    images = classes * (profile.task.shot + profile.task.query)
    floats_a_task = images * network.floats_an_image() + 4 * network.parameter_count()
    fitting = max(1, BLOCK_BYTES[device.type] // (4 * floats_a_task))
    return min(fitting, profile.engine.task_chunk or fitting)


class _Running:
    """Means and intervals of the episodes so far, which are not gone through again."""

    def __init__(self, steps: Sequence[int], metric: Metric) -> None:
        self._steps = steps
        self._metric = metric
        self._tasks = 0
        self._mean = self._squares = torch.zeros((), dtype=torch.float64)

    def add(self, scores: dict[str, StepScores]) -> None:
        """Take in the scores of more tasks (Chan, Golub and LeVeque 1979)."""
        # [tasks, statistics, accuracy or loss, steps + 1]
        values = torch.stack(
            [torch.stack([scores[kind].accuracy, scores[kind].loss], dim=1) for kind in STATISTICS],
            dim=1,
        )
        tasks, mean = values.shape[0], values.mean(dim=0)
        total, apart = self._tasks + tasks, mean - self._mean
        within = (values - mean).square().sum(dim=0)
        self._squares = self._squares + within + apart.square() * (self._tasks * tasks / total)
        self._mean = self._mean + apart * (tasks / total)
        self._tasks = total

    def results(self) -> Results:
        """As of all the tasks at once, but for rounding."""
        deviation = (self._squares / (self._tasks - 1)).sqrt()
        half_width = Z95 * deviation / self._tasks**0.5
        return {
            kind: _step_results(
                (self._mean[index, 0], half_width[index, 0]),
                (self._mean[index, 1], half_width[index, 1]),
                self._steps,
                self._metric,
            )
            for index, kind in enumerate(STATISTICS)
        }


def _only_after(scores: StepScores, steps: int) -> StepScores:
    """The same with the answers given after ``steps`` inner steps alone, [tasks, examples, 2]."""
    assert scores.answers is not None
    return scores._replace(answers=scores.answers[:, steps].clone())


def _final_results(
    chunks: Sequence[dict[str, StepScores]], steps: Sequence[int], disjoint: bool, metric: Metric
) -> Results:
    def mean_and_half_width(values: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        mean, half_width = mean_and_ci95(torch.cat(list(values)))
        if disjoint:  # samples of the data, and often few: as ``image_interval`` has it
            tasks = sum(map(len, values))
            half_width = half_width * (student_quantile(0.975, tasks - 1) / Z95)
        return mean, half_width

    return {
        kind: _step_results(
            mean_and_half_width([chunk[kind].accuracy for chunk in chunks]),
            mean_and_half_width([chunk[kind].loss for chunk in chunks]),
            steps,
            metric,
        )
        for kind in STATISTICS
    }


def _outcomes(
    chunks: Sequence[StepScores], class_index: Tensor, classes: Sequence[int]
) -> Outcomes:
    """Of the answers at the headline.

    Args:
        class_index: [tasks, way], the classes of each episode.
        classes: those of the split.
    """
    answers = torch.cat([chunk.answers for chunk in chunks if chunk.answers is not None])
    right, confidence = answers.double().unbind(dim=-1)
    tasks, way = class_index.shape
    index_of = torch.full((max(classes) + 1,), -1)
    index_of[torch.tensor(classes)] = torch.arange(len(classes))
    drawn = index_of[class_index]
    right_of_class = right.view(tasks, way, -1).sum(dim=2)
    asked = torch.full_like(right_of_class, right.shape[1] // way)
    zeros = torch.zeros(len(classes), dtype=torch.float64)

    def counts(values: Tensor) -> tuple[int, ...]:
        return tuple(int(value) for value in values.tolist())

    return Outcomes(
        right=counts(right.sum(dim=1)),
        class_right=counts(zeros.index_add(0, drawn.flatten(), right_of_class.flatten())),
        class_queries=counts(zeros.index_add(0, drawn.flatten(), asked.flatten())),
        reliability=Reliability.of(confidence.flatten().tolist(), right.flatten().tolist()),
    )


def _step_results(
    accuracy: tuple[Tensor, Tensor],
    loss: tuple[Tensor, Tensor],
    steps: Sequence[int],
    metric: Metric,
) -> tuple[StepResult, ...]:
    """Of means and half widths, each [all steps], what was found after each of ``steps``."""
    columns = [tensor.tolist() for tensor in (*accuracy, *loss)]
    rows = [StepResult(step, *(column[step] for column in columns)) for step in steps]
    if metric.is_error:
        rows = [replace(row, accuracy=None, accuracy_ci95=math.nan) for row in rows]
    return tuple(rows)


def _with_results(evaluation: Evaluation, episodes: int, results: Results) -> Evaluation:
    return replace(
        evaluation,
        episodes=episodes,
        transductive=results["transductive"],
        support=results["support"],
    )
