"""The sections of a report that compare: arms with each other, and with what was published."""

from __future__ import annotations

import math
from collections.abc import Iterator

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


def paired_differences(bases: dict[str, list[Arm]]) -> Iterator[Block]:
    """Each arm against the first of its base, on the episodes and over the seeds of both."""
    found: list[tuple[str, Arm, Arm, PairedDifference, PairedDifference | None]] = []
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
                    [pair[0].headline().accuracy for pair in pairs],
                    [pair[1].headline().accuracy for pair in pairs],
                    "training seeds",
                )
            if len(before) == len(after):
                found.append((base, arm, arms[0], paired_difference(before, after), over_seeds))
    if not found and not apart:
        return
    yield Heading("Paired differences")
    if found:
        by_episodes = holm([each[3].p_value for each in found])
        seeded = [each[4] for each in found if each[4] is not None]
        by_seeds = iter(holm([each.p_value for each in seeded]))
        rows = []
        for (base, arm, other, episodes, seeds), p_value in zip(found, by_episodes, strict=True):
            rows.append(
                (
                    base,
                    arm.title,
                    other.title,
                    _difference(episodes),
                    _p_cell(p_value),
                    f"{100 * episodes.improvement:.0f}",
                    number_cell(100 * episodes.least_detectable),
                    _difference(seeds) if seeds else NO_VALUE,
                    _p_cell(next(by_seeds)) if seeds else NO_VALUE,
                )
            )
        columns = ("base", "arm", "against", "difference", "p (Holm)", "better on %")
        more = ("least seen", "over seeds", "p over seeds (Holm)")
        yield Table("differences", (*columns, *more), tuple(rows), words=3)
        yield Words(
            "In points of test accuracy. Trainings of the same seed have the same first "
            "parameters, training tasks and test episodes, and are compared episode by episode: "
            "difference ± its 95 % interval over the episodes, for these trained parameters. Over "
            "seeds: Student's interval over trainings, which is what a claim about the method "
            "needs. Both p are adjusted by Holm's method for all rows. Better on: episodes, ties "
            "by half. Least seen: the true difference that so many episodes show in four of five "
            "studies."
        )
    if apart:
        yield Bullets(tuple(apart))


def _p_cell(p_value: float) -> str:
    """Without the letter, which the column has."""
    return p_text(p_value).removeprefix("p ").removeprefix("= ")


def _difference(paired: PairedDifference) -> str:
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
                    Dot(f"{label} (here)", 100 * score.accuracy, 100 * score.accuracy_ci95, True)
                )
        tested = [arm for arm in arms if arm.evaluations]
        for comparison in compare_with_published(tested[0].evaluations[0]) if tested else ():
            figure = comparison.figure
            half = math.nan if figure.interval is None else float(figure.interval)
            marks.append(Dot(f"{base}, {figure.method}", float(figure.accuracy), half, False))
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
