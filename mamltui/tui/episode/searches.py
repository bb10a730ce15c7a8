"""Searches through many episodes, in the background, and the tables of what they found."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar, cast

from textual.app import App

from mamltui.measures import counted
from mamltui.results import Evaluation
from mamltui.runs import ListedRun
from mamltui.text import visible
from mamltui.tui.episode.inspector import EpisodeInspector
from mamltui.tui.episode.request import Request
from mamltui.tui.episode.search import (
    CONFUSION_TASKS,
    MOST_SEARCHED,
    Confusion,
    confusions,
    evaluation_of,
    next_error,
    worst_tasks,
)
from mamltui.tui.shared.background import in_background
from mamltui.tui.shared.row_list import Column, Row
from mamltui.tui.shared.table_dialog import TableDialog

if TYPE_CHECKING:
    from mamltui.tui.session.session import Session
    from mamltui.tui.shared.host import Host

Result = TypeVar("Result")


class Searches:
    """One search at a time; given up when what it is about is no longer shown.

    Args:
        wanted: what is shown now: a search about something else is over.
        go_to: shows a task by its number.
        changed: called when a search has begun or is over.
    """

    def __init__(
        self,
        host: Host,
        session: Session,
        wanted: Callable[[], tuple[object, ...]],
        go_to: Callable[[int], None],
        changed: Callable[[], None],
    ) -> None:
        self._sought = ""
        """What is looked for just now; empty: nothing."""
        self._searched = ""
        """How far that is; empty: not far yet."""
        self._host, self._session = host, session
        self._app = cast("App[Any]", host)
        self._wanted, self._go_to, self._changed = wanted, go_to, changed

    @property
    def status(self) -> str:
        """What is looked for just now, and how far that is, in words; empty: nothing."""
        return f"{self._sought}: {self._searched}" if self._searched else self._sought

    def next_error(self, request: Request, step: int) -> None:
        """Go to the next task with an error after so many steps."""

        def show(task: int | None) -> None:
            if task is not None:
                self._go_to(task)
            else:
                text = f"No error in the {MOST_SEARCHED:,} tasks after {request.task:,}."
                self._app.notify(text, markup=False)

        def searched(tasks: int) -> None:
            self._searched = counted(tasks, "task")

        # The looks at single episodes go on beside it, so it has an inspector of its own.
        inspector = EpisodeInspector(self._session.banks)
        self._begin(
            "looking for an error",
            lambda should_stop: next_error(inspector, request, step, should_stop, searched),
            show,
        )

    def confusion(self, request: Request, step: int) -> None:
        """Show which alphabets are taken for which."""

        def searched(tasks: int) -> None:
            self._searched = f"{tasks} of {CONFUSION_TASKS} tasks"

        inspector = EpisodeInspector(self._session.banks)
        self._begin(
            "counting errors",
            lambda should_stop: confusions(inspector, request, step, should_stop, searched),
            lambda result: self._show_confusion(result or [], step),
        )

    def worst(self, request: Request, seed: int) -> None:
        """Show the worst tasks of an evaluation, to go to one.

        Args:
            seed: of the tasks that are shown.
        """
        run = request.run
        self._begin(
            "reading the results",
            lambda _: evaluation_of(ListedRun.read(run.path).evaluations, request, seed),
            lambda evaluation: self._show_worst(evaluation, request),
        )

    def _begin(
        self,
        sought: str,
        work: Callable[[Callable[[], bool]], Result],
        show: Callable[[Result], None],
    ) -> None:
        if self.status:
            self._app.notify(f"Still {self.status}.", markup=False)
            return
        self._sought, about, screen = sought, self._wanted(), self._app.screen

        def should_stop() -> bool:
            return about != self._wanted() or not self._app.is_running

        def done(result: Result) -> None:
            self._sought = self._searched = ""
            self._changed()
            if about == self._wanted() and self._app.screen is screen:
                show(result)

        def failed(error: Exception) -> None:
            self._sought = self._searched = ""
            self._host.report("The episodes cannot be looked through", error)

        in_background(self._app, lambda: work(should_stop), done, failed)
        self._changed()

    def _show_confusion(self, result: list[Confusion], step: int) -> None:
        rows = []
        for each in result:
            others = ", ".join(
                f"{_last_part(name)} {100 * count / each.wrong:.0f} %"
                for name, count in each.taken_for[:3]
            )
            share = f"{100 * each.wrong / each.queries:.1f}"
            rows.append(
                Row(
                    each.name,
                    _last_part(each.name),
                    ((f"{each.queries:,}", "muted"), (share, "plain"), (others, "plain")),
                )
            )
        columns = (
            Column("queries", 7, 3, right=True),
            Column("wrong %", 7, 1, right=True),
            Column("taken for", 34, 2),
        )
        wrong, queries = sum(each.wrong for each in result), sum(each.queries for each in result)
        title = (
            f"Confusion over {CONFUSION_TASKS} tasks after {counted(step, 'step')}: "
            f"{wrong:,} of {queries:,} queries wrong"
        )
        keys = "S sorts by the next column, O the other way; Escape closes"
        of = "class" if all(each.is_class for each in result) else "alphabet"
        self._app.push_screen(TableDialog(title, of, columns, rows, keys))

    def _show_worst(self, evaluation: Evaluation | None, request: Request) -> None:
        if evaluation is None:
            text = (
                f"No result of the {request.source} checkpoint on the {request.split} split "
                "holds single episodes: evaluate it (4)."
            )
            self._app.notify(text, markup=False)
            return
        rows = [
            Row(str(task), f"task {task:,}", ((f"{100 * accuracy:.1f} %", "plain"),))
            for task, accuracy in worst_tasks(evaluation)
        ]
        title = (
            f"Worst of {evaluation.episodes:,} tasks, {evaluation.scored}, "
            f"after {counted(evaluation.test_steps, 'step')}"
        )
        dialog = TableDialog(
            title,
            "task",
            (Column("accuracy", 9, 1, right=True),),
            rows,
            "Enter goes to the task, Escape closes",
        )
        self._app.push_screen(
            dialog, lambda key: self._go_to(int(key)) if key is not None else None
        )


def _last_part(name: str) -> str:
    """Of a class or an alphabet, without the folders above it; to be shown."""
    return visible(name).rpartition("/")[2]
