"""What an episode is, with which parameters, and the scores after each inner step."""

from __future__ import annotations

from typing import ClassVar

from rich.cells import cell_len
from textual import events
from textual.content import Content
from textual.message import Message
from textual.widget import Widget

from mamltui.profiles import learns_rates
from mamltui.score import SQUARED_ERROR
from mamltui.tui.episode.inspector import View
from mamltui.tui.episode.wave import WaveView
from mamltui.tui.shared.fitting import LEAST, shortened_name

LABEL_WIDTH = 19
COLUMN_WIDTH = 9
LINES = {"one": 1, "short": 5, "full": 8}
"""Height of each form."""

TABLE_LINE = 2
"""Where the scores begin."""

Part = tuple[str, str]
"""A text and its component class; none for the plain ones."""


class EpisodeHead(Widget):
    """One line, or five, or eight with the support set's scores; ``form`` says which."""

    COMPONENT_CLASSES: ClassVar[set[str]] = {"head--quiet", "head--title", "head--step"}
    DEFAULT_CSS = """
    EpisodeHead { height: 5; }
    EpisodeHead > .head--quiet { color: $text-muted; }
    EpisodeHead > .head--title { text-style: bold; }
    EpisodeHead > .head--step { color: $accent; text-style: bold; }
    """

    class StepChosen(Message):
        """A step's column was clicked."""

        def __init__(self, step: int) -> None:
            super().__init__()
            self.step = step

    def __init__(self, *, id: str) -> None:
        super().__init__(id=id)
        self._view: View | None = None
        self._step = 0
        self._status = ""
        self._form = "short"

    def show(self, view: View | None, step: int, status: str, form: str) -> None:
        """Show the scores of ``view``, inner step ``step`` marked; ``status`` is a few words."""
        if (view, step, status, form) == (self._view, self._step, self._status, self._form):
            return
        self._view, self._step, self._status, self._form = view, step, status, form
        self.styles.height = LINES[form]
        self.refresh()

    def render(self) -> Content:
        view, width = self._view, self.content_size.width
        if view is None:
            return self._line([(self._status, "head--quiet")], width)
        if self._form == "one":
            words = (step_words(view, self._step), _score(view, self._step), task_words(view))
            return self._line([("  ".join(words), "")], width)
        taken = cell_len(self._status) + 2 if self._status else 0
        lines = [
            spread(source_words(view, width - taken), self._status, width),
            spread(f"{task_words(view)}   {settings_words(view)}", view.note, width),
            *score_table(view, self._step, width, with_support=self._form == "full"),
        ]
        return Content("\n").join([self._line(parts, width) for parts in lines])

    def on_click(self, event: events.Click) -> None:
        offset = event.get_content_offset(self)
        if self._view is None or self._form == "one" or offset is None or offset.y < TABLE_LINE:
            return
        shown = shown_steps(self._view, self._step, self.content_size.width)
        column = (offset.x - LABEL_WIDTH) // COLUMN_WIDTH
        if 0 <= column < len(shown):
            self.post_message(self.StepChosen(shown[column]))

    def _line(self, parts: list[Part], width: int) -> Content:
        styled = [(text, self.get_visual_style(name)) if name else text for text, name in parts]
        return Content.assemble(*styled).truncate(width, ellipsis=True)


def source_words(view: View, width: int) -> str:
    """The run, its name shortened to what of the width is left, and whose parameters these are."""
    source = view.request.source
    whose = "in training" if source == "live" else f"{source} checkpoint"
    words = f"   {whose}, iteration {view.iteration:,}"
    return shortened_name(view.request.run.name, max(LEAST, width - cell_len(words))) + words


def task_words(view: View) -> str:
    """The episode's split and number; of the training's also where it is met."""
    split, task = view.request.split, view.request.task
    if split != "train":
        return f"{split} task {task:,}"
    iteration, number = divmod(task, view.profile.meta.batch)
    words = f"iteration {iteration + 1:,}, task {number + 1:,} of {view.profile.meta.batch:,}"
    return f"train task {task:,}: {words}"


def settings_words(view: View) -> str:
    """Alpha and the number of steps, with the profile's where they differ."""
    inner, request = view.profile.inner, view.request
    alpha, steps = f"alpha {request.alpha:g}", f"{request.steps} inner steps"
    if request.steps == 1:
        steps = "1 inner step"
    is_other = request.alpha != inner.alpha
    if learns_rates(view.profile):
        factor = f" x {request.alpha / inner.alpha:g}"
        alpha = f"learned step sizes{factor if is_other else ''}"
    elif is_other:
        alpha += f" (profile {inner.alpha:g})"
    if request.steps != inner.test_steps:
        steps += f" (profile {inner.test_steps})"
    return f"{alpha}   {steps}"


def step_words(view: View, step: int) -> str:
    """The inner step that is shown."""
    return f"step {step} / {view.steps}" if step else "before adaptation"


def spread(left: str, right: str, width: int) -> list[Part]:
    """A line with something at its right end, if there is room."""
    room = width - cell_len(left) - cell_len(right)
    return [(left, "")] + ([(" " * room, ""), (right, "head--quiet")] if room >= 2 else [])


def score_table(view: View, step: int, width: int, *, with_support: bool) -> list[list[Part]]:
    """The scores after each inner step."""
    shown = shown_steps(view, step, width)
    headings = [_heading(column, column == step) for column in shown]
    rows = [(step_words(view, step), "head--title", headings, "head--quiet")]
    for label, scores in _scores(view, with_support=with_support):
        rows.append((label, "head--quiet", [f"{scores[column]} " for column in shown], ""))
    return [
        [
            (f"{label:<{LABEL_WIDTH}}", label_style),
            *(
                (f"{value:>{COLUMN_WIDTH}}", "head--step" if column == step else style)
                for column, value in zip(shown, values, strict=True)
            ),
        ]
        for label, label_style, values, style in rows
    ]


def _score(view: View, step: int) -> str:
    """The score of the query set, with its name or unit."""
    if isinstance(view, WaveView):
        return f"squared error {SQUARED_ERROR.number(view.fit.error(step))}"
    return f"{100 * view.query.accuracy[step]:.1f} %"


def _scores(view: View, *, with_support: bool) -> list[tuple[str, list[str]]]:
    """What is measured, and its value after each inner step."""
    if isinstance(view, WaveView):  # both: there is room where images have twice as many
        whole = [_loss(view.fit.error(step)) for step in range(view.steps + 1)]
        return [
            ("squared error", whole),
            ("at the points", list(map(_loss, view.fit.support_error))),
        ]
    sets = [("query", view.query)] + ([("support", view.support)] if with_support else [])
    return [
        row
        for name, images in sets
        for row in (
            (f"{name} accuracy %", [f"{100 * each:.1f}" for each in images.accuracy]),
            (f"{name} loss", list(map(_loss, images.loss))),
        )
    ]


def shown_steps(view: View, step: int, width: int) -> range:
    """The inner steps that have a column; where not all fit, those around ``step``."""
    fitting = max(1, (width - LABEL_WIDTH) // COLUMN_WIDTH)
    first = max(0, min(step - fitting // 2, view.steps + 1 - fitting))
    return range(first, min(first + fitting, view.steps + 1))


def _heading(step: int, marked: bool) -> str:
    name = str(step) if step else "before"
    return f"[{name}]" if marked else f"{name} "


def _loss(value: float) -> str:
    return f"{value:.3f}" if value < 1000 else f"{value:.1e}"
