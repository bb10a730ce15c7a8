"""mamltui in processes of its own, which end when this one is asked to."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any


class Processes:
    """Those that were started here. SIGINT or SIGTERM stops them all; a second one kills them."""

    def __init__(self, threads: int) -> None:
        self.stopped_by: signal.Signals | None = None
        count = str(threads)
        self._environment = os.environ | {"OMP_NUM_THREADS": count, "MKL_NUM_THREADS": count}
        self._living: list[subprocess.Popen[Any]] = []

    @property
    def stopping(self) -> bool:
        return self.stopped_by is not None

    @contextmanager
    def stopped_by_signals(self) -> Iterator[None]:
        """While inside, signals end the processes and leave this one to end in order."""
        kinds = (signal.SIGINT, signal.SIGTERM)
        before = {kind: signal.signal(kind, self._stop) for kind in kinds}
        try:
            yield
        finally:
            for kind, handler in before.items():
                signal.signal(kind, handler)

    def start(
        self, arguments: list[str], log: Path, *, nice: bool, listen: bool = False
    ) -> subprocess.Popen[str]:
        """``python -m mamltui ARGUMENTS``, its words going to ``log``.

        Args:
            nice: let others go first.
            listen: keep its stdout for the caller to read.
        """
        command = [sys.executable, "-m", "mamltui", *arguments]
        if nice and (found := shutil.which("nice")):
            command = [found, "-n", "10", *command]
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("a") as words:
            words.write(f"$ {' '.join(arguments)}\n")
            words.flush()
            process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE if listen else words,
                stderr=words,
                text=True,
                env=self._environment,
                start_new_session=True,  # Ctrl-C reaches it from here alone, and once
            )
        self._living = [one for one in self._living if one.poll() is None] + [process]
        if self.stopping:
            process.send_signal(signal.SIGINT)
        return process

    def _stop(self, number: int, _: object) -> None:
        again = self.stopping
        self.stopped_by = signal.Signals(number)
        for process in self._living:
            if process.poll() is None:
                process.send_signal(signal.SIGKILL if again else signal.SIGINT)


def last_words(log: Path, lines: int = 3) -> str:
    """The end of a log: where a program that failed says why."""
    try:
        text = log.read_text(errors="replace")
    except OSError:
        return ""
    return " / ".join(line.strip() for line in text.strip().splitlines()[-lines:])
