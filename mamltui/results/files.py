"""Evaluations as JSON, and as the files of a run folder."""

from __future__ import annotations

import hashlib
import json
import math
import os
import re
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import MISSING, asdict, dataclass, fields
from operator import le
from pathlib import Path
from typing import Any

from mamltui.atomic import sweep, write_atomically
from mamltui.errors import MamltuiError, RunError
from mamltui.profiles.steps import steps_text
from mamltui.results.evaluation import STATISTICS, Evaluation, Outcomes, StepResult
from mamltui.results.markdown import markdown_text
from mamltui.results.published import compare_with_published
from mamltui.results.tables import csv_text
from mamltui.statistics import Reliability
from mamltui.untrusted import Amount, Count, Flag, Fraction, Text, checked, parse_json, read_file

JSON_FORMAT = "mamltui evaluation"
JSON_VERSION = 1
LARGEST = 2**28
"""Bytes of a file of results; what became of ten million episodes has fewer."""


def json_text(evaluations: Sequence[Evaluation]) -> str:
    """The evaluations with their comparisons, as one JSON document; accuracies are fractions."""
    document = {
        "format": JSON_FORMAT,
        "version": JSON_VERSION,
        "evaluations": [
            _finite(asdict(evaluation))
            | {
                "outcomes": _outcomes_document(evaluation),
                "comparisons": [
                    {
                        "statistics": comparison.statistics,
                        "method": comparison.figure.method,
                        "source": comparison.figure.cited,
                        "title": comparison.figure.title,
                        "published": comparison.figure.printed,
                        "relation": comparison.relation,
                        "intervals_meet": comparison.meets,
                        "differences": list(comparison.differences),
                        "sentence": comparison.sentence,
                    }
                    for comparison in compare_with_published(evaluation)
                ],
            }
            for evaluation in evaluations
        ],
    }
    text = json.dumps(document, indent=2, allow_nan=False)
    return _NUMBERS.sub(lambda match: f"[{' '.join(match[1].split())}]", text) + "\n"


_NUMBERS = re.compile(r"\[((?:\s+-?\d[\w.+-]*,?)+)\s+\]")
"""A list of numbers, which is for programs: it goes on one line."""


def _outcomes_document(evaluation: Evaluation) -> dict[str, Any]:
    """What became of the episodes and classes, with what follows for those who read only this."""
    document = {}
    for statistics in STATISTICS:
        outcome, spread = evaluation.outcome(statistics), evaluation.spread(statistics)
        if outcome is not None and spread is not None:
            document[statistics] = _finite(asdict(outcome) | {"spread": asdict(spread)})
    return document


def _finite(value: Any) -> Any:
    """JSON has no NaN: an unknown or infinite number is null."""
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def read_evaluations(path: Path) -> list[Evaluation]:
    """The evaluations of a file written by ``json_text``.

    Raises:
        RunError: the file cannot be read or holds something else.
    """
    try:
        document = parse_json(read_file(path, LARGEST))
        if (document["format"], document["version"]) != (JSON_FORMAT, JSON_VERSION):
            raise ValueError("another format or version")
        return [_evaluation(item) for item in document["evaluations"]]
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise RunError(
            "is not a result written by this version of mamltui",
            where=str(path),
            hint="Evaluate the run again: mamltui eval RUN",
        ) from error


def kept_evaluations(folder: Path) -> list[Evaluation]:
    """All evaluations that ``write_results`` left in ``folder``, in the order of the files' names.

    What cannot be read, or is of another version of mamltui, is left out. Of a result whose writer
    was killed, the files that are missing are written where that is allowed.
    """
    all_evaluations = []
    for path in sorted(folder.glob("*.json")):
        with suppress(RunError):
            evaluations = read_evaluations(path)
            all_evaluations += evaluations
            for evaluation in evaluations:
                if path.stem == result_stem(evaluation):
                    _complete(path, evaluation)
    return all_evaluations


def _complete(path: Path, evaluation: Evaluation) -> None:
    """Write what is missing beside a result's JSON, where this process may write."""
    for ending, text in TEXTS.items():
        other = path.with_suffix(f".{ending}")
        if not other.exists():
            with suppress(RunError):
                write_text(other, text([evaluation]), error=RunError)


def _evaluation(item: dict[str, Any]) -> Evaluation:
    kinds: dict[str, Any] = {"str": Text, "int": Count, "bool": Flag}
    values: dict[str, Any] = {}
    for field in fields(Evaluation):
        if field.default is not MISSING and field.name not in item:
            continue  # the file is older than the field
        value = item[field.name]
        if field.name == "outcomes":
            values["outcomes"] = _outcomes(value)
            continue
        kind = kinds.get(str(field.type))
        if kind is None:
            value = tuple(_step_result(entry) for entry in value)
        else:
            value = checked(kind, value)
        values[field.name] = value
    evaluation = Evaluation(**values)
    if evaluation.test_steps not in evaluation.steps or evaluation.steps != tuple(
        result.steps for result in evaluation.support
    ):
        raise ValueError("steps")
    if len(set(evaluation.steps)) < len(evaluation.steps):
        raise ValueError("steps")
    if not all(_agrees(each, evaluation) for each in evaluation.outcomes):
        raise ValueError("outcomes")
    results = (*evaluation.transductive, *evaluation.support)
    if any(each.score.metric is not evaluation.metric for each in results):
        raise ValueError("accuracy")
    return evaluation


def _agrees(outcomes: Outcomes, evaluation: Evaluation) -> bool:
    """Whether what became of the episodes can have become of those of the evaluation."""
    sorts = outcomes.reliability
    return (
        len(outcomes.right) == evaluation.episodes
        and max(outcomes.right, default=0) <= evaluation.way * evaluation.query
        and _at_most(outcomes.class_right, outcomes.class_queries)
        and _at_most(sorts.right, sorts.answers)
        and len(sorts.confidence) == len(sorts.answers)
    )


def _at_most(parts: tuple[int, ...], wholes: tuple[int, ...]) -> bool:
    return len(parts) == len(wholes) and all(map(le, parts, wholes))


def _outcomes(document: dict[str, Any]) -> tuple[Outcomes, ...]:
    if not document:
        return ()
    return tuple(
        Outcomes(
            right=_counts(each["right"]),
            class_right=_counts(each["class_right"]),
            class_queries=_counts(each["class_queries"]),
            reliability=Reliability(
                _counts(each["reliability"]["answers"]),
                _counts(each["reliability"]["right"]),
                checked(tuple[Amount, ...], each["reliability"]["confidence"]),
            ),
        )
        for each in (document[statistics] for statistics in STATISTICS)
    )


def _counts(values: object) -> tuple[int, ...]:
    return checked(tuple[Count, ...], values)


@dataclass(frozen=True)
class _Score:
    """A step's numbers as they are in a file, where one that is not known is null."""

    steps: Count
    accuracy: Fraction | None
    accuracy_ci95: Amount | None
    loss: Amount | None
    loss_ci95: Amount | None


def _step_result(entry: object) -> StepResult:
    score = checked(_Score, entry)
    return StepResult(
        steps=score.steps,
        accuracy=score.accuracy,
        accuracy_ci95=math.nan if score.accuracy_ci95 is None else score.accuracy_ci95,
        loss=math.nan if score.loss is None else score.loss,
        loss_ci95=math.nan if score.loss_ci95 is None else score.loss_ci95,
    )


TEXTS = {"json": json_text, "csv": csv_text, "md": markdown_text}
"""A result's files by their ending; JSON comes first, for the others can be made from it."""


def result_stem(evaluation: Evaluation) -> str:
    """File name without ending: two evaluations share it only if all their settings agree."""
    steps = steps_text(evaluation.steps)
    if len(steps) > 60:  # a file name has 255 bytes at most
        steps = hashlib.sha256(steps.encode()).hexdigest()[:16]
    checkpoint = evaluation.checkpoint.replace(" ", "-")
    if evaluation.together_with:
        checkpoint += f"-{hashlib.sha256(evaluation.together_with.encode()).hexdigest()[:8]}"
    task = ""
    if evaluation.trained_on or evaluation.head == "fresh" or evaluation.is_other_task:
        way = f"{evaluation.way}way" if evaluation.way else ""
        task = f"{way}{evaluation.shot}shot{evaluation.query}query-{evaluation.head}-"
    return (
        f"{task}{evaluation.split}-{checkpoint}-iteration{evaluation.iteration}-steps{steps}"
        f"-episodes{evaluation.episodes}{'-disjoint' if evaluation.disjoint else ''}"
        f"{f'-images{evaluation.data_hash[:8]}' if evaluation.is_other_data else ''}"
        f"-seed{evaluation.seed}-{evaluation.device}"
    )


def write_results(folder: Path, evaluation: Evaluation) -> tuple[Path, ...]:
    """Write CSV, JSON and Markdown into ``folder``, made if missing; each file is whole.

    Raises:
        RunError: the folder cannot be written.
    """
    paths = tuple(folder / f"{result_stem(evaluation)}.{ending}" for ending in TEXTS)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise _unwritable(folder, error, RunError) from error
    sweep(folder)
    for path, text in zip(paths, TEXTS.values(), strict=True):
        write_text(path, text([evaluation]), error=RunError)
    return paths


def write_text(path: Path, text: str, *, error: type[MamltuiError] = MamltuiError) -> None:
    """Write ``text`` in one go; a device or pipe is written as it is.

    Raises:
        MamltuiError: of class ``error``, the file cannot be written.
    """
    data = text.encode("utf-8", "backslashreplace")
    try:
        # A link keeps pointing where it did: its target is what is replaced.
        target = Path(os.path.realpath(path))
        if target.exists() and not target.is_file():
            target.write_bytes(data)
            return
        write_atomically(target, data)
    except OSError as reason:
        raise _unwritable(path, reason, error) from reason


def _unwritable(path: Path, reason: OSError, error: type[MamltuiError]) -> MamltuiError:
    return error(
        f"cannot be written: {reason.strerror or reason}",
        where=str(path),
        hint="Choose another place, or make room and permission there.",
    )
