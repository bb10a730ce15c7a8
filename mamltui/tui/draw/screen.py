"""The draw screen: classes drawn by hand, a query, and what the run answers as it is drawn."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical
from textual.content import Content

from mamltui.commands import CommonOptions
from mamltui.errors import MamltuiError
from mamltui.measures import counted
from mamltui.profiles.steps import MOST_STEPS
from mamltui.runs import RunFolder
from mamltui.runs.drawable import best_for_drawing
from mamltui.text import visible
from mamltui.tui.draw import panels
from mamltui.tui.draw.answering import Answer, Answering, Question, checkpoint_of
from mamltui.tui.draw.canvas import Canvas
from mamltui.tui.draw.cards import Cards
from mamltui.tui.draw.drawings import (
    MOST_DRAWINGS,
    QUERY,
    QUERY_FILE,
    Drawings,
    Slot,
    load_drawings,
    save_drawings,
)
from mamltui.tui.draw.ink import SIZE, Drawing
from mamltui.tui.shared.background import in_background
from mamltui.tui.shared.dialogs import Ask
from mamltui.tui.shared.files import path_problem
from mamltui.tui.shared.lines import Lines
from mamltui.tui.shared.screen import AppScreen

CLASSES = 5
"""At first."""
MOST_CLASSES = 26
PANEL = 39
"""Columns beside the canvas, at least."""
MOMENT = 0.04
"""Seconds that a redraw waits for further changes."""
NOTHING_TRAINED = "No run has learned from drawings yet: r on the profile quickstart in Home (1)."


class DrawScreen(AppScreen):
    """A canvas, and beside it the drawings with the answers."""

    CSS_PATH = "draw.tcss"
    MORE_KEYS = ("s", "o", "w", "a", "plus", "minus", "N")
    CHANGES = frozenset({"save"})
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("tab,n", "slot(1)", "Next"),
        Binding("shift+tab,b", "slot(-1)", "Before", show=False, tooltip="The drawing before"),
        Binding("q", "query", "Query", tooltip="Draw the query"),
        Binding("a", "add", "Add", show=False, tooltip="Another drawing of this class"),
        Binding("w", "way", "Classes", show=False, tooltip="How many classes"),
        Binding("N", "rename", "Rename", show=False, tooltip="Rename the class"),
        Binding("plus,equals_sign", "steps(1)", "More steps", show=False),
        Binding("minus", "steps(-1)", "Fewer steps", show=False),
        Binding("s", "save", "Save", show=False, tooltip="Save the drawings as PNG files"),
        Binding("o", "open", "Open", show=False, tooltip="Open a folder of drawings"),
    ]
    HELP = f"""
## Draw

Draw a few classes, one drawing each or several, and then a query: the run learns from the drawings
and says what the query is, while you draw it, after each inner step. The bars are the probability
of a class before adaptation, after one step, and so on. The query is normalised with the statistics
of the classes' drawings, as if it were the only one.

The mouse draws while a button is held; the right button erases. By keys a stroke is a line with
corners: space puts the pen down and sets a corner at each turn, Enter lifts it.

A character should fill about the inner part of the square, which has another shade. Drawings are
made like those the run has learned from: {SIZE} pixels a side, a pen as thick as Omniglot's, then
scaled alike.

| key | does |
|---|---|
| arrows, h j k l | move the cursor; with shift in small steps |
| space, Enter | pen down, or a corner; pen up |
| Escape | drop the stroke that goes on; else back to the screen before |
| x | pen or eraser |
| u, c | undo; clear this drawing |
| Tab, n | the next class, at last the query; shift+Tab, b: before. A click on one does the same |
| q | the query |
| a | another drawing of this class |
| w | how many classes: as many as the run can tell apart |
| +, - | more, fewer inner steps |
| N | call the class otherwise |
| s, o | save the drawings as PNG files, open such a folder, or one with any images |

What is saved, `mamltui adapt RUN --support DIR` takes too; `C` copies the command. `d` on a run in
Home draws for that one.
"""

    def __init__(self) -> None:
        super().__init__()
        self._drawings = Drawings.blank(CLASSES)
        self._slot = Slot(0)
        self._seen: dict[int, int] = {}
        """Of each class the drawing that was drawn on last."""
        self._steps: int | None = None
        """None: as at the run's test."""
        self._run: RunFolder | None = None
        self._is_due = False
        """A redraw after a change."""
        self._has_looked = False
        """For a run, if there was none."""
        self._folder: Path | None = None
        """Where the drawings were saved or opened, until one changes."""

    def body(self) -> ComposeResult:
        yield Lines(id="heading")
        with Horizontal(id="draw"):
            yield Canvas(id="canvas")
            with Vertical(id="beside"):
                yield Lines(id="meaning")
                yield Cards(id="cards")
        yield Lines(id="answers")

    @property
    def _answer(self) -> Answer | None:
        """The newest."""
        return self._answering.answer

    @property
    def _canvas(self) -> Canvas:
        return self.query_one(Canvas)

    def on_mount(self) -> None:
        self._answering = Answering(self.host, self._draw)
        self.host.load_torch()
        self._canvas.show(self._drawings.drawing(self._slot))
        self._canvas.focus()

    def on_screen_resume(self) -> None:
        self._choose_run()
        super().on_screen_resume()
        self._canvas.focus()

    def on_resize(self) -> None:
        width, height = self.size
        room = width - 2 - (PANEL if width >= 60 else 0)
        self._canvas.styles.width = max(2, 2 * min(room // 2, height - 4))
        self.call_after_refresh(self._draw)

    # Whose answers these are, and asking for them.

    def redraw(self) -> None:
        if self._run is not None:
            self._answering.ask(Question.of(self._run, self._drawings, self._steps))
        self._draw()

    def _choose_run(self) -> None:
        """The run that is open, if it has parameters; else one that suits."""
        watched = self.session.watched
        run = watched.run if watched is not None else None
        if run is not None and checkpoint_of(run) is not None:
            self._take_run(run)
        elif self._run is None:
            root = self.session.options.runs
            in_background(
                self.app,
                lambda: best_for_drawing(root),
                self._take_run,
                lambda error: self.host.report("The runs cannot be read", error),
            )

    def _take_run(self, run: RunFolder | None) -> None:
        is_other = run is None or self._run is None or run.path != self._run.path
        self._run, self._has_looked = run, True
        if is_other:
            self._answering.forget()
        if self.is_current:
            self.redraw()

    # Showing.

    def _draw(self) -> None:
        if not self.is_attached:
            return
        drawings, answer, width = self._drawings, self._answer, self.size.width - 2
        words = ""
        if answer is not None and answer.probabilities:
            words = f"bars: probability after 0 to {counted(answer.steps, 'step')}"
        self._draw_heading()
        problem = self._answering.problem
        if self._run is None and self._has_looked:
            problem = NOTHING_TRAINED
        self.query_one("#meaning", Lines).show([Content.styled(words, panels.MUTED)])
        self.query_one(Cards).show(panels.cards(drawings, self._slot, self._seen, answer))
        line = panels.answers(drawings, answer, problem, width)
        self.query_one("#answers", Lines).show([line])

    @on(Canvas.Moved)
    def _draw_heading(self) -> None:
        canvas = self._canvas
        tool = "eraser" if canvas.is_eraser else "pen"
        state = f"{tool} down" if canvas.is_down else tool
        name = self._run.name if self._run else ""
        heading = panels.heading(self._drawings, self._slot, state, name, self.size.width - 2)
        self.query_one("#heading", Lines).show([heading])

    @property
    def _way(self) -> int:
        return len(self._drawings.classes)

    # Drawing.

    @on(Canvas.Changed)
    def _changed(self) -> None:
        """Redraw, once for all changes of a moment: the mouse moves faster than one looks."""
        self._folder = None
        if not self._is_due:
            self._is_due = True
            self.set_timer(MOMENT, self._redraw_now)

    def _redraw_now(self) -> None:
        self._is_due = False
        self.redraw()

    @on(Cards.Chosen)
    def _chosen(self, event: Cards.Chosen) -> None:
        label = event.index
        if label >= self._way:
            self._go(QUERY)
        else:
            self._go(Slot(label, self._seen.get(label, 0)))

    def _go(self, slot: Slot) -> None:
        self._slot = slot
        if not slot.is_query:
            self._seen[slot.label] = slot.number
        self._canvas.show(self._drawings.drawing(slot))
        self._canvas.focus()
        self._draw()

    def action_slot(self, by: int) -> None:
        """To the next drawing, or the one before."""
        slots = self._drawings.slots()
        self._go(slots[(slots.index(self._slot) + by) % len(slots)])

    def action_query(self) -> None:
        """To the query."""
        self._go(QUERY)

    def action_add(self) -> None:
        """Another drawing of the class at hand."""
        if self._slot.is_query:
            self.notify("A class takes several drawings, the query is one.", markup=False)
            return
        drawings = self._drawings.classes[self._slot.label].drawings
        blank = [number for number, each in enumerate(drawings) if each.is_blank]
        if not blank and len(drawings) >= MOST_DRAWINGS:
            self.notify(f"A class takes at most {MOST_DRAWINGS} drawings.", markup=False)
            return
        if not blank:
            drawings.append(Drawing())
        number = blank[0] if blank else len(drawings) - 1
        self._go(Slot(self._slot.label, number))

    def action_steps(self, by: int) -> None:
        """Adapt with more or fewer inner steps."""
        if self._answer is not None:
            now = self._answer.steps if self._steps is None else self._steps
            self._steps = min(max(now + by, 0), MOST_STEPS)
            self.redraw()

    def action_way(self) -> None:
        """Have more or fewer classes."""
        run = self._run
        if run is None or self._answer is None:
            self.notify("The run is still being read.", markup=False)
            return

        def problem(text: str) -> str:
            if not text.strip().isdecimal() or not 2 <= int(text) <= MOST_CLASSES:
                return f"a number from 2 to {MOST_CLASSES}"
            try:
                return self._answering.answerer.way_problem(run, int(text))
            except MamltuiError as error:
                return str(error)

        def take(answer: str | None) -> None:
            if answer is not None:
                self._drawings.set_way(int(answer))
                if self._slot.label >= self._way:
                    self._go(Slot(0))
                self.redraw()

        question = f"Classes (the run was trained with {self._answer.way})"
        self.app.push_screen(Ask(question, str(self._way), problem), take)

    def action_rename(self) -> None:
        """Call the class at hand otherwise."""
        label = self._slot.label
        if self._slot.is_query:
            self.notify("Tab goes to a class, which can be renamed.", markup=False)
            return

        def take(answer: str | None) -> None:
            if answer is not None:
                self._drawings.rename(label, answer)
                self._folder = None
                self._draw()

        name = self._drawings.classes[label].name
        ask = Ask("Name of the class", name, lambda text: self._drawings.name_problem(label, text))
        self.app.push_screen(ask, take)

    # Files.

    def headless_command(self) -> str | None:
        if self._run is None:
            return None
        common, name = self.session.options.common, self._run.name
        folder = self._folder
        if folder is None:
            return shlex.join(["mamltui", "draw", name, *common.options()])
        query = folder / QUERY_FILE
        asked = str(query if query.exists() else folder)
        steps = [] if self._steps is None else ["--steps", str(self._steps)]
        words = ["mamltui", "adapt", name, "--support", str(folder), "--query", asked, *steps]
        return shlex.join([*words, *CommonOptions(common.runs).options()])

    def action_save(self) -> None:
        """Save the drawings in a new folder."""

        def take(answer: str | None) -> None:
            if answer is None:
                return
            folder = Path(answer).expanduser()
            try:
                files = save_drawings(self._drawings, folder)
            except MamltuiError as error:
                self.host.report("Not saved", error)
                return
            self._folder = folder
            text = f"{counted(len(files), 'drawing')} in {visible(str(folder))}"
            self.notify(text, title="Saved", markup=False)

        free = _free_folder()
        self.app.push_screen(Ask("Save the drawings in a new folder", free, path_problem), take)

    def action_open(self) -> None:
        """Open a folder of class folders in place of what is drawn."""

        def problem(text: str) -> str:
            try:
                return "" if Path(text).expanduser().is_dir() else "there is no such folder"
            except (OSError, RuntimeError, ValueError) as error:
                return f"that cannot be a folder: {error}"

        def take(answer: str | None) -> None:
            if answer is not None:
                folder = Path(answer).expanduser()
                in_background(
                    self.app,
                    lambda: load_drawings(folder),
                    lambda drawings: self._opened(drawings, folder),
                    lambda error: self.host.report("Not opened", error),
                )

        title = "Open a folder of class folders, in place of what is drawn"
        self.app.push_screen(Ask(title, str(self._folder or "drawings"), problem), take)

    def _opened(self, drawings: Drawings, folder: Path) -> None:
        self._drawings, self._folder, self._seen = drawings, folder, {}
        self._go(Slot(0) if drawings.query.is_blank else QUERY)
        self.redraw()


def _free_folder() -> str:
    """A name that no folder has here: ``drawings``, ``drawings-2`` and on."""
    number = 1
    while Path(name := f"drawings-{number}" if number > 1 else "drawings").exists():
        number += 1
    return name
