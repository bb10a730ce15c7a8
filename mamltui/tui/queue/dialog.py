"""What waits, runs and is done, and the keys that change its order."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import Label

from mamltui.errors import MamltuiError
from mamltui.measures import counted
from mamltui.runs import RunFolder, RunInfo
from mamltui.studies.waiting import TrainingQueue, Waiting
from mamltui.text import visible
from mamltui.tui.shared.background import in_background
from mamltui.tui.shared.row_list import Column, Row, RowList, Tone

if TYPE_CHECKING:
    from mamltui.tui.session.session import Session

READ_SECONDS = 1.0
COLUMNS = (
    Column("state", 9, 1),
    Column("done", 6, 2, right=True),
    Column("valid.", 7, 3, right=True),
    Column("run", 30, 4),
)
TONES: dict[str, Tone] = {
    "waiting": "muted",
    "running": "accent",
    "done": "good",
    "stopped": "warn",
    "diverged": "bad",
    "failed": "bad",
}
Known = tuple[Waiting, tuple[RunFolder, RunInfo] | None]


def queue_row(known: Known) -> Row:
    """A training: its state, how far it is, its best validation, its run."""
    waiting, run_and_info = known
    name = visible(waiting.name)
    if waiting.why:
        return Row(waiting.id, name, note=visible(f"{waiting.state}: {waiting.why}"))
    info = run_and_info[1] if run_and_info else None
    share = info.iteration / max(1, info.iterations) if info else None
    best = info.best.score.text if info and info.best else ""
    return Row(
        waiting.id,
        name,
        (
            (waiting.state, TONES[waiting.state]),
            (f"{int(100 * share)} %" if share is not None else "", "plain"),
            (best, "plain"),
            (visible(run_and_info[0].name) if run_and_info else "", "muted"),
        ),
    )


class QueueDialog(ModalScreen[RunFolder | None]):
    """Shows the queue; dismissed with the run that Enter opens, or with None."""

    CHANGES = frozenset({"start", "stop", "order", "again", "remove"})
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,q,Q", "leave", "Close", show=False),
        Binding("r", "start", "Start", show=False),
        Binding("x", "stop", "Stop", show=False),
        Binding("K,shift+up", "order(-1)", "Sooner", show=False),
        Binding("J,shift+down", "order(1)", "Later", show=False),
        Binding("a", "again", "Again", show=False),
        Binding("D,delete", "remove", "Remove", show=False),
    ]
    DEFAULT_CSS = """
    QueueDialog .dialog-box { width: 110; height: 90%; padding: 0 1; }
    QueueDialog RowList { height: 1fr; background: $surface; }
    """

    def __init__(self, session: Session) -> None:
        super().__init__(classes="dialog")
        self._session = session
        self._queue: TrainingQueue = session.queue
        self._known: list[Known] = []
        self._reading = False

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        if action in self.CHANGES and self._session.options.read_only:
            return False
        return super().check_action(action, parameters)

    def compose(self) -> ComposeResult:
        with Vertical(classes="dialog-box"):
            yield Label("Queue", id="queue-title", classes="dialog-title", markup=False)
            yield RowList("Trainings", COLUMNS, id="queue")
            yield Label(
                "r works on it, x stops it after a checkpoint, J K change the order, a tries a "
                "training again, D takes it out, Enter opens its run, Escape closes",
                classes="dialog-keys",
                markup=False,
            )

    def on_mount(self) -> None:
        self.query_one(RowList).focus()
        self.query_one(RowList).show((), title="Trainings", empty="reading ...")
        self.set_interval(READ_SECONDS, self._read)
        self._read()

    def _read(self) -> None:
        if self._reading:
            return
        self._reading = True
        queue = self._queue

        def work() -> tuple[list[Known], bool]:
            return [(each, queue.run_of(each)) for each in queue.read()], queue.is_worked_on

        in_background(self.app, work, lambda read: self._take(*read), self._fail)

    def _take(self, known: list[Known], is_worked_on: bool) -> None:
        self._reading = False
        if not self.is_attached:
            return
        self._known = known
        rows = [queue_row(each) for each in known]
        empty = "nothing waits: r during a training asks to queue another"
        self.query_one(RowList).show(rows, title=counted(len(rows), "training"), empty=empty)
        state = "a process of its own works on it" if is_worked_on else "nobody works on it now"
        if not is_worked_on and self._session.is_training:
            state = "goes on when the training of this app is over"
        self.query_one("#queue-title", Label).update(Content(f"Queue: {state}"))

    def _fail(self, error: Exception) -> None:
        self._reading = False
        if self.is_attached:
            self.query_one(RowList).show((), title="Trainings", empty=visible(str(error)))

    @property
    def _current(self) -> Known | None:
        row = self.query_one(RowList).row
        return next((each for each in self._known if row and each[0].id == row.key), None)

    def _change(self, change: Callable[[], object]) -> None:
        """Change the queue in the background, and show it again."""

        def failed(error: Exception) -> None:
            words = str(error) if isinstance(error, MamltuiError) else repr(error)
            self.notify(visible(words), severity="error", markup=False)
            self._read()

        in_background(self.app, change, lambda _: self._read(), failed)

    @on(RowList.Opened)
    def _open(self, event: RowList.Opened) -> None:
        event.stop()
        current = self._current
        if current is None or current[1] is None:
            self.notify("It has no run yet.", markup=False)
        else:
            self.dismiss(current[1][0])

    def action_start(self) -> None:
        """Have a process of its own work on it."""
        if self._session.is_training:
            self.notify("The queue goes on when the training of this app is over.", markup=False)
        else:
            common = self._session.options.common
            self._change(lambda: self._queue.start(common))

    def action_stop(self) -> None:
        """Have the process that works on it end after a checkpoint."""
        self._change(self._session.stop_queue)

    def action_order(self, by: int) -> None:
        """Take a training sooner or later."""
        if (current := self._current) is not None:
            self._change(lambda: self._queue.move(current[0].id, by))

    def action_again(self) -> None:
        """Have a training that ended badly wait again."""
        if (current := self._current) is not None and current[0].state not in ("running", "done"):
            self._change(lambda: self._queue.again(current[0].id))

    def action_remove(self) -> None:
        """Take a training out; its run stays."""
        if (current := self._current) is not None:
            self._change(lambda: self._queue.remove(current[0].id))

    def action_leave(self) -> None:
        self.dismiss(None)
