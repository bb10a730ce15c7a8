"""A whole terminal for tests: a process in a pty, and its screen as a person would see it."""

from __future__ import annotations

import fcntl
import os
import pty
import select
import signal
import struct
import subprocess
import termios
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import pyte

from tests.e2e.process import COMMAND, SECONDS

KEYS = {"enter": "\r", "escape": "\x1b", "tab": "\t", "ctrl+q": "\x11", "down": "\x1b[B"}


class Terminal:
    """``program`` with ``arguments`` in a terminal of ``columns`` by ``rows``."""

    def __init__(
        self,
        arguments: list[str],
        folder: Path,
        *,
        columns: int = 80,
        rows: int = 24,
        environment: Mapping[str, str] | None = None,
        program: Sequence[str] = COMMAND,
    ) -> None:
        self.screen = pyte.Screen(columns, rows)
        self._stream = pyte.ByteStream(self.screen)
        self._parent, child = pty.openpty()
        fcntl.ioctl(child, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
        hidden = ("COLUMNS", "LINES", "NO_COLOR", "FORCE_COLOR")
        inherited = {name: value for name, value in os.environ.items() if name not in hidden}
        self.process = subprocess.Popen(
            [*program, *arguments],
            cwd=folder,
            stdin=child,
            stdout=child,
            stderr=child,
            env={**inherited, "TERM": "xterm-256color", "LC_ALL": "C.UTF-8", **(environment or {})},
            start_new_session=True,
        )
        os.close(child)

    def __enter__(self) -> Terminal:
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        if self._parent >= 0:
            os.close(self._parent)

    @property
    def text(self) -> str:
        """The screen, line by line."""
        return "\n".join(line.rstrip() for line in self.screen.display)

    def hang_up(self) -> None:
        """Take the terminal away, as a lost connection does; the system sends these signals."""
        os.close(self._parent)
        self._parent = -1
        for each in (signal.SIGHUP, signal.SIGCONT):
            os.killpg(self.process.pid, each)

    def press(self, *keys: str) -> None:
        """Type keys: a name of ``KEYS``, or the characters themselves."""
        for key in keys:
            os.write(self._parent, KEYS.get(key, key).encode())
            self.read(0.05)

    def read(self, seconds: float) -> bool:
        """Take in what is drawn within ``seconds``; whether the process can still draw."""
        limit = time.monotonic() + seconds
        while (left := limit - time.monotonic()) > 0:
            if not select.select([self._parent], [], [], left)[0]:
                break
            try:
                drawn = os.read(self._parent, 65536)
            except OSError:  # Linux's word for the other end being closed
                return False
            if not drawn:
                return False
            self._stream.feed(drawn)
        return True

    def wait_for(self, words: str, seconds: float = SECONDS) -> None:
        """Wait until ``words`` are on the screen."""
        limit = time.monotonic() + seconds
        while words not in self.text:
            if not self.read(0.05) and words not in self.text:
                raise AssertionError(f"ended before {words!r}:\n{self.text}")
            if time.monotonic() > limit:
                raise AssertionError(f"no {words!r} on the screen:\n{self.text}")

    def wait_for_end(self, seconds: float = SECONDS) -> int:
        """The exit code, once the process has ended."""
        limit = time.monotonic() + seconds
        while self.process.poll() is None:
            self.read(0.05)
            if time.monotonic() > limit:
                raise AssertionError(f"did not end:\n{self.text}")
        return self.process.returncode
