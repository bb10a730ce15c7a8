"""What the commands on runs print of one run."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import typer

if TYPE_CHECKING:
    from mamltui.results import Evaluation
    from mamltui.runs import ListedRun, RunInfo


def as_document(run: ListedRun) -> dict[str, Any]:
    """A run of the list as JSON has it; None: not known."""
    info, profile, test = run.info, run.profile, run.headline
    return {
        "name": run.name,
        "path": str(run.path),
        "reference": run.is_reference,
        "state": run.state,
        "problem": run.problem or None,
        "profile": info.profile if info else None,
        "data": profile.data.set if profile else None,
        "way": profile.classes_of(profile.task.at_test) or None if profile else None,
        "shot": profile.task.at_test.shot if profile else None,
        "iteration": info.iteration if info else None,
        "iterations": info.iterations if info else None,
        "best": info.best.model_dump() if info and info.best else None,
        "test": _headline(test) if test else None,
        "seed": info.seed if info else None,
        "tags": list(info.tags) if info else [],
        "title": info.title if info else "",
        "notes": info.notes if info else "",
        "starred": run.is_starred,
        "archived": run.is_archived,
        "created": info.created if info else None,
        "elapsed": info.elapsed if info else None,
        "processor_seconds": info.processor_seconds if info else None,
    }


def _headline(test: Evaluation) -> dict[str, Any]:
    """The result by the profile's own protocol."""
    result = test.headline()
    return {
        "accuracy": result.accuracy,
        "ci95": result.accuracy_ci95,
        "loss": result.loss,
        "steps": result.steps,
        "episodes": test.episodes,
        "iteration": test.iteration,
    }


def title_text(run: ListedRun) -> str:
    """The name that its owner gave it; empty if none."""
    return run.title if run.title != run.name else ""


def marks_text(run: ListedRun) -> str:
    """Star, archive and tags."""
    info = run.info
    if info is None:
        return ""
    words = [*(["starred"] if info.starred else []), *(["archived"] if info.archived else [])]
    return " ".join([*words, *info.tags])


def list_row(run: ListedRun) -> tuple[str, ...]:
    """Name, state, profile, task, iterations, best validation, test and age."""
    info, profile = run.info, run.profile
    if info is None:
        return (run.name, run.state, "", "", "", "", "", "")
    task = profile.shape if profile else "damaged profile"
    return (
        run.name,
        run.what,
        info.profile,
        task,
        f"{info.iteration:,} / {info.iterations:,}",
        info.best.score.named if info.best else "-",
        run.headline.headline().score.named_with_interval if run.headline else "-",
        _age(info.created),
    )


def best_text(info: RunInfo) -> str:
    """The best validation in words; empty if there was none."""
    if info.best is None:
        return ""
    loss = "" if info.best.score.metric.is_error else f", loss {info.best.loss:.4f}"
    return (
        f"validation {info.best.score.metric.name} {info.best.score.full}{loss} "
        f"at iteration {info.best.iteration:,}"
    )


def best_cell(info: RunInfo, *, with_unit: bool) -> str:
    """The same for a column."""
    if info.best is None:
        return "-"
    return info.best.score.named if with_unit else info.best.score.listed


def result_text(evaluation: Evaluation) -> str:
    """An evaluation's headline, and of which episodes it is: a run may be scored on other tasks."""
    from mamltui.measures import counted
    from mamltui.profiles.model import shape_text
    from mamltui.results import score_cell

    scores = ", ".join(
        f"{score_cell(evaluation.headline(statistics))}{evaluation.metric.unit} "
        f"{evaluation.kind(statistics)}"
        for statistics in evaluation.statistics
    )
    queries = f", {counted(evaluation.query, 'query image')} a class" if evaluation.way else ""
    head = f", {evaluation.head_words}" if evaluation.head_words else ""
    return (
        f"{scores} after {counted(evaluation.test_steps, 'inner step')}; "
        f"{shape_text(evaluation.way, evaluation.shot)}{queries}{head}, {evaluation.split} split, "
        f"{evaluation.scored}, "
        f"{evaluation.episodes:,} {'disjoint ' if evaluation.disjoint else ''}episodes"
    )


def score_text(evaluation: Evaluation | None, statistics: str, *, with_unit: bool) -> str:
    """The headline with one kind of statistics, for a column."""
    if evaluation is None or statistics not in evaluation.statistics:
        return "-"
    score = evaluation.headline(statistics).score
    if with_unit:
        return score.named_with_interval
    return f"{score.metric.mark}{score.with_interval}"


def _age(created: str) -> str:
    from datetime import datetime, timezone

    from mamltui.measures import age

    return age(created, datetime.now(timezone.utc)) or "-"


def time_text(info: RunInfo) -> str:
    """Of the training, by the clock and of the processors."""
    if info.processor_seconds is None:
        return _duration(info.elapsed)
    return f"{_duration(info.elapsed)}, {info.processor_seconds / 60:.1f} core minutes"


def _duration(seconds: float) -> str:
    from datetime import timedelta

    return str(timedelta(seconds=round(seconds)))


def print_aligned(header: Any, rows: Any, *, right: Any) -> None:
    from mamltui.cli.tables import aligned, plus_minus_of, print_table, results_console

    console = results_console()
    lines = aligned(header, rows, right=right, plus_minus=plus_minus_of(console))
    print_table(console, lines)


def print_json(document: Any) -> None:
    typer.echo(json.dumps(document, indent=2))
