"""The episode screen: what a run makes of one task, image by image, after each inner step."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, cast

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal

from mamltui.errors import MamltuiError
from mamltui.profiles import Profile, learns_rates
from mamltui.profiles.steps import MOST_STEPS
from mamltui.runs import RunFolder
from mamltui.tui.episode.head import EpisodeHead
from mamltui.tui.episode.inspector import (
    LARGEST_TASK,
    SPLITS,
    EpisodeInspector,
    EpisodeView,
    Request,
    Source,
    Split,
    alpha_problem,
    read_task,
)
from mamltui.tui.episode.query import Query, QueryView, queries_of, wrong_queries
from mamltui.tui.episode.searches import Searches
from mamltui.tui.episode.sheet import EpisodeSheet
from mamltui.tui.shared.background import Newest
from mamltui.tui.shared.dialogs import Ask
from mamltui.tui.shared.screen import AppScreen

if TYPE_CHECKING:  # imports torch, which takes seconds
    from mamltui.tui.session.training import Training

BESIDE = 120
"""Columns from which on a query stands beside the images."""
PATIENCE = 0.3
"""Seconds after which a look is given up for a newer request."""
LIVE_SECONDS = 2.0
"""The least from one look at a training to the next."""
LIVE_SHARE = 50
"""A look at a training comes after at least so many times what the last one took."""

NOTHING_OPEN = (
    "No run is open.\nOpen one with Enter on the Home screen (1): its episodes are then shown here."
)
NOTHING_TRAINED = (
    "{name} has no parameters to look at yet.\n"
    "Start it with r on the Train screen (2), or open a run with Enter on the Home screen (1)."
)


@dataclass(frozen=True)
class Subject:
    """Whose episodes are shown."""

    run: RunFolder
    profile: Profile
    training: Training | None
    """Of this process, while it goes on."""

    def sources(self) -> list[Source]:
        """Where there are parameters to be had, best for a first look first."""
        sources: list[Source] = []
        if self.training is not None and self.training.phase == "training":
            sources.append("live")
        checkpoints: tuple[Source, Source] = ("best", "last")
        return sources + [
            kind
            for kind in checkpoints
            if kind != "live" and self.run.checkpoint_path(kind).exists()
        ]


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
| c | which alphabets are taken for which, over a hundred tasks |
| up, down | scroll |

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
        self._query: Query | None = None
        """Chosen by the user, until another episode is shown."""
        self._shown_run: RunFolder | None = None
        """A run that was asked for by name, until another is opened."""
        self._opened: object = None
        """What was open when it was."""
        self._path = ""
        self._source: Source | None = None
        self._split: Split = "test"
        self._number = 0
        self._step: int | None = None
        """None: after the last."""
        self._alpha: float | None = None
        self._steps: int | None = None
        """Of both, None: as in the profile."""
        self._inspector: EpisodeInspector | None = None
        self._asked: tuple[object, ...] = ()
        self._looks = Newest(self, self._inspect, self._done, self._failed)
        self._view: EpisodeView | None = None
        self._text = ""
        """Shown instead of an episode."""
        self._asked_at = self._looked_at = 0.0
        self._live_version = -1

    def on_mount(self) -> None:
        self._searches = Searches(
            self.host, self.session, self._wanted, self._go_to, self.bring_up_to_date
        )

    def body(self) -> ComposeResult:
        yield self._head
        with Horizontal(id="episode"):
            yield self._sheet
            yield self._query_view

    def show_run(self, run: RunFolder, split: str, step: int) -> None:
        """Show the first episode of ``run`` on a split, after ``step`` inner steps."""
        self._shown_run, self._opened = run, self.session.watched
        self._forget(run)
        self._split, self._number = cast("Split", split), 0
        self._source = "best"
        self._step = step
        try:
            self._steps = max(step, run.profile.inner.test_steps)
        except MamltuiError:
            self._steps = None  # the profile's error is shown where the run is

    def redraw(self) -> None:
        try:
            subject = self._subject()
        except MamltuiError as error:
            self._say(str(error))
        else:
            if subject is not None:
                self._follow(subject)
        self._draw()

    def _subject(self) -> Subject | None:
        """Whose episodes are to be shown; None after saying why there are none.

        Raises:
            MamltuiError: the run's profile cannot be read.
        """
        watched = self.session.watched
        if self._shown_run is not None and self._opened is not watched:
            self._shown_run = None
        run = self._shown_run or (watched.run if watched is not None else None)
        if run is None:
            self._say(
                NOTHING_OPEN if watched is None else NOTHING_TRAINED.format(name=watched.name)
            )
            return None
        if str(run.path) != self._path:
            self._forget(run)
        training = self.session.training
        mine = training is not None and training.run is not None and training.run.path == run.path
        return Subject(run, run.profile, training if mine else None)

    def _forget(self, run: RunFolder) -> None:
        """Another run is shown."""
        self._path = str(run.path)
        self._source = self._step = self._alpha = self._steps = self._view = None
        self._asked = ()
        self._looks.forget()

    def _follow(self, subject: Subject) -> None:
        """Ask for a look, if what is to be shown has changed."""
        sources = subject.sources()
        if not sources:
            self._say(NOTHING_TRAINED.format(name=subject.run.name))
            return
        source = self._source if self._source in sources else sources[0]
        inner = subject.profile.inner
        alpha = inner.alpha if self._alpha is None else self._alpha
        steps = inner.test_steps if self._steps is None else self._steps
        newness = self._newness(subject, source)
        wanted = (subject.run.path, source, self._split, self._number, alpha, steps, newness)
        if wanted == self._asked:
            return
        self._asked = wanted
        self._asked_at = time.monotonic()
        self._text = ""
        if self._inspector is None:
            self._inspector = EpisodeInspector(self.session.banks)
        self._looks.ask(
            Request(subject.run, source, subject.training, self._split, self._number, alpha, steps)
        )

    def _newness(self, subject: Subject, source: Source) -> int:
        """Another number when there are other parameters, and it is time to look at them."""
        if source != "live":
            try:
                return subject.run.checkpoint_path(source).stat().st_mtime_ns
            except OSError:
                return 0
        assert subject.training is not None
        cost = self._view.seconds if self._view is not None else 0.0
        rested = time.monotonic() - self._looked_at > max(LIVE_SECONDS, LIVE_SHARE * cost)
        if rested and not self._looks.is_busy:
            self._live_version = subject.training.history.version
        return self._live_version

    def _inspect(self, request: Request) -> EpisodeView | None:
        """What is seen of an episode, in a thread; it is given up when a newer request waits."""
        app, inspector, looks, begun = self.app, self._inspector, self._looks, time.monotonic()
        assert inspector is not None

        def should_stop() -> bool:
            replaced = looks.request is not request and time.monotonic() - begun > PATIENCE
            return replaced or not app.is_running

        return inspector.inspect(request, should_stop)

    def _done(self, request: Request, view: EpisodeView | None) -> None:
        self._looked_at = time.monotonic()
        if view is not None and str(request.run.path) == self._path:
            self._view, self._text = view, ""
        if self.is_current:
            self.redraw()

    def _failed(self, request: Request, error: Exception) -> None:
        self._looked_at = time.monotonic()
        if request is self._looks.request:
            if isinstance(error, MamltuiError):
                self._text = str(error)
            else:
                self._text = f"{type(error).__name__}: {error}"
                self.host.report("The episode cannot be shown", error)
        if self.is_current:
            self.redraw()

    def _say(self, text: str) -> None:
        """Show why there is no episode."""
        self._text, self._asked = text, ()

    def _draw(self) -> None:
        head, sheet = self._head, self._sheet
        width, height = self.size
        small = width < 60 or height < 16
        head_form = "one" if small else "short" if height < 34 else "full"
        view = self._view
        if self._text or view is None:
            head.show(None, 0, "" if self._text else self._status(), "one")
            sheet.say(self._text)
            self.set_class(False, "-query", "-beside")
            self._query_view.show(None, None, 0)
            return
        step = self._step_of(view)
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

    def _status(self) -> str:
        """A word for work that takes so long that one wonders."""
        if self._searches.status:
            return self._searches.status
        if not self._looks.is_busy:
            return ""
        if self._view is None:
            return "loading the images and the parameters"
        late = time.monotonic() - self._asked_at > PATIENCE
        return "adapting" if late and self._is_other() else ""

    def _is_other(self) -> bool:
        """What is worked on is not what is shown with newer parameters."""
        if self._looks.request is None or self._view is None:
            return True
        now, then = self._looks.request, self._view.request
        return (now.source, now.split, now.task, now.alpha, now.steps) != (
            then.source,
            then.split,
            then.task,
            then.alpha,
            then.steps,
        )

    def _step_of(self, view: EpisodeView) -> int:
        return view.steps if self._step is None else min(self._step, view.steps)

    def action_step(self, by: int) -> None:
        """Show another inner step."""
        if self._view is not None:
            self._step = min(max(self._step_of(self._view) + by, 0), self._view.steps)
            self._draw()

    def on_episode_head_step_chosen(self, message: EpisodeHead.StepChosen) -> None:
        self._step = message.step
        self._draw()

    def action_task(self, by: int) -> None:
        """Show the next or the previous task."""
        self._number = min(max(self._number + by, 0), LARGEST_TASK)
        self.redraw()

    def action_query(self, by: int) -> None:
        """Choose the next query: those answered wrong first, then the others."""
        if self._view is None:
            return
        wrong = wrong_queries(self._view, self._step_of(self._view))
        order = wrong + [query for query in queries_of(self._view) if query not in wrong]
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

    # Looking through many episodes.

    def action_next_error(self) -> None:
        """Go to the next task with an error after the step that is shown."""
        if self._looks.request is not None and self._view is not None:
            self._searches.next_error(self._looks.request, self._step_of(self._view))

    def action_confusion(self) -> None:
        """Count which alphabets are taken for which."""
        if self._looks.request is not None and self._view is not None:
            self._searches.confusion(self._looks.request, self._step_of(self._view))

    def action_worst(self) -> None:
        """List the worst tasks of an evaluation, to go to one."""
        if self._looks.request is not None and self._view is not None:
            self._searches.worst(self._looks.request, self._view.profile.meta.seed)

    def _wanted(self) -> tuple[object, ...]:
        """What a search is about: nobody waits for it when this has changed."""
        return (self._path, self._source, self._split, self._number, self._alpha, self._steps)

    def _go_to(self, task: int) -> None:
        self._number = task
        self.redraw()

    def action_source(self) -> None:
        """Take the parameters from elsewhere."""
        try:
            subject = self._subject()
        except MamltuiError:
            return
        sources = subject.sources() if subject is not None else []
        if sources:
            now = self._source if self._source in sources else sources[0]
            self._source = sources[(sources.index(now) + 1) % len(sources)]
            self.redraw()

    def action_split(self) -> None:
        """Show the tasks of another split."""
        self._split = SPLITS[(SPLITS.index(self._split) + 1) % len(SPLITS)]
        self.redraw()

    def action_steps(self, by: int) -> None:
        """Adapt with more or fewer inner steps."""
        if self._view is not None:
            now = self._view.profile.inner.test_steps if self._steps is None else self._steps
            self._steps = min(max(now + by, 1), MOST_STEPS)
            self.redraw()

    def action_as_profile(self) -> None:
        """Adapt as the profile says."""
        self._alpha = self._steps = None
        self.redraw()

    def action_alpha(self) -> None:
        """Adapt with another step size."""
        if self._view is None:
            return
        profile = self._view.profile
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
                self._alpha = float(answer) * unit
                self.redraw()

        now = (alpha if self._alpha is None else self._alpha) / unit
        self.app.push_screen(Ask(question, f"{now:g}", alpha_problem), take)

    def action_go_to(self) -> None:
        """Show a task by its number."""
        if self._view is None:
            return
        batch = self._view.profile.meta.batch if self._split == "train" else None
        question = f"Number of the {self._split} task, from 0"
        if batch is not None:
            question += f", or iteration:task (task 1 to {batch})"

        def take(answer: str | None) -> None:
            if answer is not None:
                self._number = read_task(answer, batch)
                self.redraw()

        def problem(text: str) -> str:
            try:
                read_task(text, batch)
            except ValueError as error:
                return str(error)
            return ""

        self.app.push_screen(Ask(question, str(self._number), problem), take)
