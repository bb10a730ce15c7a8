"""The lines of text on the Evaluate screen."""

from __future__ import annotations

import math
from collections.abc import Sequence

from textual.content import Content

from mamltui.measures import duration
from mamltui.profiles import Profile
from mamltui.profiles.steps import steps_text
from mamltui.results import Evaluation, GridRow, describe, score_cell
from mamltui.runs import ListedRun
from mamltui.text import visible
from mamltui.tui.evaluate.board import Board, first_comparison
from mamltui.tui.evaluate.candidates import Settings, refusal
from mamltui.tui.evaluate.cells import (
    SHOWN_WORDS,
    UNKNOWN_STEPS,
    Section,
    Shown,
    is_measured,
    to_reference,
)
from mamltui.tui.evaluate.grid import BEST_OF_ALL, BEST_OF_ROW, HEADLINE
from mamltui.tui.evaluate.sweep import Sweep

BAR = 20
"""Cells of the progress bar."""
LEGEND = (
    f"{BEST_OF_ALL} best of all  {BEST_OF_ROW} best of its row  {HEADLINE} the profile's test steps"
)


def settings_line(
    settings: Settings, profiles: Sequence[Profile], statistics: str, shown: Shown
) -> Content:
    """What is measured and shown, each with the key that changes it."""
    steps = {f"steps {steps_text(settings.steps_of(profile))}" for profile in profiles}
    episodes = {f"{settings.episodes_of(profile):,} episodes" for profile in profiles}
    parts = {
        # Each run's own, where its profile says it and they differ.
        "e": steps.pop() if len(steps) == 1 else "own steps",
        "n": episodes.pop() if len(episodes) == 1 else "own episodes",
        "d": settings.split,
        "o": settings.checkpoint,
        "v": "transductive" if statistics == "transductive" else "support stats",
        "m": SHOWN_WORDS[shown],
    }
    regressions = [profile for profile in profiles if profile.is_regression]
    if regressions and len(regressions) == len(profiles):
        del parts["v"]  # such networks normalise nothing
        parts["m"] = SHOWN_WORDS[shown] if shown == "difference" else profiles[0].metric.name
    elif regressions and shown == "accuracy":
        parts["m"] += f", {regressions[0].metric.mark.strip()}"
    return Content("  ").join(
        [Content.assemble((key, "$accent"), f" {text}") for key, text in parts.items()]
    )


def progress_line(sweep: Sweep | None) -> Content:
    """How far the sweep is; what the signs of the grid mean while there is none."""
    if sweep is None or sweep.is_over:
        return Content.styled(LEGEND, "$foreground-muted")
    progress = sweep.progress()
    filled = BAR * progress.episodes_done // progress.episodes
    word = "stopping" if sweep.is_stopping else visible(sweep.note) or "evaluating"
    digits = len(f"{progress.episodes:,}")
    return Content.assemble(
        (word, "$accent"),
        f"  run {min(progress.runs_done + 1, progress.runs)} of {progress.runs}"
        f"  {progress.episodes_done:>{digits},} of {progress.episodes:,} episodes  ",
        ("━" * filled, "$accent"),
        ("─" * (BAR - filled), "$foreground-muted"),
        f"  {duration(progress.seconds_left)} left",
    )


def cell_lines(
    board: Board,
    settings: Settings,
    statistics: str,
    cell: tuple[Section, GridRow, int],
    run: ListedRun | None,
    *,
    can_run: bool,
) -> list[Content]:
    """About a cell: its scores, beside the published figure, and how it was or can be measured.

    Args:
        can_run: whether this app evaluates.
    """
    section, row, steps = cell
    lines = [Content(visible(cell_text(section, row, steps)))]
    if run is None:
        return lines
    part = board.part(run, settings)
    if part is not None and part.problem:
        return [*lines, problem_line(part.problem)]
    evaluation = board.evaluation(run, settings)
    lines.append(Content(visible(published_text(evaluation, steps, statistics))))
    if evaluation.episodes:
        lines.append(Content.styled(visible(describe(evaluation)), "$foreground-muted"))
    elif reason := refusal(run, settings.checkpoint):
        lines.append(problem_line(reason))
    elif run.profile is not None and can_run:
        episodes = f"{settings.episodes_of(run.profile):,} episodes"
        lines.append(Content.styled(f"r evaluates it on {episodes}", "$accent"))
    return lines


def problem_line(text: str) -> Content:
    """Something that went wrong, on one line."""
    return Content.styled(visible("; ".join(text.splitlines())), "$error")


def cell_text(section: Section, row: GridRow, steps: int) -> str:
    """The scores of a cell in words."""
    cell = dict(zip(section.grid.steps, row.cells, strict=True)).get(steps)
    after = f"after {steps} inner step{'' if steps == 1 else 's'}" if steps else "before adaptation"
    scores = "not measured"
    if cell is not None and is_measured(cell):
        metric = cell.score.metric
        if metric.is_error:
            scores = f"{metric.name} {score_cell(cell)}"
        else:
            scores = f"{score_cell(cell)} %"
            scores += "" if math.isnan(cell.loss) else f", loss {cell.loss:.4f}"
    headline = " (headline)" if row.headline == steps else ""
    trained = "" if row.train_steps == UNKNOWN_STEPS else f", {row.train_steps} in training"
    return f"{scores} {after}{headline}; {row.label}{trained}"


def published_text(evaluation: Evaluation, steps: int, statistics: str) -> str:
    """How a cell stands to the published figure, in words."""
    if statistics not in evaluation.statistics:
        statistics = evaluation.statistics[0]
    comparison = first_comparison(evaluation, statistics)
    cell = next((item for item in evaluation.results(statistics) if item.steps == steps), None)
    if comparison is None:
        kind = "" if evaluation.metric.is_error else f", {statistics} statistics"
        return f"There is no published figure for {evaluation.task}{kind}."
    figure = comparison.figure
    if cell is None or not is_measured(cell):
        return f"{figure.whose} {figure.printed} [{figure.cited}]"
    points = "" if figure.metric.is_error else " points"
    difference = f"{to_reference(cell, float(figure.value))}{points}"
    if steps == evaluation.test_steps:
        text = f"{difference}: {comparison.words} [{figure.cited}]"
    else:
        text = f"{difference} to {figure.whose} {figure.printed} [{figure.cited}]"
    return "; ".join((text, *comparison.differences))
