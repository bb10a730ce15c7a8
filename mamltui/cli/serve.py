"""``mamltui serve``: the app in a browser of this machine."""

from __future__ import annotations

import shlex
import sys
from typing import Annotated

import typer

from mamltui.cli.options import DataDir, Device, DeviceName, OutDir, ProfilesDir
from mamltui.cli.output import narrate
from mamltui.commands import CommonOptions
from mamltui.errors import UsageError


def serve(
    profiles_dir: ProfilesDir = None,
    port: Annotated[
        int, typer.Option(min=0, max=65535, metavar="PORT", help="0 takes a free one.")
    ] = 8000,
    token: Annotated[
        str,
        typer.Option(metavar="TEXT", help="What the address has to hold [default: a random one]."),
    ] = "",
    allow_changes: Annotated[
        bool,
        typer.Option("--allow-changes", help="Let the browser train, steer, edit and delete."),
    ] = False,
    out: OutDir = None,
    data_dir: DataDir = None,
    device: Device = DeviceName.auto,
) -> None:
    """Serve the app to browsers of this machine; it only reads unless asked.

    Whoever opens the printed address gets an app of their own. From another machine:
    ssh -L 8000:127.0.0.1:8000 HOST, then the same address there.
    """
    try:
        from mamltui.cli.web import serve_app
    except ImportError as error:
        raise UsageError(
            "textual-serve is not installed here",
            hint="Install it: pip install 'mamltui[serve]' (or pip install textual-serve).",
        ) from error

    common = CommonOptions(out, data_dir, device.value)
    command = [sys.executable, "-m", "mamltui", "app", *common.options()]
    command += [] if profiles_dir is None else ["--profiles-dir", str(profiles_dir)]
    command += [] if allow_changes else ["--read-only"]
    serve_app(shlex.join(command), port=port, token=token, notify=narrate)
