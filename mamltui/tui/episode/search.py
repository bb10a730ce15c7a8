"""Looking through many episodes: for the next with an error, and for what is taken for what."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from mamltui.results import Evaluation
from mamltui.tui.episode.inspector import EpisodeInspector
from mamltui.tui.episode.request import LARGEST_TASK, Request

AT_ONCE = 16
"""Tasks that are adapted to side by side."""
MOST_SEARCHED = 2_000
CONFUSION_TASKS = 100
"""As many as tell alphabets apart, in seconds."""


def next_error(
    inspector: EpisodeInspector,
    request: Request,
    step: int,
    should_stop: Callable[[], bool],
    searched: Callable[[int], object],
) -> int | None:
    """The first task after the one of ``request`` with a query answered wrong after ``step`` steps.

    None: not among the next ``MOST_SEARCHED``, or it was stopped.

    Args:
        searched: told now and then how many tasks were looked at.

    Raises:
        MamltuiError: the run, its data or its parameters cannot be had.
    """
    first = request.task + 1
    last = min(first + MOST_SEARCHED, LARGEST_TASK)
    request = replace(request, steps=max(step, 1))
    for start in range(first, last, AT_ONCE):
        adaptation = inspector.adapted(replace(request, task=start), AT_ONCE, should_stop)
        if adaptation is None:
            return None
        accuracies = adaptation.query.scores.accuracy[:, min(step, request.steps)].tolist()
        wrong = [index for index, accuracy in enumerate(accuracies) if not accuracy >= 1]
        if wrong:
            return start + wrong[0]
        searched(start + AT_ONCE - first)
    return None


@dataclass(frozen=True)
class Confusion:
    """Of the query images of one alphabet, or of one class where names have none."""

    name: str
    is_class: bool
    queries: int
    wrong: int
    taken_for: tuple[tuple[str, int], ...]
    """Alphabets of the wrong answers with their numbers, the most frequent first."""


def alphabet_of(class_name: str) -> str:
    """What stands above the class; the class itself where nothing does."""
    return class_name.rpartition("/")[0] or class_name


def confusions(
    inspector: EpisodeInspector,
    request: Request,
    step: int,
    should_stop: Callable[[], bool],
    searched: Callable[[int], object],
    tasks: int = CONFUSION_TASKS,
) -> list[Confusion] | None:
    """Whose query images are taken for whose, over tasks 0 to ``tasks``; most errors first.

    None: it was stopped.

    Args:
        searched: told now and then how many tasks were looked at.

    Raises:
        MamltuiError: the run, its data or its parameters cannot be had.
    """
    queries: Counter[str] = Counter()
    classes: set[str] = set()
    wrong: dict[str, Counter[str]] = {}
    for start in range(0, tasks, AT_ONCE):
        count = min(AT_ONCE, tasks - start)
        adaptation = inspector.adapted(replace(request, task=start), count, should_stop)
        if adaptation is None:
            return None
        names = inspector.class_names(replace(request, task=start), count)
        classes.update(*names)
        answers = (
            adaptation.query.probabilities[:, min(step, request.steps)].argmax(dim=-1).tolist()
        )
        for own, row in zip(names, answers, strict=True):
            for index, answer in enumerate(row):
                alphabet = alphabet_of(own[index * len(own) // len(row)])
                queries[alphabet] += 1
                if answer != index * len(own) // len(row):
                    wrong.setdefault(alphabet, Counter())[alphabet_of(own[answer])] += 1
        searched(start + count)
    return sorted(
        (
            Confusion(
                name,
                name in classes,
                count,
                sum(wrong.get(name, Counter()).values()),
                tuple(wrong.get(name, Counter()).most_common()),
            )
            for name, count in queries.items()
        ),
        key=lambda each: (-each.wrong / each.queries, each.name),
    )


def worst_tasks(evaluation: Evaluation, most: int = 100) -> list[tuple[int, float]]:
    """The numbers of the tasks with the lowest accuracy, and that, the worst first; not the whole.

    Only of tasks with an error.
    """
    accuracies = evaluation.accuracies()
    wrong = [(task, accuracy) for task, accuracy in enumerate(accuracies) if accuracy < 1]
    return sorted(wrong, key=lambda pair: (pair[1], pair[0]))[:most]


def evaluation_of(
    evaluations: Sequence[Evaluation], request: Request, seed: int
) -> Evaluation | None:
    """The newest evaluation whose tasks are those that ``request`` counts; None: there is none."""
    return next(
        (
            each
            for each in evaluations
            if each.split == request.split
            and each.checkpoint == request.source
            and each.seed == seed
            and not each.is_special
            and each.outcomes
        ),
        None,
    )
