"""How others steer a training: from another thread, or from a signal handler."""

from __future__ import annotations

from collections import deque
from queue import Empty, SimpleQueue
from typing import Literal, NamedTuple


class Request(NamedTuple):
    """What the trainer is asked to do at its next meta-step."""

    kind: Literal["pause", "resume", "stop", "checkpoint"]
    reason: str = ""
    """Of a stop."""


class Control:
    """Steers one training; requests are obeyed in order, between two meta-steps.

    Every method may be called from any thread and from a signal handler: ``SimpleQueue`` can be put
    to while the same thread is inside it, which a lock or a condition cannot.
    """

    def __init__(self) -> None:
        self._requests: SimpleQueue[Request] = SimpleQueue()
        self._seen: deque[Request] = deque()
        """Taken from the queue but not yet obeyed; only the trainer's thread comes here."""

    def pause(self) -> None:
        """Wait, without using the processor, until ``resume`` or ``stop``."""
        self._requests.put(Request("pause"))

    def resume(self) -> None:
        """Go on after a pause."""
        self._requests.put(Request("resume"))

    def stop(self, reason: str) -> None:
        """End after a checkpoint; a validation that is under way is left, and redone on resume."""
        self._requests.put(Request("stop", reason))

    def checkpoint(self) -> None:
        """Write a checkpoint now."""
        self._requests.put(Request("checkpoint"))

    def is_stopping(self) -> bool:
        """For the trainer: a stop waits among the requests."""
        while True:
            try:
                self._seen.append(self._requests.get_nowait())
            except Empty:
                return any(request.kind == "stop" for request in self._seen)

    def take(self, *, wait: bool = False) -> Request | None:
        """For the trainer: the next request; None when there is none and it need not ``wait``."""
        if self._seen:
            return self._seen.popleft()
        try:
            return self._requests.get(block=wait)
        except Empty:
            return None
