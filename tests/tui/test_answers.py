"""What is typed into questions, checked."""

from __future__ import annotations

from pathlib import Path

import pytest

from mamltui.errors import MamltuiError
from mamltui.tui.evaluate.answers import episodes_problem, steps_problem
from mamltui.tui.shared.files import path_problem, write_new


@pytest.mark.parametrize("text", ["", " ", "0..10", "1, 3,5", "7"])
def test_steps_that_can_be_taken_are_no_problem(text: str) -> None:
    assert steps_problem(text) == ""


@pytest.mark.parametrize(
    ("text", "problem"),
    [("5..1", "backwards"), ("x", "'x' is neither"), ("-1", "-1 steps"), ("1,,2", "empty")],
)
def test_steps_that_cannot_be_taken_are_refused_in_words(text: str, problem: str) -> None:
    assert problem in steps_problem(text)


@pytest.mark.parametrize("text", ["", "2", " 600 ", "10000000"])
def test_numbers_of_episodes_are_no_problem(text: str) -> None:
    assert episodes_problem(text) == ""


@pytest.mark.parametrize("text", ["1", "0", "-3", "1.5", "many", "²", "10000001", "9" * 5000])
def test_what_is_no_number_of_episodes_is_refused(text: str) -> None:
    assert "episodes" in episodes_problem(text)


def test_a_new_file_in_a_folder_that_is_there_is_no_problem(tmp_path: Path) -> None:
    assert path_problem(str(tmp_path / "new.csv")) == ""


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("there.csv", "exists"),
        ("dangling", "exists"),
        ("nowhere/new.csv", "no such folder"),
        ("x" * 300, "cannot be a file"),
    ],
)
def test_a_path_that_cannot_be_written_is_refused_in_words(
    name: str, problem: str, tmp_path: Path
) -> None:
    (tmp_path / "there.csv").write_text("kept")
    (tmp_path / "dangling").symlink_to(tmp_path / "gone")
    assert problem in path_problem(str(tmp_path / name))
    assert "needed" in path_problem(" ")


def test_a_file_is_written_whole_and_never_over_another(tmp_path: Path) -> None:
    path = tmp_path / "new.csv"
    write_new(path, "first\n")
    with pytest.raises(MamltuiError, match="cannot be written"):
        write_new(path, "second\n")
    assert path.read_bytes() == b"first\n"
    assert list(tmp_path.iterdir()) == [path]


def test_a_file_in_a_folder_that_went_away_is_refused(tmp_path: Path) -> None:
    with pytest.raises(MamltuiError, match="cannot be written"):
        write_new(tmp_path / "gone" / "new.csv", "text")
