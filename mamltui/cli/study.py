"""``mamltui study``: run, watch and report a set of experiments that a file describes."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mamltui.cli.options import Device, DeviceName, OutDir
from mamltui.cli.output import narrate
from mamltui.errors import ExitCode, UsageError

if TYPE_CHECKING:
    from mamltui.headless.study import StudyDisplay
    from mamltui.studies.executors.executor import Executor
    from mamltui.studies.queue import Queue
    from mamltui.studies.standing import Standing
    from mamltui.studies.study import Study

app = typer.Typer(help="Run, watch and report sets of experiments.", no_args_is_help=True)

StudyArgument = Annotated[
    str, typer.Argument(metavar="STUDY", help="A file, or the name of a packaged study.")
]
POLL_SECONDS = 0.5


@app.command("list")
def list_studies() -> None:
    """List the packaged studies."""
    from mamltui.cli.tables import aligned
    from mamltui.studies.reading import load_study, packaged_studies

    rows = []
    for name in packaged_studies():
        study = load_study(name)
        budget = study.file.budget
        length = "as the profiles have it"
        if budget.iterations is not None:
            length = f"{budget.iterations:,} iterations"
        elif budget.minutes is not None:
            length = f"{budget.minutes:g} core minutes"
        rows.append((name, str(len(study.cells)), length, study.description))
    for line in aligned(("NAME", "CELLS", "EACH", "DESCRIPTION"), rows, right=(1,)):
        typer.echo(line)


@app.command("run")
def run(
    study: StudyArgument,
    workers: Annotated[
        int | None,
        typer.Option(min=1, metavar="N", help="Trainings at once [default: one for each core]."),
    ] = None,
    threads: Annotated[
        int | None,
        typer.Option(min=1, metavar="N", help="Of each training [default: the cores, shared out]."),
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="As it was last run, with the same budget and seeds.")
    ] = False,
    on: Annotated[
        str, typer.Option("--on", metavar="WHERE", help="Where they run: local, ray or slurm.")
    ] = "local",
    address: Annotated[
        str | None,
        typer.Option(
            metavar="HOST:PORT",
            help="Of a Ray cluster [default: RAY_ADDRESS, or one is started on this machine].",
        ),
    ] = None,
    node_dir: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="A folder of each node of a Ray cluster to work in; run folders are fetched from "
            "it [default: the runs folder where a node shares it].",
        ),
    ] = None,
    slurm: Annotated[
        list[str] | None,
        typer.Option(
            metavar="KEY=VALUE", help="For Slurm's jobs, as sbatch has it: partition=gpu, time=120."
        ),
    ] = None,
    gpu_share: Annotated[
        float | None,
        typer.Option(
            metavar="F", help="Part of a GPU for each training: 0.25 lets four share one."
        ),
    ] = None,
    seeds: Annotated[
        int | None, typer.Option(min=1, metavar="N", help="Seeds 0 to N - 1 of each cell.")
    ] = None,
    iterations: Annotated[
        int | None, typer.Option(min=1, metavar="N", help="Budget: iterations of each training.")
    ] = None,
    minutes: Annotated[
        float | None,
        typer.Option(metavar="M", help="Budget: minutes of one core for each training."),
    ] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Change a key of every cell's profile."),
    ] = None,
    only: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="Only these cells: a base, a variant, or a cell."),
    ] = None,
    device: Device = DeviceName.auto,
    out: OutDir = None,
    data_dir: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="A folder to look in for Omniglot or CIFAR-100 first."),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="List the cells and where they stand; make nothing.")
    ] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress.")] = False,
) -> None:
    """Train and test every cell of a study that is not done.

    Each cell is an ordinary run folder. Stopped or killed, the same command goes on; a run that
    fits a cell is used, whoever trained it; a cell that diverges or fails does not stop the others.
    Exit codes: 0 all done, 1 a cell failed, 4 a cell diverged, 130 and 143 stopped by SIGINT and
    SIGTERM, after checkpoints.
    """
    from mamltui.studies.executors.choosing import executor_named
    from mamltui.studies.executors.executor import Wanted
    from mamltui.studies.reading import Changes, begun_study, load_study

    if iterations is not None and minutes is not None:
        raise UsageError("--iterations and --minutes exclude each other")
    if minutes is not None and not 0 < minutes <= 1e6:
        raise UsageError("a number of minutes above 0 is needed", where=f"--minutes {minutes:g}")
    changes = Changes(seeds, iterations, minutes, tuple(settings or ()))
    if resume and changes.options:
        raise UsageError("--resume goes on with the study as it was: it takes no changes")
    made = begun_study(study, out) if resume else load_study(study, changes)
    cells = made.chosen(only or ())
    if dry_run:
        from mamltui.studies.standing import read_standings

        _print_standings(made, read_standings(made, out, cells=cells))
        return
    wanted = Wanted(
        workers, threads, gpu_share, device.value, address, node_dir, tuple(slurm or ())
    )
    with closing(executor_named(on, wanted)) as executor:
        from mamltui.studies.queue import Queue

        display = _display(made, executor, quiet)
        queue = Queue(
            made,
            executor,
            root=out,
            data_dir=data_dir,
            device=device.value,
            only=only or (),
            notify=display.tell,
        )
        with closing(queue):
            raise typer.Exit(_drive(queue, display, quiet))


@app.command("status")
def status(
    study: StudyArgument,
    out: OutDir = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Show where each cell of a study stands, as the study was last run."""
    from mamltui.studies.standing import known_study

    made, standings = known_study(study, out)
    if as_json:
        _print_json(made, standings)
    else:
        _print_standings(made, standings)


@app.command("report")
def report(
    study: StudyArgument,
    out: OutDir = None,
    to: Annotated[
        Path | None,
        typer.Option("--to", metavar="DIR", help="Where to write [default: RUNS/studies/NAME]."),
    ] = None,
) -> None:
    """Write the report of a study, of all that is there so far; it can be asked for at any time.

    Markdown, one HTML file that holds everything, a CSV of each table, each plot as SVG and PNG.
    """
    from mamltui.studies.reading import study_folder
    from mamltui.studies.report import make_report
    from mamltui.studies.standing import known_study

    made, standings = known_study(study, out)
    folder = to or study_folder(made.name, out) / "report"
    for path in make_report(made, standings).write(folder):
        typer.echo(path)


@app.command("slim")
def slim(
    study: StudyArgument,
    to: Annotated[Path, typer.Option(metavar="DIR", help="The folder to copy the runs into.")],
    out: OutDir = None,
) -> None:
    """Copy the runs of a study without what only going on with them needs, about 0.6 MB each.

    `mamltui study report` makes the same report of the copies, where they are the reference runs.
    """
    from mamltui.studies.reading import begun_study
    from mamltui.studies.slim import slim_study
    from mamltui.studies.standing import read_standings
    from mamltui.text import visible

    made = begun_study(study, out)
    standings = read_standings(made, out)
    for copy in slim_study(made, standings, to):
        size = sum(path.stat().st_size for path in copy.path.rglob("*") if path.is_file())
        typer.echo(f"{visible(str(copy.path))}  {size / 1e6:.2f} MB")
    for each in standings:
        if each.state not in ("done", "diverged"):
            narrate(f"left out: {each.cell.name}, {each.state}")


def _display(study: Study, executor: Executor, quiet: bool) -> StudyDisplay:
    from mamltui.headless.study import StudyDisplay, StudyLines

    if quiet:
        return StudyDisplay()

    from mamltui.cli.tables import can_stay_in_place, narration_console

    console = narration_console()
    if not can_stay_in_place(console):
        return StudyLines(narrate)

    from mamltui.headless.study_live import StudyTable
    from mamltui.measures import counted

    workers, threads = counted(executor.workers, "worker"), counted(executor.threads, "thread")
    return StudyTable(console, f"study {study.name}, {workers} of {threads}")


def _drive(queue: Queue, display: StudyDisplay, quiet: bool) -> int:
    """Work until all is over or a signal comes; the exit code."""
    import signal
    import time

    from mamltui.signals import stop_signals
    from mamltui.studies.progress import progress_of

    received: list[signal.Signals] = []

    def stop(by: signal.Signals) -> None:
        received.append(by)
        display.stopping()
        queue.stop()

    with stop_signals(stop), display:
        while True:
            standings, is_over = queue.step()
            progress = progress_of(
                queue.study, standings, workers=queue.executor.workers, working=queue.working
            )
            display.show(standings, progress, queue.working)
            if is_over:
                break
            time.sleep(POLL_SECONDS)
    if received:
        import shlex

        from mamltui.commands import CommonOptions

        more = [word for cell in queue.only for word in ("--only", cell)]
        more += CommonOptions(queue.root, queue.data_dir, queue.device).options()
        more += queue.executor.options()
        again = shlex.join(["mamltui", "study", "run", queue.study.name, "--resume", *more])
        narrate(f"{received[0].name}: stopped after checkpoints. Go on with: {again}")
        return 128 + received[0]
    if not quiet:
        _print_standings(queue.study, standings)
    states = {standing.state for standing in standings}
    if "failed" in states:
        return ExitCode.FAILURE
    return ExitCode.DIVERGED if "diverged" in states else ExitCode.DONE


def _print_standings(study: Study, standings: list[Standing]) -> None:
    from mamltui.cli.tables import aligned, plus_minus_of, print_table, results_console, say
    from mamltui.headless.study import HEADER, standing_row
    from mamltui.measures import duration
    from mamltui.studies.progress import progress_of

    console = results_console()
    progress = progress_of(study, standings)
    rows = [standing_row(standing, standing.state) for standing in standings]
    lines = aligned(HEADER, rows, right=(3, 4), plus_minus=plus_minus_of(console))
    print_table(console, lines)
    left = "" if progress.seconds_left is None else duration(progress.seconds_left)
    text = f"{study.name}: {progress.words}"
    say(console, f"{text}; left on one worker {left}" if left and progress.seconds_left else text)
    for standing in standings:
        if standing.why:
            say(console, f"{standing.cell.name}: {standing.state}: {standing.why}", indent=2)


def _print_json(study: Study, standings: list[Standing]) -> None:
    import json

    from mamltui.studies.progress import progress_of

    progress = progress_of(study, standings)
    document = {
        "study": study.name,
        "description": study.description,
        "fraction": round(progress.fraction, 4),
        "states": progress.states,
        "cells": [
            {
                "cell": each.cell.name,
                "state": each.state,
                "run": each.run.name if each.run else None,
                "iteration": each.iteration,
                "iterations": each.iterations,
                "core_minutes": round(each.core_minutes, 2),
                "validation_accuracy": each.info.best.accuracy
                if each.info and each.info.best
                else None,
                "test_accuracy": each.evaluation.headline().accuracy if each.evaluation else None,
                "why": each.why or None,
            }
            for each in standings
        ],
    }
    typer.echo(json.dumps(document, indent=2))
