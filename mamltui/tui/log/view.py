"""The entries of a log: wrapped, filtered, and followed at their end."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import NamedTuple

from rich.cells import cell_len
from textual import events
from textual.content import Content
from textual.message import Message
from textual.selection import Selection
from textual.strip import Strip

from mamltui.text import visible
from mamltui.tui.log.logbook import Entry, overlap
from mamltui.tui.shared.line_view import LineView, Piece

ITERATION, WORD = 9, 11
HEAD = len("HH:MM:SS") + 2 + ITERATION + 2 + WORD + 2
"""Cells before the text."""
SHORT_HEAD = WORD + 1
"""The same where there is no room for more than the word."""
LEAST_TEXT = 24
INDENT = 4
"""Of the further lines of a text: a traceback needs the room."""
INKS = {"information": "", "warning": "warning", "error": "error"}


class Row(NamedTuple):
    """A line of the view."""

    entry: Entry | None
    """None: the line names the day of those below."""
    text: str
    is_first: bool
    """The line begins the entry."""


class LogView(LineView):
    """Shows entries, a line or more each; the newest stays in sight until the user moves up."""

    ALLOW_SELECT = True

    class Moved(Message):
        """The view follows, or not, from now on."""

    def __init__(self, *, id: str) -> None:
        super().__init__(id=id)
        self.follows = True
        self.entry_count = 0
        """Entries that are shown."""
        self._entries: Sequence[Entry] = ()
        self._filter: list[str] = []
        self._only_problems = False
        self._rows: list[Row] = []
        self._width = 0
        self._today = time.localtime()[:3]

    @property
    def allow_select(self) -> bool:
        """Text can be marked with the mouse, to be copied."""
        return True

    def show(self, entries: Sequence[Entry]) -> None:
        """Show these entries, in the order of their time."""
        before, self._entries = self._entries, entries
        overlapping = overlap(before, entries)
        if overlapping and self._width:
            dropped = self._drop(before[: len(before) - overlapping])
            self._rows += self._rows_of(entries[overlapping:])
            self._settle(self.top - dropped)
        else:
            self._arrange()

    def _drop(self, entries: Sequence[Entry]) -> int:
        """Take out the lines of the first entries; how many lines there were."""
        gone, count = set(map(id, entries)), 0
        for row in self._rows:
            if row.entry is not None and id(row.entry) not in gone:
                break
            count += 1
            self.entry_count -= row.is_first
        if count < len(self._rows) and count and self._rows[count - 1].entry is None:
            count -= 1  # the day of those that stay
        del self._rows[:count]
        return count

    def set_filter(self, text: str) -> None:
        """Show only entries that hold all words of ``text``."""
        self._filter = text.casefold().split()
        self._arrange()

    def show_problems(self, only: bool) -> None:
        """Show only warnings and errors, or everything."""
        self._only_problems = only
        self._arrange()

    def follow(self, follows: bool) -> None:
        """Keep the newest in sight, or stay."""
        self.follows = follows
        if follows:
            self.show_from(self.count)
        self.post_message(self.Moved())

    def on_resize(self, _: events.Resize) -> None:
        if self.width != self._width:
            self._width = self.width
            self._arrange()
        elif self.follows:
            self.show_from(self.count)

    def _arrange(self) -> None:
        """Make all lines anew; the entry that is on top stays there."""
        if not self._width:
            return  # not laid out yet
        on_top = self._rows[self.top].entry if self.top < len(self._rows) else None
        self._rows, self.entry_count = [], 0
        self._today = time.localtime()[:3]
        self._rows = self._rows_of(self._entries)
        indices = (index for index, row in enumerate(self._rows) if row.entry is on_top)
        self._settle(next(indices, self.top) if on_top else self.top)

    def _settle(self, top: int) -> None:
        self.set_count(len(self._rows))
        self.show_from(self.count if self.follows else top)

    def _rows_of(self, entries: Sequence[Entry]) -> list[Row]:
        """The lines of the entries that are to be seen; ``_rows`` are those before them."""
        rows: list[Row] = []
        last = next((row.entry for row in reversed(self._rows) if row.entry), None)
        day = time.localtime(last.time)[:3] if last else self._today
        for entry in entries:
            if not self._is_wanted(entry):
                continue
            # The same second is the same day: not every entry needs its calendar.
            if last is None or entry.time - last.time >= 1:
                now = time.localtime(entry.time)
                if now[:3] != day and entry.time:
                    day = now[:3]
                    rows.append(Row(None, time.strftime("%Y-%m-%d", now), is_first=False))
                last = entry
            rows += self._wrapped(entry)
            self.entry_count += 1
        return rows

    def _is_wanted(self, entry: Entry) -> bool:
        if self._only_problems and entry.severity == "information":
            return False
        if not self._filter:
            return True
        text = f"{entry.word} {entry.text}".casefold()
        return all(word in text for word in self._filter)

    def _wrapped(self, entry: Entry) -> list[Row]:
        room = self._width - self._text_start
        if entry.text.isprintable() and cell_len(entry.text) <= room:
            return [Row(entry, entry.text, is_first=True)]
        first, *others = [visible(line.expandtabs()) for line in entry.text.splitlines()] or [""]
        rows = [Row(entry, text, is_first=False) for text in _fold(first, room)]
        rows[0] = rows[0]._replace(is_first=True)
        indent = " " * INDENT
        for line in others:
            rows += [
                Row(entry, indent + text, is_first=False)
                for text in _fold(line, self._width - INDENT)
            ]
        return rows

    @property
    def _is_short(self) -> bool:
        return self._width < HEAD + LEAST_TEXT

    @property
    def _text_start(self) -> int:
        return SHORT_HEAD if self._is_short else HEAD

    # Drawing

    def line(self, index: int) -> list[Piece]:
        row = self._rows[index]
        if row.entry is None:
            return [(row.text, "muted")]
        entry = row.entry
        ink = INKS[entry.severity]
        if not row.is_first:
            is_further = row.text.startswith(" " * INDENT)
            return [("" if is_further else " " * self._text_start, ""), (row.text, ink)]
        if self._is_short:
            return [(f"{entry.word:<{WORD}} ", ink or "muted"), (row.text, ink)]
        clock = time.strftime("%H:%M:%S", time.localtime(entry.time)) if entry.time else "       -"
        iteration = "" if entry.iteration is None else f"{entry.iteration:,}"
        return [
            (f"{clock}  {iteration:>{ITERATION}}  ", "muted"),
            (f"{entry.word:<{WORD}}  ", ink or "accent"),
            (row.text, ink),
        ]

    def render_line(self, y: int) -> Strip:
        """One line, with what is marked by the mouse."""
        index = self.top + y
        strip = super().render_line(y)
        selection = self.text_selection
        if selection is not None and index < self.count:
            strip = self._marked(strip, selection.get_span(index))
        return strip.apply_offsets(0, index)

    def _marked(self, strip: Strip, span: tuple[int, int] | None) -> Strip:
        if span is None:
            return strip
        width = strip.cell_length
        start, end = span[0], width if span[1] < 0 else span[1]
        style = self.screen.get_component_rich_style("screen--selection")
        before, inside, after = (
            strip.crop(0, start),
            strip.crop(start, end).apply_style(style),
            strip.crop(end, width),
        )
        return Strip.join([before, inside, after])

    def get_selection(self, selection: Selection) -> tuple[str, str] | None:
        """What the user marked, to be copied."""
        lines = ("".join(text for text, _ in self.line(index)) for index in range(self.count))
        return selection.extract("\n".join(lines)), "\n"

    # Moving

    def action_move(self, lines: int) -> None:
        """Go up or down; going up ends the following."""
        if lines < 0 and self.follows:
            self.follow(False)
        super().action_move(lines)

    def on_mouse_scroll_up(self) -> None:
        """The wheel goes up as the keys do; the scrolling itself is the base class's."""
        if self.follows and self.count > self.rows:
            self.follow(False)


def _fold(text: str, width: int) -> list[str]:
    """Lines of at most ``width`` cells, broken between words if possible."""
    if cell_len(text) <= width:
        return [text]
    return [line.plain for line in Content(text).wrap(max(2, width))]
