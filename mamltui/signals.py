"""What the system and other people ask of a training by signals."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

STOPPING = ("SIGINT", "SIGTERM", "SIGHUP")
"""Interrupt from the keyboard, a shutdown, a terminal or connection that is gone."""
SAVING = "SIGUSR1"
"""Slurm's warning before the time of a job is over (``#SBATCH --signal=USR1@120``)."""


@contextmanager
def stop_signals(
    react: Callable[[signal.Signals], None],
    save: Callable[[], None] = lambda: None,
    *,
    insisting: bool = True,
) -> Iterator[None]:
    """While inside, the first of ``STOPPING`` calls ``react``, in the main thread.

    After it another SIGINT ends the process at once, whatever it does, unless ``insisting`` is
    false: a launcher such as ``torchrun`` passes on what the terminal has sent already. Another
    SIGTERM or SIGHUP is passed over, because some senders (``timeout`` among them) send it to a
    process and again to its group. A SIGHUP that was ignored before stays so: ``nohup`` asks for
    that. SIGUSR1 calls ``save``. Systems that lack a signal do without.
    """
    stopping = False

    def stop(number: int, _frame: FrameType | None) -> None:
        nonlocal stopping
        if not stopping:
            stopping = True
            if insisting:
                signal.signal(signal.SIGINT, signal.SIG_DFL)
            react(signal.Signals(number))

    before: dict[int, Any] = {}
    handlers = dict.fromkeys(STOPPING, stop) | {SAVING: lambda *_: save()}
    for name, handler in handlers.items():
        number = getattr(signal, name, None)
        if number is None or (name == "SIGHUP" and signal.getsignal(number) is signal.SIG_IGN):
            continue
        before[number] = signal.signal(number, handler)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
