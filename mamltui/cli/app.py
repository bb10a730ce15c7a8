"""``mamltui``, ``mamltui attach`` and ``mamltui draw``: the terminal app."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mamltui.cli.opening import open_app
from mamltui.cli.options import DataDir, Device, DeviceName, OutDir, ProfilesDir
from mamltui.commands import CommonOptions

ReadOnly = Annotated[
    bool, typer.Option("--read-only", help="Look alone: train, steer and write nothing.")
]


def app(
    profile: Annotated[
        str,
        typer.Argument(metavar="PROFILE", help="A file, or the name of a packaged profile."),
    ] = "",
    overrides: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Change a key, such as inner.steps=5."),
    ] = None,
    profiles_dir: ProfilesDir = None,
    read_only: ReadOnly = False,
    out: OutDir = None,
    data_dir: DataDir = None,
    device: Device = DeviceName.auto,
) -> None:
    """Choose profiles and runs, train, look inside episodes, evaluate and compare."""
    from mamltui.tui.session.options import Options

    options = Options(
        profile=profile,
        overrides=tuple(overrides or ()),
        profiles_dir=profiles_dir,
        read_only=read_only,
        common=CommonOptions(out, data_dir, device.value),
    )
    raise typer.Exit(open_app(options))


def attach(
    run: Annotated[
        str,
        typer.Argument(
            metavar="RUN",
            help="A run folder, or a name [default: the newest that is trained, or is next].",
        ),
    ] = "",
    read_only: ReadOnly = False,
    out: OutDir = None,
    data_dir: DataDir = None,
    device: Device = DeviceName.auto,
) -> None:
    """Watch a run in the app: one that another process trains, or one that is over."""
    from mamltui.errors import RunError
    from mamltui.runs import find_run, list_runs, runs_root
    from mamltui.tui.session.options import Options

    if not run:
        running = [listed for listed in list_runs(out) if listed.state in ("running", "paused")]
        run = str(running[0].path) if running else _next_of_queue(out)
        if not run:
            raise RunError(
                "no run is being trained there",
                where=str(runs_root(out)),
                hint="Name a run to look at: mamltui attach RUN (mamltui runs list).",
            )
    find_run(run, out)  # what is wrong with it is said here, not in the app
    common = CommonOptions(out, data_dir, device.value)
    options = Options(attach=run, read_only=read_only, common=common)
    raise typer.Exit(open_app(options))


def _next_of_queue(runs: Path | None) -> str:
    """The run that the queue goes on with, such as one that was left running a moment ago."""
    from mamltui.studies.waiting import TrainingQueue

    queue = TrainingQueue(runs)
    for waiting in queue.read():
        if waiting.state in ("running", "waiting") and (known := queue.run_of(waiting)):
            return str(known[0].path)
    return ""


def draw(
    run: Annotated[
        str,
        typer.Argument(
            metavar="RUN",
            help="A run folder, or a name [default: one that came with mamltui].",
        ),
    ] = "",
    out: OutDir = None,
    data_dir: DataDir = None,
    device: Device = DeviceName.auto,
) -> None:
    """Draw a few classes and a query in the app, by mouse or keys, and see what a run answers."""
    from mamltui.errors import RunError
    from mamltui.runs import find_run, runs_root
    from mamltui.runs.drawable import best_for_drawing
    from mamltui.tui.session.options import Options

    chosen = find_run(run, out) if run else best_for_drawing(out)
    if chosen is None:
        raise RunError(
            "no run has learned from drawings",
            where=str(runs_root(out)),
            hint="Train one in half a minute: mamltui run quickstart",
        )
    common = CommonOptions(out, data_dir, device.value)
    options = Options(attach=str(chosen.path), screen="draw", common=common)
    raise typer.Exit(open_app(options))
