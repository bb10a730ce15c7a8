"""Key lines: what tomli reads, found again in the text."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import tomli
from hypothesis import given, settings
from hypothesis import strategies as st

from mamltui.profiles.locate import DEPTH, key_lines

TRICKY = '''\
# comment = 1 [not.a.table]
top = "a # b = c"   # trailing = 9
"quoted key" = 1
'literal' = 'it # is'

[ inner . deep ]  # spaced header
a.b = { x = 1, "y" = [1, {z = 2}], w = "}" }
text = """
fake = 1
[fake]
\\""" still "" inside
"""
lit = \'\'\'
also = 'fake'
\'\'\'
after = [
  1, # in = comment
  "]",
  [2,
   3],
]
when = 1979-05-27 07:32:00 # has a space

[[tables]]
n = 1
[[tables]]
m = 2
"caf\\u00e9" = -1.5e3
'''


def test_keys_are_found_between_comments_strings_arrays_and_inline_tables() -> None:
    assert key_lines(TRICKY) == {
        ("top",): 2,
        ("quoted key",): 3,
        ("literal",): 4,
        ("inner",): 6,
        ("inner", "deep"): 6,
        ("inner", "deep", "a"): 7,
        ("inner", "deep", "text"): 8,
        ("inner", "deep", "lit"): 13,
        ("inner", "deep", "after"): 16,
        ("inner", "deep", "when"): 22,
        ("tables",): 24,
        ("tables", "n"): 25,
        ("tables", "m"): 27,
        ("tables", "café"): 28,
    }


def test_windows_line_ends_do_not_shift_lines() -> None:
    assert key_lines(TRICKY.replace("\n", "\r\n")) == key_lines(TRICKY)


@pytest.mark.parametrize("text", ["", "\n\n", "# only a comment", "  \t", "a=1", "[a]", "a={}"])
def test_the_smallest_documents_are_read(text: str) -> None:
    assert set(key_lines(text)) == set(paths(tomli.loads(text)))


@pytest.mark.parametrize(
    "value",
    [
        '""""""',
        '""""quoted""""',
        '"""ends with a quote\\""""',
        "''''''",
        "''''quoted''''",
        r'"\\"',
        r"'\'",
        r'"\"#"',
        '"""\\\n  x"""',
        "[[], [[]]]",
        "{}",
        "{a = {b = {c = 1}}}",
        "[{a = 1}, {a = 2}]",
    ],
)
def test_the_key_after_a_difficult_value_is_found(value: str) -> None:
    text = f"first = {value}\n\nsecond = 2\n"
    assert tomli.loads(text)["second"] == 2
    assert key_lines(text)[("second",)] == text.count("\n", 0, text.index("second")) + 1


VALUES = st.sampled_from(
    [
        "1",
        "-0.5e-3",
        "true",
        "1979-05-27T07:32:00Z",
        '"x = 1 # no"',
        "'[x]'",
        '"""\nx = 1\n[y]\n"""',
        "'''\n\"\"\"\n'''",
        '"""a""\\"b"""',
        "[1, 2, # x = 3\n 3]",
        '["]", "#", [ ] , ]',
        '{ p = 1, "q" = "}", r = [1, 2] }',
        "{ }",
    ]
)
FILLER = st.sampled_from(["", "\n", "  # a = 1\n", "\n\n# [x]\n"])
NAMES = st.text("abAB01_- .#[]=\"'\\é\t", min_size=1, max_size=6)


def quoted(name: str) -> str:
    if "'" not in name and name.isprintable():
        return f"'{name}'"
    escaped = name.replace("\\", "\\\\").replace('"', '\\"').replace("\t", "\\t")
    return f'"{escaped}"'


@settings(deadline=None)
@given(
    tables=st.lists(
        st.tuples(
            NAMES, st.lists(st.tuples(NAMES, VALUES, FILLER), unique_by=lambda key: key[0]), FILLER
        ),
        unique_by=lambda table: table[0],
    ),
    windows=st.booleans(),
)
def test_every_key_of_any_document_is_found_on_its_line(
    tables: list[tuple[str, list[tuple[str, str, str]], str]], windows: bool
) -> None:
    text = ""
    expected: dict[tuple[str, ...], int] = {}
    for table, keys, filler in tables:
        text += filler
        expected[(table,)] = text.count("\n") + 1
        text += f" [ {quoted(table)} ] # c\n"
        for key, value, space in keys:
            text += space
            expected[(table, key)] = text.count("\n") + 1
            text += f"\t{quoted(key)}={value}\n"
    if windows:
        text = text.replace("\n", "\r\n")
    found = key_lines(text)
    assert {path: line for path, line in found.items() if len(path) < 3} == expected
    assert set(paths(tomli.loads(text))) == set(found)


def paths(table: dict[str, Any], prefix: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    if len(prefix) < DEPTH:
        for name, value in table.items():
            yield (*prefix, name)
            if isinstance(value, dict):
                yield from paths(value, (*prefix, name))
