"""The page of help, and the part of it that is the same on every screen."""

from __future__ import annotations

from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.screen import ModalScreen
from textual.widgets import Markdown

EVERYWHERE = """
## Everywhere

| key | does |
|---|---|
| 1 to 8, F1 to F8 | Home, Train, Episode, Evaluate, Compare, Log, Study, Draw |
| ? | this help; Escape, q or ? closes it |
| ctrl+p | command palette: everything that can be done, by name; also the theme |
| Escape | back to the screen where you came from |
| Q | the queue: trainings that wait, run and are done |
| C | copy the headless command that repeats what is on the screen |
| ctrl+q, ctrl+c | quit; a training is stopped after a checkpoint or left running, as you choose |

Titles, rows and charts take the mouse as well. `NO_COLOR=1` shows no colours,
`TEXTUAL_ANIMATIONS=none` stops all movement.
"""


class Page(ModalScreen[None]):
    """Markdown to read, scrolled with the arrows; Escape, q or ``?`` closes it."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,q,question_mark", "leave", "Close", show=False),
        Binding("j", "app.simulate_key('down')", show=False),
        Binding("k", "app.simulate_key('up')", show=False),
    ]

    def __init__(self, markdown: str) -> None:
        super().__init__(classes="dialog")
        self._markdown = markdown

    def compose(self) -> ComposeResult:
        with VerticalScroll(classes="dialog-page"):
            yield Markdown(self._markdown, open_links=False)

    def on_mount(self) -> None:
        self.query_one(VerticalScroll).focus()

    def action_leave(self) -> None:
        self.dismiss(None)
