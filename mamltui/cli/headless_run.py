"""What ``mamltui run --headless`` does: plan, train, evaluate, report."""

from __future__ import annotations

import json
import signal
import sys
from collections.abc import Generator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import NoReturn, cast

import typer
from rich.console import Console

from mamltui.cli.evaluate import write_stdout
from mamltui.cli.tables import print_evaluation, results_console
from mamltui.commands import Place, eval_command, run_command
from mamltui.data.banks import Banks
from mamltui.errors import DivergedError, ExitCode
from mamltui.evaluation import evaluate_and_write
from mamltui.events import Diverged, Event, Finished, Stopped
from mamltui.headless import Display, JsonDisplay, LineDisplay, LiveDisplay
from mamltui.headless.signals import stop_signals
from mamltui.profiles import load_profile
from mamltui.results import Evaluation, csv_text, json_text, write_text
from mamltui.runs import RunFolder, runs_root
from mamltui.training import Control, Trainer
from mamltui.training.device import describe_device
from mamltui.training.plan import Plan, make_plan


@dataclass(frozen=True)
class Request:
    """The command line of a headless run."""

    profile: str
    overrides: list[str] = field(default_factory=list)
    device: str = "auto"
    out: Path | None = None
    data_dir: Path | None = None
    resume: str | None = None
    format: str = "text"
    csv: str | None = None
    min_accuracy: float | None = None
    """A fraction."""
    quiet: bool = False
    verbose: bool = False

    def say(self, text: str) -> None:
        """Narration, on stderr."""
        if self.format == "text" and not self.quiet:
            typer.echo(text, err=True)

    @property
    def place(self) -> Place:
        """Where runs and data are, and what computes."""
        return Place(self.out, self.data_dir, self.device)

    def resume_command(self, run: RunFolder) -> str:
        """What goes on with ``run``, as typed in this folder."""
        more = [] if self.format == "text" else ["--format", self.format]
        more += [] if self.csv is None else ["--csv", self.csv]
        if self.min_accuracy is not None:
            more += ["--min-accuracy", f"{100 * self.min_accuracy:g}"]
        return run_command(
            self.profile, self.place, overrides=self.overrides, more=more, resume=run.name
        )

    def eval_command(self, run: RunFolder) -> str:
        """What evaluates ``run``, as typed in this folder."""
        return eval_command([run.name], Place(self.out, self.data_dir))


def plan(request: Request) -> Plan:
    """Check the profile, the device, the run to resume and the data.

    Raises:
        MamltuiError: one of them does not hold.
    """
    return make_plan(
        load_profile(request.profile, request.overrides),
        device=request.device,
        runs=request.out,
        banks=Banks(request.data_dir),
        resume=request.resume,
        say=request.say,
    )


def dry(request: Request) -> ExitCode:
    """Print what a run would do; nothing is made."""
    made = plan(request)
    profile, split, bank = made.profile, made.split, made.bank
    root = runs_root(request.out)
    folder = made.run.path if made.run else root / f"{profile.name}-YYYYMMDD-HHMMSS-xxxx"
    tasks = profile.meta.iterations * profile.meta.batch
    rows = [
        ("task", f"{made.title}, query drawings a class: {profile.task.query}"),
        ("data", f"{bank.classes:,} classes x {bank.drawings} drawings, {bank.source}"),
        (
            "split",
            f"{split.name}: {len(split.train):,} training, {len(split.validation):,} validation, "
            f"{len(split.test):,} test classes",
        ),
        ("network", f"{made.learner.parameter_count():,} parameters"),
        ("device", describe_device(made.device)),
        (
            "training",
            f"{profile.meta.iterations:,} iterations of {profile.meta.batch} episodes "
            f"({tasks:,} episodes), {profile.validation.episodes:,} validation episodes every "
            f"{profile.validation.interval:,}",
        ),
        (
            "evaluation",
            f"{profile.evaluation.episodes:,} test episodes after up to "
            f"{max(profile.evaluation.steps)} inner steps",
        ),
        ("run folder", f"{folder}{' (resumed)' if made.run else ' (not made: a dry run)'}"),
    ]
    lines = [f"# {label:<11}{value}" for label, value in rows]
    write_stdout("\n".join([profile.to_toml(), *lines, ""]))
    return ExitCode.DONE


def train_and_evaluate(request: Request) -> int:
    """Train, evaluate on the test split, report; the exit code.

    Raises:
        MamltuiError: as :func:`plan`, and all that can go wrong in a run.
        DivergedError: the training diverged, or ended below ``request.min_accuracy``.
    """
    made = plan(request)
    run = made.run or RunFolder.create(made.profile, request.out)
    with _display(request, made.title) as display:
        try:
            end = _train(made, run, display)
            evaluation = _evaluate(made, run, display) if isinstance(end, Finished) else None
        except StoppedBySignal as stop:
            return _stopped(stop, run, request)
    if evaluation is None:
        raise DivergedError(
            f"the training diverged at iteration {end.iteration:,}: {getattr(end, 'reason', '')}",
            where=str(run.path),
            hint="The last good checkpoint is kept. A smaller meta.learning_rate or inner.alpha "
            "may help.",
        )
    _report(evaluation, run, request)
    accuracy = evaluation.headline().accuracy
    if request.min_accuracy is not None and accuracy < request.min_accuracy:
        raise DivergedError(
            f"the test accuracy of {100 * accuracy:.2f} % is below --min-accuracy "
            f"{100 * request.min_accuracy:g}"
        )
    return ExitCode.DONE


class StoppedBySignal(Exception):  # noqa: N818 - an outcome, not an error
    """The user, or the system, ended the run."""

    def __init__(self, by: signal.Signals, stopped: Stopped | None) -> None:
        super().__init__(by.name)
        self.by = by
        self.stopped = stopped
        """What the trainer said; None: the training had finished."""


def _train(made: Plan, run: RunFolder, display: Display) -> Event:
    """Show the training to its last event, ``Finished`` or ``Diverged``."""
    control = Control()
    trainer = Trainer(made.profile, made.bank, run, device=made.device, control=control)
    received: list[signal.Signals] = []

    def stop(by: signal.Signals) -> None:
        received.append(by)
        control.stop(by.name)
        display.stopping()

    # A generator: closed early, it saves a checkpoint.
    events = cast(Generator[Event, None, None], trainer.train())
    with stop_signals(stop, control.checkpoint), closing(events):
        for event in events:
            display.show(event)
    if received and not isinstance(event, Diverged):
        raise StoppedBySignal(received[0], event if isinstance(event, Stopped) else None)
    return event


def _evaluate(made: Plan, run: RunFolder, display: Display) -> Evaluation:
    def stop(by: signal.Signals) -> NoReturn:
        raise StoppedBySignal(by, None)

    with stop_signals(stop):
        display.evaluating(0, made.profile.evaluation.episodes)
        evaluation = evaluate_and_write(
            run, made.bank, device=made.device, progress=display.evaluating
        )
    display.evaluated(json.loads(json_text([evaluation]))["evaluations"][0])
    return evaluation


def _stopped(stop: StoppedBySignal, run: RunFolder, request: Request) -> int:
    if stop.stopped is None:
        typer.echo(
            f"{stop.by.name}: the training is finished and saved, its evaluation is not.\n"
            f"Evaluate with: {request.eval_command(run)}",
            err=True,
        )
    else:
        typer.echo(
            f"{stop.by.name}: stopped at iteration {stop.stopped.iteration:,}, "
            f"a checkpoint is saved.\nGo on with: {request.resume_command(run)}",
            err=True,
        )
    return 128 + stop.by


def _report(evaluation: Evaluation, run: RunFolder, request: Request) -> None:
    if request.csv == "-":
        write_stdout(csv_text([evaluation]))
    elif request.csv is not None:
        write_text(Path(request.csv), csv_text([evaluation]))
    if request.format == "text" and request.csv == "-":
        if not request.quiet:
            print_evaluation(_stderr(), [evaluation])
    elif request.format == "text":
        print_evaluation(results_console(), [evaluation])
    request.say(f"kept in {run.path}")


def _display(request: Request, title: str) -> Display:
    if request.format == "jsonl":
        return JsonDisplay(sys.stdout)
    if request.format == "none" or request.quiet:
        return Display()
    console = _stderr()
    draws = console.is_terminal and not console.is_dumb_terminal and not console.options.ascii_only
    if draws and not request.verbose:
        return LiveDisplay(console, title)
    return LineDisplay(request.say, title, every_step=request.verbose)


def _stderr() -> Console:
    return Console(stderr=True, highlight=False, markup=False, emoji=False)
