"""The section of a report on one base: its arms' results, curves, stability, and inner steps."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Sequence

from mamltui.results import StepResult, score_cell
from mamltui.results.published import Sweep, published_sweeps
from mamltui.studies import plots
from mamltui.studies.arms import Arm
from mamltui.studies.curves import minutes_panel, steps_panel, training_panels
from mamltui.studies.document import (
    NO_VALUE,
    Block,
    Heading,
    Picture,
    Table,
    Words,
    number_cell,
    percent_cell,
)

GRID_STEPS = (1, 3, 5, 10)
"""Steps at test of the earlier study's grid."""
OF_REPTILE = (
    " Reptile adapts to all images of a training task, so its scores there tell nothing of what it "
    "has learned and are left out."
)


def base_section(base: str, arms: Sequence[Arm]) -> Iterator[Block]:
    title = arms[0].cell.base.title
    yield Heading(f"{base}: {title}" if title else base)
    yield _results(base, arms)
    yield Words(
        "Test: accuracy in percent of the checkpoint that validated best, after the profile's own "
        "number of inner steps, query images normalised by their own statistics (transductive) "
        "unless the arm learns running ones. ± is the 95 % interval over the test episodes of all "
        "seeds; over seeds: Student's 95 % interval of the mean over trainings. Core minutes: "
        "those that processors worked on the training; in runs that did not count them, those of "
        "the clock times threads, to which other work on the machine adds."
    )
    if any(evaluation.outcomes for arm in arms for evaluation in arm.evaluations):
        yield _spread(base, arms)
        yield Words(
            "Of the first seed. Episodes: another draw of episodes from the same test images. "
            "Classes: other characters of the same kind, by bootstrap. 5th percentile: the "
            "accuracy that one task in twenty stays below. Calibration error: how far confidence "
            "is from accuracy, on the mean, in points."
        )
    drawn = [arm for arm in arms if arm.logs]
    if drawn:
        yield Heading("Curves", 3)
        yield from _curves(base, drawn)
        yield Words("Lines are means over the seeds, bands reach from the lowest to the highest.")
        yield Heading("Stability and generalisation", 3)
        yield _stability(base, drawn)
        yield Words(
            "All of the last third of the training. Spread of the loss: standard deviation of the "
            "training loss about its own straight trend. Largest drop: of validation accuracy, in "
            "points, from one validation to the next, over the whole training. Gap: training less "
            "validation accuracy."
            + OF_REPTILE
            * any(log.adapts_to_queries for arm in drawn for log in arm.logs)
        )
    tested = [arm for arm in arms if arm.evaluations]
    if any(len(arm.tested_steps) > 1 for arm in tested):
        yield Heading("Accuracy by number of inner steps at test", 3)
        yield from _by_steps(base, tested)


def _results(base: str, arms: Sequence[Arm]) -> Table:
    rows = []
    for arm in arms:
        score, support, seeds = arm.headline(), arm.headline("support"), arm.over_seeds
        profile = arm.standings[0].profile
        infos = [each.info for each in arm.standings if each.info]
        best = [info.best.score.value for info in infos if info.best]
        rows.append(
            (
                arm.title,
                arm.state,
                str(len(arm.tested)),
                f"{profile.meta.iterations:,}" if profile else NO_VALUE,
                number_cell(arm.core_minutes, 1),
                percent_cell(best),
                score_cell(score) if score else NO_VALUE,
                number_cell(100 * seeds.half_width),
                score_cell(support) if support else NO_VALUE,
                f"{score.loss:.4f}" if score else NO_VALUE,
            )
        )
    return Table(
        f"results-{base}",
        (
            "arm",
            "state",
            "tested seeds",
            "iterations",
            "core minutes",
            "best validation %",
            "test %",
            "± over seeds",
            "support statistics %",
            "test loss",
        ),
        tuple(rows),
        words=2,
    )


def _spread(base: str, arms: Sequence[Arm]) -> Table:
    rows = []
    for arm in arms:
        spread = arm.evaluations[0].spread() if arm.evaluations else None
        if spread is None:
            continue
        rows.append(
            (
                arm.title,
                *(
                    f"{100 * each.low:.2f} to {100 * each.high:.2f}"
                    for each in (spread.episodes, spread.classes)
                ),
                number_cell(100 * spread.low),
                number_cell(100 * spread.worst),
                number_cell(100 * spread.calibration_error),
            )
        )
    columns = ("arm", "over episodes %", "over classes %", "5th percentile %", "worst task %")
    return Table(f"spread-{base}", (*columns, "calibration error"), tuple(rows))


def _curves(base: str, arms: Sequence[Arm]) -> Iterator[Picture]:
    """Training and validation; many arms are drawn in parts, each with the first one."""
    for suffix, title, part in _parts(arms):
        labelled = [(arm.title, arm.logs) for arm in part]
        yield plots.curves(
            f"curves-{base}{suffix}",
            f"{base}{title}: accuracy on training and on validation tasks, and training loss",
            training_panels(labelled),
        )
        yield plots.curves(
            f"minutes-{base}{suffix}",
            f"{base}{title}: validation accuracy against minutes of training",
            [minutes_panel(labelled)],
        )


def _parts(arms: Sequence[Arm]) -> Iterator[tuple[str, str, list[Arm]]]:
    """As many arms as lines can be told apart: a suffix of names, a title, and the arms."""
    if len(arms) <= plots.LINES:
        yield "", "", list(arms)
        return
    first, rest = arms[0], arms[1:]
    number = 0
    for group, members in itertools.groupby(
        rest, key=lambda arm: arm.cell.variant.group if arm.cell.variant else ""
    ):
        of_group = list(members)
        for at in range(0, len(of_group), plots.LINES - 1):
            number += 1
            title = f", {group}" if group else ""
            yield f"-{number}", title, [first, *of_group[at : at + plots.LINES - 1]]


def _stability(base: str, arms: Sequence[Arm]) -> Table:
    rows = []
    for arm in arms:
        training = arm.mean(lambda log: log.late_training_accuracy)
        validation = arm.mean(lambda log: log.late_validation_accuracy)
        score = arm.headline()
        rows.append(
            (
                arm.title,
                number_cell(arm.mean(lambda log: log.loss_spread), 4),
                number_cell(100 * arm.mean(lambda log: log.largest_drop)),
                number_cell(100 * training),
                number_cell(100 * validation),
                number_cell(100 * arm.mean(lambda log: log.generalisation_gap), sign=True),
                score_cell(score) if score else NO_VALUE,
            )
        )
    return Table(
        f"stability-{base}",
        (
            "arm",
            "spread of the loss",
            "largest drop",
            "training %",
            "validation %",
            "gap",
            "test %",
        ),
        tuple(rows),
    )


def _by_steps(base: str, arms: Sequence[Arm]) -> Iterator[Block]:
    swept = [arm for arm in arms if len(arm.tested_steps) > 1]
    for suffix, title, part in _parts(swept):
        published = [
            (index, sweep) for index, arm in enumerate(part) for sweep in _sweeps_beside(arm)
        ]
        yield plots.curves(
            f"steps-{base}{suffix}",
            f"{base}{title}: test accuracy after each number of inner steps",
            [steps_panel([(arm.title, arm.evaluations) for arm in part], published)],
        )
    steps = sorted({step for arm in swept for step in arm.tested_steps})
    shown = (
        steps if len(steps) <= 12 else [step for step in steps if step in {*range(6), 10, 15, 20}]
    )
    yield plots.heat_map(
        f"grid-{base}",
        f"{base}: test accuracy, arms by inner steps at test",
        [arm.title for arm in swept],
        [str(step) for step in shown],
        [
            [100 * score.score.value if (score := arm.at(step)) else math.nan for step in shown]
            for arm in swept
        ],
        "inner steps at test",
    )
    yield _grid(base, swept)


def _grid(base: str, arms: Sequence[Arm]) -> Table:
    """Arms x steps at test in the layout of the earlier study, beside its own rows."""
    rows = []
    for arm in arms:
        rows.append(_grid_row(arm.title, arm.evaluations[0].train_steps, arm.at))
        for sweep in _sweeps_beside(arm):
            results = {result.steps: result for result in sweep.results}
            rows.append(_grid_row(sweep.source, sweep.train_steps, results.get))
    columns = [f"after {step}" for step in GRID_STEPS]
    return Table(f"grid-{base}", ("arm", "train steps", *columns), tuple(rows))


def _sweeps_beside(arm: Arm) -> list[Sweep]:
    """What is published for the arm's task and steps in training, if the study varies those."""
    if "inner.steps" not in dict(arm.cell.point):
        return []
    ours = (arm.evaluations[0].task, arm.evaluations[0].train_steps)
    return [sweep for sweep in published_sweeps() if (sweep.task, sweep.train_steps) == ours]


def _grid_row(
    label: str, train_steps: int, at: Callable[[int], StepResult | None]
) -> tuple[str, ...]:
    cells = [
        f"{score_cell(score)} ({score.loss:.4f})" if (score := at(step)) else NO_VALUE
        for step in GRID_STEPS
    ]
    return (label, str(train_steps), *cells)
