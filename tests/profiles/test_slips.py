"""The commonest slips: the message says what to write, and what it says to write is right."""

from __future__ import annotations

import re

import pytest
import tomli
from hypothesis import given
from hypothesis import strategies as st

from mamltui.errors import ProfileError
from mamltui.profiles import parse_profile
from mamltui.profiles.slips import number_meant, repeated, slip_of


def refused(text: str, *overrides: str) -> ProfileError:
    with pytest.raises(ProfileError) as caught:
        parse_profile(text, "x.toml", overrides)
    return caught.value


LINES = {
    # Python, YAML, JSON and C
    "rotations = True": ("rotations", True),
    "rotations = FALSE": ("rotations", False),
    "rotations = yes": ("rotations", True),
    "rotations: true": ("rotations", True),
    "rotations := off": ("rotations", False),
    "rotations == true": ("rotations", True),
    "rotations = = true": ("rotations", True),
    "image_size 32": ("image_size", 32),
    "image_size = 32;": ("image_size", 32),
    "image_size = 32 // pixels": ("image_size", 32),
    "image_size = 032": ("image_size", 32),
    "image_size = 2**5": ("image_size", 32),
    "image_size = 2 ^ 5": ("image_size", 32),
    "image_size = 4*8": ("image_size", 32),
    # numbers as people write them
    "alpha = .4": ("alpha", 0.4),
    "alpha = -.5e-3": ("alpha", -0.5e-3),
    "alpha = 4.": ("alpha", 4.0),
    "alpha = 0,4": ("alpha", 0.4),
    "alpha = 40%": ("alpha", 0.4),
    "alpha = 2/5": ("alpha", 0.4),
    "alpha = 0.4f": ("alpha", 0.4),
    "alpha = −0.4": ("alpha", -0.4),
    "iterations = 60,000": ("iterations", 60_000),
    "iterations = 60 000": ("iterations", 60_000),
    "iterations = 60'000": ("iterations", 60_000),
    "iterations = 60k": ("iterations", 60_000),
    "iterations = 500 steps": ("iterations", 500),
    # texts
    "set = omniglot": ("set", "omniglot"),
    "set = “omniglot”": ("set", "omniglot"),
    "set = ‘omniglot’": ("set", "omniglot"),
    "set = «omniglot»": ("set", "omniglot"),
    "set = `omniglot`": ("set", "omniglot"),
    'set = "omniglot': ("set", "omniglot"),
    "description = 'it's mine'": ("description", "it's mine"),
    "steps = 0..10": ("steps", "0..10"),
    "path = /home/ann/photos": ("path", "/home/ann/photos"),
    r'path = "C:\Users\ann\photos"': ("path", r"C:\Users\ann\photos"),
    r'path = "D:\photos\"': ("path", "D:\\photos\\"),
    r"path = E:\photos": ("path", r"E:\photos"),
    r'path = "\\server\share"': ("path", r"\\server\share"),
}


@pytest.mark.parametrize("line", LINES)
def test_what_the_message_says_to_write_is_toml_and_what_was_meant(line: str) -> None:
    error = refused(f"# a comment\n{line}\n")
    assert (error.where or "").startswith("x.toml:2")
    written = re.search(r"write (.*)", error.hint or "")
    assert written, error
    key, value = LINES[line]
    assert tomli.loads(written[1]) == {key: value}


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("query = None", "leave query out"),
        ("query = null  # as many", "leave query out"),
        ("query =", "leave query out"),
        ("// a comment", "#"),
        ("; a comment", "#"),
        ("[task", "write [task]"),
        ("[task]]", "write [task]"),
        ('{"task": {"way": 5}}', "JSON"),
        ("way =\u00a05", "U+00A0"),
        ("way\u200b = 5", "U+200B"),
        ("set = omniglot", "a text stands between quotation marks: write"),
        ("path = /home/ann/photos", "a text stands between quotation marks: write"),
    ],
)
def test_other_lines_that_are_not_toml_are_explained(line: str, words: str) -> None:
    assert words in (refused(line).hint or "")


@pytest.mark.parametrize(
    ("text", "what", "line"),
    [
        ("[data]\n[task]\nway = 5\n[ task ]\n", "section [task]", 2),
        ("task.way = 5\n[task]\n", "section [task]", 1),
        ("[task]\n'way' = 5\n[inner]\n[task]\n", "section [task]", 1),
        ("[task]\nshot = 1\nway = 5\nway = 6\n", "key task.way", 3),
        ('name = "a"\n"name" = "b"\n', "key name", 1),
    ],
)
def test_what_is_there_twice_is_named(text: str, what: str, line: int) -> None:
    assert refused(text).what == f"not TOML: the {what} is there twice, first in line {line}"


@pytest.mark.parametrize(
    ("text", "where", "hint"),
    [
        ('[inner]\nalpha = "0.4"', "inner.alpha", "write 0.4, without quotation marks"),
        ('[inner]\nalpha = "0,4"', "inner.alpha", "write 0.4, without quotation marks"),
        ('[meta]\niterations = "60k"', "meta.iterations", "write 60000, without quotation marks"),
        ('[data]\nrotations = "no"', "data.rotations", "write false, without quotation marks"),
        ("[data]\nrotations = 1", "data.rotations", "write true"),
        ("way = 5", "way", "did you mean task.way? Its section is [task]"),
        ("alpha = 0.4", "alpha", "did you mean inner.alpha? Its section is [inner]"),
        ("[inner]\nway = 5", "inner.way", "did you mean task.way?"),
        ('[data]\npath = "D:\\beetles"', "data.path", r"write path = 'D:\beetles' in single"),
        ('[data]\npath = "D:\\new\\train"', "data.path", r"write path = 'D:\new\train' in single"),
    ],
)
def test_a_value_that_is_not_allowed_gets_the_one_that_was_meant(
    text: str, where: str, hint: str
) -> None:
    error = refused(text)
    assert (error.where or "").endswith(where)
    assert hint in (error.hint or "")


@pytest.mark.parametrize(
    ("override", "hint"),
    [
        ("way=5", "did you mean task.way?"),
        ("inner.alpha=.4", "write 0.4"),
        ("data.rotations=True", "write true"),
        ("meta.iterations=10**3", "write 1000"),
        ("task.query=None", "leave task.query out"),
        ("task.way:5", "write task.way=5"),
        ("task.way=5,task.shot=1", "write --set task.shot=1"),
        ("task.way=5 task.shot=1", "write --set task.shot=1"),
    ],
)
def test_the_same_slips_on_the_command_line(override: str, hint: str) -> None:
    error = refused("", override)
    assert f"--set {override}" in (error.where or "")
    assert (error.hint or "").startswith(hint)


def test_a_quoted_path_of_windows_on_the_command_line_is_a_path() -> None:
    profile = parse_profile('[data]\nset = "folder"', "x.toml", [r'data.path="C:\Users\ann"'])
    assert profile.data.path == r"C:\Users\ann"


@pytest.mark.parametrize("key", ["inner.alpha", "meta.learning_rate", "inner.proximal"])
def test_a_number_that_single_precision_cannot_hold_is_refused(key: str) -> None:
    for value, words in (("1e-310", "too small for single"), ("1e-39", "too small for single")):
        assert words in refused("", f"{key}={value}").what
    assert parse_profile("", "x.toml", ["inner.alpha=1e-37"]).inner.alpha == 1e-37
    assert "too large for single" in refused("", "inner.alpha=1e39").what


def test_a_text_that_turns_the_direction_of_reading_is_refused() -> None:
    assert "does not print" in refused('description = "a\\u202eb"').what


@pytest.mark.parametrize("line", ["way =", "way: # later", "way = =", "way ==", "way = None"])
def test_a_key_without_a_value_is_left_out(line: str) -> None:
    assert refused(line).hint == "leave way out for its default; TOML has no empty value"


@given(st.floats(1e-6, 1e6) | st.integers(-(10**9), 10**9))
def test_a_number_that_is_one_is_meant_as_it_is(number: float) -> None:
    meant = number_meant(str(number))
    assert meant is not None
    assert tomli.loads(f"x = {meant}")["x"] == number


@given(
    st.text(st.characters(codec="utf-8"), max_size=60)
    | st.text("=[]{}\"'\\#.,0159%*^/ \n:ab")
    | st.from_regex(r"\A[ab]+ *[=: ]+[=:\"'\\#;%{\[ 0-2]*\Z")
)
def test_any_line_gets_a_hint_that_prints_or_none(text: str) -> None:
    for line in range(-1, 4):
        assert (slip_of(text, line) or "").isprintable()
        assert "".join(repeated(text, line) or ()).isprintable()
