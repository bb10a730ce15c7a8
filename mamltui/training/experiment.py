"""One experiment from its plan to its result: the only way through, whoever asks for it."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import closing, suppress
from dataclasses import dataclass
from typing import Protocol, cast

from mamltui.evaluation import evaluate_and_write
from mamltui.events import Event, Finished
from mamltui.maml.chunks import Interrupted
from mamltui.results import Evaluation
from mamltui.runs import RunFolder
from mamltui.training.control import Control
from mamltui.training.plan import Plan
from mamltui.training.trainer import Trainer


class Reader(Protocol):
    """Who follows an experiment; called in the thread that trains, which waits for it."""

    def show(self, event: Event) -> None:
        """The next event of the training; it is in the run folder."""

    def evaluating(self, done: int, episodes: int) -> None:
        """``done`` of the ``episodes`` of the evaluation on the test split are scored."""


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
    """Train as ``plan`` says, then evaluate the best checkpoint on the test split.

    For the headless command, the app, a study's worker and each rank of a distributed training
    alike. It blocks until all is over, catches no signal, writes to no terminal and leaves no
    thread behind, so it may be called from any thread, once after another, with a ``Banks`` shared
    by all plans of a process. A worker needs no more than::

        plan = make_plan(profile, device="cpu", runs=folder, banks=banks)
        outcome = run_experiment(plan)

    Args:
        plan: of :func:`make_plan`, which has made nothing yet: a new run's folder is made here.
        control: pauses and stops the training and stops the evaluation, from any thread or from a
            signal handler.
        reader: told of everything in order. What it raises ends the training after a checkpoint,
            so that the run can be gone on with, and is raised here.

    Raises:
        RunError: the run folder is in use or cannot be written, or has nothing left to do.
        CheckpointError: a checkpoint is damaged or of another network.
        DataError: the run is of other data than the plan.
        DeviceError: the device is out of memory.
    """
    control = control or Control()
    run = plan.run or RunFolder.create(plan.profile, plan.runs)
    # A generator: closed early, it saves a checkpoint.
    events = cast(Generator[Event, None, None], Trainer(plan, run, control).train())
    with closing(events):
        for end in events:
            if reader is not None:
                reader.show(end)
    evaluation = None
    if isinstance(end, Finished) and control.stop_reason is None:
        with suppress(Interrupted):
            evaluation = _evaluate(plan, run, control, reader)
    return Outcome(run, end, evaluation)


def _evaluate(plan: Plan, run: RunFolder, control: Control, reader: Reader | None) -> Evaluation:
    if reader is not None:
        reader.evaluating(0, plan.profile.evaluation.episodes)
    return evaluate_and_write(
        run,
        plan.bank,
        device=plan.device,
        progress=reader.evaluating if reader is not None else None,
        should_stop=lambda: control.stop_reason is not None,
    )
