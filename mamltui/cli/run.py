"""``mamltui run``: train from a profile, evaluate on the test split, compare with publications."""

from __future__ import annotations

from enum import Enum
from typing import Annotated

import typer

from mamltui.cli.options import DataDir, Device, DeviceName, OutDir
from mamltui.cli.output import check_output_file
from mamltui.commands import CommonOptions
from mamltui.errors import UsageError


class Format(str, Enum):
    """What the training says while it runs."""

    text = "text"
    jsonl = "jsonl"
    none = "none"


def run(
    profile: Annotated[
        str, typer.Argument(metavar="PROFILE", help="A file, or the name of a packaged profile.")
    ],
    headless: Annotated[
        bool,
        typer.Option(
            "--headless", help="Without the app: in a pipe, a script or a plain terminal."
        ),
    ] = False,
    overrides: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Change a key, such as inner.steps=5."),
    ] = None,
    seed: Annotated[
        int | None, typer.Option(metavar="N", help="The same as --set meta.seed=N.")
    ] = None,
    name: Annotated[
        str, typer.Option(metavar="NAME", help="What the new run is called, besides its folder.")
    ] = "",
    device: Device = DeviceName.auto,
    out: OutDir = None,
    data_dir: DataDir = None,
    resume: Annotated[
        str | None,
        typer.Option(
            metavar="RUN|auto",
            help="Go on with a run; auto: the latest unfinished one of this profile, or a new one.",
        ),
    ] = None,
    output: Annotated[
        Format,
        typer.Option(
            "--format",
            help="text: progress on stderr, results on stdout; jsonl: one JSON event a line on "
            "stdout; none: errors alone.",
        ),
    ] = Format.text,
    csv: Annotated[
        str | None,
        typer.Option(metavar="PATH|-", help="Write the results as CSV to a file, or to stdout."),
    ] = None,
    min_accuracy: Annotated[
        float | None,
        typer.Option(metavar="PERCENT", help="Exit with 4 when the test accuracy is below this."),
    ] = None,
    on_end: Annotated[
        str,
        typer.Option(
            metavar="COMMAND",
            help="Run a shell command at the end, with MAMLTUI_RUN, MAMLTUI_STATE and "
            "MAMLTUI_ACCURACY set.",
        ),
    ] = "",
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Check everything, print the plan, make nothing.")
    ] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress.")] = False,
    verbose: Annotated[
        bool, typer.Option("--verbose", "-v", help="A line for every logged step and checkpoint.")
    ] = False,
) -> None:
    """Train from a profile, evaluate the best checkpoint on the test split, and compare.

    In the app, unless --headless is given.

    The run folder keeps all of it. Exit codes: 0 done, 1 failure, 2 usage or invalid profile,
    3 data, run, checkpoint or device not available, 4 diverged or below --min-accuracy, 129, 130
    and 143 stopped by SIGHUP, SIGINT and SIGTERM, after a checkpoint. SIGUSR1 saves a checkpoint.
    """
    _check_options(output, csv, min_accuracy, quiet, verbose)
    title = _checked_title(name, resume)
    settings = (overrides or []) + ([] if seed is None else [f"meta.seed={seed}"])
    if not headless and not dry_run:
        _refuse_without_app(output, csv, min_accuracy, quiet, verbose, on_end)
        _open_app(profile, settings, resume, title, CommonOptions(out, data_dir, device.value))

    from mamltui.cli import distributed

    if distributed.is_helper() and not dry_run:
        raise typer.Exit(distributed.help_out())

    from mamltui.cli.headless_run import Request, dry, train_and_evaluate

    request = Request(
        profile=profile,
        overrides=settings,
        device=device.value,
        out=out,
        data_dir=data_dir,
        resume=resume,
        title=title,
        format=output.value,
        csv=csv,
        min_accuracy=None if min_accuracy is None else min_accuracy / 100,
        quiet=quiet,
        verbose=verbose,
        on_end=on_end,
    )
    code = dry(request) if dry_run else train_and_evaluate(request)
    raise typer.Exit(code)


def _checked_title(name: str, resume: str | None) -> str:
    if not name:
        return ""
    from mamltui.runs.annotations import checked_title

    if resume not in (None, "auto"):
        raise UsageError(
            "--name is for a new run",
            where=f"--resume {resume}",
            hint=f"Call that one otherwise with: mamltui runs rename {resume} NAME",
        )
    return checked_title(name)


def _open_app(
    profile: str, overrides: list[str], resume: str | None, title: str, common: CommonOptions
) -> None:
    """Train in the app; comes back only by an exit."""
    from mamltui.cli.opening import open_app
    from mamltui.tui.session.options import Options

    options = Options(
        profile, tuple(overrides), run_now=True, resume=resume, title=title, common=common
    )
    raise typer.Exit(open_app(options))


def _refuse_without_app(
    output: Format,
    csv: str | None,
    min_accuracy: float | None,
    quiet: bool,
    verbose: bool,
    on_end: str,
) -> None:
    """Options that the app would leave unheard."""
    given = {
        "--format": output is not Format.text,
        "--csv": csv is not None,
        "--min-accuracy": min_accuracy is not None,
        "--quiet": quiet,
        "--verbose": verbose,
        "--on-end": bool(on_end),
    }
    names = [name for name, is_given in given.items() if is_given]
    if names:
        raise UsageError(f"{' and '.join(names)} needs --headless")


def _check_options(
    output: Format, csv: str | None, min_accuracy: float | None, quiet: bool, verbose: bool
) -> None:
    """Refuse what cannot be had before hours are spent on it."""
    if min_accuracy is not None and not 0 <= min_accuracy <= 100:  # NaN is not between either
        raise UsageError(
            "a percentage from 0 to 100 is needed", where=f"--min-accuracy {min_accuracy:g}"
        )
    if quiet and verbose:
        raise UsageError("--quiet and --verbose exclude each other")
    if verbose and output is not Format.text:
        raise UsageError(f"--verbose has nothing to say with --format {output.value}")
    if csv is None:
        return
    if csv == "-":
        if output is Format.jsonl:
            raise UsageError(
                "--csv - and --format jsonl cannot share stdout",
                hint="Write the CSV to a file: --csv PATH.",
            )
    else:
        check_output_file("--csv", csv)
