"""The runs below a folder: list them, find one by name, find the one to go on with."""

from __future__ import annotations

from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path

from mamltui.errors import MamltuiError, RunError
from mamltui.profiles import Profile, other_learning
from mamltui.runs.files import file_error
from mamltui.runs.folder import RunFolder, runs_root
from mamltui.runs.state import RunInfo

NAMES_SHOWN = 5


@dataclass(frozen=True)
class RunSummary:
    """A run in a list: either ``info`` or ``problem`` is there."""

    name: str
    path: Path
    info: RunInfo | None
    problem: str | None
    """What is damaged."""

    @property
    def state(self) -> str:
        """The state of ``run.json``, or ``damaged``."""
        return self.info.state if self.info else "damaged"


def list_runs(root: Path | None = None) -> list[RunSummary]:
    """All runs below ``root``, the newest first, damaged ones last; none if there is no ``root``.

    Raises:
        RunError: ``root`` is not a folder or not readable.
    """
    summaries = [_summary(path) for path in _run_paths(runs_root(root))]
    return sorted(summaries, key=lambda run: (run.info.created if run.info else "", run.name))[::-1]


def find_run(name_or_path: str | Path, root: Path | None = None) -> RunFolder:
    """The run with this path, this name below ``root``, or this beginning of a name.

    Raises:
        RunError: there is none, or several.
    """
    asked, root = str(name_or_path), runs_root(root)
    for path in (Path(asked), root / asked):
        if asked and _has_run_file(path):
            return RunFolder(path)
    names = sorted(path.name for path in _run_paths(root))
    begun = [name for name in names if asked and name.startswith(asked)]
    if len(begun) == 1 and _has_run_file(root / begun[0]):
        return RunFolder(root / begun[0])
    if len(begun) > 1:
        raise RunError(
            f"{len(begun)} runs begin with {asked!r}", where=str(root), hint=_shown(begun[::-1])
        )
    if begun or (asked and _is_folder(Path(asked))):
        where = str(root / begun[0]) if begun else asked
        raise RunError("not a run folder: there is no run.json in it", where=where)
    if not names:
        hint = "There are no runs there yet."
    elif near := get_close_matches(asked, names, n=3, cutoff=0.5):
        hint = f"Did you mean {' or '.join(near)}?"
    else:
        hint = _shown([run.name for run in list_runs(root)])
    raise RunError(f"there is no run {asked!r}", where=str(root), hint=hint)


def find_latest_resumable(root: Path | None, profile: Profile) -> RunFolder | None:
    """The newest run of the same experiment that ended before ``profile.meta.iterations``.

    Runs that diverged are left out: they would diverge again. What may differ is said by
    :func:`other_learning`. One that stopped early is gone on with if ``profile`` has more patience.

    Raises:
        RunError: ``root`` is not a folder or not readable.
    """
    for summary in list_runs(root):
        info = summary.info
        if info is None or info.profile != profile.name:
            continue
        if info.state not in ("interrupted", "failed", "finished"):
            continue
        if info.state == "finished" and not _is_extended(info, profile):
            continue
        run = RunFolder(summary.path)
        try:
            if not other_learning(run.profile, profile):
                return run
        except MamltuiError:
            continue
    return None


def _is_extended(info: RunInfo, profile: Profile) -> bool:
    """Whether a finished run would go on if it were trained by ``profile``."""
    best = info.best.iteration if info.best else info.iteration
    out_of_patience = profile.validation.is_out_of_patience(info.iteration, best)
    return info.iteration < profile.meta.iterations and not out_of_patience


def _summary(path: Path) -> RunSummary:
    try:
        return RunSummary(path.name, path, RunFolder(path).info(), None)
    except RunError as error:
        return RunSummary(path.name, path, None, str(error))


def _run_paths(root: Path) -> list[Path]:
    """Folders that are, or once were, runs."""
    try:
        return [path for path in root.iterdir() if _looks_like_run(path)]
    except FileNotFoundError:
        return []
    except NotADirectoryError as error:
        raise RunError("the runs folder is a file", where=str(root)) from error
    except OSError as error:
        raise file_error(error, root, "read the runs folder") from error


def _looks_like_run(path: Path) -> bool:
    return _has_run_file(path) or _is_folder(path / "checkpoints")


def _has_run_file(path: Path) -> bool:
    try:
        return (path / "run.json").is_file()
    except OSError:  # a name that is too long, or a folder that may not be entered
        return False


def _is_folder(path: Path) -> bool:
    try:
        return path.is_dir()
    except OSError:
        return False


def _shown(names: list[str]) -> str:
    """Names for a hint, the first few."""
    more = len(names) - NAMES_SHOWN
    text = ", ".join(names[:NAMES_SHOWN])
    return f"There are {text}{f' and {more} more' if more > 0 else ''}."
