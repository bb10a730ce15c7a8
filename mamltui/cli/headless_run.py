"""What ``mamltui run --headless`` does: plan, train, evaluate, report."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import NoReturn

from mamltui.cli import distributed
from mamltui.cli.evaluate import write_stdout
from mamltui.cli.output import narrate, why_not_writable
from mamltui.cli.tables import (
    can_stay_in_place,
    narration_console,
    print_evaluation,
    results_console,
)
from mamltui.commands import CommonOptions, eval_command, run_command
from mamltui.data.banks import Banks
from mamltui.data.sampling import DataSource
from mamltui.data.sinusoid import Waves
from mamltui.data.splits import ClassSplit
from mamltui.errors import DivergedError, ExitCode, RunError, StorageError, UsageError
from mamltui.events import Diverged, Stopped
from mamltui.headless import Display, JsonDisplay, LineDisplay, LiveDisplay
from mamltui.maml.allocator import keep_freed_memory
from mamltui.maml.ranks import Ranks, RanksError
from mamltui.measures import counted, queries_text
from mamltui.profiles import load_profile
from mamltui.results import Evaluation, csv_text, write_text
from mamltui.runs import ListedRun, RunFolder, runs_root
from mamltui.runs.advice import after_divergence
from mamltui.signals import stop_signals
from mamltui.training import Control, Outcome, Plan, make_plan, run_experiment
from mamltui.training.device import describe_device


@dataclass(frozen=True)
class Request:
    """The command line of a headless run."""

    profile: str
    overrides: list[str] = field(default_factory=list)
    device: str = "auto"
    out: Path | None = None
    data_dir: Path | None = None
    resume: str | None = None
    title: str = ""
    """Of a new run."""
    format: str = "text"
    csv: str | None = None
    min_accuracy: float | None = None
    """A fraction."""
    quiet: bool = False
    verbose: bool = False
    on_end: str = ""
    """A shell command."""

    def say(self, text: str) -> None:
        """Narration, on stderr."""
        if self.format == "text" and not self.quiet:
            narrate(text)

    @property
    def common(self) -> CommonOptions:
        """Where runs and data are, and what computes."""
        return CommonOptions(self.out, self.data_dir, self.device)

    def resume_command(self, run: RunFolder) -> str:
        """What goes on with ``run``, as typed in this folder."""
        more = [] if self.format == "text" else ["--format", self.format]
        more += [] if self.csv is None else ["--csv", self.csv]
        more += ["--on-end", self.on_end] if self.on_end else []
        if self.min_accuracy is not None:
            more += ["--min-accuracy", f"{100 * self.min_accuracy:g}"]
        return run_command(
            self.profile, self.common, overrides=self.overrides, more=more, resume=run.name
        )

    def eval_command(self, run: RunFolder) -> str:
        """What evaluates ``run``, as typed in this folder."""
        return eval_command([run.name], CommonOptions(self.out, self.data_dir))


def plan(request: Request) -> Plan:
    """Check the profile, the device, the run to resume and the data.

    Raises:
        MamltuiError: one of them does not hold.
    """
    profile = load_profile(request.profile, request.overrides)
    if profile.is_regression and request.min_accuracy is not None:
        raise UsageError(
            f"{profile.name} fits waves, which gives an error and no accuracy",
            where="--min-accuracy",
            hint="Leave --min-accuracy out.",
        )
    return make_plan(
        profile,
        device=request.device,
        runs=request.out,
        banks=Banks(request.data_dir),
        resume=request.resume,
        overrides=request.overrides,
        say=request.say,
    )


def dry(request: Request) -> ExitCode:
    """Print what a run would do; nothing is made."""
    made = plan(request)
    profile, split, bank = made.profile, made.split, made.bank
    root = runs_root(request.out)
    problem = why_not_writable(root)
    if problem:
        raise RunError(f"the runs folder {problem}", where=str(root))
    folder = made.run.path if made.run else root / f"{profile.name}-YYYYMMDD-HHMMSS-xxxx"
    tasks = profile.meta.iterations * profile.meta.batch
    rows = [
        ("task", f"{made.title}, {queries_text(profile)}"),
        *_data_rows(bank, split),
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
            f"{counted(max(profile.evaluation.steps), 'inner step')}",
        ),
        ("run folder", f"{folder}{' (resumed)' if made.run else ' (not made: a dry run)'}"),
    ]
    lines = [f"# {label:<11}{value}" for label, value in rows]
    write_stdout("\n".join([profile.to_toml(), *lines, ""]))
    return ExitCode.DONE


def _data_rows(bank: DataSource, split: ClassSplit) -> list[tuple[str, str]]:
    if isinstance(bank, Waves):
        return [("data", f"sine waves, {bank.source}")]
    return [
        ("data", f"{bank.classes:,} classes x {bank.drawings} drawings, {bank.source}"),
        (
            "split",
            f"{split.name}: {len(split.train):,} training, {len(split.validation):,} validation, "
            f"{len(split.test):,} test classes",
        ),
    ]


def train_and_evaluate(request: Request) -> int:
    """Train, evaluate on the test split, report; the exit code.

    Raises:
        MamltuiError: as :func:`plan`, and all that can go wrong in a run.
        DivergedError: the training diverged, or ended below ``request.min_accuracy``.
    """
    with distributed.helped() as ranks:
        return _train_and_evaluate(request, ranks)


def _train_and_evaluate(request: Request, ranks: Ranks | None) -> int:
    if ranks is not None and distributed.is_restarted() and request.resume is None:
        request = replace(request, resume="auto")
    with stop_signals(_end):
        made = replace(plan(request), ranks=ranks)
        keep_freed_memory()
        run = made.run or RunFolder.create(made.profile, made.runs, title=request.title)
    try:
        return _train(request, made, run)
    finally:
        if request.on_end:
            _run_command(request.on_end, run)


def _run_command(command: str, run: RunFolder) -> None:
    """Run a user's command about a run that has ended; what goes wrong is told."""
    listed = ListedRun.read(run.path)
    test = listed.headline
    told = {
        "MAMLTUI_RUN": str(run.path.absolute()),
        "MAMLTUI_STATE": listed.state,
        "MAMLTUI_ACCURACY": "",
    }
    if test:
        score = test.headline().score
        name = "MAMLTUI_ERROR" if score.metric.is_error else "MAMLTUI_ACCURACY"
        told[name] = score.metric.number(score.value)
    code = subprocess.run(command, shell=True, env=os.environ | told, check=False).returncode
    if code:
        narrate(f"--on-end: the command ended with {code}")


def _train(request: Request, made: Plan, run: RunFolder) -> int:
    ranks = made.ranks
    control, received = Control(), list[signal.Signals]()
    with ExitStack() as shown:
        display = shown.enter_context(_display(request, made.title))

        def stop(by: signal.Signals, where: str = "") -> None:
            received.append(by)
            control.stop(f"{by.name}{where}")
            display.stopping()

        if ranks is not None:
            ranks.on_stop = lambda by, rank: stop(signal.Signals[by], f" to {rank}")

        reader = _Reporting(display, lambda evaluation: _report(evaluation, run, request), shown)
        try:
            with stop_signals(stop, control.checkpoint, insisting=ranks is None):
                outcome = run_experiment(replace(made, run=run), control, reader)
        except (StorageError, RanksError) as error:
            go_on = f"Go on with: {request.resume_command(run)}"
            hint = f"{error.hint}\n{go_on}" if error.hint else go_on
            raise type(error)(error.what, where=error.where, hint=hint) from error
    end = outcome.end
    if isinstance(end, Diverged):
        raise DivergedError(
            f"the training diverged at iteration {end.iteration:,}: {end.reason}",
            where=str(run.path),
            hint=after_divergence(run),
        )
    if outcome.evaluation is None:
        return _stopped(received[0] if received else None, outcome, request)
    accuracy = outcome.evaluation.headline().accuracy
    if (
        request.min_accuracy is not None
        and accuracy is not None
        and accuracy < request.min_accuracy
    ):
        raise DivergedError(
            f"the test accuracy of {100 * accuracy:.2f} % is below --min-accuracy "
            f"{100 * request.min_accuracy:g}"
        )
    return ExitCode.DONE


def _end(by: signal.Signals) -> NoReturn:
    """There is nothing to save yet; what was begun of a run folder is taken back on the way."""
    raise SystemExit(128 + by)


class _Reporting:
    """Follows an experiment on a display, which the report of its evaluation ends."""

    def __init__(
        self, display: Display, report: Callable[[Evaluation], None], shown: ExitStack
    ) -> None:
        self.show = display.show
        self.evaluating = display.evaluating
        self._display, self._report, self._shown = display, report, shown

    def evaluated(self, evaluation: Evaluation) -> None:
        self._display.evaluated(evaluation)
        self._shown.close()
        self._report(evaluation)


def _stopped(by: signal.Signals | None, outcome: Outcome, request: Request) -> int:
    """Say how to go on.

    Args:
        by: None: it was asked for through the run folder, as the app does of a run it watches.
    """
    who = by.name if by else "another process"
    if isinstance(outcome.end, Stopped):
        narrate(
            f"{who}: stopped at iteration {outcome.end.iteration:,}, "
            f"a checkpoint is saved.\nGo on with: {request.resume_command(outcome.run)}"
        )
    else:
        narrate(
            f"{who}: the training is finished and saved, its evaluation is not.\n"
            f"Evaluate with: {request.eval_command(outcome.run)}"
        )
    return 128 + by if by else ExitCode.INTERRUPTED


def _report(evaluation: Evaluation, run: RunFolder, request: Request) -> None:
    if request.csv == "-":
        write_stdout(csv_text([evaluation]))
    if request.format == "text" and request.csv == "-":
        if not request.quiet:
            print_evaluation(narration_console(), [evaluation])
    elif request.format == "text":
        print_evaluation(results_console(), [evaluation])
    if request.csv is not None and request.csv != "-":
        write_text(Path(request.csv), csv_text([evaluation]))
    request.say(f"kept in {run.path}")


def _display(request: Request, title: str) -> Display:
    if request.format == "jsonl":
        return JsonDisplay(sys.stdout)
    if request.format == "none" or request.quiet:
        return Display()
    console = narration_console()
    if can_stay_in_place(console) and not request.verbose:
        return LiveDisplay(console, title)
    return LineDisplay(request.say, title, every_step=request.verbose)
