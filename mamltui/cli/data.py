"""``mamltui data``: where the data sets come from, fetching Omniglot, verifying it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(no_args_is_help=True, help="Show, fetch and verify the data sets.")

DataDir = Annotated[
    Path | None,
    typer.Option(
        "--data-dir",
        help="Folder with Omniglot's two zips or folders, looked in before the others.",
    ),
]


@app.command()
def status(data_dir: DataDir = None) -> None:
    """Show where each data set comes from."""
    from mamltui.caching import cache_folder
    from mamltui.data.archive import printable
    from mamltui.data.omniglot import packed_variants
    from mamltui.data.omniglot_find import search

    found, looked = search(data_dir)
    for lack in looked:
        _say(f"no Omniglot in {lack}")
    packed = packed_variants(found)
    if found:
        state = "verified" if packed else "found"
        place = f"{found.source}, through {found.origin}"
    else:
        state = "packed" if packed else "missing"
        place = "the packed images" if packed else "would be downloaded"
    variants = f"; packed: {', '.join(packed)}" if packed else "; not read yet" if found else ""
    typer.echo("strokes   ready     drawn by mamltui, needs no files")
    typer.echo(f"omniglot  {state:<8}  {place}{variants}")
    typer.echo('folder    ready     any folder of class folders: data.path = "FOLDER"')
    typer.echo(f"cache     {printable(str(cache_folder()))}")


@app.command()
def fetch(data_dir: DataDir = None) -> None:
    """Download Omniglot and verify it.

    It goes into --data-dir, MAMLTUI_DATA_DIR or the cache folder, whichever of them is given first.
    """
    from mamltui.data.omniglot import fetch_omniglot

    found = fetch_omniglot(data_dir, progress=_say)
    typer.echo(found.source)


@app.command()
def verify(data_dir: DataDir = None) -> None:
    """Verify Omniglot and print its SHA-256.

    Every drawing is read from its source and compared with what was published.
    """
    from mamltui.data.omniglot import verify_omniglot
    from mamltui.data.omniglot_content import OMNIGLOT_SHA256

    found = verify_omniglot(data_dir, progress=_say)
    typer.echo(f"{OMNIGLOT_SHA256}  {found.source}")


def _say(message: str) -> None:
    typer.echo(message, err=True)
