"""What can be read from the results of a study, in whole sentences."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from mamltui.results import (
    Comparison,
    StepResult,
    compare_with_published,
    score_cell,
)
from mamltui.results.published import published_sweeps
from mamltui.studies.arms import Arm
from mamltui.studies.comparisons import ArmPair, arm_pairs, difference_cell

PAPER_TASKS = 60_000 * 32
"""Training tasks of the MAML paper at 5-way; at 20-way half as many."""

SIGNIFICANT = 0.05
OVERFITTING = 0.02
"""A gap between training and validation accuracy that is worth a word."""


def statements(bases: dict[str, list[Arm]]) -> Iterator[str]:
    """What can be read from the tables, in whole sentences."""
    pairs, _ = arm_pairs(bases)
    for base, arms in bases.items():
        tested = [(arm, score) for arm in arms if (score := arm.headline())]
        if not tested:
            yield f"{base}: nothing has been tested yet."
            continue
        if len(tested) > 1:
            yield _ranking(base, tested)
        yield from _differences(base, [pair for pair in pairs if pair.base == base], len(pairs))
        yield from _training(base, [arm for arm in arms if arm.is_trained])
        yield from _more_steps(base, [arm for arm, _ in tested])
        yield from _beside_grid(base, [arm for arm, _ in tested])
        for comparison in compare_with_published(tested[0][0].evaluations[0]):
            if comparison.figure.method.startswith("MAML") and "++" not in comparison.figure.method:
                yield _beside(base, tested[0][0], comparison)


def _ranking(base: str, tested: Sequence[tuple[Arm, StepResult]]) -> str:
    ranked = sorted(tested, key=lambda each: each[1].score.value, reverse=True)
    (best, score), (last, lowest) = ranked[0], ranked[-1]
    text = (
        f"{base}: the highest test accuracy has {best.title} with {score_cell(score)} %, the "
        f"lowest {last.title} with {score_cell(lowest)} % (intervals over the test episodes)."
    )
    seeds = min(len(arm.tested) for arm, _ in tested)
    if seeds < 2:
        text += " Of one seed each: another seed may change the order."
    return text


def _differences(base: str, pairs: Sequence[ArmPair], count: int) -> Iterator[str]:
    """Which arms differ from the first, after Holm's adjustment."""
    if not pairs:
        return
    over_seeds = all(pair.seeds for pair in pairs)
    words: dict[str, list[str]] = {"better": [], "worse": [], "not to be told from it": []}
    for pair in pairs:
        paired = pair.seeds if over_seeds and pair.seeds else pair.episodes
        p_value = pair.seeds_p_value if over_seeds else pair.p_value
        verdict = "better" if paired.difference > 0 else "worse"
        if p_value >= SIGNIFICANT:
            verdict = "not to be told from it"
        words[verdict].append(f"{pair.arm.title} ({difference_cell(paired)})")
    verdicts = "; ".join(f"{verdict} {', '.join(arms)}" for verdict, arms in words.items() if arms)
    text = f"{base}, against {pairs[0].first.title}, in points: {verdicts}."
    adjusted = (
        f" at 5 % after Holm's adjustment for {count} comparisons" if count > 1 else " at 5 %"
    )
    if over_seeds:
        yield f"{text} That is over the seeds,{adjusted}."
    else:
        yield f"{text} That is of these trained parameters on the same episodes,{adjusted}."


def _training(base: str, arms: Sequence[Arm]) -> Iterator[str]:
    """How steady the trainings were, and whether what they learned holds for other classes."""
    spreads = [(arm.mean(lambda log: log.loss_spread), arm) for arm in arms]
    known = sorted((each for each in spreads if not math.isnan(each[0])), key=lambda each: each[0])
    if len(known) < 2:
        return
    (low, steady), (high, unsteady) = known[0], known[-1]
    yield (
        f"{base}: the steadiest training has {steady.title} (spread of the loss {low:.3f} nats in "
        f"the last third), the least steady {unsteady.title} ({high:.3f})."
    )
    gaps = [(arm.mean(lambda log: log.generalisation_gap), arm) for _, arm in known]
    gap, widest = max(gaps, key=lambda each: each[0])
    if gap > OVERFITTING:
        yield (
            f"{base}: {widest.title} solves training tasks {100 * gap:.1f} points better than "
            "validation tasks, the most of all: what is learned does not hold whole for others."
        )
    elif not math.isnan(gap):
        yield (
            f"{base}: no arm solves training tasks more than {100 * OVERFITTING:g} points better "
            "than validation tasks, so no overfitting is seen."
        )


def _more_steps(base: str, arms: Sequence[Arm]) -> Iterator[str]:
    """What further inner steps at test bring, beyond as many as in training."""
    parts = []
    for arm in arms:
        steps = arm.evaluations[0].train_steps
        trained, most = arm.at(steps), arm.at(max(arm.tested_steps, default=0))
        if steps and trained and most and most.steps > steps:
            parts.append(
                f"{arm.title} from {100 * trained.score.value:.2f} % after {steps} to "
                f"{100 * most.score.value:.2f} % after {most.steps}"
            )
    if parts:
        yield f"{base}, more inner steps at test than in training: {'; '.join(parts)}."


def _beside_grid(base: str, arms: Sequence[Arm]) -> Iterator[str]:
    """The arms beside the cells of an earlier study's grid."""
    differences = []
    for arm in arms:
        evaluation = arm.evaluations[0]
        for sweep in published_sweeps():
            if (sweep.task, sweep.train_steps) == (evaluation.task, evaluation.train_steps):
                for theirs in sweep.results:
                    ours = arm.at(theirs.steps)
                    if ours:
                        where = f"trained with {sweep.train_steps}, after {theirs.steps}"
                        differences.append((100 * (ours.score.value - theirs.score.value), where))
    if "inner.steps" not in dict(arms[0].cell.point) or not differences:
        return
    (low, lowest), (high, highest) = min(differences), max(differences)
    higher = sum(difference > 0 for difference, _ in differences)
    yield (
        f"{base}, beside the earlier study's grid of training by test steps: higher in {higher} of "
        f"{len(differences)} cells, from {low:+.2f} points ({lowest}) to {high:+.2f} ({highest})."
    )


def _beside(base: str, arm: Arm, comparison: Comparison) -> str:
    text = f"{base}, {arm.title}: {comparison.measured} is {comparison.words}."
    if comparison.relation == "below" and not comparison.meets:
        reasons = [*comparison.differences, *_reasons(arm)]
        if reasons:
            text += f" Likely reasons: {'; '.join(reasons)}."
    return text


def _reasons(arm: Arm) -> Iterator[str]:
    """Why an arm may fall short of what was published, as far as its runs show it."""
    profile = arm.standings[0].profile
    if profile is None:
        return
    tasks = profile.meta.iterations * profile.meta.batch
    published = PAPER_TASKS if profile.task.at_test.way < 20 else PAPER_TASKS // 2
    if tasks < published / 2:
        yield f"{tasks:,} training tasks in all, where the MAML paper has {published:,}"
    best = [each.info.best.iteration for each in arm.standings if each.info and each.info.best]
    if best and max(best) >= 0.9 * profile.meta.iterations:
        yield "the best validation came at the end, so it was still learning"
    gap = arm.mean(lambda log: log.generalisation_gap)
    if gap > OVERFITTING:
        yield f"training tasks are solved {100 * gap:.1f} points better than validation tasks"
