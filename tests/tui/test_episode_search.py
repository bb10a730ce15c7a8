"""Choosing a query, and looking through many episodes: what is told, without a screen."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mamltui.data.banks import Banks
from mamltui.profiles import Profile
from mamltui.runs import RunFolder
from mamltui.tui.episode.glyphs import draw
from mamltui.tui.episode.inspector import EpisodeInspector, EpisodeView, Images
from mamltui.tui.episode.query import Query, queries_of, query_lines, rival, wrong_queries
from mamltui.tui.episode.request import Request
from mamltui.tui.episode.search import (
    alphabet_of,
    confusions,
    evaluation_of,
    next_error,
    worst_tasks,
)
from mamltui.tui.shared.braille import bits_of, enlarged, lines_of
from tests.cli.run_folders import trained_run, write_characters
from tests.results.examples import with_outcomes
from tests.tui.looking import scores_of


def never() -> bool:
    return False


def untold(tasks: int) -> None:
    assert tasks


def look_of(probabilities: Any, way: int = 3, examples: int = 1) -> EpisodeView:
    """A look whose queries have these probabilities: [steps + 1, way, examples, way]."""
    generator = np.random.default_rng(0)
    drawn = [
        [draw((generator.random((1, 28, 28)) > 0.5).astype(np.float32)) for _ in range(examples)]
        for _ in range(way)
    ]
    values = np.array(probabilities, float).reshape(-1, way, examples, way)
    nothing = np.zeros(len(values))
    images = Images(drawn, values, nothing, nothing)
    request = Request(RunFolder(Path("run")), "best", None, "test", 0, 0.4, len(values) - 1)
    names = [f"Greek/letter{label}" for label in range(way)]
    return EpisodeView(request, Profile(), 7, names, [0] * way, images, images, 0.1)


LOOK = look_of(
    [
        [[0.2, 0.3, 0.5], [0.1, 0.8, 0.1], [0.3, 0.3, 0.4]],
        [[0.6, 0.3, 0.1], [0.5, 0.2, 0.3], [0.1, 0.2, 0.7]],
    ]
)


def test_queries_are_found_wrong_after_the_step_that_is_shown() -> None:
    assert queries_of(LOOK) == [Query(label, 0) for label in range(3)]
    assert wrong_queries(LOOK, 0) == [Query(0, 0)]
    assert wrong_queries(LOOK, 1) == [Query(1, 0)]
    assert [rival(LOOK, Query(label, 0), 1) for label in range(3)] == [1, 0, 1]


def test_a_query_is_told_with_every_class_at_every_step_and_the_support_it_is_taken_for() -> None:
    lines = [line.plain for line in query_lines(LOOK, Query(1, 0), 1, 50)]
    assert lines[0] == "query 1: taken for 0 after 1 step, 50.0 %"
    assert lines[2].split("  ")[0] == "query 1" and "support of 0" in lines[2]
    assert lines[3].startswith(LOOK.query.drawn[1][0].lines[0] + "  ")
    assert LOOK.support.drawn[0][0].lines[0] in lines[3]
    heads, *rows = lines[-4:]
    assert heads.split()[-2:] == ["before", "1"]
    assert [row.split()[-2:] for row in rows] == [
        ["10.0", "50.0"],
        ["80.0", "20.0"],
        ["10.0", "30.0"],
    ]
    assert ["✓" in row for row in rows] == [False, True, False]
    assert all(len(row) == len(heads) for row in rows)


@pytest.mark.parametrize("width", [8, 20, 36, 50, 80])
def test_a_query_fits_its_width_and_is_drawn_large_where_there_is_room(width: int) -> None:
    lines = [line.plain for line in query_lines(LOOK, Query(1, 0), 1, width)]
    pictures = [line for line in lines if set(line) & set("▀▄█")]
    assert bool(pictures) == (width >= 58)
    if width >= 28:
        assert max(map(len, lines)) <= width


def test_an_enlarged_picture_has_the_same_dots() -> None:
    dots = np.random.default_rng(1).random((28, 28)) > 0.5
    assert (bits_of(lines_of(dots)) == dots).all()
    large = enlarged(lines_of(dots))
    assert (len(large), len(large[0])) == (14, 28)
    for row in range(28):
        half = "▀█" if row % 2 == 0 else "▄█"
        assert [char in half for char in large[row // 2]] == dots[row].tolist()


@pytest.fixture(scope="module")
def request_(tmp_path_factory: pytest.TempPathFactory) -> Request:
    folder = tmp_path_factory.mktemp("search")
    run = trained_run(folder / "runs", write_characters(folder / "characters"))
    return Request(run, "best", None, "test", 0, 0.4, 2)


def test_the_next_task_with_an_error_is_the_one_that_evaluation_finds(request_: Request) -> None:
    accuracies = [
        float(scores_of(request_.run.path, "test", task).transductive.accuracy[0, 2])
        for task in range(1, 8)
    ]
    wrong = [task for task, accuracy in enumerate(accuracies, 1) if accuracy < 1]
    inspector = EpisodeInspector(Banks())
    assert next_error(inspector, request_, 2, never, untold) == wrong[0]
    assert next_error(inspector, replace(request_, task=wrong[0]), 2, never, untold) == wrong[1]
    assert next_error(inspector, request_, 2, lambda: True, untold) is None


def test_confusions_count_every_query_once(request_: Request) -> None:
    inspector, tasks = EpisodeInspector(Banks()), 18
    told: list[int] = []
    found = confusions(inspector, request_, 2, never, told.append, tasks)
    assert found is not None and told == [16, 18]
    assert sum(each.queries for each in found) == tasks * 3 * 2
    accuracies = [
        float(scores_of(request_.run.path, "test", task).transductive.accuracy[0, 2])
        for task in range(tasks)
    ]
    wrong = sum(each.wrong for each in found)
    assert wrong == round(sum(6 * (1 - accuracy) for accuracy in accuracies))
    assert all(sum(count for _, count in each.taken_for) == each.wrong for each in found)
    assert all(each.is_class for each in found), "the folder has classes and no alphabets"
    shares = [each.wrong / each.queries for each in found]
    assert shares == sorted(shares, reverse=True)
    assert confusions(inspector, request_, 2, lambda: True, untold, tasks) is None


def test_an_alphabet_is_what_stands_above_a_class() -> None:
    assert (alphabet_of("Greek/character01"), alphabet_of("class7")) == ("Greek", "class7")


def test_the_worst_tasks_are_those_of_an_evaluation_of_the_same_tasks(request_: Request) -> None:
    seed = request_.run.profile.meta.seed
    right = [5, 3, 5, 1, 3]
    own = with_outcomes("run", right, seed=seed)
    assert worst_tasks(own) == [(3, 0.2), (1, 0.6), (4, 0.6)]
    others = [
        with_outcomes("run", right, seed=seed + 1),
        with_outcomes("run", right, seed=seed, checkpoint="last"),
        with_outcomes("run", right, seed=seed, split="validation"),
    ]
    assert evaluation_of([*others, own], request_, seed) == own
    assert evaluation_of(others, request_, seed) is None
