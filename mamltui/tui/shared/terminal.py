"""The terminal itself: its title, the word that something has ended, and what if it goes."""

from __future__ import annotations

from contextlib import suppress
from typing import Any, TextIO

from textual.driver import Driver

from mamltui.text import visible

SAVE_TITLE = "\x1b[22;0t"
RESTORE_TITLE = "\x1b[23;0t"
"""Of xterm's stack of titles; terminals without it do nothing."""
LONGEST = 120


def title_sequence(text: str) -> str:
    """Sets the title of the window (OSC 2)."""
    return f"\x1b]2;{visible(text)[:LONGEST]}\x07"


def notification_sequence(text: str) -> str:
    """Rings the bell, and has the terminal say a text (OSC 9); those that cannot show nothing."""
    return f"\x07\x1b]9;{visible(text)[:LONGEST]}\x1b\\"


def outliving(driver: type[Driver]) -> type[Driver]:
    """A driver whose app comes to its end where the terminal is gone: a connection that is lost.

    Textual writes in a thread, which an error ends; the app would wait for it for ever.
    """

    class OutlivingDriver(driver):  # type: ignore[misc, valid-type]
        def __init__(self, *arguments: Any, **options: Any) -> None:
            super().__init__(*arguments, **options)
            file: TextIO | None = getattr(self, "_file", None)
            if file is not None:
                self._file = _Forgiving(file)

    return OutlivingDriver


class _Forgiving:
    """A file that passes over what it cannot write."""

    def __init__(self, file: TextIO) -> None:
        self._file = file

    def write(self, text: str) -> None:
        with suppress(OSError):
            self._file.write(text)

    def flush(self) -> None:
        with suppress(OSError):
            self._file.flush()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)
