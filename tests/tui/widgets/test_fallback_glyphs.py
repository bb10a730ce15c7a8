"""Terminals without braille or UTF-8: other characters, each as wide as what it stands for."""

from __future__ import annotations

import pytest
from rich.cells import cell_len

from mamltui.tui.shared.fallback_glyphs import glyphs_of, table_of

BRAILLE = "".join(chr(0x2800 + dots) for dots in range(256))
SIGNS = "─━╸│┤└┬▁▂▃▄▅▆▇█●◆◇★†›‹←→↑↓▴▾✓✗±·…⏎"


@pytest.mark.parametrize(
    ("environment", "glyphs"),
    [
        ({}, "braille"),
        ({"LANG": "de_DE.UTF-8"}, "braille"),
        ({"LANG": "C"}, "ascii"),
        ({"LC_ALL": "de_DE@euro", "LANG": "de_DE.utf8"}, "ascii"),
        ({"LC_ALL": "", "LC_CTYPE": "en_US.utf8", "LANG": "C"}, "braille"),
        ({"TERM": "linux", "LANG": "C.UTF-8"}, "blocks"),
        ({"LANG": "C", "MAMLTUI_GLYPHS": "blocks"}, "blocks"),
        ({"LANG": "C.UTF-8", "MAMLTUI_GLYPHS": "ASCII"}, "ascii"),
        ({"MAMLTUI_GLYPHS": "nonsense"}, "braille"),
    ],
)
def test_the_locale_the_terminal_and_the_user_choose(
    environment: dict[str, str], glyphs: str
) -> None:
    assert glyphs_of(environment) == glyphs


def test_nothing_is_replaced_where_all_is_there() -> None:
    assert table_of("braille") is None


@pytest.mark.parametrize("glyphs", ["blocks", "ascii"])
def test_every_character_is_replaced_by_one_as_wide(glyphs: str) -> None:
    table = table_of(glyphs)
    assert table is not None
    for char in f"{BRAILLE}{SIGNS}aZ0~\x1b[1m":
        assert len(char.translate(table)) == 1, char
    assert "字é".translate(table) == ("???" if glyphs == "ascii" else "字é")
    assert cell_len("字é") == 3
    told = f"{BRAILLE}{SIGNS}".translate(table)
    assert told.isascii() if glyphs == "ascii" else not {*told} & {*BRAILLE}


def test_ink_stays_where_it_was() -> None:
    table = table_of("blocks")
    assert table is not None
    assert "⠀⠉⣀⡇⢸⣿".translate(table) == " ▀▄▌▐█"
    table = table_of("ascii")
    assert table is not None
    assert "⠀⠁⠉⡀⣀⡇⣿".translate(table) == " '\"._|#"
