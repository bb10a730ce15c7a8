"""``mamltui plot``: the curves of runs as a picture."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mamltui.cli.options import RunsDir
from mamltui.errors import MamltuiError, UsageError


def plot(
    runs: Annotated[
        list[str],
        typer.Argument(
            metavar="RUN",
            help="Run folders, or names of runs; with --minutes also CSV files of anything.",
        ),
    ],
    minutes: Annotated[
        bool, typer.Option("--minutes", help="Validation accuracy against minutes of training.")
    ] = False,
    svg: Annotated[
        Path | None, typer.Option("--svg", metavar="FILE", help="Write SVG to this file.")
    ] = None,
    png: Annotated[
        Path | None, typer.Option("--png", metavar="FILE", help="Write PNG to this file.")
    ] = None,
    runs_dir: RunsDir = None,
) -> None:
    """Draw runs: accuracy and loss in training, validation, and the test by inner steps.

    Lines differ in dashes and marks as well as in colour. A CSV file beside the runs has columns
    minutes and accuracy (in percent), whatever trained there.
    """
    if svg is None and png is None:
        raise UsageError("a file to write is needed", hint="--svg FILE, --png FILE, or both")

    names = [name for name in runs if not name.endswith(".csv")]
    files = [Path(name) for name in runs if name.endswith(".csv")]
    if files and not minutes:
        raise UsageError("a CSV file stands beside runs with --minutes alone", where=str(files[0]))

    from mamltui.runs.listing import find_run
    from mamltui.studies.run_plot import plot_runs, read_minutes

    folders = {folder.path.resolve(): folder for folder in (find_run(r, runs_dir) for r in names)}
    picture = plot_runs(
        list(folders.values()), [read_minutes(path) for path in files], by_minutes=minutes
    )
    for path, data in ((svg, picture.svg), (png, picture.png)):
        if path is None:
            continue
        try:
            path.write_bytes(data)
        except OSError as error:
            raise MamltuiError(
                f"cannot be written: {error.strerror or error}",
                where=str(path),
                hint="Choose another file, or make its folder first.",
            ) from error
        typer.echo(path)
