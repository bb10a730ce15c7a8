"""Removing runs, after a question."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, cast

from textual.app import App

from mamltui.runs import ListedRun
from mamltui.runs.removal import check_removable, remove
from mamltui.text import visible
from mamltui.tui.shared.background import in_background
from mamltui.tui.shared.dialogs import Confirm

if TYPE_CHECKING:
    from mamltui.tui.shared.host import Host

NAMES_SHOWN = 8
"""Of the runs that a question is about."""


def ask_to_remove(
    app: App[Any], runs: Sequence[ListedRun], *, are_marked: bool, changed: Callable[[], None]
) -> None:
    """Ask whether these runs, at least one, are to be deleted, and do it.

    Args:
        are_marked: they are all that are marked.
        changed: called when they were deleted, or one of them could not be.
    """
    names = [visible(run.title) for run in runs[:NAMES_SHOWN]]
    if len(runs) > NAMES_SHOWN:
        names.append(f"and {len(runs) - NAMES_SHOWN} more")
    one = len(runs) == 1
    which, marked = ("the", "marked ") if are_marked else ("these", "")
    question = f"Remove {names[0]}?" if one else f"Remove {which} {len(runs)} {marked}runs?"
    text = "Its" if one else "\n".join(names) + "\nTheir"
    text += " checkpoints, metrics and results are deleted for good."

    def failed(error: Exception) -> None:
        cast("Host", app).report("Not removed", error)
        changed()

    def answered(yes: bool | None) -> None:
        if yes:
            in_background(app, lambda: _remove_all(runs), lambda _: changed(), failed)

    app.push_screen(Confirm(question, text), answered)


def _remove_all(runs: Sequence[ListedRun]) -> None:
    folders = [run.folder for run in runs]
    for folder in folders:
        check_removable(folder)
    for folder in folders:
        remove(folder)
