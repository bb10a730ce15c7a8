"""Two runs on the same episodes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from mamltui.results.evaluation import Evaluation
from mamltui.statistics import Interval, PairedDifference, class_interval, holm, paired_difference

_SAME_EPISODES = {
    "data_hash": "images",
    "split": "split",
    "class_split": "class split",
    "way": "way",
    "shot": "shot",
    "query": "query images a class",
    "rotations": "rotations",
    "resize": "resize",
    "image_size": "image size",
    "seed": "seed of the episodes",
    "disjoint": "sampling of the episodes",
}
"""What the episodes depend on, in words."""


@dataclass(frozen=True)
class RunDifference:
    """How much better the second of two evaluations is, at the headlines."""

    statistics: str
    """One of ``STATISTICS``."""
    episodes: PairedDifference
    """Of the accuracies as fractions, episode by episode; of disjoint ones, of the test images."""
    classes: Interval
    """Of the same difference over other classes, by bootstrap; NaN where it is not known."""

    @property
    def text(self) -> str:
        """E.g. ``+1.20 ± 0.31 points on the same 600 episodes (p = 0.002)``; in words why."""
        paired = self.episodes
        interval = paired.interval
        words = (
            f"{100 * paired.difference:+.2f} ± {100 * interval.half_width:.2f} points on the same "
            f"{interval.count:,} episodes ({p_text(paired.p_value)}; better on "
            f"{100 * paired.improvement:.0f} % of them, ties by half)"
        )
        if self.classes.low == self.classes.low:
            low, high = 100 * self.classes.low, 100 * self.classes.high
            words += f"; over {self.classes.count:,} classes {low:+.2f} to {high:+.2f}"
        return f"{words}; {100 * paired.least_detectable:.2f} would have been seen"


def p_text(p_value: float) -> str:
    """E.g. ``p = 0.031``."""
    return "p < 0.001" if p_value < 0.001 else f"p = {p_value:.3f}"


def unpaired_reason(first: Evaluation, second: Evaluation) -> str:
    """Why two evaluations were not made on the same episodes, in words; empty if they were."""
    if first.metric != second.metric:
        return f"one is {_measured(first)}, the other {_measured(second)}"
    differing = [
        words
        for name, words in _SAME_EPISODES.items()
        if getattr(first, name) != getattr(second, name)
    ]
    if differing:
        return f"they were not tested on the same episodes: other {', '.join(differing)}"
    if first.metric.is_error:
        return "their errors on single waves are not kept, so there are no pairs to compare"
    for evaluation in (first, second):
        if not evaluation.outcomes:
            return (
                f"the result of {evaluation.run} holds no single episodes: "
                f"evaluate it again with mamltui eval {evaluation.run}"
            )
    return ""


def _measured(evaluation: Evaluation) -> str:
    metric = evaluation.metric
    return f"an {metric.name}" if metric.name[0] in "aeiou" else f"a {metric.name}"


def compare_runs(
    first: Evaluation, second: Evaluation, statistics: str = "transductive"
) -> RunDifference:
    """Compare the headlines of two evaluations, on the episodes that both have.

    Raises:
        ValueError: they share no episodes; ``unpaired_reason`` says why.
    """
    reason = unpaired_reason(first, second)
    if reason:
        raise ValueError(reason)
    before, after = first.accuracies(statistics), second.accuracies(statistics)
    count = min(len(before), len(after))
    ours, theirs = first.outcome(statistics), second.outcome(statistics)
    assert ours is not None and theirs is not None
    same_queries = ours.class_queries == theirs.class_queries
    pairs = zip(ours.class_right, theirs.class_right, strict=True)
    return RunDifference(
        statistics,
        paired_difference(
            before[:count], after[:count], "test images" if first.disjoint else "episodes"
        ),
        class_interval(
            [later - sooner for sooner, later in pairs] if same_queries else [],
            ours.class_queries if same_queries else [],
        ),
    )


def paired_lines(
    evaluations: Sequence[Evaluation], names: Sequence[str], statistics: str
) -> list[tuple[str, str]]:
    """Of all evaluations but the first, the name and the difference to the first in words.

    Several p-values are followed by what they are after Holm's adjustment. Where a comparison
    cannot be made the words say why.
    """
    first = evaluations[0]
    comparisons = [
        unpaired_reason(first, other) or compare_runs(first, other, statistics)
        for other in evaluations[1:]
    ]
    compared = [each for each in comparisons if isinstance(each, RunDifference)]
    adjusted = iter(holm([each.episodes.p_value for each in compared]))
    lines = []
    for name, each in zip(names[1:], comparisons, strict=True):
        text = str(each)
        if isinstance(each, RunDifference):
            p_value = next(adjusted)
            text = each.text
            if len(compared) > 1:
                text += f"; {p_text(p_value)} as one of {len(compared)} (Holm)"
        lines.append((name, text))
    return lines
