"""On which line of a TOML document each key stands; tomli tells what is there, not where."""

from __future__ import annotations

import re

import tomli

Path = tuple[str, ...]

DEPTH = 3
"""Keys of profiles are two deep; below the next level all share their parent's line."""

_SPACE = re.compile(r"[ \t]*")
_BETWEEN = re.compile(r"(?:[ \t\n]|#[^\n]*)*")
_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")
_BARE_VALUE = re.compile(r"[^,\]}#\n]+")
_STRING = re.compile(
    r'"""(?:[^"\\]|\\.|"(?!""))*"{3,5}'
    r"|'''(?:[^']|'(?!''))*'{3,5}"
    r'|"(?:[^"\\\n]|\\.)*"'
    r"|'[^'\n]*'",
    re.DOTALL,
)


def key_lines(text: str) -> dict[Path, int]:
    """The line, from 1, on which each key or table is first named.

    Args:
        text: a TOML document that tomli reads without complaint; nothing else is understood.
    """
    return _Scan(text.replace("\r\n", "\n")).document()


class _Scan:
    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0
        self.lines: dict[Path, int] = {}
        self.counted_to = 0
        self.line = 1

    def document(self) -> dict[Path, int]:
        table: Path = ()
        while self.skip(_BETWEEN) < len(self.text):
            if self.text[self.at] == "[":
                array = self.text.startswith("[[", self.at)
                self.at += 2 if array else 1
                table = self.key(())
                self.at += 2 if array else 1
            else:
                self.assignment(table)
        return self.lines

    def assignment(self, table: Path) -> None:
        path = self.key(table)
        self.at += 1
        self.skip(_SPACE)
        self.value(path)

    def key(self, table: Path) -> Path:
        """A dotted key and the space after it; every table on its way is noted too."""
        path = table
        while True:
            self.skip(_SPACE)
            start = self.at
            if self.text[start] in "\"'":
                self.skip(_STRING)
                part = tomli.loads(f"key = {self.text[start : self.at]}")["key"]
            else:
                self.skip(_BARE_KEY)
                part = self.text[start : self.at]
            if len(path) < DEPTH:
                path = (*path, part)
                self.lines.setdefault(path, self.line_at(start))
            self.skip(_SPACE)
            if self.text[self.at] != ".":
                return path
            self.at += 1

    def value(self, path: Path) -> None:
        first = self.text[self.at]
        if first in "\"'":
            self.skip(_STRING)
        elif first == "[":
            self.at += 1
            while self.text[self.skip(_BETWEEN)] != "]":
                self.value(path)
                if self.text[self.skip(_BETWEEN)] == ",":
                    self.at += 1
            self.at += 1
        elif first == "{":
            self.at += 1
            while self.text[self.skip(_BETWEEN)] != "}":
                self.assignment(path)
                if self.text[self.skip(_BETWEEN)] == ",":
                    self.at += 1
            self.at += 1
        else:
            self.skip(_BARE_VALUE)

    def skip(self, pattern: re.Pattern[str]) -> int:
        """Moves behind the pattern, if it is here, and returns the new place."""
        match = pattern.match(self.text, self.at)
        if match:
            self.at = match.end()
        return self.at

    def line_at(self, offset: int) -> int:
        self.line += self.text.count("\n", self.counted_to, offset)
        self.counted_to = offset
        return self.line
