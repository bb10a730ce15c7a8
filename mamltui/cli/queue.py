"""``mamltui queue``: trainings that wait for each other."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from mamltui.cli.options import DataDir, Device, DeviceName, OutDir
from mamltui.errors import UsageError

if TYPE_CHECKING:
    from mamltui.studies.waiting import Waiting

app = typer.Typer(help="Queue trainings, and work on them one after another.", no_args_is_help=True)

Training = Annotated[
    str, typer.Argument(metavar="ID", help="As mamltui queue list shows it, or its beginning.")
]


@app.command("add")
def add(
    profile: Annotated[
        str, typer.Argument(metavar="PROFILE", help="A file, or the name of a packaged profile.")
    ],
    overrides: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Change a key, such as inner.steps=5."),
    ] = None,
    name: Annotated[str, typer.Option(metavar="NAME", help="What its run is called.")] = "",
    first: Annotated[bool, typer.Option("--first", help="Before all that waits.")] = False,
    out: OutDir = None,
) -> None:
    """Have a profile trained after all that waits."""
    from mamltui.profiles import load_profile
    from mamltui.runs.annotations import checked_title
    from mamltui.studies.waiting import TrainingQueue

    loaded = load_profile(profile, overrides or ())
    waiting = TrainingQueue(out).add(loaded, checked_title(name), first=first)
    typer.echo(f"{waiting.id}  {waiting.name}")


@app.command("list")
def list_(out: OutDir = None) -> None:
    """List what waits, runs and is done."""
    from mamltui.cli.output import narrate
    from mamltui.cli.tables import aligned, print_table, results_console
    from mamltui.studies.waiting import TrainingQueue

    queue = TrainingQueue(out)
    rows = []
    for waiting in queue.read():
        run_and_info = queue.run_of(waiting)
        info = run_and_info[1] if run_and_info else None
        done = f"{info.iteration:,} / {info.iterations:,}" if info else ""
        run = run_and_info[0].name if run_and_info else ""
        rows.append((waiting.id, waiting.name, waiting.state, done, run, waiting.why))
    if not rows:
        narrate("Nothing waits.")
        return
    header = ("ID", "NAME", "STATE", "ITERATIONS", "RUN", "WHY")
    print_table(results_console(), aligned(header, rows, right=(3,)))


@app.command("run")
def run(out: OutDir = None, data_dir: DataDir = None, device: Device = DeviceName.auto) -> None:
    """Train what waits, one after another; stopped, the same command goes on."""
    from mamltui.commands import CommonOptions
    from mamltui.studies.waiting import TrainingQueue, work

    raise typer.Exit(work(TrainingQueue(out), CommonOptions(out, data_dir, device.value)))


@app.command("stop")
def stop(out: OutDir = None) -> None:
    """Ask the process that works on the queue to end after a checkpoint."""
    from mamltui.studies.waiting import TrainingQueue

    TrainingQueue(out).stop()


@app.command("move")
def move(
    training: Training,
    by: Annotated[int, typer.Argument(metavar="N", help="Places: -1 is sooner, 1 later.")],
    out: OutDir = None,
) -> None:
    """Have a training taken sooner or later."""
    from mamltui.studies.waiting import TrainingQueue

    queue = TrainingQueue(out)
    queue.move(_id(queue.read(), training), by)


@app.command("rm")
def remove(training: Training, out: OutDir = None) -> None:
    """Take a training out of the queue; its run stays where it is."""
    from mamltui.studies.waiting import TrainingQueue

    queue = TrainingQueue(out)
    queue.remove(_id(queue.read(), training))


def _id(order: Sequence[Waiting], asked: str) -> str:
    """The one whose number begins so.

    Raises:
        UsageError: there is none, or several.
    """
    ids = [each.id for each in order if each.id.startswith(asked)]
    if len(ids) != 1:
        raise UsageError(
            f"{len(ids) or 'no'} trainings begin with {asked!r}", hint="See mamltui queue list."
        )
    return ids[0]
