"""``mamltui runs export``: metrics and evaluations as CSV, curves for other programs."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mamltui.cli.options import RunNames, RunsDir
from mamltui.cli.output import narrate
from mamltui.errors import RunError, UsageError

if TYPE_CHECKING:
    from mamltui.cli.exporters.run_export import Sink
    from mamltui.results import Evaluation
    from mamltui.runs import RunFolder

PROJECT = "mamltui"


class What(str, Enum):
    """What of a run to export."""

    metrics = "metrics"
    evaluation = "evaluation"


class Target(str, Enum):
    """Another program that shows curves."""

    tensorboard = "tensorboard"
    wandb = "wandb"
    trackio = "trackio"


def export(
    runs: RunNames,
    csv: Annotated[
        str, typer.Option(metavar="PATH|-", help="Write CSV to a file, or to stdout.")
    ] = "-",
    what: Annotated[
        What, typer.Option(help="The training's metrics, or the evaluations kept so far.")
    ] = What.metrics,
    to: Annotated[
        Target | None, typer.Option("--to", help="For another program instead of as CSV.")
    ] = None,
    directory: Annotated[
        Path | None, typer.Option("--dir", metavar="DIR", help="Of --to: where to write.")
    ] = None,
    project: Annotated[
        str, typer.Option(metavar="NAME", help="Of --to wandb and trackio: the project.")
    ] = PROJECT,
    follow: Annotated[
        bool, typer.Option("--follow", help="Of --to: until the run is no longer trained.")
    ] = False,
    runs_dir: RunsDir = None,
) -> None:
    """Export metrics or evaluations as CSV, or curves to TensorBoard, W&B or trackio."""
    from mamltui.runs import find_run

    if to is None and (directory is not None or follow or project != PROJECT):
        raise UsageError("--dir, --project and --follow need --to")
    folders = [find_run(name, runs_dir) for name in runs]
    if to is None:
        _export_csv(folders, what, csv)
        return
    if follow and len(runs) > 1:
        raise UsageError("--follow is for one run", hint="Start one command for each.")
    from mamltui.cli.exporters.run_export import export_run

    for folder in folders:
        sink = _sink(to, folder, directory, project)
        export_run(folder, sink, follow=follow, notify=narrate)


def _sink(to: Target, run: RunFolder, folder: Path | None, project: str) -> Sink:
    if to is Target.tensorboard:
        from mamltui.cli.exporters.tensorboard import TensorBoardSink

        if folder is None:
            raise UsageError("a folder is needed", where="--to tensorboard", hint="Add --dir DIR.")
        return TensorBoardSink(run, folder)
    from mamltui.cli.exporters.trackers import TrackioSink, WandbSink

    kind = WandbSink if to is Target.wandb else TrackioSink
    return kind(run, project, folder)


def _export_csv(folders: list[RunFolder], what: What, csv: str) -> None:
    from mamltui.cli.evaluate import write_stdout
    from mamltui.cli.metrics import metrics_csv
    from mamltui.results import csv_text, write_text

    if what is What.metrics:
        text = metrics_csv(folders)
    else:
        evaluations = []
        for folder in folders:
            results = read_results(folder)
            if not results:
                raise RunError(
                    "the run has no results yet",
                    where=str(folder.path),
                    hint=f"Evaluate it: mamltui eval {folder.name}",
                )
            evaluations += results
        text = csv_text(evaluations)
    if csv == "-":
        write_stdout(text)
    else:
        write_text(Path(csv), text)
        narrate(f"written: {csv}")


def read_results(folder: RunFolder) -> list[Evaluation]:
    """All results kept in the run folder, by file name."""
    from mamltui.results import read_evaluations

    paths = sorted(folder.evaluation.glob("*.json"))
    return [evaluation for path in paths for evaluation in read_evaluations(path)]
