"""What can be read from the results of a study, in whole sentences."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from mamltui.results import Comparison, StepResult, accuracy_cell, compare_with_published
from mamltui.studies.arms import Arm

PAPER_TASKS = 60_000 * 32
"""Training tasks of the MAML paper at 5-way; at 20-way half as many."""


def statements(bases: dict[str, list[Arm]]) -> Iterator[str]:
    """What can be read from the tables, in whole sentences."""
    for base, arms in bases.items():
        tested = [(arm, score) for arm in arms if (score := arm.headline())]
        if not tested:
            yield f"{base}: nothing has been tested yet."
            continue
        if len(tested) > 1:
            yield _ranking(base, tested)
        for comparison in compare_with_published(tested[0][0].evaluations[0]):
            if comparison.figure.method.startswith("MAML") and "++" not in comparison.figure.method:
                yield _beside(base, tested[0][0], comparison)


def _ranking(base: str, tested: Sequence[tuple[Arm, StepResult]]) -> str:
    ranked = sorted(tested, key=lambda each: each[1].accuracy, reverse=True)
    (best, score), (last, lowest) = ranked[0], ranked[-1]
    text = (
        f"{base}: the highest test accuracy has {best.title} with {accuracy_cell(score)} %, the "
        f"lowest {last.title} with {accuracy_cell(lowest)} % (intervals over the test episodes)."
    )
    seeds = min(len(arm.tested) for arm, _ in tested)
    if seeds < 2:
        text += " Of one seed each: another seed may change the order."
    return text


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
    published = PAPER_TASKS if profile.task.way < 20 else PAPER_TASKS // 2
    if tasks < published / 2:
        yield f"{tasks:,} training tasks in all, the paper's {published:,}"
    best = [each.info.best.iteration for each in arm.standings if each.info and each.info.best]
    if best and max(best) >= 0.9 * profile.meta.iterations:
        yield "the best validation came at the end, so it was still learning"
    gap = arm.mean(lambda log: log.late_training_accuracy - log.late_validation_accuracy)
    if gap > 0.02:
        yield f"training tasks are solved {100 * gap:.1f} points better than validation tasks"
