"""What a display of a training can do; this one shows nothing."""

from __future__ import annotations

from types import TracebackType
from typing import TypeVar

from mamltui.events import Event
from mamltui.results import Evaluation

ShownT = TypeVar("ShownT", bound="Shown")


class Shown:
    """A context manager around a display; one that begins or ends something overrides it."""

    def __enter__(self: ShownT) -> ShownT:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        pass


class Display(Shown):
    """Shows nothing of a training; the others override what they show."""

    def show(self, event: Event) -> None:
        """Take the next event of the training."""

    def evaluating(self, done: int, episodes: int) -> None:
        """``done`` of the ``episodes`` of the evaluation on the test split are scored."""

    def evaluated(self, evaluation: Evaluation) -> None:
        """The evaluation on the test split."""

    def stopping(self) -> None:
        """A stop was asked for, by a signal: the trainer ends its step and saves."""
