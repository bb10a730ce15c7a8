"""``run.json``: what is known of a run besides its profile and its metrics."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from mamltui.score import Score
from mamltui.untrusted import Amount, Count, Flag, Fraction, Iteration, Seconds, Text

if TYPE_CHECKING:
    from mamltui.data.sampling import DataSource
    from mamltui.data.splits import ClassSplit

RUN_FORMAT = 2
"""Of the run folders that this version writes; it reads the earlier ones.

1: ``run.json`` says no format. 2: it does, and which sitting it was; checkpoints hold a hash of
their tensors.
"""
State = Literal["running", "paused", "finished", "interrupted", "diverged", "failed"]


def utc_now() -> str:
    """The time in UTC as ISO 8601, to the millisecond."""
    now = datetime.now(timezone.utc)
    return now.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _checked_moment(text: str) -> str:
    if len(text) > 40 or datetime.fromisoformat(text.replace("Z", "+00:00")).tzinfo is None:
        raise ValueError("this is no time in UTC")
    return text


Moment = Annotated[str, AfterValidator(_checked_moment)]
"""UTC, ISO 8601."""


class _Model(BaseModel):
    # Keys of a later version are left out, not refused.
    model_config = ConfigDict(frozen=True, extra="ignore", strict=True, allow_inf_nan=False)


class Best(_Model):
    """The best validation so far, by the profile's criterion."""

    iteration: Iteration
    accuracy: Fraction | None
    """None of a regression: its loss, the mean squared error, is the score."""
    loss: Amount

    @property
    def score(self) -> Score:
        return Score.of(self.accuracy, self.loss)


class TrainedOn(_Model):
    """The data of a run: a resume must find the same."""

    name: str
    content_hash: str
    split: str
    split_hash: str

    @classmethod
    def of(cls, bank: DataSource, split: ClassSplit) -> TrainedOn:
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

    @property
    def text(self) -> str:
        """What was taken, in words."""
        return self.run if self.part == "all" else f"the {self.part} of {self.run}"


class RunInfo(_Model):
    """What ``run.json`` holds."""

    format: Annotated[int, Field(ge=1, le=RUN_FORMAT)] = 1
    """Of the run folder, see ``RUN_FORMAT``."""
    profile: Text
    """The profile's name."""
    state: State
    pid: Count
    """The process that trained last."""
    host: Text
    versions: dict[Text, Text]
    """Of mamltui, torch and python."""
    processor: Text | None = None
    """The CPU's name, of the machine that trained last; None of older runs."""
    device: Text | None = None
    """None until the training starts, as all that it alone knows."""
    threads: Count | None = None
    """torch's on the CPU: another number adds in another order, so the last digits differ."""
    strategy: Text | None = None
    """Of the engine; another one adds in another order, so the last digits differ."""
    task_chunk: Count | None = None
    """Of the engine, likewise; 0: chosen anew each time."""
    seed: Count
    data: TrainedOn | None = None
    start: StartedFrom | None = None
    """None: the first parameters are random, as the seed says."""
    iteration: Iteration = 0
    """Meta-iterations done when this was written; the metrics may be further."""
    iterations: Iteration
    """Meta-iterations asked for."""
    best: Best | None = None
    elapsed: Seconds = 0.0
    """Seconds of training, all sittings together, without pauses."""
    processor_seconds: Seconds | None = None
    """The processors' in that time; None: they were not counted."""
    sitting: Iteration = 0
    """Which of the trainings below the folder of runs this is, in the order in which they began:
    clocks are set back. 0: a run of an earlier version."""
    created: Moment
    started: Moment | None = None
    """When the last sitting began; times are UTC, ISO 8601."""
    updated: Moment
    error: Text | None = None
    """Why it failed, diverged or stopped."""
    tags: list[Text] = Field(default_factory=list)
    """What people marked the run with, in their order."""
    title: Text = ""
    """What people call the run; empty: nothing but its folder's name."""
    notes: Text = ""
    """What people wrote down about it."""
    starred: Flag = False
    archived: Flag = False
    """Lists leave it out unless they are asked for such runs."""

    @model_validator(mode="after")
    def _agree(self) -> RunInfo:
        if self.iteration > self.iterations:
            raise ValueError(f"iteration {self.iteration} is beyond the last, {self.iterations}")
        if self.best and self.best.iteration > self.iteration:
            raise ValueError(
                f"the best, of iteration {self.best.iteration}, is beyond iteration "
                f"{self.iteration}"
            )
        return self
