"""The text that a list is filtered by: a line that is there when it is asked for."""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar

from textual.binding import Binding, BindingType
from textual.widget import Widget
from textual.widgets import Input

from mamltui.errors import UsageError
from mamltui.runs import ListedRun
from mamltui.runs.query import Query
from mamltui.text import visible

QUERY_HINT = "words, test>95, state:failed, way=20, seed=3, tag:paper"


def matching(runs: Iterable[ListedRun], asked: str) -> tuple[list[ListedRun], str]:
    """The runs that fulfil a query, and what is wrong with it, in words."""
    try:
        query = Query.parse(asked)
    except UsageError as error:
        return [], visible(error.what)
    return [run for run in runs if query.matches(run)], ""


class FilterInput(Input):
    """Hidden until ``open``; Enter keeps the text, Escape forgets it; both go back to the list.

    Args:
        of: the list.
        placeholder: what is looked at.
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "forget", "No filter", show=False),
        Binding("down", "go_back", show=False),
    ]
    DEFAULT_CSS = """
    FilterInput { display: none; height: 1; border: none; padding: 0 1; background: $surface; }
    FilterInput:focus { border: none; }
    """

    def __init__(self, of: Widget, *, placeholder: str) -> None:
        super().__init__(id="filter", placeholder=placeholder, compact=True, select_on_focus=False)
        self._of = of

    def open(self) -> None:
        """Have it typed in."""
        self.display = True
        # Not focus(), which waits for its turn: what is typed meanwhile would go to the list.
        self.screen.set_focus(self)

    async def action_submit(self) -> None:
        """Keep the text."""
        self.action_go_back()

    def action_go_back(self) -> None:
        """Go back to the list."""
        self.display = bool(self.value)
        self.screen.set_focus(self._of)

    def action_forget(self) -> None:
        """Show everything again."""
        self.value = ""
        self.action_go_back()
