"""Which runs can be evaluated, and which earlier results stand for them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from textual.app import App, ComposeResult

from mamltui.data.banks import Banks
from mamltui.profiles import load_profile
from mamltui.results import Evaluation, grids
from mamltui.runs import Best, ListedRun, RunFolder
from mamltui.tui.evaluate.board import Board
from mamltui.tui.evaluate.candidates import (
    Settings,
    known_evaluation,
    refusal,
    task_of,
    unmeasured,
)
from mamltui.tui.evaluate.cells import MISSING, cell_parts
from mamltui.tui.evaluate.lines import cell_text
from mamltui.tui.evaluate.steps_chart import StepsChart
from mamltui.tui.evaluate.sweep import Sweep
from tests.tui.conftest import SECONDS
from tests.tui.runs import listed, make_run


@pytest.fixture
def run(place: Path) -> ListedRun:
    make_run(place, "one")
    return listed(place)["one"]


@pytest.fixture
def found(run: ListedRun) -> Evaluation:
    """What an evaluation by the profile finds: steps 0 to 3, 6 episodes."""
    sweep = Sweep([run], Settings(), banks=Banks(), device="cpu").start()
    assert sweep.wait(SECONDS)
    evaluation = sweep.parts[run.name].evaluation
    assert evaluation is not None
    return evaluation


def test_a_run_tells_its_task_and_state(run: ListedRun) -> None:
    assert (task_of(run), run.state) == ("folder 3-way 1-shot", "finished")
    assert refusal(run, "best") == refusal(run, "last") == ""


def test_a_run_without_its_best_checkpoint_points_to_the_last(place: Path) -> None:
    make_run(place, "one").checkpoint_path("best").unlink()
    run = listed(place)["one"]
    assert refusal(run, "best") == "it has no best checkpoint, press o for its last one"
    assert refusal(run, "last") == ""


def test_a_run_without_checkpoints_is_refused(place: Path) -> None:
    folder = make_run(place, "one")
    for kind in ("best", "last"):
        folder.checkpoint_path(kind).unlink()
    assert refusal(listed(place)["one"], "last") == "it has no checkpoint"


@pytest.mark.parametrize(("file", "problem"), [("run.json", "run.json"), ("profile.toml", "TOML")])
def test_a_damaged_run_is_listed_and_refused_with_the_reason(
    file: str, problem: str, place: Path
) -> None:
    (make_run(place, "one").path / file).write_text("[")
    run = listed(place)["one"]
    assert problem.casefold() in refusal(run, "best").casefold()
    assert task_of(run) == ""


def test_a_run_that_keeps_several_can_be_evaluated_as_an_ensemble(place: Path) -> None:
    folder = make_run(place, "one")
    ensemble = Settings(checkpoint="ensemble")
    alone = listed(place)["one"]
    assert "validation.keep" in refusal(alone, "ensemble")
    best = folder.load_checkpoint("best")
    kept = tuple(Best(iteration=each, accuracy=0.5, loss=1.0) for each in (20, 40))
    for number, iteration in enumerate((20, 40), start=1):
        state = replace(best, iteration=iteration, validated=iteration, kept=kept[:number])
        folder.save_checkpoint(iteration, state)
    run = listed(place)["one"]
    assert refusal(run, "ensemble") == refusal(run, "best") == ""
    sweep = Sweep([run], ensemble, banks=Banks(), device="cpu").start()
    assert sweep.wait(SECONDS)
    found = sweep.parts[run.name].evaluation
    assert found is not None and found.checkpoint == "ensemble of 2"
    assert known_evaluation(run, ensemble, [found]) == found
    assert known_evaluation(run, Settings(), [found]) is None
    for change in ({"checkpoint": "ensemble of 3"}, {"iteration": 20}):
        assert known_evaluation(run, ensemble, [replace(found, **change)]) is None
    assert ensemble.options() == ["--checkpoint", "ensemble"]


def test_the_same_settings_find_an_earlier_result(run: ListedRun, found: Evaluation) -> None:
    assert known_evaluation(run, Settings(), [found]) == found
    assert known_evaluation(run, Settings(steps=(0, 1, 2, 3), episodes=6), [found]) == found


def test_fewer_steps_are_a_part_of_an_earlier_result(run: ListedRun, found: Evaluation) -> None:
    part = known_evaluation(run, Settings(steps=(1,)), [found])
    assert part is not None
    assert part.steps == (1, 2)  # the profile's test steps belong to it
    assert part.support == (found.support[1], found.support[2])


@pytest.mark.parametrize(
    "settings",
    [
        Settings(steps=(0, 4)),
        Settings(episodes=7),
        Settings(split="validation"),
        Settings(checkpoint="last"),
    ],
)
def test_other_settings_do_not_find_it(
    settings: Settings, run: ListedRun, found: Evaluation
) -> None:
    assert known_evaluation(run, settings, [found]) is None


@pytest.mark.parametrize("change", [{"seed": 8}, {"iteration": 20}])
def test_a_result_of_another_seed_or_an_earlier_checkpoint_is_not_this_runs(
    change: dict[str, Any], run: ListedRun, found: Evaluation
) -> None:
    assert known_evaluation(run, Settings(), [replace(found, **change)]) is None


def test_a_run_that_goes_on_shows_its_newest_result(run: ListedRun, found: Evaluation) -> None:
    assert run.info is not None
    running = replace(run, info=run.info.model_copy(update={"state": "running"}))
    kept = [replace(found, iteration=iteration) for iteration in (10, 30, 20)]
    known = known_evaluation(running, Settings(), kept)
    assert known is not None and known.iteration == 30


def test_a_run_not_yet_measured_has_its_place_in_the_same_grid(
    run: ListedRun, found: Evaluation
) -> None:
    gaps = replace(unmeasured(run, Settings(steps=(0, 2, 5))), run="other")
    (grid,) = grids([found, gaps])
    assert grid.steps == (0, 1, 2, 3, 5)
    assert [row.label for row in grid.rows] == [found.run, "other"]


def test_the_board_tells_a_runs_own_task_where_nothing_is_measured(run: ListedRun) -> None:
    (section,) = Board().sections([run], Settings(), "transductive")
    assert section.title == "folder 3-way 1-shot, test split"
    assert section.status == {run.name: ""}


def test_options_leave_out_what_the_command_does_anyway() -> None:
    assert Settings().options() == []
    full = Settings(steps=(0, 1, 2, 5), episodes=20, split="train", checkpoint="last")
    assert full.options() == [
        *("--steps", "0..2,5", "--episodes", "20", "--split", "train", "--checkpoint", "last")
    ]


def test_a_renamed_runs_results_carry_its_new_name(run: ListedRun, found: Evaluation) -> None:
    path = run.path.rename(run.path.with_name("renamed"))
    renamed = listed(path.parent.parent)["renamed"]
    known = known_evaluation(renamed, Settings(), [found])
    assert known is not None and known.run == RunFolder(path).name == "renamed"


def test_what_was_published_is_a_row_in_the_column_of_the_headline(place: Path) -> None:
    made = RunFolder.create(load_profile("5way1shot", ["inner.test_steps=2"]), place / "runs")
    made.release()
    (section,) = Board().sections([ListedRun.read(made.path)], Settings(), "transductive")
    row = section.grid.rows[-1]
    assert "MAML" in row.label
    known = {
        step: cell.accuracy
        for step, cell in zip(section.grid.steps, row.cells, strict=True)
        if cell is not None
    }
    assert known == {2: 0.987}
    assert cell_text(section, row, 2).startswith("98.70 ± 0.40 % after 2 inner steps; ")
    assert "loss" not in cell_text(section, row, 2) and "training" not in cell_text(section, row, 2)
    assert cell_parts(row.cells[section.grid.steps.index(2)], "loss", None) == (MISSING, "")


async def test_published_rows_are_told_apart_in_few_cells(place: Path) -> None:
    made = RunFolder.create(load_profile("20way5shot"), place / "runs")
    made.release()
    (section,) = Board().sections([ListedRun.read(made.path)], Settings(), "transductive")
    labels = [section.label(row) for row in section.grid.rows[1:]]
    assert labels == ["student study"] * 3 + ["MAML paper"]  # beside it the steps in training

    class Drawn(App[None]):
        def compose(self) -> ComposeResult:
            yield StepsChart(id="chart")

    async with (app := Drawn()).run_test():
        chart = app.query_one(StepsChart)
        chart.show_section(section)
        curves = [curve.label for curve in chart._picture.window.curves]
        assert curves == [
            *(f"student study, {steps} in training" for steps in (1, 3, 5)),
            "MAML paper",
        ]
