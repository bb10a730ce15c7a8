"""Whole studies, small enough to be handed on: reference runs of studies are made so."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from mamltui.errors import RunError, UsageError
from mamltui.profiles import packaged_profiles
from mamltui.runs import RunFolder
from mamltui.runs.files import file_error
from mamltui.runs.slim import slim_run
from mamltui.studies.reading import STUDIES, write_copy
from mamltui.studies.standing import Standing
from mamltui.studies.study import Study


def slim_study(study: Study, standings: Sequence[Standing], to: Path) -> Iterator[RunFolder]:
    """Copy the runs of all cells that are over into ``to``, slimmed, and the study as it was run.

    A report can be made of the copies as of the runs themselves. Of cells that share a run there is
    one copy. Each copy is yielded when it is whole.

    Raises:
        UsageError: another machine would not have its base profiles.
        RunError: no cell is over, or a copy cannot be written.
        CheckpointError: a run has no best checkpoint, or it is damaged.
    """
    packaged = packaged_profiles()
    for base in study.file.extends:
        if base.extends not in packaged:
            raise UsageError(
                f"its base profile {base.extends} is a file, which a copy would not find",
                where=f"study {study.name}",
            )
    over = [each.run for each in standings if each.run and each.state in ("done", "diverged")]
    if not over:
        raise RunError("no cell is over yet", where=f"study {study.name}")
    for run in {run.path: run for run in over}.values():
        yield slim_run(run, to)
    folder = to / STUDIES / study.name
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise file_error(error, folder, "copy the study") from error
    write_copy(study, folder)
