"""SIGINT and SIGTERM while something runs."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType


@contextmanager
def stop_signals(react: Callable[[signal.Signals], None]) -> Iterator[None]:
    """While inside, the first SIGINT or SIGTERM calls ``react``, in the main thread.

    After it another SIGINT ends the process at once, whatever it does; another SIGTERM is passed
    over, because some senders (``timeout`` among them) send it to a process and again to its group.
    """
    stopping = False

    def handle(number: int, _frame: FrameType | None) -> None:
        nonlocal stopping
        if not stopping:
            stopping = True
            signal.signal(signal.SIGINT, signal.SIG_DFL)
            react(signal.Signals(number))

    before = {number: signal.signal(number, handle) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
