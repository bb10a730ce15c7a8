"""Options that several commands have alike."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import Annotated

import typer


class HeadName(str, Enum):
    """Where the classifier starts."""

    learned = "learned"
    fresh = "fresh"
    prototypes = "prototypes"


Head = Annotated[
    HeadName | None,
    typer.Option(
        help="Classifier: as learned; fresh, with drawn weights for further classes; or from "
        "the means of the support set [default: as the run was trained]."
    ),
]
RunsDir = Annotated[
    Path | None, typer.Option(metavar="DIR", help="The folder that holds the run folders.")
]
Csv = Annotated[
    str | None, typer.Option(metavar="PATH|-", help="Write CSV to a file, or to stdout.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Write JSON to stdout.")]
