"""Log: what happened to the run and in the app, and what this process takes of the machine."""

from __future__ import annotations

import time
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.content import Content
from textual.widgets import Input

from mamltui.text import visible
from mamltui.tui.log import machine
from mamltui.tui.log.logbook import Logbook
from mamltui.tui.log.view import LogView
from mamltui.tui.session.session import News
from mamltui.tui.session.watched import Watched
from mamltui.tui.shared.background import in_background
from mamltui.tui.shared.filter_input import FilterInput
from mamltui.tui.shared.lines import Lines
from mamltui.tui.shared.screen import AppScreen

SAMPLE_SECONDS = 1.0


class LogScreen(AppScreen):
    """The events of the run that is watched, and the news of the app."""

    CSS_PATH = "log.tcss"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("f", "follow", "Follow"),
        Binding("w", "problems", "Warnings only"),
        Binding("slash", "filter", "Filter"),
        Binding("g", "end(-1)", "Start", show=False),
        Binding("G", "end(1)", "End", show=False),
    ]
    HELP = """## Log

What happened to the run that is watched, and the news of the app itself: time, iteration, what
kind of thing, and the words. A failure has its whole traceback. Above: the device, what this
process takes of it, and the room that is left for runs; 100 % is one processor.
`●` after a validation: a checkpoint of it is on the disk.

| key | does |
|---|---|
| f | follow: stay at the newest entry; moving up ends it |
| w | only warnings and errors, or everything |
| / | only entries with these words; Enter keeps the filter, Escape ends it |
| arrows, j, k, page up, page down | move |
| g, G | to the start, to the end |

Text marked with the mouse is copied with ctrl+c.
"""

    def __init__(self) -> None:
        super().__init__()
        self._logbook = Logbook()
        self._watched: Watched | None = None
        self._broken: list[News] = []
        """That the run's files cannot be followed."""
        self._only_problems = False
        self._sampled = 0.0
        self._sampling = False

    def body(self) -> ComposeResult:
        self._machine_line, self._heading = Lines(id="machine"), Lines(id="heading")
        self._view = LogView(id="log")
        self._filter_input = FilterInput(self._view, placeholder="words to look for")
        yield from (self._machine_line, self._heading, self._view, self._filter_input)

    def on_mount(self) -> None:
        self._machine = machine.Machine(self.session.options.runs)
        self._view.focus()
        self.redraw()

    def redraw(self) -> None:
        self._sample()
        self._look_at_run()
        watched = self._watched
        events = watched.history.events() if watched else []
        if self._logbook.update(events, [*self.session.log, *self._broken]):
            self._view.show(self._logbook.entries)
        self._show_heading()

    def _look_at_run(self) -> None:
        """Whose log it is, and whether its files can be read."""
        if self.session.watched is not self._watched:
            self._watched, self._broken = self.session.watched, []
        follower = self._watched.follower if self._watched else None
        if follower is not None and follower.problem and not self._broken:
            title = f"{follower.run.name} cannot be followed any further"
            news = News(time.time(), "error", title, follower.problem, follower.traceback)
            self._broken = [news]

    def _sample(self) -> None:
        """Look at the machine once a second; a network disk may take longer to answer."""
        if self._sampling or time.monotonic() - self._sampled < SAMPLE_SECONDS:
            return
        self._sampling, self._sampled = True, time.monotonic()
        in_background(self.app, self._machine.sample, self._show_machine, self._cannot_sample)

    def _show_machine(self, sample: machine.Sample) -> None:
        self._sampling = False
        parts, room = machine.describe(sample), self.size.width - 2
        while len(parts) > 1 and len("   ".join(parts)) > room:
            parts.pop()
        self._machine_line.show([Content("   ".join(parts))])

    def _cannot_sample(self, error: Exception) -> None:
        """Say so once, and sample no more."""
        self.host.report("The machine cannot be looked at", error)

    def _show_heading(self) -> None:
        view, watched = self._view, self._watched
        if watched is None:
            name, state = "no run is open: Enter on Home (1) opens one", ""
        else:
            name, state = visible(watched.name), watched.state
        notes = ["following" if view.follows else "not following"]
        if self._only_problems:
            notes.insert(0, "warnings and errors")
        count = f"{view.entry_count:,} of {len(self._logbook.entries):,} entries"
        right = "   ".join([*notes, count])
        room = self.size.width - 2 - len(right) - 3
        left = Content.assemble((name, "bold" if watched else "$text-muted"), f"  {state}")
        if room < 12:
            self._heading.show([Content(right)])
            return
        left = left.truncate(room, ellipsis=True)
        gap = " " * (room - left.cell_length + 3)
        line = Content.assemble(left, gap, (right, "$text-muted"))
        self._heading.show([line])

    def headless_command(self) -> str | None:
        watched = self.session.watched
        return None if watched is None else watched.command(self.session.options.common)

    def on_resize(self) -> None:
        self.call_after_refresh(self.redraw)

    def on_log_view_moved(self) -> None:
        self._show_heading()

    def on_input_changed(self, event: Input.Changed) -> None:
        self._view.set_filter(event.value)
        self._show_heading()

    def action_follow(self) -> None:
        """Stay at the newest entry, or not."""
        view = self._view
        view.follow(not view.follows)

    def action_problems(self) -> None:
        """Only warnings and errors, or everything."""
        self._only_problems = not self._only_problems
        self._view.show_problems(self._only_problems)
        self._show_heading()

    def action_filter(self) -> None:
        """Type the words to look for."""
        self._filter_input.open()

    def action_end(self, direction: int) -> None:
        """To the first entry or the last, also while the list has not the focus."""
        self._view.action_move_to_end(direction)
