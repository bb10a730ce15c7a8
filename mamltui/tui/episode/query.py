"""One query of an episode: every class's probability at every step, and whom it is taken for."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from rich.cells import cell_len
from textual.containers import VerticalScroll
from textual.content import Content
from textual.geometry import Size

from mamltui.measures import counted
from mamltui.text import visible
from mamltui.tui.episode.inspector import EpisodeView
from mamltui.tui.shared.braille import enlarged
from mamltui.tui.shared.fitting import fitted
from mamltui.tui.shared.lines import Lines

GAP = 2
ROOMY, NARROW = (18, 7), (12, 6)
"""Cells of a class's name in the table, and of a step."""
MUTED = "$text-muted"


class Query(NamedTuple):
    """A query image by its class and its number in that."""

    label: int
    example: int


def queries_of(view: EpisodeView) -> list[Query]:
    """All of an episode, in the order of the sheet."""
    examples = range(len(view.query.drawn[0]))
    return [Query(label, example) for label in range(view.way) for example in examples]


def wrong_queries(view: EpisodeView, step: int) -> list[Query]:
    """Those that are answered wrong after a step."""
    answers = view.query.probabilities[step].argmax(axis=-1)
    return [query for query in queries_of(view) if int(answers[query]) != query.label]


def query_lines(
    view: EpisodeView, query: Query, step: int, width: int, height: int = 1000
) -> list[Content]:
    """What is told of a query on ``width`` cells, drawn large where ``height`` leaves the room."""
    probabilities = view.query.probabilities[:, query.label, query.example]
    answer = rival(view, query, step)
    return [
        *_title(view, query, step, width),
        Content(""),
        *_pictures(view, query, answer, width, height - view.way - 6),
        Content(""),
        *_table(view, query, probabilities, step, width),
    ]


def rival(view: EpisodeView, query: Query, step: int) -> int:
    """The class that the query is taken for; where it is right, the one that comes second."""
    order = np.argsort(-view.query.probabilities[step, query.label, query.example], kind="stable")
    likeliest = int(order[0])
    return likeliest if likeliest != query.label or len(order) == 1 else int(order[1])


def _title(view: EpisodeView, query: Query, step: int, width: int) -> list[Content]:
    chances = view.query.probabilities[step, query.label, query.example]
    answer = int(chances.argmax())
    after = f"after {counted(step, 'step')}" if step else "before adaptation"
    name = f"query {query.label}"
    if len(view.query.drawn[0]) > 1:
        name += f" #{query.example + 1}"
    percent = f"{100 * chances[answer]:.1f} %"
    if not np.isfinite(chances).all():
        words, style = f"{name}: no answer {after}", "$error"
    elif answer == query.label:
        words, style = f"{name}: right {after}, {percent}", "$success"
    else:
        words, style = f"{name}: taken for {answer} {after}, {percent}", "$error"
    return Content.styled(words, style).wrap(max(8, width))


def _pictures(
    view: EpisodeView, query: Query, other: int, width: int, height: int
) -> list[Content]:
    """The query, and beside it the support of the class it is taken for; of its own if it fits."""
    shown = [
        ("query", query.label, view.query.drawn[query.label][query.example].lines),
        ("support of", other, view.support.drawn[other][0].lines),
        ("support of", query.label, view.support.drawn[query.label][0].lines),
    ]
    across = cell_len(shown[0][2][0])
    if width >= 2 * 2 * across + GAP and height >= 2 * len(shown[0][2]):
        shown = [(words, label, enlarged(lines)) for words, label, lines in shown]
        across *= 2
    shown = shown[: max(1, (width + GAP) // (across + GAP))]
    space = " " * GAP
    heads = space.join(fitted(f"{words} {label}", across) for words, label, _ in shown)
    names = space.join(fitted(_name(view, label), across) for _, label, _ in shown)
    return [
        Content.styled(heads, MUTED),
        *(Content(space.join(lines)) for lines in zip(*(each[2] for each in shown), strict=True)),
        Content.styled(names, MUTED),
    ]


def _name(view: EpisodeView, label: int) -> str:
    """Without the folders above it."""
    return visible(view.class_names[label]).rpartition("/")[2]


def _table(
    view: EpisodeView, query: Query, probabilities: np.ndarray, step: int, width: int
) -> list[Content]:
    """A row a class, a column a step: the probability in percent; the greatest of a step strong."""
    label_width, column = ROOMY if width >= ROOMY[0] + ROOMY[1] * (view.steps + 1) else NARROW
    fitting = max(1, (width - label_width) // column)
    first = max(0, min(step - fitting // 2, view.steps + 1 - fitting))
    steps = range(first, min(first + fitting, view.steps + 1))
    heads = "".join(f"{('before' if each == 0 else each):>{column}}" for each in steps)
    lines = [
        Content.styled(
            f"{'in %' if column < ROOMY[1] else 'probability in %':<{label_width}}{heads}", MUTED
        )
    ]
    answers = probabilities.argmax(axis=-1)
    for label in range(view.way):
        own = label == query.label
        name = fitted(f"{label} {_name(view, label)}", label_width - 2)
        parts: list[tuple[str, str]] = [(f"{name}{'✓' if own else ' '} ", "bold" if own else MUTED)]
        for each in steps:
            text = f"{100 * probabilities[each, label]:>{column}.1f}"
            style = ""
            if answers[each] == label:
                style = "bold $success" if own else "bold $error"
            parts.append((text, style))
        lines.append(Content.assemble(*parts))
    return lines


class QueryView(VerticalScroll):
    """Shows a query; hidden by its screen while none is chosen and there is no room beside."""

    DEFAULT_CSS = """
    QueryView { height: 1fr; padding: 0 1; scrollbar-size-vertical: 1; }
    QueryView > Lines { height: auto; width: 1fr; }
    """

    def __init__(self, *, id: str) -> None:
        super().__init__(Lines(id="query-lines"), id=id, can_focus=False)
        self._shown: tuple[EpisodeView | None, Query | None, int, Size] = (None, None, 0, Size())

    def show(self, view: EpisodeView | None, query: Query | None, step: int) -> None:
        """Show this query after an inner step; None: nothing."""
        size = self.scrollable_content_region.size
        shown = (view, query, step, size)
        if shown == self._shown:
            return
        self._shown = shown
        lines = [] if view is None or query is None else query_lines(view, query, step, *size)
        self.query_one(Lines).show(lines)

    def on_resize(self) -> None:
        view, query, step, _ = self._shown
        self.show(view, query, step)
