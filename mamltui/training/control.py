"""How others steer a training: from another thread, or from a signal handler."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Literal, NamedTuple

from mamltui.errors import RunError

if TYPE_CHECKING:  # torch takes seconds to import, and a control can be held before
    from mamltui.maml.parameters import Parameters


class Snapshot(NamedTuple):
    """The parameters between two meta-steps, as a copy on the CPU."""

    iteration: int
    """Meta-iterations done."""
    parameters: Parameters


class Request(NamedTuple):
    """What the trainer is asked to do at its next meta-step."""

    kind: Literal["pause", "resume", "stop", "checkpoint", "snapshot"]
    reason: str = ""
    """Of a stop."""
    answer: Future[Snapshot] | None = None
    """Of a snapshot."""

    def give(self, iteration: int, parameters: Parameters) -> None:
        """Answer a snapshot with a copy, unless it was cancelled."""
        try:
            copied = {name: value.to("cpu", copy=True) for name, value in parameters.items()}
        except Exception:  # of the device: the training ends with it
            self.refuse()
            raise
        if self.answer is not None and self.answer.set_running_or_notify_cancel():
            self.answer.set_result(Snapshot(iteration, copied))

    def refuse(self) -> None:
        """Let who waits for a snapshot know that there will be none."""
        if self.answer is not None and self.answer.set_running_or_notify_cancel():
            self.answer.set_exception(
                RunError("the training has ended", hint="Its last and best checkpoints are kept.")
            )


class Control:
    """Steers one training; requests are obeyed in order, between two meta-steps.

    Every method may be called from any thread and, but for ``snapshot``, from a signal handler:
    ``SimpleQueue`` can be put to while the same thread is inside it, which a lock or a condition
    cannot.
    """

    def __init__(self) -> None:
        self._requests: SimpleQueue[Request] = SimpleQueue()
        self._seen: deque[Request] = deque()
        """Taken from the queue but not yet obeyed; while training only its thread comes here."""
        self._ended = False
        self.stop_reason: str | None = None
        """Of the first stop asked for; None: none was."""

    def pause(self) -> None:
        """Wait, without using the processor, until ``resume`` or ``stop``.

        A meta-step or validation that is under way is left, and redone on resume.
        """
        self._requests.put(Request("pause"))

    def resume(self) -> None:
        """Go on after a pause."""
        self._requests.put(Request("resume"))

    def stop(self, reason: str) -> None:
        """End after a checkpoint.

        A meta-step or validation that is under way is left, and redone on resume.
        """
        self.stop_reason = self.stop_reason or reason
        self._requests.put(Request("stop", reason))

    def checkpoint(self) -> None:
        """Write a checkpoint now."""
        self._requests.put(Request("checkpoint"))

    def snapshot(self) -> Future[Snapshot]:
        """Copy the parameters, also while paused; the training goes on.

        Returns:
            A future that gets the copy, or a ``RunError`` when the training ends before.
        """
        answer: Future[Snapshot] = Future()
        self._requests.put(Request("snapshot", answer=answer))
        if self._ended:  # perhaps after the last look of the trainer
            self._refuse_waiting()
        return answer

    def is_halting(self) -> bool:
        """For the trainer: a stop or a pause waits among the requests."""
        self._seen.extend(self._waiting())
        return any(request.kind in ("stop", "pause") for request in self._seen)

    def take(self, *, wait: bool = False, seconds: float | None = None) -> Request | None:
        """For the trainer: the next request.

        None when there is none and it need not ``wait``, or has done so for ``seconds``.
        """
        if self._seen:
            return self._seen.popleft()
        try:
            return self._requests.get(wait, seconds)
        except Empty:
            return None

    def end(self) -> None:
        """For who drives the training: nobody will take another request."""
        self._ended = True
        while self._seen:
            self._seen.popleft().refuse()
        self._refuse_waiting()

    def _refuse_waiting(self) -> None:
        for request in self._waiting():  # who takes a request out is the only one to answer it
            request.refuse()

    def _waiting(self) -> Iterator[Request]:
        """Take what is in the queue."""
        while True:
            try:
                yield self._requests.get_nowait()
            except Empty:
                return
