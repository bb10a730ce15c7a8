"""Train: what the training says, while it says it, and the keys that steer it."""

from __future__ import annotations

import time
from typing import ClassVar, Literal

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Container, Vertical
from textual.content import Content

from mamltui.errors import MamltuiError
from mamltui.results import Figure
from mamltui.runs.advice import after_divergence, to_resume
from mamltui.runs.requests import Wish, ask
from mamltui.text import visible
from mamltui.tui.session.training import Training
from mamltui.tui.session.watched import Watched
from mamltui.tui.shared.chart.chart import Chart, Curve, Reference
from mamltui.tui.shared.lines import Lines
from mamltui.tui.shared.screen import AppScreen
from mamltui.tui.train import panels

Part = Literal["chart", "side"]
PARTS: tuple[Part, ...] = ("chart", "side")
"""What takes most of the time to draw."""
SMOOTHINGS = (0.0, 0.6, 0.9, 0.98)
METRICS = {
    "accuracy": ("query_accuracy", "validation_accuracy", "query accuracy %"),
    "loss": ("query_loss", "validation_loss", "query loss, nats"),
    "gradient norm": ("gradient_norm", None, "norm of the meta-gradient"),
    "support accuracy": ("support_accuracy", None, "support accuracy before adaptation %"),
    "speed": ("iterations_per_second", None, "meta-iterations a second"),
}
"""What the chart can show: the curve of training, of validation, and the title."""
ERRORS = {
    "accuracy": ("query_loss", "validation_loss", "mean squared error"),
    "gradient norm": METRICS["gradient norm"],
    "support error": ("support_loss", None, "support error before adaptation"),
    "speed": METRICS["speed"],
}
"""The same of a run that fits numbers; its score stands where the others have theirs."""


def _metrics(watched: Watched | None) -> dict[str, tuple[str, str | None, str]]:
    """What the chart can show of a run."""
    return ERRORS if watched is not None and watched.profile.metric.is_error else METRICS


class TrainScreen(AppScreen):
    """The run or profile that is watched."""

    CSS_PATH = "train.tcss"
    MORE_KEYS = ("y", "left_square_bracket", "right_square_bracket")
    CHANGES = frozenset({"run", "pause", "stop", "checkpoint"})
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("r", "run", "Run", tooltip="Run the profile, or resume the run"),
        Binding("p", "pause", "Pause"),
        Binding("x", "stop", "Stop"),
        Binding("k", "checkpoint", "Save"),
        Binding("m", "metric", "Metric"),
        Binding("s", "smooth", "Smooth"),
        Binding("y", "log_axis", "Log axis", show=False),
        Binding("t", "show_table", "Table"),
        Binding("left_square_bracket", "zoom(-1)", "Zoom out", show=False),
        Binding("right_square_bracket", "zoom(1)", "Zoom in", show=False),
        Binding("backslash", "zoom(0)", "All", show=False, tooltip="Show everything"),
        Binding("h,left", "cursor(-1)", "Read left", show=False),
        Binding("l,right", "cursor(1)", "Read right", show=False),
    ]
    HELP = """## Train

The run that is watched: opened in Home with Enter, started with `r`, or named on the command line.
*Before* is the accuracy on the query images before adaptation; *to paper* the best validation
accuracy minus what the MAML paper prints for the test split, in points.

| key | does |
|---|---|
| r | run the profile; resume a run that was interrupted; during a training: queue it |
| p | pause after the meta-step at hand; again: go on |
| x | stop after a checkpoint |
| k | save a checkpoint now |

`p`, `x` and `k` reach a run that another process trains as well.

| key | does |
|---|---|
| m | what the chart shows: accuracy, loss, gradient norm, support accuracy, speed |
| s | smoothing: none, 0.6, 0.9, 0.98 (weight of the moving average) |
| y | logarithmic axis |
| [ ] | zoom out, zoom in; \\\\ shows all; the mouse wheel zooms at the pointer |
| left, right | move the cursor that reads values; Escape hides it |
| t | the table of the last steps instead of the accuracy after each inner step |
"""

    def __init__(self) -> None:
        super().__init__()
        self._seen: tuple[object, ...] = ()
        self._was_reading = False
        self._version = -1
        """Of the history, when its numbers were shown last."""
        self._behind: list[Part] = []
        """What does not show them yet, the part whose turn it is first."""
        self._shown: Watched | None = None
        self._figure: Figure | None = None
        self._heard = (0.0, 0.0)
        """The newest elapsed seconds, and the clock when they came."""

    def body(self) -> ComposeResult:
        yield Lines(id="headline")
        yield Lines(id="tiles")
        yield Lines(id="note")
        with Container(id="middle"):
            yield Chart(id="chart")
            with Vertical(id="side"):
                yield Lines(id="curve")
                yield Lines(id="sparks")
                yield Lines(id="recent")
        yield Lines(id="progress")

    def on_mount(self) -> None:
        memory = self.session.memory
        self._metric = memory.get("train.metric", "accuracy")
        if self._metric not in METRICS | ERRORS:
            self._metric = "accuracy"
        self._smooth = memory.get("train.smooth", 0.9)
        self._table = memory.get("train.table", False)
        self.query_one(Chart).log_y = memory.get("train.log_axis", False)
        self.query_one(Chart).focus()

    def applies(self, action: str) -> bool:
        """Only what goes on can be paused, stopped and saved, and only what does not be run."""
        watched = self.session.watched
        if action in ("pause", "stop", "checkpoint"):
            return watched is not None and watched.is_live
        if action == "run":
            return watched is not None and (watched.state == "paused" or not watched.is_live)
        return True

    def on_resize(self) -> None:
        self._seen = ()
        self.call_after_refresh(self.bring_up_to_date)

    def redraw(self) -> None:
        watched = self.session.watched
        if watched is not self._shown:
            self._shown, self._heard, self._seen = watched, (0.0, time.monotonic()), ()
            self._figure = None if watched is None else panels.paper_figure(watched.profile)
            self.query_one(Chart).reset_zoom()
        if watched is None:
            self._show_nothing()
            return
        heading = (watched.title, watched.state)
        seen = (heading, watched.is_reading, watched.note, watched.test, self._options())
        version = watched.history.version
        if seen != self._seen:
            if self._was_reading and not watched.is_reading:
                self.query_one(Chart).forget_axis()  # which was made for a part of the run
            self._was_reading = watched.is_reading
            self._seen, self._version, self._behind = seen, version, []
            self._show(watched)
        elif version != self._version:
            self._version = version
            self._show_tiles(watched)
            self._behind += [part for part in PARTS if part not in self._behind]
        if self._behind:  # one part a time: the numbers are new at once, the curves in a moment
            self._show_part(self._behind.pop(0), watched)
        self._show_progress(watched)

    def _options(self) -> tuple[object, ...]:
        side = self.query_one("#side").content_size
        log_y = self.query_one(Chart).log_y
        return (self._metric, self._smooth, log_y, self._table, self.size, side)

    def _show_nothing(self) -> None:
        self.query_one("#headline", Lines).show(
            [Content("Nothing is open: choose a profile or a run in Home (1) and press Enter.")]
        )

    def _show(self, watched: Watched) -> None:
        newest, width = watched.history.newest(), self.size.width - 2
        self.query_one("#headline", Lines).show([panels.headline(watched, newest, width)])
        self._show_tiles(watched)
        note = [Content(visible(line)) for line in self._note(watched)]
        wrapped = [part for line in note for part in line.wrap(max(1, width))]
        self.query_one("#note", Lines).show(wrapped)
        for part in PARTS:
            self._show_part(part, watched)

    def _show_tiles(self, watched: Watched) -> None:
        newest, width = watched.history.newest(), self.size.width - 2
        if newest.elapsed != self._heard[0]:
            self._heard = (newest.elapsed, time.monotonic())
        metric = watched.profile.metric
        tiles = panels.tiles(newest, self._figure, width, watched.test, metric)
        self.query_one("#tiles", Lines).show(tiles)

    def _show_part(self, part: Part, watched: Watched) -> None:
        if part == "chart":
            self._show_chart(watched)
        else:
            self._show_side(watched)

    def _note(self, watched: Watched) -> list[str]:
        """What happens, or why it ended, and what can be done now."""
        lines = watched.note.splitlines()
        if watched.state == "ready":
            lines = watched.profile.description.splitlines()
            return lines if self.session.options.read_only else [*lines, "Press r to run it."]
        if watched.state == "finished":
            lines.append("What next:  3 episodes   4 evaluate   5 compare")
        if watched.run is not None and watched.state == "diverged":
            lines.append(after_divergence(watched.run))
        elif watched.run is not None and watched.can_resume and not self.session.options.read_only:
            lines.append(to_resume(watched.run, "r"))
        return lines

    def _show_chart(self, watched: Watched) -> None:
        metrics = _metrics(watched)
        shown_metric = self._metric if self._metric in metrics else "accuracy"
        train, validation, title = metrics[shown_metric]
        history, chart = watched.history, self.query_one(Chart)
        curves = [Curve("train", history.curve(train), "accent", smooth=self._smooth)]
        if validation is not None:
            curves.append(Curve("validation", history.curve(validation), "second", marks=True))
        references = []
        if shown_metric == "accuracy" and self._figure is not None:
            figure = self._figure
            value = float(figure.value) / figure.metric.factor
            name = f"{figure.cited}," if figure.metric.is_error else "MAML paper"
            references.append(Reference(f"{name} {figure.printed}", value))
        chart.percent = title.endswith("%")
        shown = [f"smoothing {self._smooth}"] if self._smooth else []
        shown += ["log axis"] if chart.log_y else []
        chart.title = f"{title}  ({', '.join(shown)})" if shown else title
        chart.show(curves, references=references)

    def _show_side(self, watched: Watched) -> None:
        history, side = watched.history, self.query_one("#side")
        curve, recent = self.query_one("#curve", Lines), self.query_one("#recent", Lines)
        both = self.query_one("#sparks").display
        curve.display = both or not self._table
        recent.display = both or self._table
        width = side.content_size.width
        if curve.display:
            curve.show(panels.step_curve(history.newest(), 8 if both else 6, width))
        if both:
            self.query_one("#sparks", Lines).show(panels.sparks(watched, width))
        if recent.display:
            rows = max(1, (recent.size.height or 6) - 1)
            steps, validations = history.steps(rows), history.validations(rows)
            metric = watched.profile.metric
            recent.show(panels.recent_table(steps, validations, rows, metric))

    def _show_progress(self, watched: Watched) -> None:
        newest = watched.history.newest()
        since = time.monotonic() - self._heard[1] if watched.state == "training" else 0.0
        line = panels.progress(newest, newest.elapsed + since, since, self.size.width - 2)
        self.query_one("#progress", Lines).show([line])

    def headless_command(self) -> str | None:
        watched = self.session.watched
        return None if watched is None else watched.command(self.session.options.common)

    def action_run(self) -> None:
        """Run what is shown: a profile, or a run from where it stopped."""
        watched = self.session.watched
        if watched is None:
            self.notify("Choose a profile in Home first.", markup=False)
            return
        try:
            if watched.state == "paused" and watched.training is not None:
                watched.training.resume()
            elif watched.is_live:
                self.notify("It is running already.", markup=False)
            elif self.session.is_training:
                self.host.offer_queue(watched.profile)
            elif watched.can_resume and watched.run is not None:
                self.session.resume(watched.run)
            else:
                self.session.start(watched.profile, watched.source, watched.overrides)
        except MamltuiError as error:
            self.host.report("Cannot run", error)
        self.redraw()

    def action_pause(self) -> None:
        """Pause, or go on."""
        watched = self.session.watched
        if self._ask_other("resume" if watched and watched.state == "paused" else "pause"):
            return
        training = self._mine("paused")
        if training is None:
            return
        if training.is_paused:
            training.resume()
        else:
            training.pause()

    def action_stop(self) -> None:
        """Stop after a checkpoint."""
        if self._ask_other("stop"):
            return
        training = self._mine("stopped")
        if training is not None:
            training.stop("stopped by the user")

    def action_checkpoint(self) -> None:
        """Save a checkpoint now."""
        if self._ask_other("checkpoint"):
            return
        training = self._mine("saved")
        if training is not None:
            training.checkpoint()
            self.notify("A checkpoint is saved after this meta-step.", markup=False)

    def _ask_other(self, wish: Wish) -> bool:
        """Ask the process that trains the run that is shown; False: no other process does."""
        watched = self.session.watched
        if watched is None or watched.training is not None or not watched.is_live:
            return False
        assert watched.run is not None
        try:
            ask(watched.run, wish)
        except MamltuiError as error:
            self.host.report("Cannot be asked", error)
        else:
            words = {"pause": "pause", "resume": "go on", "stop": "stop", "checkpoint": "save"}
            text = f"The process that trains it is asked to {words[wish]}."
            self.notify(text, markup=False)
        return True

    def _mine(self, what: str) -> Training | None:
        """The training of this process that is shown, if it goes on."""
        watched = self.session.watched
        training = watched.training if watched else None
        if training is not None and not training.is_over:
            return training
        self.notify(f"Cannot be {what}: nothing is running here.", markup=False)
        return None

    def action_metric(self) -> None:
        """Another metric in the chart."""
        names = list(_metrics(self.session.watched))
        position = names.index(self._metric) if self._metric in names else 0
        self._metric = names[(position + 1) % len(names)]
        self.session.memory.set("train.metric", self._metric)
        self.redraw()

    def action_smooth(self) -> None:
        """More smoothing, then none."""
        position = SMOOTHINGS.index(self._smooth) if self._smooth in SMOOTHINGS else 0
        self._smooth = SMOOTHINGS[(position + 1) % len(SMOOTHINGS)]
        self.session.memory.set("train.smooth", self._smooth)
        self.redraw()

    def action_log_axis(self) -> None:
        """A logarithmic axis, or a linear one."""
        chart = self.query_one(Chart)
        chart.log_y = not chart.log_y
        self.session.memory.set("train.log_axis", chart.log_y)
        self.redraw()

    def action_show_table(self) -> None:
        """The table instead of the curve over the inner steps."""
        self._table = not self._table
        self.session.memory.set("train.table", self._table)
        self.redraw()

    def action_zoom(self, direction: int) -> None:
        """In, out, or all."""
        chart = self.query_one(Chart)
        {1: chart.zoom_in, -1: chart.zoom_out, 0: chart.reset_zoom}[direction]()

    def action_cursor(self, direction: int) -> None:
        """Move the chart's cursor."""
        self.query_one(Chart).step_cursor(direction)
