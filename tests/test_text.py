"""Nothing that a terminal would obey survives the one escape for text."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mamltui.text import same_length, shortened, visible, visible_lines

ANY_TEXT = st.text(st.characters(exclude_categories=()))


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a\x1b[2Jb\n\udc80é[bold]", "a\\x1b[2Jb\\n\\udc80é[bold]"),
        ("\x9b31m", "\\x9b31m"),  # the one-byte form of an escape sequence
        ("photo\u202egnp.exe", "photo\\u202egnp.exe"),
        ("\N{HANGUL SYLLABLE HAN} 写真 \N{BUG}", "한 写真 🐛"),
    ],
)
def test_what_does_not_print_is_written_out(text: str, shown: str) -> None:
    assert visible(text) == shown


@given(ANY_TEXT)
def test_every_text_becomes_one_that_prints_and_encodes(text: str) -> None:
    for shown in (visible(text), shortened(text), same_length(text).replace("\t", "")):
        assert shown.isprintable()
        shown.encode()


@given(ANY_TEXT)
def test_lines_stay_lines(text: str) -> None:
    assert visible_lines(text).count("\n") == text.count("\n")
    assert visible_lines(text).replace("\n", "").isprintable()


@given(ANY_TEXT)
def test_an_editor_shows_a_character_for_a_character(text: str) -> None:
    assert len(same_length(text)) == len(text)


def test_a_long_text_is_cut_and_says_so() -> None:
    assert shortened("x" * 60) == "x" * 60
    assert shortened("x" * 61) == "x" * 60 + "..."
    assert len(shortened("\x1b" * 1000)) == 63
