"""The episode screen: what a run makes of one task, image by image, after each inner step."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from typing import ClassVar, cast

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal

from mamltui.errors import MamltuiError
from mamltui.profiles import learns_rates
from mamltui.profiles.steps import MOST_STEPS
from mamltui.runs import RunFolder
from mamltui.tui.episode.head import EpisodeHead
from mamltui.tui.episode.inspector import EpisodeView, View
from mamltui.tui.episode.looks import Looks, Selection, Subject
from mamltui.tui.episode.query import Query, QueryView, queries_of, wrong_queries
from mamltui.tui.episode.request import LARGEST_TASK, SPLITS, Split, alpha_problem, read_task
from mamltui.tui.episode.searches import Searches
from mamltui.tui.episode.sheet import EpisodeSheet
from mamltui.tui.episode.wave import WaveView, wave_lines
from mamltui.tui.shared.dialogs import Ask
from mamltui.tui.shared.lines import Lines
from mamltui.tui.shared.screen import AppScreen

BESIDE = 120
"""Columns from which on a query stands beside the images."""
NOTHING_OPEN = (
    "No run is open.\nOpen one with Enter on the Home screen (1): its episodes are then shown here."
)
NOTHING_TRAINED = (
    "{name} has no parameters to look at yet.\n"
    "Start it with r on the Train screen (2), or open a run with Enter on the Home screen (1)."
)


class EpisodeScreen(AppScreen):
    """The support and query images of an episode, and the predictions as they adapt."""

    CSS_PATH = "episode.tcss"
    MORE_KEYS = ("c", "W", "plus", "minus", "0")
    HELP = """
## Episode

The support and query images of one task, as the network sees them, and what it predicts for each
query after every inner step: `✓ 3` is right, `✗ 3→1` is a 3 taken for a 1, with the probability of
the predicted class. Below it, where there is room, the probability of the true class at every step.
The arrows ↑ and ↓ between the rows say which images are which.

| key | does |
|---|---|
| left, right | the inner step that is shown (or click its column); step 0 is before adaptation |
| n, b | next, previous task |
| g | go to a task by its number; in training also as iteration:task, e.g. 350:4 |
| o | parameters: of the training that goes on, of its best or last checkpoint |
| d | split: test, validation, train (drawings augmented as in training) |
| a | another alpha, or learned step sizes times a factor, for this look only |
| +, - | more, fewer inner steps |
| 0 | back to the profile's alpha and steps |
| Tab | choose a query, the wrong ones first: all class probabilities at every step, and beside it \
the support of the class it is taken for; Escape: none |
| w | the next task with an error after the step that is shown |
| W | the worst tasks of an evaluation that the run folder holds |
| c | which alphabets are taken for which, over a hundred tasks; how far that is stands above |
| up, down | scroll |

Of a run that fits sine waves it shows the wave (dotted), the points it is fitted from (o) and the
fitted curve, before any step and after the one that is chosen.

From 120 columns on the query stands beside the images, from 160 on it is drawn large.
"""
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("right,l", "step(1)", "Step", key_display="← →"),
        Binding("left,h", "step(-1)", "Step back", show=False),
        Binding("n", "task(1)", "Next"),
        Binding("b", "task(-1)", "Back"),
        Binding("g", "go_to", "Go to"),
        Binding("o", "source", "Source"),
        Binding("d", "split", "Split"),
        Binding("a", "alpha", "Alpha"),
        Binding("plus,equals_sign", "steps(1)", "More steps", show=False),
        Binding("minus", "steps(-1)", "Fewer steps", show=False),
        Binding("0", "as_profile", "As the profile", show=False),
        Binding("tab", "query(1)", "Query"),
        Binding("shift+tab", "query(-1)", "Query before", show=False),
        Binding("escape", "no_query", "No query", show=False),
        Binding("w", "next_error", "Error", tooltip="The next task with an error"),
        Binding(
            "W", "worst", "Worst tasks", show=False, tooltip="The worst tasks of an evaluation"
        ),
        Binding("c", "confusion", "Confusion", show=False, tooltip="Confusion by alphabet"),
    ]

    def __init__(self) -> None:
        super().__init__()
        self._head = EpisodeHead(id="head")
        self._sheet = EpisodeSheet(id="sheet")
        self._query_view = QueryView(id="query")
        self._wave = Lines(id="wave")
        self._drawn: tuple[object, ...] = ()
        """Of the wave: what was drawn last, and in which room."""
        self._query: Query | None = None
        """Chosen by the user, until another episode is shown."""
        self._shown_run: RunFolder | None = None
        """A run that was asked for by name, until another is opened."""
        self._opened: object = None
        """What was open when it was."""
        self._path = ""
        self._selection = Selection()
        self._step: int | None = None
        """None: after the last."""
        self._looks = Looks(self, self._redraw_if_seen)

    def on_mount(self) -> None:
        self._searches = Searches(
            self.host, self.session, self._wanted, self._go_to, self.bring_up_to_date
        )

    def body(self) -> ComposeResult:
        yield self._head
        with Horizontal(id="episode"):
            yield self._sheet
            yield self._query_view
            yield self._wave

    def show_run(self, run: RunFolder, split: str, step: int) -> None:
        """Show the first episode of ``run`` on a split, after ``step`` inner steps."""
        self._shown_run, self._opened = run, self.session.watched
        self._forget(run)
        steps: int | None = None
        with suppress(MamltuiError):  # the profile's error is shown where the run is
            steps = max(step, run.profile.inner.test_steps)
        self._selection = Selection(cast("Split", split), source="best", steps=steps)
        self._step = step

    def redraw(self) -> None:
        try:
            subject = self._subject()
        except MamltuiError as error:
            self._looks.refuse(str(error))
        else:
            if subject is not None:
                self._looks.follow(subject, self._selection)
        self._draw()

    def _redraw_if_seen(self) -> None:
        if self.is_current:
            self.redraw()

    def _subject(self) -> Subject | None:
        """Whose episodes are to be shown; None after telling why there are none.

        Raises:
            MamltuiError: the run's profile cannot be read.
        """
        watched = self.session.watched
        if self._shown_run is not None and self._opened is not watched:
            self._shown_run = None
        run = self._shown_run or (watched.run if watched is not None else None)
        if run is None:
            self._looks.refuse(
                NOTHING_OPEN if watched is None else NOTHING_TRAINED.format(name=watched.name)
            )
            return None
        if str(run.path) != self._path:
            self._forget(run)
        training = self.session.training
        mine = training is not None and training.run is not None and training.run.path == run.path
        subject = Subject(run, run.profile, training if mine else None)
        if not subject.sources():
            self._looks.refuse(NOTHING_TRAINED.format(name=run.name))
            return None
        return subject

    def _forget(self, run: RunFolder) -> None:
        """Another run is shown: the same split and task, but as its own profile says."""
        self._path, self._step = str(run.path), None
        self._selection = Selection(self._selection.split, self._selection.task)
        self._looks.forget()

    def _select(self, **changes: object) -> None:
        """Show another episode, or adapt to it in another way."""
        self._selection = replace(self._selection, **changes)  # type: ignore[arg-type]
        self.redraw()

    def _draw(self) -> None:
        head, sheet = self._head, self._sheet
        width, height = self.size
        small = width < 60 or height < 16
        head_form = "one" if small else "short" if height < 34 else "full"
        view, problem = self._looks.view, self._looks.problem
        if problem or view is None:
            head.show(None, 0, "" if problem else self._status(), "one")
            sheet.say(problem)
            self.set_class(False, "-query", "-beside", "-wave")
            self._query_view.show(None, None, 0)
            return
        step = self._step_of(view)
        self.set_class(isinstance(view, WaveView), "-wave")
        if isinstance(view, WaveView):
            self.set_class(False, "-query", "-beside")
            head.show(view, step, self._status(), "one" if small else "short")
            self._draw_wave(view, step)
            return
        query = self._query if self._query in queries_of(view) else None
        beside = not small and width >= BESIDE
        self.set_class(beside, "-beside")
        self.set_class(query is not None and not beside, "-query")
        head.show(view, step, self._status(), head_form)
        sheet.show(
            view,
            step,
            "text" if small else "images",
            chosen=query if beside or not self.has_class("-query") else None,
        )
        shown = query
        if shown is None and beside:
            shown = (wrong_queries(view, step) or queries_of(view))[0]
        self._query_view.show(view, shown, step)

    def _draw_wave(self, view: WaveView, step: int) -> None:
        """Into the room that the head leaves, once it is laid out."""

        def draw() -> None:
            size = self._wave.content_size
            if (view, step, size) != self._drawn:
                self._drawn = (view, step, size)
                self._wave.show(wave_lines(view, step, size.width, size.height))

        self.call_after_refresh(draw)

    def _images(self) -> EpisodeView | None:
        """What is shown, if it is images; None after telling that there are none."""
        view = self._looks.view
        if isinstance(view, WaveView):
            self.notify("A wave has no images that are answered right or wrong.", markup=False)
            return None
        return view

    def _status(self) -> str:
        """A word for work that takes so long that one wonders."""
        return self._searches.status or self._looks.status

    def _step_of(self, view: View) -> int:
        return view.steps if self._step is None else min(self._step, view.steps)

    def action_step(self, by: int) -> None:
        """Show another inner step."""
        view = self._looks.view
        if view is not None:
            self._step = min(max(self._step_of(view) + by, 0), view.steps)
            self._draw()

    def on_episode_head_step_chosen(self, message: EpisodeHead.StepChosen) -> None:
        self._step = message.step
        self._draw()

    def action_task(self, by: int) -> None:
        """Show the next or the previous task."""
        self._select(task=min(max(self._selection.task + by, 0), LARGEST_TASK))

    def action_query(self, by: int) -> None:
        """Choose the next query: those answered wrong first, then the others."""
        view = self._images()
        if view is None:
            return
        wrong = wrong_queries(view, self._step_of(view))
        order = wrong + [query for query in queries_of(view) if query not in wrong]
        here = order.index(self._query) if self._query in order else -1 if by > 0 else 0
        self._query = order[(here + by) % len(order)]
        self._draw()

    def action_no_query(self) -> None:
        """Show the episode alone again."""
        self._query = None
        self._draw()

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Escape goes back from the screen while no query is chosen."""
        if action == "no_query":
            return self._query is not None
        return super().check_action(action, parameters)

    def applies(self, action: str) -> bool:
        """A wave has no queries that are answered right or wrong."""
        of_images = ("query", "next_error", "worst", "confusion")
        return action not in of_images or not isinstance(self._looks.view, WaveView)

    # Looking through many episodes.

    def action_next_error(self) -> None:
        """Go to the next task with an error after the step that is shown."""
        request, view = self._looks.request, self._images()
        if request is not None and view is not None:
            self._searches.next_error(request, self._step_of(view))

    def action_confusion(self) -> None:
        """Count which alphabets are taken for which."""
        request, view = self._looks.request, self._images()
        if request is not None and view is not None:
            self._searches.confusion(request, self._step_of(view))

    def action_worst(self) -> None:
        """List the worst tasks of an evaluation, to go to one."""
        request, view = self._looks.request, self._images()
        if request is not None and view is not None:
            self._searches.worst(request, view.profile.meta.seed)

    def _wanted(self) -> tuple[object, ...]:
        """What a search is about: nobody waits for it when this has changed."""
        return (self._path, self._selection)

    def _go_to(self, task: int) -> None:
        self._select(task=task)

    def action_source(self) -> None:
        """Take the parameters from elsewhere."""
        try:
            subject = self._subject()
        except MamltuiError:
            return
        if subject is not None:
            sources, now = subject.sources(), self._selection.source
            index = sources.index(now) if now in sources else 0
            self._select(source=sources[(index + 1) % len(sources)])

    def action_split(self) -> None:
        """Show the tasks of another split."""
        self._select(split=SPLITS[(SPLITS.index(self._selection.split) + 1) % len(SPLITS)])

    def action_steps(self, by: int) -> None:
        """Adapt with more or fewer inner steps."""
        view, steps = self._looks.view, self._selection.steps
        if view is not None:
            now = view.profile.inner.test_steps if steps is None else steps
            self._select(steps=min(max(now + by, 1), MOST_STEPS))

    def action_as_profile(self) -> None:
        """Adapt as the profile says."""
        self._select(alpha=None, steps=None)

    def action_alpha(self) -> None:
        """Adapt with another step size."""
        view, chosen = self._looks.view, self._selection.alpha
        if view is None:
            return
        profile = view.profile
        if profile.algorithm == "protonet":
            self.notify("ProtoNet has no inner steps whose size could be changed.")
            return
        alpha, unit = profile.inner.alpha, 1.0
        question = f"Alpha, the size of an inner step (the profile's is {alpha:g})"
        if learns_rates(profile):
            unit = alpha
            question = "Factor on the learned sizes of inner steps (1 leaves them as they are)"

        def take(answer: str | None) -> None:
            if answer is not None:
                self._select(alpha=float(answer) * unit)

        now = (alpha if chosen is None else chosen) / unit
        self.app.push_screen(Ask(question, f"{now:g}", alpha_problem), take)

    def action_go_to(self) -> None:
        """Show a task by its number."""
        view, split = self._looks.view, self._selection.split
        if view is None:
            return
        batch = view.profile.meta.batch if split == "train" else None
        question = f"Number of the {split} task, from 0"
        if batch is not None:
            question += f", or iteration:task (task 1 to {batch})"

        def take(answer: str | None) -> None:
            if answer is not None:
                self._select(task=read_task(answer, batch))

        def problem(text: str) -> str:
            try:
                read_task(text, batch)
            except ValueError as error:
                return str(error)
            return ""

        self.app.push_screen(Ask(question, str(self._selection.task), problem), take)
