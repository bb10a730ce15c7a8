"""Options that several commands have alike."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mamltui.errors import UsageError

if TYPE_CHECKING:
    from mamltui.runs import RunFolder


class DeviceName(str, Enum):
    """Where to compute."""

    auto = "auto"
    cpu = "cpu"
    cuda = "cuda"


class HeadName(str, Enum):
    """Where the classifier starts."""

    learned = "learned"
    fresh = "fresh"
    prototypes = "prototypes"
    refined = "refined"


Head = Annotated[
    HeadName | None,
    typer.Option(
        help="Classifier: as learned; fresh, with drawn weights for further classes; prototypes, "
        "the means of the support set; or, for protonet's evaluations, means refined with the "
        "query set [default: as the run was trained]."
    ),
]
RunsDir = Annotated[
    Path | None, typer.Option(metavar="DIR", help="The folder that holds the run folders.")
]
OutDir = Annotated[
    Path | None,
    typer.Option(
        "--runs-dir",
        "--out",
        metavar="DIR",
        help="The folder that holds the run folders [default: MAMLTUI_RUNS_DIR, or runs].",
    ),
]
DataDir = Annotated[
    Path | None,
    typer.Option(
        "--data-dir",
        "--data-path",
        metavar="DIR",
        help="A folder to look in for Omniglot or CIFAR-100 first, or a data.path that moved.",
    ),
]
Device = Annotated[DeviceName, typer.Option("--device", help="Where to compute.")]
ProfilesDir = Annotated[
    Path | None, typer.Option(metavar="DIR", help="A folder of profiles to list as well.")
]
Csv = Annotated[
    str | None, typer.Option(metavar="PATH|-", help="Write CSV to a file, or to stdout.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Write JSON to stdout.")]
Where = Annotated[
    str,
    typer.Option(
        metavar="QUERY",
        help="Only runs that fulfil it, such as 'test>95 state:failed way=20 seed=3 tag:paper'.",
    ),
]
SomeRuns = Annotated[
    list[str] | None, typer.Argument(metavar="RUN", help="Run folders, or names of runs.")
]
RunNames = Annotated[
    list[str], typer.Argument(metavar="RUN", help="Run folders, or names of runs.")
]
Off = Annotated[bool, typer.Option("--off", help="Take it back.")]


def chosen_runs(
    names: list[str] | None, where: str, runs_dir: Path | None, *, damaged: bool = False
) -> list[RunFolder]:
    """The runs that are named and those that fulfil a query, each once; at least one is asked for.

    Args:
        damaged: also those whose ``run.json`` cannot be read.

    Raises:
        MamltuiError: nothing is asked for, or it is not there.
    """
    from mamltui.runs import find_run, list_runs
    from mamltui.runs.query import Query

    if not names and not where.strip():
        raise UsageError("no run is named", hint="Name runs, or say which with --where QUERY.")
    folders = [find_run(name, runs_dir) for name in names or ()]
    if where.strip():
        query = Query.parse(where)
        runs = [run for run in list_runs(runs_dir) if query.matches(run)]
        folders += [run.folder for run in runs if damaged or run.info]
    return list({folder.path.resolve(): folder for folder in folders}.values())
