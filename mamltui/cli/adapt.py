"""``mamltui adapt``: adapt a run to a few images of one's own, and classify others."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mamltui.cli.evaluate import check_outputs, write_stdout
from mamltui.cli.options import AsJson, Csv, Device, DeviceName, Head, RunsDir
from mamltui.cli.output import narrate
from mamltui.errors import UsageError

if TYPE_CHECKING:
    from mamltui.answers import Answers


class SingleCheckpoint(str, Enum):
    """The checkpoint to adapt."""

    best = "best"
    last = "last"


def adapt(
    run: Annotated[str, typer.Argument(metavar="RUN", help="A run folder, or the name of a run.")],
    query: Annotated[
        list[Path] | None,
        typer.Argument(metavar="FILES", help="More images to classify."),
    ] = None,
    support: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="A folder of class folders, with a few images in each."),
    ] = None,
    asked: Annotated[
        list[Path] | None,
        typer.Option(
            "--query",
            metavar="DIR|FILE",
            help="What to classify: images, or a folder of images or of class folders; more may "
            "follow it.",
        ),
    ] = None,
    steps: Annotated[
        int | None,
        typer.Option(
            min=0, max=10_000, metavar="N", help="Inner steps [default: as at the run's test]."
        ),
    ] = None,
    head: Head = None,
    transductive: Annotated[
        bool,
        typer.Option(
            "--transductive",
            help="Normalise the query images with their own statistics, all together, as in the "
            "paper; without it no image is seen in the light of the others.",
        ),
    ] = False,
    checkpoint: Annotated[
        SingleCheckpoint, typer.Option(help="Best by validation, or last.")
    ] = SingleCheckpoint.best,
    device: Device = DeviceName.auto,
    runs_dir: RunsDir = None,
    csv: Csv = None,
    as_json: AsJson = False,
) -> None:
    """Classify images of your own with a trained run, after adapting it to a few that are labelled.

    The run's data are not needed. Images are prepared as those of the training were, and what was
    done is said on stderr. Where query images lie in folders named like the support's, the accuracy
    is given too.
    """
    if support is None:
        raise UsageError(
            "--support DIR is needed: a folder with a folder of images for each class",
            hint="mamltui adapt RUN --support photos/known --query photos/new",
        )
    wanted = [*(asked or []), *(query or [])]
    if not wanted:
        raise UsageError("--query is needed: images, or a folder of them, to classify")
    check_outputs(csv, None, as_json)

    from mamltui.answers import answer
    from mamltui.runs import find_run
    from mamltui.training import resolve_device

    answers = answer(
        find_run(run, runs_dir),
        support,
        wanted,
        steps=steps,
        head=None if head is None else head.value,
        transductive=transductive,
        checkpoint=checkpoint.value,
        device=resolve_device(device.value),
        say=lambda text: narrate(text),
    )
    _put_out(answers, csv, as_json)


def _put_out(answers: Answers, csv: str | None, as_json: bool) -> None:
    from mamltui.results import write_text
    from mamltui.text import visible

    if csv not in (None, "-"):
        write_text(Path(str(csv)), answers.csv_text())
        narrate(f"written: {visible(str(csv))}")
    if csv == "-":
        write_stdout(answers.csv_text())
    elif as_json:
        write_stdout(answers.json_text())
    else:
        _print(answers)


def _print(answers: Answers) -> None:
    from mamltui.cli.tables import aligned, print_table, results_console, say

    console = results_console()
    folder, names = answers.short_names()
    say(console, answers.run, style="bold")
    say(console, answers.describe())
    console.print()
    if folder:
        say(console, f"images of {folder}", style="dim")
    has_next, is_judged = len(answers.class_names) > 2, answers.accuracy is not None
    header = ["image", "answer", "%", *["next", "%"] * has_next, *[""] * is_judged]
    rows, wrong = [], []
    for index, name in enumerate(names):
        row = [name]
        for label in answers.ranked(index)[: 1 + has_next]:
            percent = f"{100 * answers.probabilities[index][label]:.1f}"
            row += [answers.class_names[label], percent]
        if is_judged:
            row.append(answers.judgement(index))
            if row[-1].startswith("wrong"):
                wrong.append(index)
        rows.append(row)
    right = [index for index, title in enumerate(header) if title == "%"]
    print_table(console, aligned(header, rows, right=right), marked=wrong)
    if answers.accuracy is not None:
        console.print()
        right_ones, judged = answers.accuracy
        say(console, f"{right_ones} of {judged} right: {100 * right_ones / judged:.2f} %")
