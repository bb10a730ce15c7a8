"""Removing runs, and what processes that were killed have left behind."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from mamltui.atomic import delete, delete_folder, leftovers
from mamltui.caching import cache_folder
from mamltui.compiled import EARLIER_PARTS as COMPILED_PARTS
from mamltui.data.download import EARLIER_PARTS as DOWNLOAD_PARTS
from mamltui.errors import RunError
from mamltui.runs.files import file_error
from mamltui.runs.folder import EARLIER_PARTS, RunFolder
from mamltui.runs.listing import list_runs
from mamltui.runs.rescue import rescued_file
from mamltui.runs.roots import is_abandoned, runs_root


def check_removable(run: RunFolder) -> None:
    """Refuse what is in use, and folders that mamltui did not make.

    Raises:
        RunError: it is one of them.
    """
    if run.is_reference:
        raise RunError("not removed, this run came with mamltui", where=str(run.path))
    if is_abandoned(run.path):
        return
    by_hand = "If it is one, delete the folder by other means."
    try:
        state = run.info().state
    except RunError as error:
        raise RunError(
            f"not removed, this may be no run: {error.what}", where=error.where, hint=by_hand
        ) from error
    if not (run.path / "profile.toml").is_file() or run.path.is_symlink():
        raise RunError(
            "not removed, this is no whole run folder", where=str(run.path), hint=by_hand
        )
    if state in ("running", "paused"):
        raise RunError(f"the run is {state}", where=str(run.path), hint="Stop its training first.")


def remove(run: RunFolder) -> None:
    """Delete the folder, all at once for whoever lists the runs meanwhile, and what was rescued.

    Raises:
        RunError: a process trains into it, or it cannot be deleted.
    """
    run.acquire()
    run.release()
    rescued = rescued_file(run)
    try:
        delete_folder(run.path)
    except OSError as error:
        raise file_error(error, run.path, "delete") from error
    if rescued is not None:
        with suppress(OSError):
            rescued.unlink()


@dataclass(frozen=True)
class Leftover:
    """A file or folder that a killed process left, and nobody needs."""

    path: Path
    bytes: int

    def delete(self) -> None:
        """Raises a RunError where it cannot be deleted."""
        try:
            delete(self.path)
        except OSError as error:
            raise file_error(error, self.path, "delete") from error


def find_leftovers(root: Path | None = None) -> list[Leftover]:
    """Those among the runs below ``root``, in the cache folder, and runs that never began.

    Raises:
        RunError: ``root`` is not a folder or not readable.
    """
    return [Leftover(path, _size(path)) for path in _left(root)]


def _left(root: Path | None) -> Iterator[Path]:
    runs, cache = runs_root(root), cache_folder()
    yield from leftovers(runs)
    for run in list_runs(runs):
        if is_abandoned(run.path):
            yield run.path
        elif run.state not in ("running", "paused"):
            for folder in (run.path, run.path / "checkpoints", run.path / "evaluation"):
                yield from leftovers(folder, EARLIER_PARTS)
    with suppress(OSError):
        for study in sorted((runs / "studies").iterdir()):
            yield from leftovers(study)
    yield from leftovers(cache, DOWNLOAD_PARTS)
    yield from leftovers(cache / "compiled", COMPILED_PARTS)
    for name in ("packed", "calibration", "rescued"):
        yield from leftovers(cache / name)


def _size(path: Path) -> int:
    """Bytes of the file, or of all files in the folder."""
    size = 0
    for each in (path, *path.rglob("*")):
        with suppress(OSError):
            if each.is_file() or each.is_symlink():
                size += each.lstat().st_size
    return size
