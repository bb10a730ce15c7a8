"""Small questions over a screen: a text to type, a yes or no."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import Input, Label


class Ask(ModalScreen[str | None]):
    """Asks for a line of text; dismissed with it, or with None by Escape.

    Args:
        question: what is asked.
        value: what stands there at first.
        problem: says what is wrong with a text as it is typed; empty if it is right.
    """

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape", "leave", "Cancel", show=False)]

    def __init__(
        self, question: str, value: str = "", problem: Callable[[str], str] = lambda _: ""
    ) -> None:
        super().__init__(classes="dialog")
        self._question, self._value, self._problem = question, value, problem

    def compose(self) -> ComposeResult:
        with Vertical(classes="dialog-box"):
            yield Label(Content(self._question), classes="dialog-title")
            yield Input(self._value, id="answer")
            yield Label("", id="problem", markup=False)
            yield Label("Enter applies, Escape cancels", classes="dialog-keys")

    def on_mount(self) -> None:
        self.query_one(Input).focus()

    def on_input_changed(self, event: Input.Changed) -> None:
        self.query_one("#problem", Label).update(Content(self._problem(event.value)))

    def on_input_submitted(self, event: Input.Submitted) -> None:
        if self._problem(event.value):
            self.app.bell()
        else:
            self.dismiss(event.value)

    def action_leave(self) -> None:
        self.dismiss(None)


class Confirm(ModalScreen[bool]):
    """Asks yes or no.

    Args:
        question: what is asked.
        text: what each answer does.
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("y,enter", "answer(True)", "Yes", show=False),
        Binding("n,escape", "answer(False)", "No", show=False),
    ]

    def __init__(self, question: str, text: str) -> None:
        super().__init__(classes="dialog")
        self._question, self._text = question, text

    def compose(self) -> ComposeResult:
        with Vertical(classes="dialog-box"):
            yield Label(Content(self._question), classes="dialog-title")
            yield Label(Content(self._text), classes="dialog-text")
            yield Label("y or Enter: yes    n or Escape: no", classes="dialog-keys")

    def action_answer(self, answer: bool) -> None:
        self.dismiss(answer)


class Leave(ModalScreen[str | None]):
    """Asks what becomes of the training when the app is left: ``stop``, ``detach`` or None.

    Args:
        lost: what else would be lost, in words.
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("y,enter", "answer('stop')", "Stop", show=False),
        Binding("d", "answer('detach')", "Detach", show=False),
        Binding("n,escape", "answer('')", "Stay", show=False),
    ]

    def __init__(self, lost: str) -> None:
        super().__init__(classes="dialog")
        self._lost = lost

    def compose(self) -> ComposeResult:
        text = (
            "A training is running. Stopped, it saves a checkpoint, and can be resumed from Home "
            "or with mamltui run --resume. Left running, it goes on in a process of its own, which "
            "mamltui attach watches."
        )
        with Vertical(classes="dialog-box"):
            yield Label("Quit?", classes="dialog-title")
            yield Label(
                Content("\n".join(part for part in (text, self._lost) if part)),
                classes="dialog-text",
            )
            yield Label(
                "y or Enter: stop it    d: leave it running    n or Escape: stay",
                classes="dialog-keys",
            )

    def action_answer(self, answer: str) -> None:
        self.dismiss(answer or None)
