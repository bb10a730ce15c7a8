"""What a display of a training can do; this one shows nothing."""

from __future__ import annotations

from types import TracebackType

from mamltui.events import Event
from mamltui.results import Evaluation


class Display:
    """Shows nothing; the others override what they show. A context manager around a training."""

    def __enter__(self) -> Display:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        pass

    def show(self, event: Event) -> None:
        """Take the next event of the training."""

    def evaluating(self, done: int, episodes: int) -> None:
        """``done`` of the ``episodes`` of the evaluation on the test split are scored."""

    def evaluated(self, evaluation: Evaluation) -> None:
        """The evaluation on the test split."""

    def stopping(self) -> None:
        """A stop was asked for, by a signal: the trainer ends its step and saves."""
