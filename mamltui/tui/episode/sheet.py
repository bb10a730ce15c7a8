"""The images of an episode, drawn in columns by class, with what is predicted under each query."""

from __future__ import annotations

import textwrap
from typing import ClassVar, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from rich.cells import set_cell_size
from rich.segment import Segment
from textual import events
from textual.binding import Binding, BindingType
from textual.geometry import Size
from textual.scroll_view import ScrollView
from textual.strip import Strip

from mamltui.measures import sparkline
from mamltui.text import visible
from mamltui.tui.episode.head import COLUMN_WIDTH, LABEL_WIDTH, shown_steps
from mamltui.tui.episode.inspector import EpisodeView
from mamltui.tui.episode.query import Query
from mamltui.tui.shared.fitting import fitted

CELL = 14
"""Columns of an image."""
GAP = 2
ENTRY = 18
"""Columns of a prediction in the form without images."""
ROOMY_LINES = 20
"""From so many lines on, names and predictions take two."""

Form = Literal["images", "text"]


class Row(NamedTuple):
    """A line of the sheet: line ``line`` of what ``kind`` says."""

    kind: Literal[
        "support", "name", "heading", "query", "prediction",
        "title", "steps", "entry", "blank", "text",
    ]  # fmt: skip
    first: int = 0
    """The first class of the line's columns; of ``steps`` its class, of ``entry`` its query."""
    example: int = 0
    """Which of a class's support or query images."""
    line: int = 0


class EpisodeSheet(ScrollView, can_focus=True, inherit_bindings=False):
    """Draws the lines that are seen, when they are seen."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up,k", "scroll_up", "Scroll up", show=False),
        Binding("down,j", "scroll_down", "Scroll down", show=False),
        Binding("pageup", "page_up", "Page up", show=False),
        Binding("pagedown,space", "page_down", "Page down", show=False),
        Binding("home", "scroll_home", "To the top", show=False),
        Binding("end", "scroll_end", "To the end", show=False),
    ]
    COMPONENT_CLASSES: ClassVar[set[str]] = {
        "sheet--image",
        "sheet--label",
        "sheet--quiet",
        "sheet--right",
        "sheet--wrong",
    }
    DEFAULT_CSS = """
    EpisodeSheet { height: 1fr; scrollbar-size-vertical: 1; overflow-x: hidden; }
    EpisodeSheet > .sheet--image { color: $text; background: $surface; }
    EpisodeSheet > .sheet--label { color: $text; }
    EpisodeSheet > .sheet--quiet { color: $text-muted; }
    EpisodeSheet > .sheet--right { color: $success; }
    EpisodeSheet > .sheet--wrong { color: $error; text-style: bold; }
    """

    def __init__(self, *, id: str) -> None:
        super().__init__(id=id)
        self._view: EpisodeView | None = None
        self._step = 0
        self._form: Form = "images"
        self._chosen: Query | None = None
        self._has_steps = True
        self._text = ""
        self._text_lines: list[str] = []
        self._rows: list[Row] = []

    def show(
        self,
        view: EpisodeView,
        step: int,
        form: Form,
        *,
        chosen: Query | None = None,
        has_steps: bool = True,
    ) -> None:
        """Show the predictions after inner step ``step``.

        Args:
            chosen: a query that stands out.
            has_steps: below the images a line for each query, with a column for each step.
        """
        shown = (view, step, form, chosen, has_steps)
        if shown == (self._view, self._step, self._form, self._chosen, self._has_steps):
            return
        same = self._view is not None and self._form == form and _alike(self._view, view)
        same = same and has_steps == self._has_steps
        self._chosen, self._has_steps = chosen, has_steps
        self._view, self._step, self._form, self._text = view, step, form, ""
        if same:
            self.refresh()
        else:
            self._lay_out()

    def say(self, text: str) -> None:
        """Show a text instead of an episode."""
        if text != self._text or self._view is not None:
            self._view, self._text = None, text
            self._lay_out()

    def on_resize(self, _: events.Resize) -> None:
        self._lay_out()

    def _lay_out(self) -> None:
        width = self.scrollable_content_region.width
        if self._view is None:
            self._text_lines = [
                line
                for paragraph in self._text.splitlines()
                for line in textwrap.wrap(visible(paragraph), max(8, width)) or [""]
            ]
            self._rows = [Row("text", line=line) for line in range(len(self._text_lines))]
        elif self._form == "text":
            queries = self._view.way * len(self._view.query.drawn[0])
            columns = _columns(width, ENTRY)
            self._rows = [Row("entry", first) for first in range(0, queries, columns)]
        else:
            roomy = self.container_size.height >= ROOMY_LINES
            columns = _columns(width + GAP, CELL + GAP)
            self._rows = image_rows(self._view, columns, roomy=roomy, has_steps=self._has_steps)
        self.virtual_size = Size(width, len(self._rows))
        self.refresh()

    def render_line(self, y: int) -> Strip:
        width, number = self.size.width, y + self.scroll_offset.y
        base = self.rich_style
        if number >= len(self._rows):
            return Strip.blank(width, base)
        row = self._rows[number]
        if row.kind == "text":
            kind = "sheet--quiet" if row.line else "sheet--label"
            parts = [(self._text_lines[row.line], kind)]
        elif self._view is None or row.kind == "blank":
            parts = []
        else:
            parts = row_parts(self._view, row, self._step, self.virtual_size.width, self._chosen)
        segments = [
            Segment(text, self.get_component_rich_style(name) if name else base)
            for text, name in parts
        ]
        return Strip(segments).adjust_cell_length(width, base)


def _columns(width: int, each: int) -> int:
    return max(1, width // each)


def _alike(first: EpisodeView, second: EpisodeView) -> bool:
    """Whether both take the same lines."""

    def shape(view: EpisodeView) -> tuple[int, int, int, int]:
        lines = len(view.support.drawn[0][0].lines)
        return view.way, len(view.support.drawn[0]), len(view.query.drawn[0]), lines

    return shape(first) == shape(second)


def image_rows(
    view: EpisodeView, columns: int, *, roomy: bool, has_steps: bool = True
) -> list[Row]:
    """Bands of classes, side by side; in each the first support and query images come first.

    Then, if asked for, a line for each query, with what is predicted after every inner step.
    """
    shot, query = len(view.support.drawn[0]), len(view.query.drawn[0])
    height = len(view.support.drawn[0][0].lines)
    labels = 2 if roomy else 1
    rows: list[Row] = []
    for first in range(0, view.way, columns):
        for example in range(max(shot, query)):
            if rows and roomy:
                rows.append(Row("blank"))
            if example < shot:
                rows += [Row("support", first, example, line) for line in range(height)]
                rows += [Row("name", first, example, line) for line in range(labels)]
            rows.append(Row("heading", first, example))
            if example < query:
                rows += [Row("query", first, example, line) for line in range(height)]
                rows += [Row("prediction", first, example, line) for line in range(labels)]
    if not has_steps:
        return rows
    rows += [Row("blank"), Row("title")]
    rows += [Row("steps", label, example) for label in range(view.way) for example in range(query)]
    return rows


def row_parts(
    view: EpisodeView, row: Row, step: int, width: int, chosen: Query | None = None
) -> list[tuple[str, str]]:
    """A line as texts, each with its component class."""
    if row.kind == "heading":
        return [(heading(view, row.example), "sheet--quiet")]
    if row.kind == "title":
        return [("predicted label and its probability in %, after each inner step", "sheet--quiet")]
    if row.kind == "steps":
        own = chosen == (row.first, row.example)
        parts = every_step(view, row.first, row.example, step, width)
        return [*parts, (" ◂", "sheet--label")] if own else parts
    if row.kind == "entry":
        per_class = len(view.query.drawn[0])
        last = min(row.first + _columns(width, ENTRY), view.way * per_class)
        return [
            part
            for number in range(row.first, last)
            for part in (_prediction(view, *divmod(number, per_class), step), ("   ", ""))
        ]
    parts = []
    last = min(row.first + _columns(width + GAP, CELL + GAP), view.way)
    for label in range(row.first, last):
        is_chosen = row.kind == "prediction" and chosen == (label, row.example)
        # Brackets, since no colour is ever the only sign of anything.
        gap = ("◂ ", "sheet--label") if is_chosen and not row.line else (" " * GAP, "")
        parts += [_cell(view, row, label, step), gap]
    return parts


def every_step(
    view: EpisodeView, label: int, example: int, step: int, width: int
) -> list[tuple[str, str]]:
    """A query's name, and in the columns of the scores what it was taken for."""
    number = f" #{example + 1}" if len(view.query.drawn[0]) > 1 else ""
    own = visible(view.class_names[label]).rpartition("/")[2]
    parts = [(fitted(f"{label}{number} {own}", LABEL_WIDTH - 1) + " ", "sheet--label")]
    for column in shown_steps(view, step, width):
        probabilities = view.query.probabilities[column, label, example]
        predicted = str(probabilities.argmax()) if np.isfinite(probabilities).all() else "?"
        right = predicted == str(label)
        share = 100 * probabilities.max()
        text = f"{'✓' if right else '✗'} {predicted} {share:3.0f} "
        parts.append((f"{text:>{COLUMN_WIDTH}}", "sheet--right" if right else "sheet--wrong"))
    return parts


def _cell(view: EpisodeView, row: Row, label: int, step: int) -> tuple[str, str]:
    if row.kind in ("support", "query"):
        images = view.support if row.kind == "support" else view.query
        return set_cell_size(images.drawn[label][row.example].lines[row.line], CELL), "sheet--image"
    if row.kind == "name":
        return _name(view, label, row.line)
    if row.line == 0:
        return _prediction(view, label, row.example, step)
    spark = spark_of(view.query.probabilities[:, label, row.example, label], step)
    return set_cell_size(spark, CELL), "sheet--quiet"


def heading(view: EpisodeView, example: int) -> str:
    """What is above the line, and what below."""
    parts = []
    for arrow, name, images in (("↑", "support", view.support), ("↓", "query", view.query)):
        count = len(images.drawn[0])
        if example < count:
            which = f" {example + 1} / {count}" if count > 1 else ""
            parts.append(f"{arrow} {name}{which}")
    return "   ".join(parts) + "   ✓ right, ✗ true→predicted, probability"


def _name(view: EpisodeView, label: int, line: int) -> tuple[str, str]:
    """The label and the character's name; then where it is from, and how it is turned."""
    *parents, own = visible(view.class_names[label]).split("/")
    if line == 0:
        return fitted(f"{label} {own}", CELL), "sheet--label"
    turned = f"{view.degrees[label]:3d}°"
    return f"{fitted(parents[-1] if parents else '', CELL - 5)} {turned}", "sheet--quiet"


def _prediction(view: EpisodeView, label: int, example: int, step: int) -> tuple[str, str]:
    """Right or wrong, the true and the predicted label, and the probability of the latter."""
    probabilities = view.query.probabilities[step, label, example]
    if not np.isfinite(probabilities).all():
        text = f"✗ {label}→?"
        return f"{text}{'nan':>{CELL - len(text)}}", "sheet--wrong"
    predicted = int(probabilities.argmax())
    right = predicted == label
    text = f"✓ {label}" if right else f"✗ {label}→{predicted}"
    share = 100 * probabilities[predicted]
    percent = f"{share:.1f} %" if len(text) + 8 <= CELL else f"{share:.0f}%"
    room = max(len(percent), CELL - len(text))
    return f"{text}{percent:>{room}}", "sheet--right" if right else "sheet--wrong"


def spark_of(values: NDArray[np.float64], step: int) -> str:
    """Probabilities after each inner step as bars, at most ``CELL`` of them, up to ``step``."""
    steps = np.unique(np.linspace(0, len(values) - 1, min(CELL, len(values))).round().astype(int))
    return sparkline(values[steps].tolist(), 0.0, 1.0)[: int((steps <= step).sum())]
