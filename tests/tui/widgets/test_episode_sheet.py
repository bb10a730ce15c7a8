"""How an episode is laid out: every image once, the first ones first, names as they are."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from rich.cells import cell_len

from mamltui.profiles import Profile
from mamltui.runs import RunFolder
from mamltui.tui.episode.glyphs import draw
from mamltui.tui.episode.head import settings_words, shown_steps, task_words
from mamltui.tui.episode.inspector import EpisodeView, Images
from mamltui.tui.episode.request import Request
from mamltui.tui.episode.sheet import (
    CELL,
    GAP,
    Row,
    image_rows,
    row_parts,
    spark_of,
)


def make_look(way: int = 5, shot: int = 1, query: int = 1, steps: int = 2) -> EpisodeView:
    """An episode whose probabilities nobody worked out."""
    generator = np.random.default_rng(way + shot)

    def images(count: int) -> Images:
        logits = generator.normal(size=(steps + 1, way, count, way))
        shares = np.exp(logits) / np.exp(logits).sum(axis=3, keepdims=True)
        pixels = generator.random((way, count, 1, 28, 28)) < 0.2
        drawn = [[draw(image.astype(np.float32)) for image in row] for row in pixels]
        return Images(drawn, shares, np.ones(steps + 1), np.ones(steps + 1))

    run = RunFolder(Path("runs/none"))
    return EpisodeView(
        request=Request(run, "best", None, "test", 0, 0.4, steps),
        profile=Profile(),
        iteration=7,
        class_names=[f"script/Alphabet/character{label:02}" for label in range(way)],
        degrees=[90] * way,
        support=images(shot),
        query=images(query),
        seconds=0.0,
    )


def text_of(view: EpisodeView, row: Row, width: int, step: int = 2) -> str:
    return "".join(text for text, _ in row_parts(view, row, step, width))


@pytest.mark.parametrize("roomy", [False, True])
@pytest.mark.parametrize("columns", [1, 5, 9, 30])
@pytest.mark.parametrize(
    ("way", "shot", "query"), [(5, 1, 1), (20, 5, 5), (5, 1, 15), (20, 5, 1), (7, 3, 2)]
)
def test_every_image_is_drawn_once(
    way: int, shot: int, query: int, columns: int, roomy: bool
) -> None:
    view = make_look(way, shot, query)
    width = columns * (CELL + GAP) - GAP
    rows = image_rows(view, columns, roomy=roomy)
    for kind, images in (("support", view.support), ("query", view.query)):
        drawn = [text_of(view, row, width) for row in rows if row.kind == kind]
        lines = [line for row in images.drawn for glyph in row for line in glyph.lines]
        shown = [text[at : at + CELL] for text in drawn for at in range(0, len(text), CELL + GAP)]
        assert sorted(shown) == sorted(lines)


def test_the_first_support_and_query_image_of_the_first_classes_come_first() -> None:
    rows = image_rows(make_look(20, 5, 5), 5, roomy=False)
    kinds = [row.kind for row in rows[:17]]
    assert kinds == ["support"] * 7 + ["name", "heading"] + ["query"] * 7 + ["prediction"]
    assert {(row.first, row.example) for row in rows[:17]} == {(0, 0)}


def test_no_line_is_wider_than_its_columns() -> None:
    view = make_look(200, 2, 3)
    view = replace(view, class_names=["漢字" * 9] * 200)
    for columns in (1, 4):
        width = columns * (CELL + GAP) - GAP
        for row in image_rows(view, columns, roomy=True):
            if row.kind not in ("heading", "title", "steps"):
                assert cell_len(text_of(view, row, width).rstrip()) <= width, row


def test_names_with_markup_and_escapes_are_shown_as_they_are() -> None:
    view = replace(make_look(), class_names=["[red]x", "\x1b[31m", "a\nb", "[@c]", "\u202etxet"])
    text = text_of(view, Row("name"), 80)
    assert "\x1b" not in text and "\n" not in text and "\u202e" not in text
    assert [text[at : at + CELL].rstrip() for at in range(0, 80, CELL + GAP)] == [
        "0 [red]x", "1 \\x1b[31m", "2 a\\nb", "3 [@c]", "4 \\u202etxet",
    ]  # fmt: skip


def test_a_prediction_says_right_or_wrong_with_a_sign_and_the_probability() -> None:
    view = make_look(2, 1, 1, steps=1)
    view.query.probabilities[1, :, 0] = [[0.974, 0.026], [0.5125, 0.4875]]
    parts = row_parts(view, Row("prediction"), 1, 80)
    assert parts[0] == ("✓ 0     97.4 %", "sheet--right")
    assert parts[2] == ("✗ 1→0   51.2 %", "sheet--wrong")
    view.query.probabilities[0, :, 0] = [[0.3, 0.7], [0.004, 0.996]]
    table = [text_of(view, Row("steps", label), 80, step=1) for label in range(2)]
    assert table[0].split()[2:] == ["✗", "1", "70", "✓", "0", "97"]
    assert table[1].split()[2:] == ["✓", "1", "100", "✗", "0", "51"]


def test_labels_of_many_classes_still_fit_beside_the_probability() -> None:
    view = make_look(200, 1, 1, steps=0)
    view.query.probabilities[0, 123, 0] = 0
    view.query.probabilities[0, 123, 0, 145] = 1
    text = text_of(view, Row("prediction", 123), CELL, step=0).rstrip()
    assert text == "✗ 123→145 100%"


def test_bars_grow_with_the_probability_up_to_the_step() -> None:
    values = np.array([0.0, 0.13, 0.5, 0.99, 1.0, np.nan])
    assert spark_of(values, 5) == "▁▂▅██▁"
    assert spark_of(values, 1) == "▁▂"
    assert len(spark_of(np.linspace(0, 1, 200), 199)) == CELL


def test_all_steps_that_fit_are_shown_and_the_current_one_always() -> None:
    view = make_look(steps=50)
    for step in range(51):
        shown = shown_steps(view, step, 78)
        assert step in shown
        assert len(shown) == 6
    assert list(shown_steps(make_look(steps=5), 0, 78)) == [0, 1, 2, 3, 4, 5]
    assert list(shown_steps(view, 9, 1)) == [9]


def test_a_training_task_says_where_the_training_meets_it() -> None:
    view = make_look()
    view = replace(view, request=replace(view.request, split="train", task=1234))
    assert task_words(view) == "train task 1,234: iteration 39, task 19 of 32"
    assert settings_words(view) == "alpha 0.4   2 inner steps (profile 3)"
