"""A comparison of runs as a table for a document."""

from __future__ import annotations

import csv
import io

from mamltui.results.comparison import comparison_text

NAMES = ["a_b", "x|y"]
ROWS = [["test %", "98.21 ± 0.31", "-"], ["data.path", "/a & b", "=1+1"]]


def test_latex_is_a_tabular_with_every_sign_escaped() -> None:
    assert comparison_text(NAMES, ROWS, "latex").splitlines() == [
        r"% needs \usepackage{booktabs}",
        r"\begin{tabular}{lrr}",
        r"\toprule",
        r" & a\_b & x|y \\",
        r"\midrule",
        r"test \% & 98.21 $\pm$ 0.31 & - \\",
        r"data.path & /a \& b & =1+1 \\",
        r"\bottomrule",
        r"\end{tabular}",
    ]


def test_markdown_has_a_row_for_each_of_what_is_told() -> None:
    assert comparison_text(NAMES, ROWS, "markdown").splitlines() == [
        r"|  | a\_b | x\|y |",
        "|---|---:|---:|",
        "| test % | 98.21 ± 0.31 | - |",
        r"| data.path | /a \& b | =1+1 |",
    ]


def test_csv_is_safe_for_spreadsheets_and_keeps_runs_of_one_name() -> None:
    rows = list(csv.reader(io.StringIO(comparison_text(["same", "same"], ROWS, "csv"))))
    assert rows[0] == ["what", "1 same", "2 same"]
    assert rows[1] == ["test %", "98.21 ± 0.31", "'-"]
    assert rows[2] == ["data.path", "/a & b", "'=1+1"]
