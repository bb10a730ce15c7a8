"""Every slot as a card: its drawing small, and the probability of its class after each step."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import ClassVar, NamedTuple

import numpy as np
from rich.segment import Segment
from rich.style import Style
from textual import events
from textual.message import Message
from textual.strip import Strip
from textual.widget import Widget

from mamltui.measures import BARS
from mamltui.tui.draw.ink import ink_of
from mamltui.tui.shared.braille import DOWN, lines_of, shrunk
from mamltui.tui.shared.fitting import fitted

BLOCKS = f" {BARS}"
"""Eighths of a cell, from below."""
WIDEST_BAR = 5


class Size(NamedTuple):
    """Of a card, in cells."""

    rows: int
    """Of the small drawing, which is twice as wide."""
    bars: int
    """Width of the bars beside it."""
    is_labelled: bool
    """There are lines for percents and steps below the bars."""

    @property
    def width(self) -> int:
        return 2 * self.rows + 1 + self.bars

    @property
    def height(self) -> int:
        return 1 + self.rows


SIZES = (Size(7, 21, True), Size(5, 15, True), Size(4, 9, False))
"""The first that there is room for is taken."""


@dataclass(frozen=True)
class Card:
    """What is shown of a slot."""

    title: str
    ink: bytes
    values: tuple[float, ...] = ()
    """The probability after 0, 1, ... inner steps; empty: not known."""
    text: tuple[str, ...] = ()
    """Instead of bars."""
    is_current: bool = False
    """It is drawn on."""
    is_likeliest: bool = False


class Cards(Widget):
    """Cards side by side, as large as they fit; a click chooses one."""

    COMPONENT_CLASSES: ClassVar[set[str]] = {
        *("cards--title", "cards--current", "cards--likeliest"),
        *("cards--ink", "cards--bar", "cards--quiet"),
    }
    DEFAULT_CSS = """
    Cards > .cards--title { color: $text-muted; }
    Cards > .cards--current { color: $text; text-style: bold; }
    Cards > .cards--likeliest { color: $success; text-style: bold; }
    Cards > .cards--ink { color: $text; background: $surface; }
    Cards > .cards--bar { color: $accent; }
    Cards > .cards--quiet { color: $text-muted; }
    """

    class Chosen(Message):
        """A card was clicked."""

        def __init__(self, index: int) -> None:
            super().__init__()
            self.index = index

    def __init__(self, *, id: str) -> None:
        super().__init__(id=id)
        self._cards: tuple[Card, ...] = ()
        self._first = 0
        """Row of cards that is seen first."""

    def show(self, cards: Sequence[Card]) -> None:
        """Show these from now on."""
        shown = tuple(cards)
        if shown != self._cards:
            self._cards = shown
            self.refresh()

    def _layout_of_cards(self) -> tuple[Size, int]:
        """The size of the cards, and how many stand side by side."""
        width, height = self.content_size
        size = SIZES[-1]
        for size in SIZES:
            across = (width + 1) // (size.width + 1)
            if across and -(-len(self._cards) // across) * (size.height + 1) - 1 <= height:
                break
        across = max(1, (width + 1) // (size.width + 1))
        current = next((at for at, card in enumerate(self._cards) if card.is_current), 0)
        seen = max(1, (height + 1) // (size.height + 1))
        row, rows = current // across, -(-len(self._cards) // across)
        self._first = max(0, min(max(self._first, row - seen + 1), row, rows - seen))
        return size, across

    def on_click(self, event: events.Click) -> None:
        at = event.get_content_offset(self)
        if at is None:
            return
        size, across = self._layout_of_cards()
        column, row = at.x // (size.width + 1), at.y // (size.height + 1) + self._first
        index = row * across + column
        if column < across and index < len(self._cards):
            self.post_message(self.Chosen(index))

    def render_line(self, y: int) -> Strip:
        size, across = self._layout_of_cards()
        row, line = divmod(y, size.height + 1)
        first = (row + self._first) * across
        base = self.visual_style.rich_style
        segments: list[Segment] = []
        if line < size.height:
            for card in self._cards[first : first + across]:
                segments += [*self._line(card, size, line), Segment(" ", base)]
        return Strip(segments).adjust_cell_length(self.size.width, base)

    def _line(self, card: Card, size: Size, line: int) -> list[Segment]:
        if line == 0:
            return [Segment(_title(card, size.width), self._style(_tone(card)))]
        drawn = thumbnail(card.ink, size.rows)[line - 1]
        beside, tone = self._beside(card, size, line - 1)
        return [
            Segment(drawn, self._style("ink")),
            Segment(fitted(" " + beside, size.bars + 1), self._style(tone)),
        ]

    def _beside(self, card: Card, size: Size, line: int) -> tuple[str, str]:
        if card.text or not card.values:
            return (card.text[line] if line < len(card.text) else ""), "quiet"
        labels = 2 if size.is_labelled else 0
        height = size.rows - labels
        if line < height:
            return bars(card.values, size.bars, height)[line], "bar"
        return bar_labels(card.values, size.bars)[line - height], "quiet"

    def _style(self, name: str) -> Style:
        return self.get_visual_style(f"cards--{name}").rich_style


def _tone(card: Card) -> str:
    return "likeliest" if card.is_likeliest else "current" if card.is_current else "title"


def _title(card: Card, width: int) -> str:
    percent = f"{100 * card.values[-1]:.0f} %" if card.values else ""
    mark = "›" if card.is_current else " "
    return mark + fitted(card.title, width - 1 - len(percent)) + percent


@lru_cache(maxsize=256)
def thumbnail(content: bytes, rows: int) -> list[str]:
    """``rows`` lines of twice as many characters: a dot where there is any of the ink."""
    return lines_of(shrunk(ink_of(content), DOWN * rows, np.logical_or))


def _bar_indices(count: int, width: int) -> tuple[list[int], int]:
    """Which of ``count`` values have a bar, and how wide these are, with a cell between them."""
    shown = min(count, (width + 1) // 2)
    indices = np.unique(np.linspace(0, count - 1, shown).round().astype(int)).tolist()
    return indices, min(WIDEST_BAR, (width + 1) // len(indices) - 1)


def bars(values: Sequence[float], width: int, height: int) -> list[str]:
    """Values from 0 to 1 as upright bars on ``height`` lines; of too many some are left out."""
    indices, wide = _bar_indices(len(values), width)
    lines = []
    for line in range(height):
        filled = [values[index] * height - (height - 1 - line) for index in indices]
        eighths = [round(8 * min(max(part, 0.0), 1.0)) for part in filled]
        lines.append(" ".join(BLOCKS[each] * wide for each in eighths))
    return lines


def bar_labels(values: Sequence[float], width: int) -> list[str]:
    """What stands below the bars: the percents where they fit, and the inner steps."""
    indices, wide = _bar_indices(len(values), width)
    percents = [f"{100 * values[index]:.0f}" for index in indices]
    steps = [str(index) for index in indices]
    return [
        " ".join(f"{text:^{wide}}" for text in texts) if max(map(len, texts)) <= wide else ""
        for texts in (percents, steps)
    ]
