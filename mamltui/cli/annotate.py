"""``mamltui runs tag``, ``rename``, ``note``, ``star`` and ``archive``: what people say of runs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from mamltui.cli.options import Off, RunsDir, SomeRuns, Where, chosen_runs
from mamltui.errors import UsageError

if TYPE_CHECKING:
    from mamltui.runs import RunFolder


def tag(
    runs: SomeRuns = None,
    where: Where = "",
    add: Annotated[
        list[str] | None, typer.Option(metavar="TAG", help="A word to mark the runs with.")
    ] = None,
    remove_tags: Annotated[
        list[str] | None, typer.Option("--remove", metavar="TAG", help="A mark to take away.")
    ] = None,
    runs_dir: RunsDir = None,
) -> None:
    """Mark runs with words that a query finds again: tag:paper."""
    from mamltui.runs.annotations import changed_tags
    from mamltui.text import visible

    if not (add or remove_tags):
        raise UsageError("no tag is given", hint="Such as: mamltui runs tag RUN --add paper")
    for folder in chosen_runs(runs, where, runs_dir):
        tags = changed_tags(folder.info().tags, add or (), remove_tags or ())
        folder.annotate(tags=tags)
        typer.echo(f"{visible(folder.name)}: {visible(' '.join(tags)) or 'no tags'}")


def rename(
    run: Annotated[str, typer.Argument(metavar="RUN", help="A run folder, or the name of a run.")],
    title: Annotated[
        str, typer.Argument(metavar="NAME", help="What it is called; without one, its folder.")
    ] = "",
    runs_dir: RunsDir = None,
) -> None:
    """Rename a run; its folder keeps its own name, and either finds it."""
    from mamltui.runs import find_run
    from mamltui.runs.annotations import checked_title
    from mamltui.text import visible

    folder = find_run(run, runs_dir)
    folder.annotate(title=checked_title(title))
    typer.echo(f"{visible(folder.name)}: {visible(title) or 'called by its folder'}")


def note(
    run: Annotated[str, typer.Argument(metavar="RUN", help="A run folder, or the name of a run.")],
    text: Annotated[
        str | None, typer.Argument(metavar="TEXT", help="The notes from now on; '' for none.")
    ] = None,
    runs_dir: RunsDir = None,
) -> None:
    """Write down what is worth knowing of a run, or show what was."""
    from mamltui.runs import find_run
    from mamltui.text import visible_lines

    folder = find_run(run, runs_dir)
    if text is not None:
        folder.annotate(notes=text)
    typer.echo(visible_lines(folder.info().notes) or "no notes")


def star(
    runs: SomeRuns = None, where: Where = "", off: Off = False, runs_dir: RunsDir = None
) -> None:
    """Give runs a star: starred=yes finds them."""
    _annotate(chosen_runs(runs, where, runs_dir), "no star" if off else "starred", starred=not off)


def archive(
    runs: SomeRuns = None, where: Where = "", off: Off = False, runs_dir: RunsDir = None
) -> None:
    """Leave runs out of lists; archived=yes finds them, and nothing is deleted."""
    if off:
        where = where and f"{where} archived=yes"
    _annotate(chosen_runs(runs, where, runs_dir), "listed" if off else "archived", archived=not off)


def _annotate(folders: list[RunFolder], word: str, **changes: Any) -> None:
    from mamltui.text import visible

    for folder in folders:
        folder.annotate(**changes)
        typer.echo(f"{visible(folder.name)}: {word}")
