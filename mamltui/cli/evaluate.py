"""``mamltui eval``: score runs after each number of inner steps, and compare with publications."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mamltui.cli.options import AsJson, Csv, DataDir, Device, DeviceName, Head, RunsDir
from mamltui.cli.output import check_output_file, narrate
from mamltui.errors import MamltuiError, UsageError

if TYPE_CHECKING:
    from mamltui.evaluation import Progress
    from mamltui.results import Evaluation
    from mamltui.runs import RunFolder


class SplitName(str, Enum):
    """The classes to evaluate on."""

    test = "test"
    validation = "validation"
    train = "train"


class CheckpointName(str, Enum):
    """The checkpoint to evaluate."""

    best = "best"
    last = "last"
    ensemble = "ensemble"


def evaluate(
    runs: Annotated[
        list[str],
        typer.Argument(metavar="RUN", help="Run folders, or names of runs; several make a grid."),
    ],
    steps: Annotated[
        str | None,
        typer.Option(metavar="STEPS", help="Inner steps to score, such as 0..10 or 1,3,5."),
    ] = None,
    episodes: Annotated[
        int | None, typer.Option(min=2, metavar="N", help="Episodes to average over.")
    ] = None,
    split: Annotated[SplitName, typer.Option(help="The classes to evaluate on.")] = SplitName.test,
    checkpoint: Annotated[
        CheckpointName,
        typer.Option(help="Best by validation, last, or all that validation.keep kept, as one."),
    ] = CheckpointName.best,
    ensemble: Annotated[
        bool,
        typer.Option(
            "--ensemble", help="Score the runs as one model, by the mean of their logits."
        ),
    ] = False,
    seed: Annotated[
        int | None, typer.Option(min=0, metavar="N", help="Seed of the episodes.")
    ] = None,
    disjoint: Annotated[
        bool,
        typer.Option(
            "--disjoint", help="Use no image twice: as many episodes as there are images for."
        ),
    ] = False,
    way: Annotated[
        int | None,
        typer.Option(
            min=2, max=10_000, metavar="N", help="Classes of a task [default: the run's]."
        ),
    ] = None,
    shot: Annotated[
        int | None,
        typer.Option(
            min=1, max=10_000, metavar="N", help="Support images a class [default: the run's]."
        ),
    ] = None,
    query: Annotated[
        int | None,
        typer.Option(
            min=1, max=10_000, metavar="N", help="Query images a class [default: the run's]."
        ),
    ] = None,
    head: Head = None,
    other_images: Annotated[
        bool,
        typer.Option(
            "--other-images",
            help="Also where a folder's images have changed since the training, if its classes are "
            "the same; the result says so.",
        ),
    ] = False,
    device: Device = DeviceName.auto,
    data_dir: DataDir = None,
    runs_dir: RunsDir = None,
    csv: Csv = None,
    markdown: Annotated[
        str | None, typer.Option(metavar="PATH|-", help="Write Markdown to a file, or to stdout.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Evaluate runs: accuracy, its 95% interval and loss after each number of inner steps.

    Steps, episodes and seed are the profile's unless given. Each result is also kept in its run's
    evaluation folder as CSV, JSON and Markdown; that of an ensemble in the first run's. Stdout
    carries the table, or, with --json or a dash for a path, that and nothing else. Runs tested on
    the same episodes are compared pair by pair with the first.
    """
    check_outputs(csv, markdown, as_json)
    asked = None if steps is None else _step_counts(steps)

    from mamltui.data.banks import Banks
    from mamltui.evaluation import evaluate_run, keep_results
    from mamltui.maml.allocator import keep_freed_memory
    from mamltui.runs import find_run
    from mamltui.text import visible
    from mamltui.training import resolve_device

    folders = _distinct([find_run(name, runs_dir) for name in runs])
    others: list[RunFolder] = []
    if ensemble:
        folders, others = folders[:1], folders[1:]
        if not others:
            raise UsageError(
                "an ensemble of runs needs at least two",
                where="--ensemble",
                hint="For the checkpoints that one run kept: --checkpoint ensemble",
            )
    profiles = [folder.profile for folder in folders]
    where = resolve_device(device.value)
    keep_freed_memory()
    banks = Banks(data_dir)
    evaluations: list[Evaluation] = []
    for folder, profile in zip(folders, profiles, strict=True):
        bank = banks.bank(profile.data, lambda text: narrate(text))
        with _progress(folder.name) as progress:
            evaluation = evaluate_run(
                folder,
                bank=bank,
                others=others,
                split=split.value,
                checkpoint=checkpoint.value,
                steps=profile.evaluation.steps if asked is None else asked,
                episodes=episodes,
                device=where,
                seed=seed,
                disjoint=disjoint,
                way=way,
                shot=shot,
                query=query,
                head=None if head is None else head.value,
                other_images=other_images,
                progress=progress,
                say=lambda text: narrate(text),
            )
        evaluations.append(evaluation)
    _put_out(evaluations, csv, markdown, as_json)
    # After the output: where a run folder cannot be written the work is not lost.
    unkept: list[MamltuiError] = []
    for folder, evaluation in zip(folders, evaluations, strict=True):
        try:
            paths = keep_results(folder, evaluation)
        except MamltuiError as error:
            unkept.append(error)
            continue
        if paths:
            stem = visible(str(paths[0].with_suffix("")))
            narrate(f"kept in {stem} (.csv, .json, .md)")
        else:
            name = visible(folder.name)
            narrate(f"{name} came with mamltui: its folder is left as it is")
    if unkept:
        raise unkept[0]


def check_outputs(csv: str | None, markdown: str | None, as_json: bool) -> None:
    """Refuse outputs that cannot be had before minutes are spent on them."""
    to_stdout = [
        name
        for name, chosen in (("--csv -", csv == "-"), ("--markdown -", markdown == "-"))
        if chosen
    ] + ["--json"] * as_json
    if len(to_stdout) > 1:
        raise UsageError(
            f"{' and '.join(to_stdout)} cannot share stdout",
            hint="Write all but one to files: --csv PATH, --markdown PATH.",
        )
    for option, path in (("--csv", csv), ("--markdown", markdown)):
        if path is not None and path != "-":
            check_output_file(option, path)
    if csv not in (None, "-") and csv == markdown:
        raise UsageError("--csv and --markdown cannot share a file", where=csv)


def _step_counts(text: str) -> tuple[int, ...]:
    from mamltui.profiles import parse_steps

    try:
        return parse_steps(text)
    except ValueError as error:
        raise UsageError(
            str(error), where=f"--steps {text}", hint="Such as 0..10, 1,3,5 or 0..5,10."
        ) from error


def _distinct(folders: Sequence[RunFolder]) -> list[RunFolder]:
    """A run named twice is evaluated once."""
    return list({folder.path.resolve(): folder for folder in folders}.values())


@contextmanager
def _progress(name: str) -> Iterator[Progress | None]:
    """A bar on stderr while it is a terminal; elsewhere nothing."""
    if not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.markup import escape
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
    )

    from mamltui.text import visible

    with Progress(
        TextColumn(f"evaluating {escape(visible(name))}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("episodes"),
        TimeRemainingColumn(),
        console=Console(stderr=True),
        transient=True,
    ) as bar:
        task = bar.add_task("", total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


def _put_out(
    evaluations: Sequence[Evaluation], csv: str | None, markdown: str | None, as_json: bool
) -> None:
    from mamltui.cli.tables import print_evaluation, results_console
    from mamltui.results import csv_text, json_text, markdown_text, write_text
    from mamltui.text import visible

    texts = ((csv, csv_text), (markdown, markdown_text), ("-" if as_json else None, json_text))
    table = True
    for target, text in texts:
        if target == "-":
            write_stdout(text(evaluations))
            table = False
        elif target is not None:
            write_text(Path(target), text(evaluations))
            narrate(f"written: {visible(target)}")
    if table:
        print_evaluation(results_console(), evaluations)


def write_stdout(text: str) -> None:
    """Data as UTF-8 with line feeds, whatever the terminal's encoding and system."""
    sys.stdout.flush()
    sys.stdout.buffer.write(text.encode("utf-8", "backslashreplace"))
    sys.stdout.buffer.flush()
