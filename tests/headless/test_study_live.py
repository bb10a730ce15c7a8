"""The table of a study that stays in place: what it shows, and that it keeps to the terminal."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console

from mamltui.headless.study_live import StudyTable
from mamltui.runs import RunFolder
from mamltui.studies.progress import progress_of
from mamltui.studies.reading import load_study
from mamltui.studies.standing import Standing, State, read_standings
from mamltui.studies.study import Study
from tests.headless.test_live import console
from tests.results.examples import evaluation
from tests.training.small import make_run, train


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    run = make_run(tmp_path_factory.mktemp("runs"))
    train(run)
    return run


@pytest.fixture
def parts(tmp_path: Path, run: RunFolder) -> tuple[Study, list[Standing]]:
    """A study whose last ten cells are queued, two before run, one diverged, others are done."""
    study = load_study("parts")
    cells = read_standings(study, tmp_path)
    done = len(cells) - 13
    states: list[State] = [*["done"] * done, "diverged", *["running"] * 2, *["queued"] * 10]  # type: ignore[list-item]
    standings = []
    for each, state in zip(cells, states, strict=True):
        standing = replace(each, state=state)
        if state != "queued":
            standing = replace(standing, run=run, info=run.info())
        if state == "done":
            standing = replace(standing, evaluation=evaluation())
        standings.append(standing)
    return study, standings


def lines_of(study: Study, standings: Sequence[Standing], width: int, height: int) -> list[str]:
    table = StudyTable(console(width, height), f"study {study.name}", clock=lambda: 0.0)
    working = {each.cell.name for each in standings if each.state == "running"}
    frame = table.frame(standings, progress_of(study, standings, working=working), working)
    screen = Console(file=io.StringIO(), width=width, color_system=None, _environ={})
    with screen.capture() as capture:
        screen.print(frame)
    return capture.get().splitlines()


def test_all_cells_stand_in_the_studys_order_with_states_and_results(
    parts: tuple[Study, list[Standing]],
) -> None:
    study, standings = parts
    lines = lines_of(study, standings, 120, 60)
    count, done = len(standings), len(standings) - 13
    assert lines[0].split() == ["study", "parts", str(done + 1), "of", str(count), "cells", "over"]
    assert "elapsed 0:00:00  left " in lines[1]
    header = "CELL STATE ITERATIONS CORE MIN VALIDATION TEST %"
    assert " ".join(lines[3].split()) == header
    names = [line.split()[0] for line in lines[4:-1]]
    assert names == [each.cell.name for each in standings]
    assert all("done" in line and " ± " in line for line in lines[4 : 4 + done])
    assert "diverged" in lines[4 + done]
    assert all("running" in line for line in lines[5 + done : 7 + done])
    assert lines[-1] == ""


@pytest.mark.parametrize(("width", "height"), [(160, 45), (80, 24), (40, 12), (24, 7)])
def test_a_small_terminal_shows_what_runs_and_counts_the_rest(
    parts: tuple[Study, list[Standing]], width: int, height: int
) -> None:
    study, standings = parts
    lines = lines_of(study, standings, width, height)
    assert len(lines) <= height
    assert max(map(len, lines)) <= width
    shown = lines[4:-1]
    assert sum("running" in line for line in shown) == 2
    assert len(shown) == min(len(standings), height - 5)
    if height == 24:
        # Those that are over last are the nearest to what runs.
        assert [line.split()[1] for line in shown] == [
            *["done"] * 6,
            "diverged",
            *["running"] * 2,
            *["queued"] * 10,
        ]
        assert lines[-1] == f"not shown: {len(standings) - 19} done"


def test_a_long_name_keeps_its_beginning_and_its_seed(
    parts: tuple[Study, list[Standing]],
) -> None:
    names = [line.split()[0] for line in lines_of(*parts, 50, 45)[4:-1]]
    cut = [name for name in names if "…" in name]
    assert cut and all(
        name.startswith(("5w1s", "20w1s")) and name.endswith("seed0") for name in cut
    )
