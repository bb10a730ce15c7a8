"""Rows of the Study screen's lists."""

from __future__ import annotations

from mamltui.studies.standing import Standing
from mamltui.text import visible
from mamltui.tui.shared.row_list import Column, Row, Tone
from mamltui.tui.study.board import ListedStudy

STUDY_COLUMNS = (
    Column("cells", 6, 2, right=True),
    Column("each", 18, 3),
    Column("state", 17, 1),
)
CELL_COLUMNS = (
    Column("state", 11, 1),
    Column("done", 6, 3, right=True),
    Column("core minutes", 12, 5, right=True),
    Column("validation", 10, 4, right=True),
    Column("test %", 14, 2, right=True),
)
TONES: dict[str, Tone] = {
    "done": "good",
    "running": "accent",
    "trained": "accent",
    "interrupted": "warn",
    "diverged": "bad",
    "failed": "bad",
    "queued": "muted",
}


def study_row(listed: ListedStudy) -> Row:
    """A study: how many cells of what length, and whether it was begun."""
    if listed.study is None:
        note = visible(listed.problem.splitlines()[0]) if listed.problem else "cannot be read"
        return Row(listed.name, visible(listed.name), note=note)
    cells = len(listed.study.cells)
    over = "" if listed.over is None else f"{listed.over} of {cells}"
    state: tuple[str, Tone] = ("not begun", "muted")
    if listed.is_reference:
        state = ("reference", "muted")
    elif listed.is_worked_on:
        state = (f"running {over}".strip(), "accent")
    elif listed.over == cells:
        state = ("over", "good")
    elif listed.is_begun:
        state = (f"begun {over}".strip(), "plain")
    budget = listed.study.file.budget
    length = "as the profiles"
    if budget.iterations is not None:
        length = f"{budget.iterations:,} iterations"
    elif budget.minutes is not None:
        length = f"{budget.minutes:g} core minutes"
    values: tuple[tuple[str, Tone], ...] = ((str(cells), "plain"), (length, "muted"), state)
    return Row(listed.name, visible(listed.name), values)


def cell_row(standing: Standing) -> Row:
    """A cell: its state as a word, how far it is, and its accuracies."""
    info, evaluation = standing.info, standing.evaluation
    test = ""
    if evaluation is not None:
        score = evaluation.headline()
        test = score.score.with_interval
    return Row(
        standing.cell.name,
        standing.cell.name,
        (
            (standing.state, TONES[standing.state]),
            (f"{100 * standing.share:.0f} %" if info else "", "plain"),
            (f"{standing.core_minutes:.1f}" if info else "", "plain"),
            (info.best.score.text if info and info.best else "", "plain"),
            (test, "plain"),
        ),
    )
