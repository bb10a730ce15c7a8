"""Which episode is looked at, with which parameters, and what may be typed to say so."""

from __future__ import annotations

import math
from collections.abc import Callable
from concurrent.futures import TimeoutError as FutureTimeout
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from mamltui.errors import CheckpointError, RunError
from mamltui.profiles import Profile
from mamltui.runs import RunFolder

if TYPE_CHECKING:  # these import torch, which takes seconds: only threads do
    from mamltui.maml.learner import Learner
    from mamltui.maml.parameters import Parameters
    from mamltui.tui.session.training import Training

Split = Literal["test", "validation", "train"]
Source = Literal["live", "last", "best"]
SPLITS: tuple[Split, ...] = ("test", "validation", "train")
LARGEST_TASK = 10**15
"""Within the sampler's 64-bit integers, and beyond all that can be trained on."""

ANSWER_SECONDS = 0.1
"""Between two looks at whether a snapshot is still wanted."""


@dataclass(frozen=True)
class Request:
    """An episode, and how to adapt to it."""

    run: RunFolder
    source: Source
    """Where the parameters are from: the training that goes on, or a checkpoint."""
    training: Training | None
    """Asked for ``live`` parameters."""
    split: Split
    task: int
    """Number t of the sampler's tasks."""
    alpha: float
    """Learned step sizes change in the ratio of this to the profile's."""
    steps: int
    """Inner steps."""

    @property
    def profile(self) -> Profile:
        """The run's, with the tasks of the split: those it is trained on, or is scored on."""
        return self.run.profile if self.split == "train" else self.run.profile.scored


def parameters_of(
    request: Request, learner: Learner, should_stop: Callable[[], bool]
) -> tuple[int, Parameters]:
    """The iteration, and the parameters on the CPU."""
    if request.source != "live":
        path = request.run.checkpoint_path(request.source)
        if not path.exists():
            raise CheckpointError(
                f"the run has no {request.source} checkpoint yet", where=str(request.run.path)
            )
        checkpoint = request.run.load_checkpoint(request.source, learner)
        return checkpoint.iteration, checkpoint.parameters
    answer = request.training.snapshot() if request.training is not None else None
    if answer is None:
        raise RunError("the run is not training now", where=str(request.run.path))
    while True:
        try:
            snapshot = answer.result(ANSWER_SECONDS)
        except FutureTimeout:
            if should_stop():
                from mamltui.maml.chunks import Interrupted

                answer.cancel()
                raise Interrupted from None
        else:
            return snapshot.iteration, snapshot.parameters


def alpha_problem(text: str) -> str:
    """What is wrong with a step size that was typed; empty if nothing."""
    try:
        value = float(text)
    except ValueError:
        return "a number, for instance 0.4"
    return "" if math.isfinite(value) and value > 0 else "a number above 0"


def read_task(text: str, batch: int | None) -> int:
    """The number of a task from ``17``, or of the training's from ``iteration:task``.

    Args:
        batch: tasks of a meta-iteration; None: the tasks are not the training's.

    Raises:
        ValueError: says what would be right.
    """
    numbers = [part.strip() for part in text.split(":")]
    if len(numbers) > 2 or not all(part.isascii() and part.isdigit() for part in numbers):
        raise ValueError("a number, for instance 17")
    if max(map(len, numbers)) > len(str(LARGEST_TASK)):
        raise ValueError(f"at most {LARGEST_TASK:,}")
    first, *rest = map(int, numbers)
    if not rest:
        task = first
    elif batch is None:
        raise ValueError("iteration:task is for the train split (d)")
    elif first < 1 or not 1 <= rest[0] <= batch:
        raise ValueError(f"iterations count from 1, the tasks of each from 1 to {batch}")
    else:
        task = (first - 1) * batch + rest[0] - 1
    if task > LARGEST_TASK:
        raise ValueError(f"at most {LARGEST_TASK:,}")
    return task
