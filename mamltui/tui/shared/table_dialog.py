"""A table over a screen, from which a row may be chosen."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import Label

from mamltui.tui.shared.row_list import Column, Row, RowList


class TableDialog(ModalScreen[str | None]):
    """Shows rows; dismissed with the key of the one that Enter opens, or with None by Escape.

    Args:
        title: what the rows are.
        first: the title of their first column.
        keys: what the keys do, besides those of every list.
    """

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape,q", "leave", "Close", show=False)]
    DEFAULT_CSS = """
    TableDialog .dialog-box { width: 100; height: 90%; padding: 0 1; }
    TableDialog RowList { height: 1fr; background: $surface; }
    """

    def __init__(
        self, title: str, first: str, columns: Sequence[Column], rows: Sequence[Row], keys: str
    ) -> None:
        super().__init__(classes="dialog")
        self._title, self._first, self._keys = title, first, keys
        self._columns, self._rows = columns, rows

    def compose(self) -> ComposeResult:
        with Vertical(classes="dialog-box"):
            yield Label(Content(self._title), classes="dialog-title")
            yield RowList(self._first, self._columns, id="table-rows")
            yield Label(self._keys, classes="dialog-keys", markup=False)

    def on_mount(self) -> None:
        rows = self.query_one(RowList)
        rows.show(self._rows, title=self._first, empty="none")
        rows.focus()

    @on(RowList.Opened)
    def _open(self, event: RowList.Opened) -> None:
        event.stop()
        self.dismiss(event.rows.row.key if event.rows.row else None)

    def action_leave(self) -> None:
        self.dismiss(None)
