"""A terminal for tests: what a person would see of the bytes that a process writes."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import struct
import subprocess
import termios
from pathlib import Path

from tests.e2e.process import COMMAND

_TOKEN = re.compile(r"\x1b\[(?P<mode>\??)(?P<numbers>[\d;]*)(?P<code>[A-Za-z])|\r|\n|[^\x1b]")


class Screen:
    """Text without end below the first line, a cursor, and the few controls that rich uses."""

    def __init__(self, columns: int) -> None:
        self.columns = columns
        self.lines = [""]
        self.row = self.column = 0
        self.cursor_shown = True

    def write(self, text: str) -> None:
        for token in _TOKEN.finditer(text):
            if token["code"]:
                self._control(token["mode"], token["numbers"], token["code"])
            elif token[0] == "\r":
                self.column = 0
            elif token[0] == "\n":
                self._next_line()
            else:
                self._put(token[0])

    def _put(self, char: str) -> None:
        if self.column == self.columns:
            self._next_line()
            self.column = 0
        line = self.lines[self.row].ljust(self.column)
        self.lines[self.row] = line[: self.column] + char + line[self.column + 1 :]
        self.column += 1

    def _next_line(self) -> None:
        self.row += 1
        if self.row == len(self.lines):
            self.lines.append("")

    def _control(self, mode: str, numbers: str, code: str) -> None:
        if mode and numbers == "25":
            self.cursor_shown = code == "h"
        elif code == "A":
            self.row = max(0, self.row - int(numbers or 1))
        elif code == "K":
            assert numbers == "2"
            self.lines[self.row] = ""
        else:
            assert code == "m", f"a control that the test does not know: {code}"


def run_in_terminal(
    arguments: list[str], folder: Path, *, columns: int, rows: int = 24
) -> tuple[int, Screen, list[list[str]]]:
    """Run a command line in a terminal: its exit code, the last screen, and all screens before."""
    parent, child = pty.openpty()
    fcntl.ioctl(child, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
    hidden = ("COLUMNS", "LINES", "NO_COLOR", "FORCE_COLOR")
    environment = {name: value for name, value in os.environ.items() if name not in hidden}
    process = subprocess.Popen(
        [*COMMAND, *arguments],
        cwd=folder,
        stdin=child,
        stdout=child,
        stderr=child,
        env={**environment, "TERM": "xterm-256color", "PYTHONIOENCODING": "utf-8"},
    )
    os.close(child)
    screen, screens = Screen(columns), []
    rest = b""
    while True:
        try:
            read = os.read(parent, 65536)
        except OSError:  # Linux's word for the other end being closed
            read = b""
        if not read:
            break
        # Up to the last line feed, or a character or a control could be cut in two.
        content, feed, rest = (rest + read).rpartition(b"\n")
        screen.write((content + feed).decode())
        screens.append(list(screen.lines))
    screen.write(rest.decode())
    os.close(parent)
    return process.wait(), screen, screens
