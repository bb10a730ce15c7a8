"""Evaluations in words and as Markdown."""

from __future__ import annotations

import re
from collections.abc import Sequence

from mamltui.results.evaluation import STATISTICS, Evaluation, StepResult
from mamltui.results.grid import Grid, grids
from mamltui.results.paired import paired_lines
from mamltui.results.published import compare_with_published
from mamltui.text import visible


def markdown_text(evaluations: Sequence[Evaluation]) -> str:
    """Tables and comparisons for a document; the grids follow where there are several runs."""
    parts = [_markdown_evaluation(evaluation) for evaluation in evaluations]
    if len(evaluations) > 1:
        parts += [
            _markdown_grid(grid)
            for statistics in STATISTICS
            for grid in grids(evaluations, statistics)
        ]
        parts.append(_markdown_paired(evaluations))
    return "\n".join(parts)


def _markdown_evaluation(evaluation: Evaluation) -> str:
    header = _row("test steps", *(_score_titles(evaluation)))
    lines = [
        f"### {escaped(evaluation.run)}",
        "",
        f"{escaped(describe(evaluation))}.",
        "",
        header,
        "|" + "---:|" * (header.count("|") - 1),
    ]
    columns = [evaluation.results(statistics) for statistics in evaluation.statistics]
    for results in zip(*columns, strict=True):
        mark = "**" if results[0].steps == evaluation.test_steps else ""
        cells = [cell for result in results for cell in _score_cells(result)]
        lines.append(_row(f"{mark}{results[0].steps}{mark}", *cells))
    lines += ["", "Bold: the profile's own inner steps at test, where the headline is read.", ""]
    lines += [
        f"- {escaped(f'{evaluation.kind(statistics)}: {text}')}"
        for statistics in evaluation.statistics
        if (text := spread_text(evaluation, statistics))
    ]
    comparisons = compare_with_published(evaluation)
    lines += [f"- {escaped(comparison.sentence)}" for comparison in comparisons]
    if not comparisons:
        lines.append(f"There is no published figure for {escaped(evaluation.task)}.")
    return "\n".join(lines) + "\n"


def _row(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"


def _score_titles(evaluation: Evaluation) -> list[str]:
    """Of the columns of ``_score_cells``."""
    if evaluation.metric.is_error:
        return [evaluation.metric.title]
    kinds = (evaluation.kind(statistics) for statistics in evaluation.statistics)
    return [title for kind in kinds for title in (f"{evaluation.metric.title}, {kind}", "loss")]


def _score_cells(result: StepResult) -> list[str]:
    """The score, and beside an accuracy the loss."""
    cell = score_cell(result)
    return [cell] if result.score.metric.is_error else [cell, f"{result.loss:.4f}"]


def _markdown_grid(grid: Grid) -> str:
    kind = "transductive" if grid.statistics == "transductive" else "support statistics"
    kind = "" if grid.metric.is_error else f", {kind}"
    lines = [
        f"### Train steps x test steps: {escaped(grid.task)}, {grid.split} split{kind}",
        "",
        f"{grid.cells_in_words[0].upper()}{grid.cells_in_words[1:]}.",
        "",
        "| run | train steps | " + " | ".join(f"test {step}" for step in grid.steps) + " |",
        "|---|---:|" + "---:|" * len(grid.steps),
    ]
    for row in grid.rows:
        cells = [
            "" if cell is None else " ".join([first, *(f"({each})" for each in rest)])
            for cell in row.cells
            for first, *rest in [_score_cells(cell) if cell else [""]]
        ]
        lines.append(f"| {escaped(row.label)} | {row.train_steps} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def _markdown_paired(evaluations: Sequence[Evaluation]) -> str:
    names = [evaluation.run for evaluation in evaluations]
    lines = [f"### Beside {escaped(names[0])}, pair by pair", ""]
    lines += [
        f"- {escaped(f'{name}, {evaluations[0].kind(statistics)}: {text}')}"
        for statistics in evaluations[0].statistics
        for name, text in paired_lines(evaluations, names, statistics)
    ]
    return "\n".join(lines) + "\n"


def describe(evaluation: Evaluation) -> str:
    """What was measured, in one line."""
    steps = f"{evaluation.train_steps} inner step{'' if evaluation.train_steps == 1 else 's'}"
    trained = "" if evaluation.algorithm == "maml" else f"{evaluation.algorithm}, "
    task = evaluation.task + _other_task(evaluation)
    return (
        f"{trained}{task}, {steps} in training; {evaluation.split} split "
        f"({evaluation.class_split}), {evaluation.episodes:,} "
        f"{'disjoint ' if evaluation.disjoint else ''}episodes of seed {evaluation.seed}; "
        f"{evaluation.scored}"
    )


def _other_task(evaluation: Evaluation) -> str:
    """What of the training was another task, in words."""
    words = f" (trained on {evaluation.trained_on})" if evaluation.trained_on else ""
    words += f" with {evaluation.head_words}" if evaluation.head_words else ""
    return words + (" on other images than the training's" if evaluation.is_other_data else "")


def spread_text(evaluation: Evaluation, statistics: str) -> str:
    """What the headline's interval does not say, in one line; empty if it is not known.

    E.g. ``± is of the episodes; over 423 classes 98.11 to 98.92 %; 5th percentile of the episodes
    92.0 %, worst 84.0 %; calibration error 0.62 %``.
    """
    spread = evaluation.spread(statistics)
    if spread is None:
        return ""
    classes = spread.classes
    return (
        f"± is of the {spread.episodes.of}; over {classes.count:,} classes "
        f"{100 * classes.low:.2f} to {100 * classes.high:.2f} %; 5th percentile of the episodes "
        f"{100 * spread.low:.1f} %, worst {100 * spread.worst:.1f} %; "
        f"calibration error {100 * spread.calibration_error:.2f} %"
    )


def score_cell(result: StepResult, plus_minus: str = "±") -> str:
    """E.g. ``98.21 ± 0.31``, without a unit; a figure without interval stands alone."""
    score = result.score
    return score.metric.with_interval(score.value, score.ci95, plus_minus)


def escaped(text: str) -> str:
    """A text as Markdown shows it literally."""
    return re.sub(r"([\\`*_\[\]<>|&~])", r"\\\1", visible(text))
