"""``mamltui data``: where the data sets come from, fetching and verifying them."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import Annotated, Protocol

import typer

from mamltui.cli.output import narrate

app = typer.Typer(no_args_is_help=True, help="Show, fetch and verify the data sets.")

DataDir = Annotated[
    Path | None,
    typer.Option(
        "--data-dir",
        help="Folder with Omniglot's two zips or folders, or with CIFAR-100's archive or folder, "
        "looked in before the others.",
    ),
]


class DataSet(str, Enum):
    """Sets that are downloaded."""

    omniglot = "omniglot"
    cifar_fs = "cifar-fs"


Which = Annotated[DataSet, typer.Argument(metavar="SET", help="omniglot or cifar-fs.")]


@app.command()
def status(data_dir: DataDir = None) -> None:
    """Show where each data set comes from."""
    from mamltui.caching import cache_folder
    from mamltui.data import cifar, omniglot
    from mamltui.data.cifar_find import find_cifar
    from mamltui.data.omniglot_find import search
    from mamltui.text import visible

    omniglot_found, lacks = search(data_dir)
    for lack in lacks:
        narrate(f"no Omniglot in {lack}")
    cifar_found = find_cifar(data_dir)
    typer.echo("strokes   ready     drawn by mamltui, needs no files")
    typer.echo(f"omniglot  {_state(omniglot_found, omniglot.packed_variants(omniglot_found))}")
    typer.echo(f"cifar-fs  {_state(cifar_found, cifar.packed_variants(cifar_found))}")
    typer.echo('folder    ready     any folder of class folders: data.path = "FOLDER"')
    typer.echo(f"cache     {visible(str(cache_folder()))}")


@app.command()
def fetch(which: Which = DataSet.omniglot, data_dir: DataDir = None) -> None:
    """Download Omniglot, or CIFAR-100 (169 MB) for CIFAR-FS, and verify it.

    It goes into --data-dir, MAMLTUI_DATA_DIR or the cache folder, whichever of them is given first.
    """
    if which is DataSet.cifar_fs:
        from mamltui.data.cifar import fetch_cifar

        typer.echo(fetch_cifar(data_dir, progress=narrate).source)
        return
    from mamltui.data.omniglot import fetch_omniglot

    typer.echo(fetch_omniglot(data_dir, progress=narrate).source)


@app.command()
def verify(which: Which = DataSet.omniglot, data_dir: DataDir = None) -> None:
    """Verify Omniglot or CIFAR-100 and print its checksum.

    Every drawing of Omniglot is read from its source and compared with what was published: SHA-256
    of them all. So is every file of CIFAR-100: MD5 of its archive.
    """
    if which is DataSet.cifar_fs:
        from mamltui.data.cifar import verify_cifar
        from mamltui.data.cifar_read import ARCHIVE_MD5

        typer.echo(f"{ARCHIVE_MD5}  {verify_cifar(data_dir).source}")
        return
    from mamltui.data.omniglot import verify_omniglot
    from mamltui.data.omniglot_content import OMNIGLOT_SHA256

    typer.echo(f"{OMNIGLOT_SHA256}  {verify_omniglot(data_dir, progress=narrate).source}")


class _Found(Protocol):
    @property
    def origin(self) -> str: ...

    @property
    def source(self) -> str: ...


def _state(location: _Found | None, packed: list[str]) -> str:
    """In what state a set is that has files, where it is, and which resizings are packed."""
    if location:
        state = "verified" if packed else "found"
        source = f"{location.source}, through {location.origin}"
    else:
        state = "packed" if packed else "missing"
        source = "the packed images" if packed else "would be downloaded"
    variants = f"; packed: {', '.join(packed)}" if packed else "; not read yet" if location else ""
    return f"{state:<8}  {source}{variants}"
