"""Inner steps in training by inner steps at test."""

from __future__ import annotations

import math
from typing import Any

from mamltui.results import Evaluation, grids
from tests.results.examples import evaluation, step_result


def run(name: str, train_steps: int, steps: tuple[int, ...], **changes: Any) -> Evaluation:
    results = tuple(step_result(step, 0.8 + 0.01 * step) for step in steps)
    settings: dict[str, Any] = {"way": 20, "shot": 5, "test_steps": steps[-1], **changes}
    return evaluation(
        run=name, train_steps=train_steps, transductive=results, support=results, **settings
    )


def test_rows_are_runs_by_training_steps_and_columns_all_test_steps() -> None:
    (grid,) = grids([run("b", 5, (1, 5)), run("a", 1, (0, 1, 3))], "support")
    assert grid.steps == (0, 1, 3, 5)
    assert [(row.label, row.train_steps, row.headline) for row in grid.rows] == [
        ("a", 1, 3),
        ("b", 5, 5),
    ]
    assert [cell and cell.steps for cell in grid.rows[0].cells] == [0, 1, 3, None]
    assert [cell and cell.steps for cell in grid.rows[1].cells] == [None, 1, None, 5]


def test_tasks_and_splits_do_not_share_a_grid() -> None:
    found = grids([run("a", 1, (1,)), run("b", 1, (1,), shot=1), run("c", 1, (1,), split="train")])
    assert [(grid.task, grid.split) for grid in found] == [
        ("omniglot 20-way 5-shot", "test"),
        ("omniglot 20-way 1-shot", "test"),
        ("omniglot 20-way 5-shot", "train"),
    ]


def test_the_grid_of_the_earlier_study_stands_below_runs_of_its_task() -> None:
    (grid,) = grids([run("a", 1, tuple(range(11)))])
    study = [row for row in grid.rows if row.label == "student study (2022/23)"]
    assert [row.train_steps for row in study] == [1, 3, 5]
    by_step = dict(zip(grid.steps, study[1].cells, strict=True))
    cell = by_step[1]
    assert cell is not None
    assert (cell.accuracy, cell.loss) == (0.81170189, 0.936726)
    assert math.isnan(cell.accuracy_ci95)
    assert by_step[2] is None


def test_the_earlier_study_is_not_shown_beside_another_measure_of_it() -> None:
    others = [
        grids([run("a", 1, (1, 3))], "support"),
        grids([run("a", 1, (1, 3), split="validation")]),
        grids([run("a", 1, (1, 3), shot=1)]),
        grids([run("a", 1, (0, 2))]),
    ]
    assert [[row.label for row in found[0].rows] for found in others] == [["a"]] * 4
