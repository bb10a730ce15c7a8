"""Evaluations as CSV, the same bytes for the same evaluations."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence

from mamltui.results.evaluation import Evaluation, StepResult
from mamltui.text import visible

COLUMNS = {
    "run": "name of the run's folder",
    "profile": "name of the profile it was trained from",
    "data": "data set: omniglot, strokes, cifar-fs, folder or sinusoid",
    "way": "classes in a task; 0 of a regression",
    "shot": "support images per class, or points of a wave",
    "train_steps": "inner steps in training",
    "test_steps": "inner steps after which this row was measured; 0 is before adaptation",
    "statistics": "transductive: query images normalised with their own batch statistics, as in "
    "the paper; running: with running statistics of the training (MAML++); support: with those of "
    "the support set; none: a regression, whose network normalises nothing",
    "accuracy_percent": "mean query accuracy over the episodes, percent, four decimals; empty of a "
    "regression, as all that is of accuracies",
    "accuracy_ci95_percent": "half width of its 95% interval, percent, four decimals",
    "loss": "mean query cross-entropy over the episodes, nats, six decimals; of a regression its "
    "mean squared error",
    "loss_ci95": "half width of its 95% interval, six decimals",
    "episodes": "number of tasks evaluated",
    "split": "classes evaluated: train, validation or test",
    "checkpoint": "best (by validation), last, or ensemble of so many of the best",
    "iteration": "meta-iterations behind the checkpoint; of an ensemble, behind its newest",
    "seed": "seed of the evaluation's episodes",
    "query": "query images per class, or points of a wave",
    "class_split": "name of the rule that parted the classes",
    "rotations": "true where each class of a task is turned by 0, 90, 180 or 270 degrees",
    "resize": "how drawings were brought to the network's size: nearest or antialias",
    "algorithm": "what was trained, with the parts of MAML++ that were on",
    "disjoint": "true where no image is in two episodes: the intervals are then of the test images",
    "accuracy_classes_low_percent": "lower end of the 95% interval over classes (bootstrap), "
    "percent, four decimals; as the columns after it, in the headline's rows alone",
    "accuracy_classes_high_percent": "its upper end",
    "accuracy_p5_percent": "5th percentile of the episodes' accuracies, percent, four decimals",
    "accuracy_worst_percent": "accuracy in the worst episode, percent, four decimals",
    "calibration_error_percent": "expected calibration error of 15 equal bins, percent, "
    "four decimals",
    "train_way": "classes in a task of the training; 0: as many as way",
    "train_shot": "support images per class in the training; 0: as many as shot",
    "head": "where the classifier starts: learned, fresh (weights drawn for further classes), "
    "prototypes, or refined (prototypes after soft k-means with the query set)",
    "started_from": "what the training began with: a run, a part of one, or a file of weights; "
    "empty: random parameters",
    "together_with": "further runs, with spaces between, whose models are in the ensemble as well",
}
"""The columns of the CSV, in order, and what they hold."""


def spreadsheet_safe(text: str) -> str:
    """``text`` as a spreadsheet shows it: quoted where it would be read as a formula."""
    shown = visible(text)
    return f"'{shown}" if shown.lstrip().startswith(tuple("=+-@＝＋－＠")) else shown


def csv_text(evaluations: Sequence[Evaluation]) -> str:
    """A header and one row a run, step count and kind of statistics; lines end with a line feed."""
    rows = []
    for evaluation in evaluations:
        shared: dict[str, object] = {
            name: value for name, value in vars(evaluation).items() if name in COLUMNS
        }
        for statistics in evaluation.statistics:
            kind = evaluation.kind(statistics).removesuffix(" statistics")
            spread = _spread_cells(evaluation, statistics)
            for result in evaluation.results(statistics):
                rows.append(
                    shared
                    | {
                        "rotations": str(evaluation.rotations).lower(),
                        "disjoint": str(evaluation.disjoint).lower(),
                        "test_steps": result.steps,
                        "statistics": "none" if evaluation.metric.is_error else kind,
                        **_accuracy_cells(result),
                        "loss": f"{result.loss:.6f}",
                        "loss_ci95": f"{result.loss_ci95:.6f}",
                        **(spread if result.steps == evaluation.test_steps else {}),
                    }
                )
    return csv_table(
        list(COLUMNS), rows, text_columns=("run", "profile", "data", "class_split", "together_with")
    )


def _accuracy_cells(result: StepResult) -> dict[str, str]:
    if result.accuracy is None:
        return {}
    return {
        "accuracy_percent": f"{100 * result.accuracy:.4f}",
        "accuracy_ci95_percent": f"{100 * result.accuracy_ci95:.4f}",
    }


def _spread_cells(evaluation: Evaluation, statistics: str) -> dict[str, str]:
    spread = evaluation.spread(statistics)
    if spread is None:
        return {}
    fractions = {
        "accuracy_classes_low_percent": spread.classes.low,
        "accuracy_classes_high_percent": spread.classes.high,
        "accuracy_p5_percent": spread.low,
        "accuracy_worst_percent": spread.worst,
        "calibration_error_percent": spread.calibration_error,
    }
    return {name: f"{100 * value:.4f}" for name, value in fractions.items()}


def csv_table(
    columns: Sequence[str],
    rows: Sequence[dict[str, object]],
    *,
    text_columns: Sequence[str] = (),
) -> str:
    """CSV of ``rows``; what stands in ``text_columns`` was written by people and is made safe."""
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, columns, lineterminator="\n")
    writer.writeheader()
    for row in rows:
        safe = {name: spreadsheet_safe(str(row[name])) for name in text_columns if name in row}
        writer.writerow(row | safe)
    return buffer.getvalue()
