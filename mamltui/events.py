"""What a training says while it runs: frozen dataclasses that flow from the trainer to its readers.

Accuracies are fractions in [0, 1], losses are mean cross-entropies in nats, times are seconds. Of a
regression losses are mean squared errors, and there are no accuracies: None, or empty per step.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, ClassVar

from mamltui.score import ACCURACY, SQUARED_ERROR, Score
from mamltui.untrusted import (
    Amount,
    Count,
    Flag,
    Fraction,
    Iteration,
    PerStep,
    Seconds,
    Text,
    checked,
)


@dataclass(frozen=True)
class Event:
    """Anything that happened at ``iteration`` meta-iterations done."""

    name: ClassVar[str] = "event"
    iteration: Iteration

    def to_dict(self) -> dict[str, Any]:
        """The event as JSON-ready values, its name under ``event``."""
        return {"event": self.name, **asdict(self)}


@dataclass(frozen=True)
class Started(Event):
    """The training starts, or goes on after a resume at ``iteration``."""

    name: ClassVar[str] = "started"
    run: Text
    iterations: Iteration
    device: Text
    parameters: Count
    resumed: Flag


@dataclass(frozen=True)
class Step(Event):
    """Metrics of one meta-iteration, on its own training episodes.

    The tuples hold one value after 0, 1, ..., ``inner.steps`` inner steps: index 0 is before
    adaptation.
    """

    name: ClassVar[str] = "step"
    query_loss: Amount
    query_accuracy: Fraction | None
    support_loss: Amount
    """Before adaptation."""
    support_accuracy: Fraction | None
    query_loss_per_step: PerStep[Amount]
    query_accuracy_per_step: PerStep[Fraction]
    gradient_norm: Amount
    learning_rate: Amount
    iterations_per_second: Amount
    elapsed: Seconds
    """Of training by the clock, all sittings together, without pauses."""
    processor_seconds: Seconds | None = None
    """Of all processors together in the same time; None in runs of an earlier version."""

    @property
    def score(self) -> Score:
        """Of the query examples after adaptation."""
        return Score.of(self.query_accuracy, self.query_loss)

    @property
    def scores_per_step(self) -> tuple[Score, ...]:
        """The same after each inner step."""
        return _per_step(self.query_accuracy_per_step, self.query_loss_per_step)


@dataclass(frozen=True)
class Validated(Event):
    """Mean over the validation episodes after ``inner.test_steps`` steps, and after each step."""

    name: ClassVar[str] = "validated"
    accuracy: Fraction | None
    ci95: Amount
    """Half the width of the 95% interval of the accuracy; of a regression, of the loss."""
    loss: Amount
    accuracy_per_step: PerStep[Fraction]
    loss_per_step: PerStep[Amount]
    is_best: Flag
    elapsed: Seconds
    processor_seconds: Seconds | None = None

    @property
    def score(self) -> Score:
        return Score.of(self.accuracy, self.loss, self.ci95)

    @property
    def scores_per_step(self) -> tuple[Score, ...]:
        """After each inner step."""
        return _per_step(self.accuracy_per_step, self.loss_per_step)


@dataclass(frozen=True)
class Checkpointed(Event):
    """A checkpoint is complete on the disk."""

    name: ClassVar[str] = "checkpointed"
    kind: Text
    """``last``, ``best`` or ``top``: one of the best."""
    path: Text
    """Seen from the run folder."""


@dataclass(frozen=True)
class Paused(Event):
    """The trainer waits for resume or stop."""

    name: ClassVar[str] = "paused"


@dataclass(frozen=True)
class Resumed(Event):
    """The trainer goes on after a pause."""

    name: ClassVar[str] = "resumed"


@dataclass(frozen=True)
class Notice(Event):
    """Something the user should know that does not end the training."""

    name: ClassVar[str] = "notice"
    message: Text


@dataclass(frozen=True)
class DiskFailing(Event):
    """The disk refuses what the training writes; it is kept in memory and tried again."""

    name: ClassVar[str] = "disk_failing"
    reason: Text
    waiting: Text
    """What is not on the disk, in words."""

    @property
    def message(self) -> str:
        """All of it in a sentence."""
        return f"the disk refuses: {self.reason}. In memory alone, and tried again: {self.waiting}"


@dataclass(frozen=True)
class DiskRestored(Event):
    """All that was kept in memory is on the disk."""

    name: ClassVar[str] = "disk_restored"

    @property
    def message(self) -> str:
        """All of it in a sentence."""
        return "the disk takes what is written again: everything is there"


@dataclass(frozen=True)
class Diverged(Event):
    """The training left the finite numbers or the loss ran away; nothing after this is trusted."""

    name: ClassVar[str] = "diverged"
    reason: Text


@dataclass(frozen=True)
class Stopped(Event):
    """The training ends early by request, after a checkpoint."""

    name: ClassVar[str] = "stopped"
    reason: Text


@dataclass(frozen=True)
class Failed(Event):
    """The training ends by an error, which is raised after this is written."""

    name: ClassVar[str] = "failed"
    error: Text


@dataclass(frozen=True)
class Finished(Event):
    """All iterations are done, or validation found nothing better for long enough."""

    name: ClassVar[str] = "finished"
    best_iteration: Iteration
    best_accuracy: Fraction | None
    best_loss: Amount
    elapsed: Seconds

    @property
    def best_score(self) -> Score:
        return Score.of(self.best_accuracy, self.best_loss)


def _per_step(accuracies: tuple[float, ...], losses: tuple[float, ...]) -> tuple[Score, ...]:
    if accuracies:
        return tuple(Score(ACCURACY, accuracy) for accuracy in accuracies)
    return tuple(Score(SQUARED_ERROR, loss) for loss in losses)


EVENTS: dict[str, type[Event]] = {
    kind.name: kind
    for kind in (
        Started,
        Step,
        Validated,
        Checkpointed,
        Paused,
        Resumed,
        Notice,
        DiskFailing,
        DiskRestored,
        Diverged,
        Stopped,
        Failed,
        Finished,
    )
}


def event_from_dict(values: Mapping[str, Any]) -> Event:
    """The event that ``to_dict`` wrote; keys that are not its own are left out.

    Raises:
        ValueError: no such event, or a value is missing or not allowed.
    """
    name = values.get("event")
    kind = EVENTS.get(name) if isinstance(name, str) else None
    if kind is None:
        raise ValueError(f"there is no event {name!r}")
    return checked(kind, values)
