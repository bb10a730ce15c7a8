"""What a training says while it runs: frozen dataclasses that flow from the trainer to its readers.

Accuracies are fractions in [0, 1], losses are mean cross-entropies in nats, times are seconds.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from functools import cache
from typing import Any, ClassVar, get_type_hints


@dataclass(frozen=True)
class Event:
    """Anything that happened at ``iteration`` meta-iterations done."""

    name: ClassVar[str] = "event"
    iteration: int

    def to_dict(self) -> dict[str, Any]:
        """The event as JSON-ready values, its name under ``event``."""
        return {"event": self.name, **asdict(self)}


@dataclass(frozen=True)
class Started(Event):
    """The training starts, or goes on after a resume at ``iteration``."""

    name: ClassVar[str] = "started"
    run: str
    iterations: int
    device: str
    parameters: int
    resumed: bool


@dataclass(frozen=True)
class Step(Event):
    """Metrics of one meta-iteration, on its own training episodes.

    The tuples hold one value after 0, 1, ..., ``inner.steps`` inner steps: index 0 is before
    adaptation.
    """

    name: ClassVar[str] = "step"
    query_loss: float
    query_accuracy: float
    support_loss: float
    """Before adaptation."""
    support_accuracy: float
    query_loss_per_step: tuple[float, ...]
    query_accuracy_per_step: tuple[float, ...]
    gradient_norm: float
    learning_rate: float
    iterations_per_second: float
    elapsed: float


@dataclass(frozen=True)
class Validated(Event):
    """Mean over the validation episodes after ``inner.test_steps`` steps, and after each step."""

    name: ClassVar[str] = "validated"
    accuracy: float
    ci95: float
    loss: float
    accuracy_per_step: tuple[float, ...]
    loss_per_step: tuple[float, ...]
    is_best: bool
    elapsed: float


@dataclass(frozen=True)
class Checkpointed(Event):
    """A checkpoint is complete on the disk."""

    name: ClassVar[str] = "checkpointed"
    kind: str
    """``last``, ``best`` or ``top``: one of the best."""
    path: str
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
    message: str


@dataclass(frozen=True)
class Diverged(Event):
    """The training left the finite numbers or the loss ran away; nothing after this is trusted."""

    name: ClassVar[str] = "diverged"
    reason: str


@dataclass(frozen=True)
class Stopped(Event):
    """The training ends early by request, after a checkpoint."""

    name: ClassVar[str] = "stopped"
    reason: str


@dataclass(frozen=True)
class Failed(Event):
    """The training ends by an error, which is raised after this is written."""

    name: ClassVar[str] = "failed"
    error: str


@dataclass(frozen=True)
class Finished(Event):
    """All iterations are done, or validation found nothing better for long enough."""

    name: ClassVar[str] = "finished"
    best_iteration: int
    best_accuracy: float
    best_loss: float
    elapsed: float


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
        Diverged,
        Stopped,
        Failed,
        Finished,
    )
}


def event_from_dict(values: Mapping[str, Any]) -> Event:
    """The event that ``to_dict`` wrote; keys that are not its own are left out.

    Raises:
        ValueError: no such event, or a value is missing or of another type.
    """
    name = values.get("event")
    kind = EVENTS.get(name) if isinstance(name, str) else None
    if kind is None:
        raise ValueError(f"there is no event {name!r}")
    return kind(**{key: _read(values, key, wanted) for key, wanted in _types(kind.name).items()})


@cache
def _types(event: str) -> dict[str, Any]:
    """The types of an event's fields."""
    types = get_type_hints(EVENTS[event])
    return {field.name: types[field.name] for field in fields(EVENTS[event])}


def _read(values: Mapping[str, Any], key: str, kind: Any) -> Any:
    value: Any = values.get(key)
    if kind is float:
        if _is_number(value):
            return float(value)
    elif kind in (int, str, bool):
        if type(value) is kind:
            return value
    elif isinstance(value, list | tuple) and all(_is_number(item) for item in value):
        return tuple(float(item) for item in value)
    raise ValueError(f"{key} is {value!r}" if key in values else f"{key} is missing")


def _is_number(value: Any) -> bool:
    return type(value) in (int, float)
