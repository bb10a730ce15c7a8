"""``mamltui`` and ``mamltui attach``: the terminal app."""

from __future__ import annotations

import os
import sys
import threading
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mamltui.cli.evaluate import DeviceName
from mamltui.commands import Place, run_command
from mamltui.errors import ProfileError, UsageError

if TYPE_CHECKING:
    from mamltui.tui.options import Options

RunsDir = Annotated[
    Path | None,
    typer.Option(
        "--out",
        metavar="DIR",
        help="The folder that holds the run folders [default: MAMLTUI_RUNS_DIR, or runs].",
    ),
]
DataDir = Annotated[
    Path | None,
    typer.Option("--data-dir", metavar="DIR", help="A folder to look in for Omniglot first."),
]
Device = Annotated[DeviceName, typer.Option("--device", help="Where to compute.")]


def app(
    profile: Annotated[
        str,
        typer.Argument(metavar="[PROFILE]", help="A file, or the name of a packaged profile."),
    ] = "",
    overrides: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Change a key, such as inner.steps=5."),
    ] = None,
    profiles_dir: Annotated[
        Path | None, typer.Option(metavar="DIR", help="A folder of profiles to list as well.")
    ] = None,
    out: RunsDir = None,
    data_dir: DataDir = None,
    device: Device = DeviceName.auto,
) -> None:
    """Choose profiles and runs, train, look inside episodes, evaluate and compare."""
    from mamltui.tui.options import Options

    open_app(
        Options(
            profile=profile,
            overrides=tuple(overrides or ()),
            profiles_dir=profiles_dir,
            place=Place(out, data_dir, device.value),
        )
    )


def attach(
    run: Annotated[str, typer.Argument(metavar="RUN", help="A run folder, or the name of a run.")],
    out: RunsDir = None,
    data_dir: DataDir = None,
    device: Device = DeviceName.auto,
) -> None:
    """Watch a run in the app: one that another process trains, or one that is over."""
    from mamltui.runs import RunFolder
    from mamltui.tui.options import Options

    RunFolder.open(run, out)  # what is wrong with it is said here, not in the app
    open_app(Options(attach=run, place=Place(out, data_dir, device.value)))


def open_app(options: Options) -> None:
    """Run the app to its end, and exit.

    Raises:
        UsageError: this is no terminal, or there is no such profile or command.
        ProfileError: the profile is not valid.
    """
    if options.profile:
        _check_profile(options)
    # Textual reads keys from stdin and draws on stderr; a pipe on stdout wants data.
    if not all(stream.isatty() for stream in (sys.stdin, sys.stdout, sys.stderr)):
        name = options.profile or "quickstart"
        raise UsageError(
            "the app needs a terminal",
            hint=f"Without one: {run_command(name, options.place, overrides=options.overrides)}",
        )
    from mamltui.tui.app import run_app

    code = run_app(options)
    if threading.active_count() > 1:
        # A thread inside torch would be torn down by the interpreter's end, sometimes loudly.
        os._exit(code)
    raise typer.Exit(code)


def _check_profile(options: Options) -> None:
    from mamltui.profiles import load_profile, packaged_profiles

    name = options.profile
    try:
        load_profile(name, options.overrides)
    except ProfileError:
        from mamltui.cli import COMMANDS

        if not name.isidentifier() or Path(name).exists() or name in packaged_profiles():
            raise
        near = get_close_matches(name, COMMANDS, n=1)
        known = f"The commands are {', '.join(COMMANDS)}; profiles: mamltui profiles list."
        raise UsageError(
            f"there is no command and no profile {name!r}",
            hint=f"Did you mean `mamltui {near[0]}`?" if near else known,
        ) from None
