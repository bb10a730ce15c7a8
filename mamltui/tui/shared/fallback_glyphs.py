"""What terminals without braille, or without UTF-8, are shown in place of characters they lack."""

from __future__ import annotations

import os
from collections.abc import Mapping

from rich.cells import cell_len
from textual.driver import Driver

VARIABLE = "MAMLTUI_GLYPHS"
"""``braille`` (all there are), ``blocks`` (half blocks in place of braille) or ``ascii``."""
GLYPHS = ("braille", "blocks", "ascii")
BRAILLE = 0x2800
_UPPER, _LOWER = 0b0001_1011, 0b1110_0100
"""The dots of the two upper and the two lower rows of a braille cell."""
_LEFT, _RIGHT = 0b0100_0111, 0b1011_1000
_ASCII = {
    "─": "-", "━": "=", "╸": "=", "│": "|", "┤": "+", "┼": "+", "┬": "+", "└": "+", "┌": "+",
    "┐": "+", "┘": "+", "├": "+", "┴": "+", "▁": "_", "▂": "_", "▃": ".", "▄": "-", "▅": "-",
    "▆": "=", "▇": "*", "█": "#", "▀": '"', "▌": "|", "▐": "|", "●": "*", "○": "o", "◆": "*",
    "◇": "o", "■": "#", "□": "o", "▲": "^", "△": "^", "▼": "v", "▽": "v", "★": "*", "†": "+",
    "›": ">", "‹": "<", "←": "<", "→": ">", "↑": "^", "↓": "v", "▴": "^", "▾": "v", "✓": "+",
    "✗": "x", "±": "~", "·": ".", "…": "~", "×": "x", "⏎": "<", "▎": "|", "▊": "|", "▔": "-",
    "▕": "|", "▏": "|", "•": "*", "⭘": "o", "–": "-", "“": '"', "”": '"', "’": "'",
}  # fmt: skip
_BLOCKS = {"╸": "━", "▁": "_", "▂": "▄", "▃": "▄", "▅": "▄", "▆": "█", "▇": "█", "⏎": "<"}


def glyphs_of(environment: Mapping[str, str]) -> str:
    """Which of ``GLYPHS`` a terminal is likely to show: as asked for, else by locale and kind."""
    asked = environment.get(VARIABLE, "").strip().lower()
    if asked in GLYPHS:
        return asked
    locale = next(
        (environment[name] for name in ("LC_ALL", "LC_CTYPE", "LANG") if environment.get(name)), ""
    )
    # Without a word of a locale, as in containers, most terminals know UTF-8 all the same.
    if locale and "utf" not in locale.lower():
        return "ascii"
    return "blocks" if environment.get("TERM") == "linux" else "braille"


class _Table(dict[int, int]):
    """Of ``str.translate``: every character has the width of the one that it stands for."""

    def __init__(self, glyphs: str) -> None:
        is_ascii = glyphs == "ascii"
        for dots in range(256):
            self[BRAILLE + dots] = ord(_ascii_cell(dots) if is_ascii else _block_cell(dots))
        others = _ASCII if is_ascii else _BLOCKS
        self.update((ord(char), ord(other)) for char, other in others.items())
        self._is_ascii = is_ascii

    def __missing__(self, code: int) -> int | str:
        if not self._is_ascii or code < 0x80:
            return code
        return "?" * cell_len(chr(code))


def _ascii_cell(dots: int) -> str:
    """The character whose ink lies most like that of a braille cell."""
    count = dots.bit_count()
    if count == 0:
        return " "
    if count >= 6:
        return "#"
    if not dots & _LOWER:
        return "'" if count == 1 else '"'
    if not dots & _UPPER:
        return "." if count == 1 else "_"
    if not dots & _RIGHT or not dots & _LEFT:
        return "|" if count > 2 else ":"
    return "-" if count <= 2 else "+"


def _block_cell(dots: int) -> str:
    """A half block, or a whole one, that covers the dots of a braille cell."""
    if not dots:
        return " "
    if not dots & _LOWER:
        return "▀"
    if not dots & _UPPER:
        return "▄"
    if not dots & _RIGHT:
        return "▌"
    return "▐" if not dots & _LEFT else "█"


def table_of(glyphs: str) -> dict[int, int] | None:
    """For ``str.translate``: characters that such a terminal shows; None: it shows all."""
    return None if glyphs == "braille" else _Table(glyphs)


def with_fallback(driver: type[Driver]) -> type[Driver]:
    """A driver for the terminal of this process, which writes no character that it lacks."""
    table = table_of(glyphs_of(os.environ))
    return driver if table is None else _translating(driver, table)


def _translating(driver: type[Driver], table: dict[int, int]) -> type[Driver]:
    class PlainDriver(driver):  # type: ignore[misc, valid-type]
        def write(self, data: str) -> None:
            super().write(data.translate(table))

    return PlainDriver
