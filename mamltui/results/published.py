"""Published figures, and how a run's headline stands beside them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any

import tomli

from mamltui.measures import counted
from mamltui.results.evaluation import Evaluation, StepResult, task_name
from mamltui.score import ACCURACY, SQUARED_ERROR, Metric

if TYPE_CHECKING:
    from mamltui.profiles import Profile


@dataclass(frozen=True)
class Figure:
    """One published accuracy, or error, with the decimals it was printed with."""

    method: str
    whose: str
    """The method in the genitive, for sentences."""
    source: str
    """Authors and year."""
    title: str
    table: str | None
    data: str
    way: int
    """0: a regression."""
    shot: int
    value: Decimal
    """Accuracy in percent, or mean squared error."""
    interval: Decimal | None
    """Half width, as the source prints it."""
    transductive: bool | None
    """None: the source does not say."""
    verified: bool
    """Whether the figure was checked against its source."""
    second_hand: bool
    """Whether it was taken from a text that quotes the source, which is said wherever it stands."""
    protocol: Mapping[str, Any]
    algorithm: str
    """What was trained, as ``Evaluation.algorithm`` says it."""
    note: str = ""
    """What else is measured otherwise there, in words."""

    @property
    def is_shown(self) -> bool:
        """What was recalled and never looked up is not."""
        return self.verified or self.second_hand

    @property
    def metric(self) -> Metric:
        return ACCURACY if self.way else SQUARED_ERROR

    @property
    def printed(self) -> str:
        """E.g. ``98.7 ± 0.4 %``."""
        interval = "" if self.interval is None else f" ± {self.interval}"
        return f"{self.value}{interval}{self.metric.unit}"

    def is_of(self, data: str, way: int, shot: int) -> bool:
        """Whether it is of this task, and may be shown."""
        return self.is_shown and (self.data, self.way, self.shot) == (data, way, shot)

    @property
    def cited(self) -> str:
        """Authors, year and table."""
        return f"{self.source}, {self.table}" if self.table else self.source


@cache
def _published() -> dict[str, Any]:
    text = files("mamltui").joinpath("published.toml").read_text(encoding="utf-8")
    # Decimal keeps the printed precision: 98.90 is not 98.9.
    return tomli.loads(text, parse_float=Decimal)


@cache
def published_figures() -> tuple[Figure, ...]:
    """Every figure of ``published.toml``, verified or not, in its order."""
    return tuple(
        Figure(
            method=method["method"],
            whose=method["whose"],
            source=method["source"],
            title=method["title"],
            table=method.get("table"),
            data=method["data"],
            way=figure["way"],
            shot=figure["shot"],
            value=figure["accuracy" if figure["way"] else "error"],
            interval=figure.get("interval"),
            transductive=method.get("transductive"),
            verified=method["verified"],
            second_hand=method.get("second_hand", False),
            protocol=method.get("protocol", {}),
            algorithm=method["algorithm"],
            note=method.get("note", ""),
        )
        for method in _published()["method"]
        for figure in method["figures"]
    )


@dataclass(frozen=True)
class Sweep:
    """One row of an earlier grid: the scores of one number of inner steps in training."""

    source: str
    task: str
    train_steps: int
    results: tuple[StepResult, ...]


@cache
def published_sweeps() -> tuple[Sweep, ...]:
    """Every row of the grids of ``published.toml``, in its order."""
    rows: dict[tuple[str, str, int], list[StepResult]] = {}
    for sweep in _published()["sweep"]:
        task = task_name(sweep["data"], sweep["way"], sweep["shot"])
        for cell in sweep["cells"]:
            rows.setdefault((sweep["source"], task, cell["train_steps"]), []).append(
                StepResult(
                    steps=cell["test_steps"],
                    accuracy=float(cell["accuracy"] / 100),
                    accuracy_ci95=math.nan,
                    loss=float(cell["loss"]),
                    loss_ci95=math.nan,
                )
            )
    return tuple(Sweep(*key, tuple(results)) for key, results in rows.items())


def figures_of(profile: Profile) -> list[Figure]:
    """What is published for the tasks that the profile is scored on, and may be shown."""
    scored = profile.task.at_test
    task = (profile.data.set, profile.classes_of(scored), scored.shot)
    return [figure for figure in published_figures() if figure.is_of(*task)]


@dataclass(frozen=True)
class Comparison:
    """A run's headline beside one published figure of the same data set, way and shot."""

    statistics: str
    value: Decimal
    """As people read it, rounded: what is shown is what is compared."""
    interval: Decimal
    figure: Figure
    differences: tuple[str, ...]
    """What was measured otherwise than by the source, in words, as far as it says."""

    @property
    def relation(self) -> str:
        """``above``, ``below`` or ``equal to``."""
        if self.value == self.figure.value:
            return "equal to"
        return "above" if self.value > self.figure.value else "below"

    @property
    def meets(self) -> bool:
        """Whether the intervals share a point; a figure without interval is a single point."""
        width = self.interval + (self.figure.interval or Decimal(0))
        return abs(self.value - self.figure.value) <= width

    @property
    def measured(self) -> str:
        """The run's score, e.g. ``98.21 ± 0.31 %``."""
        return f"{self.value} ± {self.interval}{self.figure.metric.unit}"

    @property
    def words(self) -> str:
        """E.g. ``below the MAML paper's 98.7 ± 0.4 %, and the intervals meet``."""
        start = f"{self.relation} {self.figure.whose} {self.figure.printed}"
        if self.figure.interval is None:
            side = "inside" if self.meets else "outside"
            return f"{start}, which is given without interval and lies {side} this one"
        return f"{start}, and the intervals {'meet' if self.meets else 'do not meet'}"

    @property
    def sentence(self) -> str:
        """The comparison with its source, and what differs."""
        text = f"{self.measured}: {self.words} [{self.figure.cited}]"
        return "; ".join((text, *self.differences))


def compare_with_published(evaluation: Evaluation) -> list[Comparison]:
    """The headline beside every verified figure of the same data set, way and shot.

    A figure measured without transduction stands beside the headline with support statistics, every
    other beside the transductive one. Empty where nothing was published for the task.
    """
    comparisons = []
    for figure in published_figures():
        if not figure.is_of(evaluation.data, evaluation.way, evaluation.shot):
            continue
        statistics = "support" if figure.transductive is False else "transductive"
        score = evaluation.headline(statistics).score
        comparisons.append(
            Comparison(
                statistics=statistics,
                value=Decimal(score.metric.number(score.value)),
                interval=Decimal(score.metric.number(score.ci95)),
                figure=figure,
                differences=_differences(evaluation, figure),
            )
        )
    return comparisons


def _differences(evaluation: Evaluation, figure: Figure) -> tuple[str, ...]:
    theirs = {**figure.protocol, "algorithm": figure.algorithm}
    theirs["models"] = _models(theirs.get("models", 1))
    if "query_per_shot" in theirs:
        theirs["query_images"] = theirs.pop("query_per_shot") * figure.shot
    ours: dict[str, tuple[Any, str]] = {
        "algorithm": (evaluation.algorithm, "{}, theirs {}"),
        "class_split": (evaluation.class_split, "class split {}, theirs {}"),
        "rotations": (
            evaluation.rotations,
            "rotated classes, theirs not" if evaluation.rotations else "no rotations, theirs with",
        ),
        "resize": (evaluation.resize, "resize {}, theirs {}"),
        "image_size": (evaluation.image_size, "images of {} pixels, theirs {}"),
        "query_images": (
            evaluation.query,
            f"{counted(evaluation.query, 'query image')} a class, theirs {{1}}",
        ),
        "filters": (evaluation.filters, "{} filters, theirs {}"),
        "models": (_models(evaluation.models or 1), "{}, theirs {}"),
        "iterations": (evaluation.iteration, "{:,} meta-iterations, theirs {:,}"),
    }
    if evaluation.module:
        del ours["filters"]
    differences = [
        text.format(value, theirs[key])
        for key, (value, text) in ours.items()
        if key in theirs and theirs[key] != value
    ]
    if evaluation.module:
        differences.insert(0, f"network {evaluation.module}, theirs Conv-4")
    if evaluation.head == "refined" and figure.transductive is not False:
        differences.insert(0, evaluation.head_words)
    if evaluation.started_from:
        differences.insert(0, f"begun with {evaluation.started_from}")
    if evaluation.trained_on:
        differences.insert(0, f"trained on {evaluation.trained_on} tasks")
    if evaluation.split != "test":
        differences.insert(0, f"{evaluation.split} split, theirs test")
    if evaluation.running_statistics and figure.transductive:
        differences.append("running statistics, theirs transductive")
    if figure.second_hand:
        differences.append("second hand")
    if figure.transductive is None and evaluation.way:
        differences.append("batch statistics not stated there")
    if figure.note:
        differences.append(figure.note)
    return tuple(differences)


def _models(count: int) -> str:
    return "a single model" if count == 1 else f"an ensemble of {count} models"
