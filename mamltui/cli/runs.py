"""``mamltui runs``: list, show, compare, export, verify and remove runs."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mamltui.cli import annotate, export
from mamltui.cli.export import read_results
from mamltui.cli.options import Device, DeviceName, RunNames, RunsDir, SomeRuns, Where, chosen_runs
from mamltui.cli.output import narrate
from mamltui.cli.run_text import (
    as_document,
    best_cell,
    best_text,
    list_row,
    marks_text,
    print_aligned,
    print_json,
    result_text,
    score_text,
    time_text,
    title_text,
)
from mamltui.errors import ExitCode, UsageError

if TYPE_CHECKING:
    from mamltui.runs import ListedRun

app = typer.Typer(help="List, show, compare, export, verify and remove runs.", no_args_is_help=True)

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


class Steering(str, Enum):
    """What a training can be asked to do."""

    pause = "pause"
    resume = "resume"
    checkpoint = "checkpoint"
    stop = "stop"


class TableForm(str, Enum):
    """How a comparison is written."""

    text = "text"
    markdown = "markdown"
    latex = "latex"
    csv = "csv"


@app.command("list")
def list_command(
    where: Where = "",
    sort: Annotated[
        str,
        typer.Option(
            metavar="FIELD",
            help="Sort by test, valid, name, elapsed or a key such as alpha; -FIELD: descending.",
        ),
    ] = "",
    runs_dir: RunsDir = None,
    as_json: AsJson = False,
) -> None:
    """List the runs, the newest first, then those that come with mamltui for reference."""
    from mamltui.runs import RunCatalogue, runs_root
    from mamltui.runs.differing import told_apart
    from mamltui.runs.query import Query, sorted_by

    listed = RunCatalogue(runs_dir, references=True).read()
    query = Query.parse(where)
    runs = [run for run in listed if query.matches(run)]
    if sort:
        runs = sorted_by(runs, sort)
    if as_json:
        print_json([as_document(run) for run in runs])
        return
    if all(run.is_reference for run in listed):
        narrate(f"There are no runs in {runs_root(runs_dir)}.")
    if not runs:
        if listed:
            narrate(f"None of {len(listed)} runs fulfils the query.")
        return
    header: tuple[str, ...]
    header = ("NAME", "STATE", "PROFILE", "TASK", "ITERATIONS", "VALIDATION", "TEST", "AGE")
    rows: list[tuple[str, ...]] = [list_row(run) for run in runs]
    differing = told_apart(runs)
    if any(differing.values()):
        header = (*header, "DIFFERS IN")
        rows = [(*row, differing[run.name]) for row, run in zip(rows, runs, strict=True)]
    for title, text_of in (("CALLED", title_text), ("MARKS", marks_text)):
        if any(map(text_of, runs)):
            header = (*header, title)
            rows = [(*row, text_of(run)) for row, run in zip(rows, runs, strict=True)]
    print_aligned(header, rows, right=(4, 5, 6, 7))


@app.command("show")
def show(
    run: Annotated[str, typer.Argument(metavar="RUN", help="A run folder, or the name of a run.")],
    runs_dir: RunsDir = None,
    as_json: AsJson = False,
) -> None:
    """Show a run: its state, its settings, its best validation, its results."""
    from mamltui.measures import queries_text
    from mamltui.profiles import method_of
    from mamltui.runs import find_run
    from mamltui.runs.differing import changed_settings
    from mamltui.text import visible

    folder = find_run(run, runs_dir)
    info, profile, results = folder.info(), folder.profile, read_results(folder)
    if as_json:
        from mamltui.results import json_text

        document = {
            "name": folder.name,
            "path": str(folder.path),
            **info.model_dump(mode="json"),
            "settings": profile.model_dump(mode="json"),
            "evaluations": json.loads(json_text(results))["evaluations"],
        }
        print_json(document)
        return
    inner = profile.inner
    rows = {
        "run": folder.name,
        "folder": str(folder.path),
        "state": info.state if info.error is None else f"{info.state}: {info.error}",
        "profile": profile.name,
        "about": profile.description,
        "task": f"{profile.data.set}, {profile.shape}, {queries_text(profile)}",
        "algorithm": method_of(profile),
        "inner loop": f"steps {inner.steps} in training, {inner.test_steps} at test, "
        f"alpha {inner.alpha:g}, {inner.loss_scale} loss",
        "iterations": f"{info.iteration:,} of {info.iterations:,}",
        "best": best_text(info),
        "data": "" if info.data is None else f"{info.data.name}, split {info.data.split}",
        "device": info.device or "",
        "seed": str(profile.meta.seed),
        "other": changed_settings(profile),
        "called": info.title,
        "tags": " ".join(info.tags),
        "marks": ", ".join(
            word
            for word, holds in (("starred", info.starred), ("archived", info.archived))
            if holds
        ),
        "notes": info.notes,
        "time": time_text(info),
        "created": info.created + (f" on {info.host}" if info.host else ""),
        "versions": ", ".join(f"{name} {version}" for name, version in info.versions.items()),
    }
    for name, value in rows.items():
        if value:
            typer.echo(f"{name:<12}{visible(value)}")
    for evaluation in results:
        typer.echo(f"{'result':<12}{visible(result_text(evaluation))}")


@app.command("compare")
def compare(
    runs: RunNames,
    form: Annotated[
        TableForm, typer.Option("--format", help="text, or a table for a document.")
    ] = TableForm.text,
    runs_dir: RunsDir = None,
) -> None:
    """Compare runs: what differs in their profiles, best validations, last test results."""
    from mamltui.profiles import differences
    from mamltui.results.evaluation import OTHER_PROTOCOL
    from mamltui.runs import ListedRun, find_run
    from mamltui.text import visible

    if len(runs) < 2:
        raise UsageError("a comparison needs at least two runs")
    folders = [find_run(name, runs_dir) for name in runs]
    differing = differences([folder.profile for folder in folders])
    rows = [
        [difference.key, *difference.values]
        for difference in differing
        if difference.key != "description"  # a sentence of what the other rows say
    ]
    if not rows:
        rows.append(["profile", *["the same" for _ in folders]])
    infos = [folder.info() for folder in folders]
    rows.append(["state", *(info.state for info in infos)])
    rows.append(["iterations", *(f"{info.iteration:,}" for info in infos)])
    metrics = [folder.profile.metric for folder in folders]
    mixed = len(set(metrics)) > 1  # then each figure has its own unit
    unit = "" if mixed else metrics[0].unit or " error"
    cells = [best_cell(info, with_unit=mixed) for info in infos]
    rows.append([f"best validation{unit}", *cells])
    listed = [ListedRun.read(folder.path) for folder in folders]
    tests = [run.newest_test for run in listed]
    departures = [run.departures for run in listed]
    signs = [f" {OTHER_PROTOCOL}" if departure else "" for departure in departures]
    statistics_and_labels = [("transductive", f"test{unit}")]
    if not all(metric.is_error for metric in metrics):
        statistics_and_labels.append(("support", f"test{unit}, support statistics"))
    for statistics, label in statistics_and_labels:
        cells = [score_text(test, statistics, with_unit=mixed) for test in tests]
        rows.append([label, *(cell + sign for cell, sign in zip(cells, signs, strict=True))])
    rows.append(["test inner steps", *(str(test.test_steps) if test else "-" for test in tests)])
    rows.append(["test episodes", *(f"{test.episodes:,}" if test else "-" for test in tests)])
    if form is not TableForm.text:
        from mamltui.cli.evaluate import write_stdout
        from mamltui.results.comparison import comparison_text

        names = [run.title for run in listed]
        write_stdout(comparison_text(names, rows, form.value))
        return
    letters = [chr(65 + index % 26) * (1 + index // 26) for index in range(len(folders))]
    for letter, folder in zip(letters, folders, strict=True):
        typer.echo(f"{letter}  {visible(folder.name)}")
    typer.echo()
    print_aligned(["", *letters], rows, right=range(1, len(letters) + 1))
    for letter, departure in zip(letters, departures, strict=True):
        if departure:
            typer.echo(
                f"{OTHER_PROTOCOL} {letter} was not tested as its profile says, so it is compared "
                f"with no other: {', '.join(departure)}"
            )
    _print_over_seeds(listed, letters)
    tested = [
        (f"{letter} - A", test)
        for letter, test, departure in zip(letters, tests, departures, strict=True)
        if test and not departure
    ]
    if tests[0] is None or departures[0] or len(tested) < 2:
        return
    from mamltui.cli.tables import print_paired, results_console

    typer.echo("\ntest, pair by pair:")
    print_paired(results_console(), [test for _, test in tested], [name for name, _ in tested])


def _print_over_seeds(listed: Sequence[ListedRun], letters: Sequence[str]) -> None:
    """Of runs that differ in the seed alone, the mean test score with Student's interval."""
    from mamltui.runs.seeds import seed_groups, spread_words

    by_path = {run.path: letter for run, letter in zip(listed, letters, strict=True)}
    groups = [group for group in seed_groups(listed) if len(group.tests) > 1]
    if groups:
        typer.echo("\ntest, over training seeds:")
    for group in groups:
        named = ", ".join(by_path[run.path] for run in group.runs if run.headline)
        typer.echo(f"  {named}: {spread_words(group.tests, group.metric)}")


app.command("export")(export.export)


@app.command("slim")
def slim(
    runs: RunNames,
    to: Annotated[Path, typer.Option(metavar="DIR", help="The folder to copy the runs into.")],
    runs_dir: RunsDir = None,
) -> None:
    """Copy runs without what only going on with them needs: about half a megabyte each.

    A copy has the profile, the state, thinned metrics, every validation, the best checkpoint
    without the optimizer's state, and the results; not the name of the machine.
    """
    from mamltui.runs import find_run
    from mamltui.runs.slim import slim_run
    from mamltui.text import visible

    for folder in [find_run(name, runs_dir) for name in runs]:
        copy = slim_run(folder, to)
        size = sum(path.stat().st_size for path in copy.path.rglob("*") if path.is_file())
        typer.echo(f"{visible(str(copy.path))}  {size / 1e6:.2f} MB")


@app.command("verify")
def verify(
    run: Annotated[str, typer.Argument(metavar="RUN", help="A run folder, or the name of a run.")],
    runs_dir: RunsDir = None,
    data_dir: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="A folder to look in for Omniglot or CIFAR-100 first."),
    ] = None,
    device: Device = DeviceName.auto,
) -> None:
    """Check that a run is whole and true; exit code 1 if not.

    Its data and checkpoints are compared with their hashes, its metrics and events looked through
    for what is missing, and one logged iteration is computed again from a checkpoint: its loss must
    be the one that was logged, but for rounding.
    """
    from mamltui.data.banks import Banks
    from mamltui.runs import find_run
    from mamltui.text import visible
    from mamltui.training import resolve_device
    from mamltui.training.audit import audit

    folder = find_run(run, runs_dir)
    failed = 0
    for check in audit(folder, Banks(data_dir), resolve_device(device.value), narrate):
        verdict = "right" if check.passed else "WRONG"
        typer.echo(f"{check.name:<12}{verdict}  {visible(check.result)}")
        failed += not check.passed
    if failed:
        raise typer.Exit(ExitCode.FAILURE)


@app.command("rm")
def remove(
    runs: SomeRuns = None,
    where: Where = "",
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    runs_dir: RunsDir = None,
) -> None:
    """Remove runs with their checkpoints and results; asks first."""
    from mamltui.runs.removal import check_removable
    from mamltui.runs.removal import remove as remove_run
    from mamltui.text import visible

    folders = chosen_runs(runs, where, runs_dir, damaged=True)
    if not folders:
        narrate("No run fulfils the query: nothing was removed.")
        return
    for folder in folders:
        check_removable(folder)
    for folder in folders:
        narrate(visible(str(folder.path)))
    if not yes:
        if not sys.stdin.isatty():
            raise UsageError("not a terminal: nobody can be asked", hint="Give --yes.")
        count = "this run" if len(folders) == 1 else f"these {len(folders)} runs"
        if not typer.confirm(f"Remove {count} for good?", err=True):
            narrate("Nothing was removed.")
            return
    for folder in folders:
        remove_run(folder)
        narrate(f"removed {visible(folder.name)}")


app.command("tag")(annotate.tag)


@app.command("steer")
def steer(
    run: Annotated[str, typer.Argument(metavar="RUN", help="A run folder, or the name of a run.")],
    what: Annotated[Steering, typer.Argument(help="What its training is asked to do.")],
    runs_dir: RunsDir = None,
) -> None:
    """Ask the process that trains a run to pause, go on, save a checkpoint or stop after one."""
    from mamltui.runs import find_run
    from mamltui.runs.requests import ask
    from mamltui.text import visible

    folder = find_run(run, runs_dir)
    ask(folder, what.value)
    typer.echo(f"{visible(folder.name)}: asked to {what.value}")


app.command("rename")(annotate.rename)
app.command("note")(annotate.note)
app.command("star")(annotate.star)
app.command("archive")(annotate.archive)
