"""What people say of runs, asked for and written: stars, tags, names, notes, the archive."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, cast

from textual.app import App

from mamltui.errors import MamltuiError
from mamltui.runs import ListedRun
from mamltui.runs.annotations import changed_tags, checked_title
from mamltui.tui.shared.background import in_background
from mamltui.tui.shared.dialogs import Ask

if TYPE_CHECKING:
    from mamltui.tui.shared.host import Host


class Annotations:
    """Writes into ``run.json`` in the background.

    Args:
        changed: called when something was written, or could not be.
    """

    def __init__(self, app: App[Any], changed: Callable[[], None]) -> None:
        self._app, self._changed = app, changed

    def star(self, runs: Sequence[ListedRun]) -> None:
        """Star them, or take the star of all."""
        starred = not all(run.is_starred for run in runs)
        self._write(runs, lambda _: {"starred": starred})

    def archive(self, runs: Sequence[ListedRun]) -> None:
        """Archive them, or have all listed again."""
        archived = not all(run.is_archived for run in runs)
        self._write(runs, lambda _: {"archived": archived})
        if archived:
            text = f"{len(runs)} archived; / archived=yes lists them."
            self._app.notify(text, markup=False)

    def tag(self, runs: Sequence[ListedRun]) -> None:
        """Ask for words to add to their tags, or with a minus sign to take away."""
        tags = sorted({tag for run in runs if run.info for tag in run.info.tags})
        has = f" (now {', '.join(tags)})" if tags else ""
        of = f"{len(runs)} runs" if len(runs) > 1 else "the run"
        self._ask(
            runs,
            f"Tags for {of}: words; -word takes one away{has}",
            "",
            lambda run, text: {"tags": typed_tags(text, run.info.tags if run.info else ())},
        )

    def rename(self, runs: Sequence[ListedRun]) -> None:
        """Ask what the first is to be called."""
        for run in runs[:1]:
            self._ask(
                [run],
                f"Name of {run.name} (empty: its folder's)",
                run.title if run.title != run.name else "",
                lambda _, text: {"title": checked_title(text)},
            )

    def note(self, runs: Sequence[ListedRun]) -> None:
        """Ask for notes about the first."""
        for run in runs[:1]:
            notes = run.info.notes if run.info else ""
            self._ask([run], f"Notes about {run.title}", notes, lambda _, text: {"notes": text})

    def _ask(
        self,
        runs: Sequence[ListedRun],
        question: str,
        value: str,
        changes_of: Callable[[ListedRun, str], dict[str, object]],
    ) -> None:
        if not runs:
            return

        def problem(text: str) -> str:
            try:
                changes_of(runs[0], text)
            except MamltuiError as error:
                return f"{error.what}. {error.hint}" if error.hint else error.what
            return ""

        def take(text: str | None) -> None:
            if text is not None and text != value:
                self._write(runs, lambda run: changes_of(run, text))

        self._app.push_screen(Ask(question, value, problem), take)

    def _write(
        self, runs: Sequence[ListedRun], changes_of: Callable[[ListedRun], dict[str, object]]
    ) -> None:
        def write() -> None:
            for run in runs:
                run.folder.annotate(**changes_of(run))

        def failed(error: Exception) -> None:
            cast("Host", self._app).report("Not changed", error)
            self._changed()

        if runs:
            in_background(self._app, write, lambda _: self._changed(), failed)


def typed_tags(text: str, tags: Sequence[str]) -> list[str]:
    """The tags after what was typed: words to add, with a minus sign words to take away."""
    words = text.split()
    gone = [word[1:] for word in words if word.startswith("-")]
    return changed_tags(tags, [word for word in words if not word.startswith("-")], gone)
