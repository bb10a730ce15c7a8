"""Evaluations as Markdown."""

from __future__ import annotations

from mamltui.results import markdown_text
from tests.results.examples import evaluation


def test_the_table_holds_both_statistics_and_marks_the_headline() -> None:
    lines = markdown_text([evaluation()]).splitlines()
    table = [line for line in lines if line.startswith("|")]
    assert table[2] == "| 0 | 20.00 ± 0.31 | 1.4000 | 15.00 ± 0.31 | 1.4500 |"
    assert table[-1] == "| **3** | 98.21 ± 0.31 | 0.6179 | 93.21 ± 0.31 | 0.6679 |"
    assert len(table) == 2 + 4


def test_the_comparison_is_in_words() -> None:
    assert (
        "- 98.21 ± 0.31 %: below the MAML paper's 98.7 ± 0.4 %, and the intervals meet "
        "\\[Finn, Abbeel and Levine 2017, Table 1\\]\n"
    ) in markdown_text([evaluation()])


def test_a_task_without_published_figure_says_so() -> None:
    text = markdown_text([evaluation(data="strokes")])
    assert "There is no published figure for strokes 5-way 1-shot." in text


def test_several_runs_end_in_their_grids() -> None:
    text = markdown_text([evaluation(run="a"), evaluation(run="b", train_steps=5)])
    heading = "### Train steps x test steps: omniglot 5-way 1-shot, test split, "
    assert text.count(heading) == 2
    grid = text.split(f"{heading}transductive")[1]
    assert "| run | train steps | test 0 | test 1 | test 2 | test 3 |" in grid
    assert "| b | 5 | 20.00 ± 0.31 (1.4000) |" in grid


def test_names_do_not_become_markup() -> None:
    text = markdown_text([evaluation(run="a|<b>_[c](d)*\n# e")])
    assert text.startswith("### a\\|\\<b\\>\\_\\[c\\](d)\\*\\\\n# e\n")
