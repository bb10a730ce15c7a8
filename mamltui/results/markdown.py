"""Evaluations in words and as Markdown."""

from __future__ import annotations

import math
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
    lines = [
        f"### {escaped(evaluation.run)}",
        "",
        f"{escaped(describe(evaluation))}.",
        "",
        f"| test steps | accuracy %, {evaluation.kind('transductive')} | loss "
        "| accuracy %, support statistics | loss |",
        "|---:|---:|---:|---:|---:|",
    ]
    for ours, other in zip(evaluation.transductive, evaluation.support, strict=True):
        mark = "**" if ours.steps == evaluation.test_steps else ""
        lines.append(
            f"| {mark}{ours.steps}{mark} | {accuracy_cell(ours)} | {ours.loss:.4f} "
            f"| {accuracy_cell(other)} | {other.loss:.4f} |"
        )
    lines += ["", "Bold: the profile's own inner steps at test, where the headline is read.", ""]
    lines += [
        f"- {escaped(f'{evaluation.kind(statistics)}: {text}')}"
        for statistics in STATISTICS
        if (text := spread_text(evaluation, statistics))
    ]
    comparisons = compare_with_published(evaluation)
    lines += [f"- {escaped(comparison.sentence)}" for comparison in comparisons]
    if not comparisons:
        lines.append(f"There is no published figure for {escaped(evaluation.task)}.")
    return "\n".join(lines) + "\n"


def _markdown_grid(grid: Grid) -> str:
    kind = "transductive" if grid.statistics == "transductive" else "support statistics"
    lines = [
        f"### Train steps x test steps: {escaped(grid.task)}, {grid.split} split, {kind}",
        "",
        "Accuracy in percent with its 95% interval, and loss in nats.",
        "",
        "| run | train steps | " + " | ".join(f"test {step}" for step in grid.steps) + " |",
        "|---|---:|" + "---:|" * len(grid.steps),
    ]
    for row in grid.rows:
        cells = [
            "" if cell is None else f"{accuracy_cell(cell)} ({cell.loss:.4f})" for cell in row.cells
        ]
        lines.append(f"| {escaped(row.label)} | {row.train_steps} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def _markdown_paired(evaluations: Sequence[Evaluation]) -> str:
    names = [evaluation.run for evaluation in evaluations]
    lines = [f"### Beside {escaped(names[0])}, pair by pair", ""]
    lines += [
        f"- {escaped(f'{name}, {evaluations[0].kind(statistics)}: {text}')}"
        for statistics in STATISTICS
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
    words += " with a fresh head" if evaluation.head == "fresh" else ""
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


def accuracy_cell(result: StepResult, plus_minus: str = "±") -> str:
    """E.g. `` 98.21 ± 0.31``, in percent; a figure without interval stands alone."""
    text = f"{100 * result.accuracy:.2f}"
    if math.isnan(result.accuracy_ci95):
        return text
    return f"{text} {plus_minus} {100 * result.accuracy_ci95:.2f}"


def escaped(text: str) -> str:
    """A text as Markdown shows it literally."""
    return re.sub(r"([\\`*_\[\]<>|&~])", r"\\\1", visible(text))
