"""``run.json``: what is known of a run besides its profile and its metrics."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import TYPE_CHECKING, Literal

from pydantic import BaseModel, ConfigDict

if TYPE_CHECKING:
    from mamltui.data.bank import ImageBank
    from mamltui.data.splits import ClassSplit

State = Literal["running", "paused", "finished", "interrupted", "diverged", "failed"]


def utc_now() -> str:
    """The time in UTC as ISO 8601, to the millisecond."""
    now = datetime.now(timezone.utc)
    return now.isoformat(timespec="milliseconds").replace("+00:00", "Z")


class _Model(BaseModel):
    # Keys of a later version are left out, not refused.
    model_config = ConfigDict(frozen=True, extra="ignore", strict=True, allow_inf_nan=False)


class Best(_Model):
    """The best validation so far, by the profile's criterion."""

    iteration: int
    accuracy: float
    loss: float


class TrainedOn(_Model):
    """The data of a run: a resume must find the same."""

    name: str
    content_hash: str
    split: str
    split_hash: str

    @classmethod
    def of(cls, bank: ImageBank, split: ClassSplit) -> TrainedOn:
        return cls(
            name=bank.name,
            content_hash=bank.content_hash,
            split=split.name,
            split_hash=split.hash,
        )


class StartedFrom(_Model):
    """Where the first parameters of a run are from, if from another run."""

    run: str
    """Its name."""
    checkpoint: str
    """``best`` or ``last``."""
    iteration: int
    part: str
    """``all``, ``body`` or ``head``."""


class RunInfo(_Model):
    """What ``run.json`` holds."""

    profile: str
    """The profile's name."""
    state: State
    pid: int
    """The process that trained last."""
    host: str
    versions: dict[str, str]
    """Of mamltui, torch and python."""
    processor: str | None = None
    """The CPU's name, of the machine that trained last; None of older runs."""
    device: str | None = None
    """None until the training starts, as all that it alone knows."""
    threads: int | None = None
    """torch's on the CPU: another number adds in another order, so the last digits differ."""
    strategy: str | None = None
    """Of the engine; another one adds in another order, so the last digits differ."""
    task_chunk: int | None = None
    """Of the engine, likewise; 0: chosen anew each time."""
    seed: int
    data: TrainedOn | None = None
    start: StartedFrom | None = None
    """None: the first parameters are random, as the seed says."""
    iteration: int = 0
    """Meta-iterations done when this was written; the metrics may be further."""
    iterations: int
    """Meta-iterations asked for."""
    best: Best | None = None
    elapsed: float = 0.0
    """Seconds of training, all sittings together, without pauses."""
    created: str
    started: str | None = None
    """When the last sitting began; times are UTC, ISO 8601."""
    updated: str
    error: str | None = None
    """Why it failed, diverged or stopped."""
