"""Evaluations as CSV."""

from __future__ import annotations

import csv
import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mamltui.results import COLUMNS, csv_text, markdown_text, spreadsheet_safe
from mamltui.text import visible
from tests.results.examples import evaluation, with_outcomes


def rows_of(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))


def test_the_header_is_the_documented_one() -> None:
    assert csv_text([]).splitlines() == [",".join(COLUMNS)]


def test_a_row_holds_what_was_measured_with_fixed_decimals() -> None:
    lines = csv_text([evaluation()]).splitlines()
    assert lines[4] == (
        "5way1shot-20260131-142501-3f9a,5way1shot,omniglot,5,1,1,3,transductive,98.2100,0.3100,"
        "0.617900,0.012500,600,test,best,60000,0,1,finn,true,nearest,maml,false,,,,,,0,0,learned,,"
    )


def test_there_is_a_row_for_each_run_step_and_kind_of_statistics() -> None:
    rows = rows_of(csv_text([evaluation(run="a"), evaluation(run="b")]))
    assert [(row["run"], row["statistics"], row["test_steps"]) for row in rows] == [
        (run, statistics, str(steps))
        for run in "ab"
        for statistics in ("transductive", "support")
        for steps in range(4)
    ]


def test_the_same_evaluations_give_the_same_bytes() -> None:
    assert csv_text([evaluation()]) == csv_text([evaluation()])
    assert "\r" not in csv_text([evaluation()])


@pytest.mark.parametrize("name", ["=1+1", "+1", "-1", "@SUM(A1)", " =1", "＝1"])
def test_a_name_that_looks_like_a_formula_is_quoted(name: str) -> None:
    rows = rows_of(csv_text([evaluation(run=name, profile=name)]))
    assert {row["run"] for row in rows} == {row["profile"] for row in rows} == {f"'{name}"}


def test_characters_that_do_not_print_are_written_out() -> None:
    text = csv_text([evaluation(run="a\x1b[31m\nb\u202e\udcff")])
    assert rows_of(text)[0]["run"] == r"a\x1b[31m\nb\u202e\udcff"


@given(st.text())
def test_any_name_is_printable_and_never_a_formula(name: str) -> None:
    safe = spreadsheet_safe(name)
    assert safe.isprintable()
    assert not safe.lstrip().startswith(tuple("=+-@\t\r"))
    assert safe.removeprefix("'") == visible(name).removeprefix("'")
    assert rows_of(csv_text([evaluation(run=name)]))[0]["run"] == safe


def test_running_statistics_are_not_called_transductive() -> None:
    found = evaluation(algorithm="maml + BNRS", running_statistics=True)
    rows = [line.split(",") for line in csv_text([found]).splitlines()]
    place = rows[0].index("statistics")
    assert {row[place] for row in rows[1:]} == {"running", "support"}
    assert {row[rows[0].index("algorithm")] for row in rows[1:]} == {"maml + BNRS"}
    assert "transductive" not in markdown_text([found]).replace("theirs transductive", "")


def test_the_headlines_rows_alone_say_how_far_it_can_be_trusted() -> None:
    rows = rows_of(csv_text([with_outcomes("a", [5, 5, 3])]))
    told = [row for row in rows if row["accuracy_worst_percent"]]
    assert {row["test_steps"] for row in told} == {"3"}
    assert {row["statistics"] for row in told} == {"transductive", "support"}
    for row in told:
        assert row["accuracy_p5_percent"] == "64.0000"
        assert row["accuracy_worst_percent"] == "60.0000"
        assert row["calibration_error_percent"] == "3.3333"
        assert float(row["accuracy_classes_low_percent"]) <= 100
