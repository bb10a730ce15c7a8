"""One experiment from its plan to its result: the only way through, whoever asks for it."""

from __future__ import annotations

import time
from collections.abc import Generator
from contextlib import closing, suppress
from dataclasses import dataclass
from typing import Protocol, cast

from mamltui.errors import RunError, StorageError
from mamltui.evaluation import evaluate_as_planned, keep_results
from mamltui.events import DiskFailing, DiskRestored, Event, Finished, Notice
from mamltui.maml.chunks import Interrupted
from mamltui.results import Evaluation
from mamltui.runs import RunFolder
from mamltui.runs.backlog import RETRY_SECONDS
from mamltui.runs.requests import obeyed
from mamltui.runs.rescue import bring_back, forget, give_up
from mamltui.training.control import Control
from mamltui.training.plan import Plan
from mamltui.training.trainer import Trainer


class Reader(Protocol):
    """Who follows an experiment; called in the thread that trains, which waits for it."""

    def show(self, event: Event) -> None:
        """What happens next. The events of the training itself are in the run folder."""

    def evaluating(self, done: int, episodes: int) -> None:
        """``done`` of the ``episodes`` of the evaluation on the test split are scored."""

    def evaluated(self, evaluation: Evaluation) -> None:
        """The evaluation on the test split; what the disk still refuses is waited for after it."""


@dataclass(frozen=True)
class Outcome:
    """How an experiment ended, if it was not by an error."""

    run: RunFolder
    end: Event
    """``Finished``, ``Stopped`` or ``Diverged``."""
    evaluation: Evaluation | None
    """On the test split; None without ``Finished``, or where a stop came before its end."""


def run_experiment(
    plan: Plan, control: Control | None = None, reader: Reader | None = None
) -> Outcome:
    """Train as ``plan`` says, if that is left to do, then evaluate the best checkpoint.

    For the headless command, the app, a study's worker and each rank of a distributed training
    alike. It blocks until all is over, catches no signal, writes to no terminal and leaves no
    thread behind, so it may be called from any thread, once after another, with a ``Banks`` shared
    by all plans of a process. A worker needs no more than::

        plan = make_plan(profile, device="cpu", runs=folder, banks=banks)
        outcome = run_experiment(plan)

    Args:
        plan: of :func:`make_plan`, which has made nothing yet: a new run's folder is made here.
        control: pauses and stops the training and stops the evaluation, from any thread or from a
            signal handler. Other processes ask it through :mod:`mamltui.runs.requests`.
        reader: told of everything in order. What it raises ends the training after a checkpoint,
            so that the run can be gone on with, and is raised here.

    Raises:
        RunError: the run folder is in use or cannot be written, or has nothing left to do.
        CheckpointError: a checkpoint is damaged or of another network.
        DataError: the run is of other data than the plan.
        DeviceError: the device is out of memory.
        StorageError: the disk refused something until ``run.disk_patience`` was over, or until a
            stop; ``reader`` has the evaluation all the same.
    """
    control, reader = control or Control(), reader or _Nobody()
    run = plan.run or RunFolder.create(plan.profile, plan.runs)
    evaluation, is_kept = None, False
    try:
        end = _finished(plan, run) if plan.is_trained else _train(plan, run, control, reader)
        try:
            if isinstance(end, Finished) and control.stop_reason is None:
                with suppress(Interrupted):
                    evaluation = _evaluate(plan, run, control, reader)
                    with suppress(StorageError):
                        is_kept = run.settle() and _keep(run, evaluation)
                    reader.evaluated(evaluation)
        finally:
            _wait_for_disk(run, control, reader)
            if evaluation is not None and not is_kept:
                _keep(run, evaluation)
    finally:
        run.release()
    return Outcome(run, end, evaluation)


def _train(plan: Plan, run: RunFolder, control: Control, reader: Reader) -> Event:
    """The last event."""
    # A generator: closed early, it saves a checkpoint.
    events = cast(Generator[Event, None, None], Trainer(plan, run, control).train())
    with closing(events), obeyed(run, control):
        for event in events:
            reader.show(event)
    return event


def _finished(plan: Plan, run: RunFolder) -> Finished:
    """How a run that is trained has ended, ready to be evaluated as ``plan`` says."""
    run.acquire()
    bring_back(run)
    if run.profile != plan.profile:
        run.set_profile(plan.profile)
    info = run.info()
    if info.best is None:
        raise RunError("the run is finished, but has no best validation", where=str(run.path))
    return Finished(
        info.iteration,
        best_iteration=info.best.iteration,
        best_accuracy=info.best.accuracy,
        best_loss=info.best.loss,
        elapsed=info.elapsed,
    )


class _Nobody:
    """Reads nothing."""

    def show(self, event: Event) -> None:
        pass

    def evaluating(self, done: int, episodes: int) -> None:
        pass

    def evaluated(self, evaluation: Evaluation) -> None:
        pass


def _evaluate(plan: Plan, run: RunFolder, control: Control, reader: Reader) -> Evaluation:
    reader.evaluating(0, plan.profile.evaluation.episodes)
    return evaluate_as_planned(
        run,
        plan.bank,
        device=plan.device,
        progress=reader.evaluating,
        should_stop=lambda: control.stop_reason is not None,
        ranks=plan.ranks,
        say=lambda text: reader.show(Notice(run.info().iteration, text)),
    )


def _wait_for_disk(run: RunFolder, control: Control, reader: Reader) -> None:
    """Until the run folder has all of a training that is over, or there is no hope of it.

    Raises:
        StorageError: the patience is at its end, or a stop was asked for; it says where the rest
            is.
    """
    try:
        if not run.settle() and (trouble := run.backlog.trouble) is not None:
            iteration = run.info().iteration
            reader.show(DiskFailing(iteration, str(trouble.error), run.backlog.describe()))
            while control.stop_reason is None and not run.settle():
                time.sleep(RETRY_SECONDS)
            if run.backlog.is_behind:
                raise StorageError(trouble.error.what, where=trouble.error.where)
            reader.show(DiskRestored(iteration))
            forget(run)
    except StorageError as error:
        raise give_up(run, error) from error


def _keep(run: RunFolder, evaluation: Evaluation) -> bool:
    """Write the results into the run folder; True.

    Raises:
        StorageError: the run folder cannot be written.
    """
    try:
        keep_results(run, evaluation)
    except RunError as error:
        raise StorageError(
            f"the results are not in the run folder: {error.what}",
            where=error.where,
            hint="They were shown; the same evaluation gives the same results again: "
            f"mamltui eval {run.path}",
        ) from error
    return True
