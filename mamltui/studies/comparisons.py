"""The sections of a report that compare: arms with each other, and with what was published."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

from mamltui.results import compare_with_published, p_text, unpaired_reason
from mamltui.statistics import PairedDifference, holm, paired_difference
from mamltui.studies import plots
from mamltui.studies.arms import Arm
from mamltui.studies.document import (
    NO_VALUE,
    Block,
    Bullets,
    Heading,
    Table,
    Words,
    number_cell,
)
from mamltui.studies.plots import Dot


@dataclass(frozen=True)
class ArmPair:
    """An arm beside the first of its base."""

    base: str
    arm: Arm
    first: Arm
    episodes: PairedDifference
    """Of the trained parameters, over the episodes of all seeds that both have."""
    seeds: PairedDifference | None
    """Of the method, over those seeds; None of a single one."""
    p_value: float
    """Over the episodes, adjusted by Holm's method for all pairs of the study."""
    seeds_p_value: float
    """Over the seeds, likewise; NaN of a single one."""


def arm_pairs(bases: dict[str, list[Arm]]) -> tuple[list[ArmPair], list[str]]:
    """Each arm beside the first of its base, and in words those that cannot be compared so."""
    comparisons: list[tuple[str, Arm, Arm, PairedDifference, PairedDifference | None]] = []
    apart: list[str] = []
    for base, arms in bases.items():
        first = {each.cell.seed: each.evaluation for each in arms[0].tested if each.evaluation}
        for arm in arms[1:]:
            pairs = [
                (first[each.cell.seed], each.evaluation)
                for each in arm.tested
                if each.evaluation and each.cell.seed in first
            ]
            if not pairs:
                continue
            reason = next((why for pair in pairs if (why := unpaired_reason(*pair))), "")
            if reason:
                apart.append(f"{base}, {arm.title}: not compared, for {reason}.")
                continue
            before, after = (
                [accuracy for pair in pairs for accuracy in pair[which].accuracies()]
                for which in (0, 1)
            )
            over_seeds = None
            if len(pairs) > 1:
                over_seeds = paired_difference(
                    [pair[0].headline().score.value for pair in pairs],
                    [pair[1].headline().score.value for pair in pairs],
                    "training seeds",
                )
            if len(before) == len(after):
                episodes = paired_difference(before, after)
                comparisons.append((base, arm, arms[0], episodes, over_seeds))
    by_episodes = holm([each[3].p_value for each in comparisons])
    by_seeds = iter(holm([each[4].p_value for each in comparisons if each[4] is not None]))
    return [
        ArmPair(*each, p_value, next(by_seeds) if each[4] else math.nan)
        for each, p_value in zip(comparisons, by_episodes, strict=True)
    ], apart


def paired_differences(bases: dict[str, list[Arm]]) -> Iterator[Block]:
    """Each arm against the first of its base, on the episodes and over the seeds of both."""
    pairs, apart = arm_pairs(bases)
    if not pairs and not apart:
        return
    yield Heading("Paired differences")
    if pairs:
        rows = [
            (
                pair.base,
                pair.arm.title,
                pair.first.title,
                difference_cell(pair.episodes),
                _p_cell(pair.p_value),
                f"{100 * pair.episodes.improvement:.0f}",
                number_cell(100 * pair.episodes.least_detectable),
                difference_cell(pair.seeds) if pair.seeds else NO_VALUE,
                _p_cell(pair.seeds_p_value) if pair.seeds else NO_VALUE,
            )
            for pair in pairs
        ]
        columns = ("base", "arm", "against", "difference", "p (Holm)", "better on %")
        more = ("least seen", "over seeds", "p over seeds (Holm)")
        yield Table("differences", (*columns, *more), tuple(rows), words=3)
        yield Words(
            "In points of test accuracy. Trainings of the same seed have the same first "
            "parameters, training tasks and test episodes, and are compared episode by episode: "
            "difference ± its 95 % interval over the episodes, for these trained parameters. Over "
            "seeds: Student's interval over trainings, which is what a claim about the method "
            "needs. Who looks at many differences finds some by chance: both p are therefore "
            "adjusted by Holm's method for all rows, so that a study without any true difference "
            "has a p below 0.05 anywhere in one case of twenty at most. Better on: episodes, ties "
            "by half. Least seen: the true difference that so many episodes show in four of five "
            "studies."
        )
    if apart:
        yield Bullets(tuple(apart))


def _p_cell(p_value: float) -> str:
    """Without the letter, which the column has."""
    return p_text(p_value).removeprefix("p ").removeprefix("= ")


def difference_cell(paired: PairedDifference) -> str:
    """In points, with half its interval."""
    return f"{100 * paired.difference:+.2f} ± {100 * paired.interval.half_width:.2f}"


def beside_published(bases: dict[str, list[Arm]]) -> Iterator[Block]:
    rows: list[tuple[str, ...]] = []
    marks: list[Dot] = []
    for base, arms in bases.items():
        for arm in arms:
            score = arm.headline()
            comparisons = compare_with_published(arm.evaluations[0]) if score else []
            if score and comparisons:
                label = f"{base}, {arm.title}" if len(arms) > 1 else base
                marks.append(
                    Dot(f"{label} (here)", 100 * score.score.value, 100 * score.accuracy_ci95, True)
                )
        tested = [arm for arm in arms if arm.evaluations]
        for comparison in compare_with_published(tested[0].evaluations[0]) if tested else ():
            figure = comparison.figure
            half = math.nan if figure.interval is None else float(figure.interval)
            marks.append(Dot(f"{base}, {figure.method}", float(figure.value), half, False))
            rows.append(
                (
                    base,
                    figure.method,
                    figure.printed,
                    comparison.measured,
                    f"{comparison.relation}, intervals {'meet' if comparison.meets else 'apart'}",
                    "; ".join(comparison.differences) or NO_VALUE,
                    figure.cited,
                )
            )
    if not rows:
        return
    yield Heading("Beside published figures")
    yield plots.dots("published", "Test accuracy here and as published", marks, "accuracy %")
    yield Table(
        "published",
        ("base", "method", "published", "here", "relation", "measured otherwise here", "source"),
        tuple(rows),
        words=7,
    )
    yield Words(
        "Here: the first arm of each base, one seed, which is an ordinary run. An interval "
        "says what its source says; a figure without one is a single number."
    )
