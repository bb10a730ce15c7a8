"""``docs/results.md`` says what the code does."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from mamltui.cli import main
from mamltui.results import COLUMNS, compare_with_published, result_stem
from tests.results.examples import evaluation, step_result

PAGE = (Path(__file__).parents[2] / "docs" / "results.md").read_text(encoding="utf-8")


def test_every_column_of_the_csv_is_documented_in_order() -> None:
    documented = re.findall(r"^\| `(\w+)` \| (.+) \|$", PAGE, flags=re.MULTILINE)
    assert documented == list(COLUMNS.items())


def test_the_sentence_shown_is_the_sentence_written() -> None:
    (sentence,) = re.findall(r"^> (.+)$", PAGE, flags=re.MULTILINE)
    assert sentence == compare_with_published(evaluation())[0].sentence


def test_the_file_name_shown_is_the_name_given() -> None:
    results = tuple(step_result(step, 0.9) for step in range(11))
    assert f"\n{result_stem(evaluation(transductive=results))}.csv " in PAGE


def test_every_option_named_is_one_of_the_commands(capsys: pytest.CaptureFixture[str]) -> None:
    for command in (["run"], ["eval"], ["runs", "export"], ["runs", "slim"]):
        main([*command, "--help"])
    options = set(re.findall(r"--[a-z][a-z-]*", capsys.readouterr().out))
    named = set(re.findall(r"--[a-z][a-z-]*", PAGE))
    assert {"--steps", "--episodes", "--csv", "--json", "--what"} <= named
    assert named <= options


def test_every_command_named_is_there(capsys: pytest.CaptureFixture[str]) -> None:
    main(["runs", "--help"])
    listed = capsys.readouterr().out
    for name in ("list", "show", "compare", "export", "slim", "rm"):
        assert f"`{name}`" in PAGE or f"runs {name}" in PAGE
        assert re.search(rf"^\W*{name}\b", listed, flags=re.MULTILINE)
