"""The runs below a folder: list them, and find one by name."""

from __future__ import annotations

import os
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from difflib import get_close_matches
from fnmatch import fnmatchcase
from functools import cached_property
from pathlib import Path

from mamltui.atomic import PART_PATTERN
from mamltui.errors import MamltuiError, RunError
from mamltui.profiles import Profile
from mamltui.results import Evaluation, read_evaluations
from mamltui.runs.curve import validation_scores
from mamltui.runs.files import file_error
from mamltui.runs.folder import CheckpointName, RunFolder
from mamltui.runs.kept import iterations_of
from mamltui.runs.roots import is_abandoned, reference_root, runs_root
from mamltui.runs.state import RunInfo
from mamltui.score import ACCURACY, Metric

NAMES_SHOWN = 5

_Stamp = tuple[int, ...]


@dataclass(frozen=True)
class RunStamp:
    """What changes when something is written into a run folder: times, sizes, numbers of files."""

    info: _Stamp = (0, 0, 0)
    """Of ``run.json``; zeros, as everywhere, where there is none."""
    profile: _Stamp = (0, 0, 0)
    checkpoints: _Stamp = (0, 0, 0)
    evaluation: _Stamp = (0, 0, 0)

    @classmethod
    def of(cls, path: Path) -> RunStamp:
        """Of the folder ``path`` as it is now."""
        names = ("run.json", "profile.toml", "checkpoints", "evaluation")
        folder = os.fspath(path)
        return cls(*(_stamp(f"{folder}{os.sep}{name}") for name in names))


@dataclass(frozen=True)
class ListedRun:
    """A run in a list: either ``info`` or ``problem`` is there.

    What else is in its folder is read when it is first asked for, or by ``load``.
    """

    path: Path
    info: RunInfo | None
    problem: str = ""
    """What of ``run.json`` is damaged; as all texts here it may hold what does not print."""
    stamp: RunStamp = RunStamp()

    @classmethod
    def read(
        cls, path: Path, stamp: RunStamp | None = None, *, is_reference: bool | None = None
    ) -> ListedRun:
        """The run in the folder ``path``, damaged or not.

        Args:
            is_reference: as the caller knows already; None: the disk is asked, where it matters.
        """
        stamp = stamp or RunStamp.of(path)
        try:
            run = cls(path, RunFolder(path).info(), stamp=stamp)
        except RunError as error:
            run = cls(path, None, str(error), stamp)
        if is_reference is not None:
            run.__dict__["is_reference"] = is_reference  # as if it had been asked for before
        return run

    def load(self) -> ListedRun:
        """Read all that is known of it now, so that nothing is read when it is shown."""
        _ = self._settings, self.evaluations, self.checkpoints, self.is_reference
        _ = self.is_abandoned, self.validations
        return self

    @property
    def name(self) -> str:
        return self.path.name

    @property
    def title(self) -> str:
        """What people call it: its folder's name unless they gave it another."""
        return (self.info.title if self.info else "") or self.name

    @property
    def is_archived(self) -> bool:
        return self.info is not None and self.info.archived

    @property
    def is_starred(self) -> bool:
        return self.info is not None and self.info.starred

    @property
    def folder(self) -> RunFolder:
        return RunFolder(self.path)

    @property
    def state(self) -> str:
        """The state of ``run.json``, ``abandoned`` where its making was killed, or ``damaged``."""
        if self.info is None:
            return "abandoned" if self.is_abandoned else "damaged"
        return self.info.state

    @cached_property
    def is_abandoned(self) -> bool:
        """Nothing is in it, for its making was killed."""
        return self.info is None and is_abandoned(self.path)

    @property
    def damage(self) -> str:
        """The ``problem`` without the place, which is where the run is."""
        where = self.path if self.is_abandoned else self.path / "run.json"
        return self.problem.removeprefix(f"{where}: ")

    @cached_property
    def is_reference(self) -> bool:
        """It came with mamltui, and is only read."""
        return self.folder.is_reference

    @property
    def what(self) -> str:
        """The state in a word, or ``reference``, which says more of a run that is only read."""
        return "reference" if self.is_reference else self.state

    @property
    def is_interrupted(self) -> bool:
        """It waits to be gone on with."""
        return self.state == "interrupted" and not self.is_reference

    @property
    def can_resume(self) -> bool:
        """It ended before its time, by no fault of the training itself."""
        return self.state in ("interrupted", "failed") and not self.is_reference

    @property
    def share(self) -> float:
        """The part of the iterations that is done."""
        return min(1.0, self.info.iteration / max(1, self.info.iterations)) if self.info else 0.0

    @property
    def done(self) -> str:
        """E.g. ``4,120 of 60,000``."""
        return f"{self.info.iteration:,} of {self.info.iterations:,}" if self.info else ""

    @cached_property
    def _settings(self) -> tuple[Profile | None, str]:
        if self.info is None:
            return None, self.problem
        try:
            return self.folder.profile, ""
        except MamltuiError as error:
            return None, str(error)

    @property
    def profile(self) -> Profile | None:
        """None: it cannot be read."""
        return self._settings[0]

    @property
    def metric(self) -> Metric:
        """What its scores are; of a profile that cannot be read, as of most."""
        return self.profile.metric if self.profile else ACCURACY

    @property
    def profile_problem(self) -> str:
        """Why the profile cannot be read."""
        return self._settings[1]

    @cached_property
    def checkpoints(self) -> tuple[CheckpointName, ...]:
        """Those that are there: ``best``, ``last``, and the iterations of those kept besides."""
        try:
            with os.scandir(self.path / "checkpoints") as entries:
                names = {entry.name for entry in entries if entry.is_file()}
        except OSError:
            return ()
        named: tuple[CheckpointName, ...] = ("best", "last")
        there = tuple(name for name in named if f"{name}.safetensors" in names)
        return (*there, *iterations_of(names))

    @cached_property
    def evaluations(self) -> tuple[Evaluation, ...]:
        """The results in its folder that can be read, the newest first."""
        try:
            with os.scandir(self.path / "evaluation") as entries:
                files = [
                    (entry.stat().st_mtime_ns, entry.path)
                    for entry in entries
                    if entry.name.endswith(".json")
                ]
        except OSError:
            return ()
        results: list[Evaluation] = []
        for _, path in sorted(files, reverse=True):
            with suppress(RunError):
                results += reversed(read_evaluations(Path(path)))
        return tuple(results)

    @cached_property
    def validations(self) -> tuple[float, ...]:
        """Its validation scores, as far as ``run.json`` was written since."""
        return validation_scores(self.path / "events.jsonl")

    @property
    def headline(self) -> Evaluation | None:
        """Its newest result on the test split by the profile's own protocol."""
        profile = self.profile
        if profile is None:
            return None
        return next((item for item in self.evaluations if not item.departures(profile)), None)

    @property
    def newest_test(self) -> Evaluation | None:
        """The headline; without one the newest test of a single checkpoint by another protocol."""
        tests = (item for item in self.evaluations if item.is_plain)
        return self.headline or next(tests, None)

    @property
    def departures(self) -> list[str]:
        """What of ``newest_test`` was measured otherwise than the profile says, in words.

        A test with departures is not compared with others as an equal.
        """
        test, profile = self.newest_test, self.profile
        if test is None:
            return []
        return ["the profile cannot be read"] if profile is None else test.departures(profile)


class RunCatalogue:
    """Reads the runs below a folder again and again; what has not changed is not read twice.

    Args:
        root: the folder of the run folders; it need not exist.
        references: read those that come with mamltui as well.
    """

    def __init__(self, root: Path | None = None, *, references: bool = False) -> None:
        self._root = root
        self._references = list_reference_runs() if references else ()
        self._runs: tuple[ListedRun, ...] = ()

    def read(self) -> tuple[ListedRun, ...]:
        """All runs, the newest first, damaged ones last, then those that come with mamltui.

        It is the same object while nothing changes.

        Raises:
            RunError: the folder is not a folder or not readable.
        """
        known = {run.path: run for run in self._runs}
        root = runs_root(self._root)
        holds_references = _is_same_folder(root, reference_root())
        runs = tuple(
            _sorted(
                _again(path, known.get(path), is_reference=holds_references)
                for path in _run_paths(root)
            )
        )
        names = {run.name for run in runs}
        runs += tuple(run for run in self._references if run.name not in names)
        if runs != self._runs:
            self._runs = runs
        return self._runs


def _again(path: Path, known: ListedRun | None, *, is_reference: bool) -> ListedRun:
    """The run as it is now: ``known`` itself if nothing has changed."""
    stamp = RunStamp.of(path)
    # A process that trains may end without a word: then only its lock says so.
    if known is not None and known.stamp == stamp and known.state not in ("running", "paused"):
        return known
    # Where a link leads only the disk knows.
    run = ListedRun.read(path, stamp, is_reference=None if path.is_symlink() else is_reference)
    return known if run == known else run


def _sorted(runs: Iterable[ListedRun]) -> list[ListedRun]:
    return sorted(runs, key=lambda run: (run.info.created if run.info else "", run.name))[::-1]


def list_runs(root: Path | None = None) -> tuple[ListedRun, ...]:
    """All runs below ``root``, the newest first, damaged ones last; none if there is no ``root``.

    Raises:
        RunError: ``root`` is not a folder or not readable.
    """
    return RunCatalogue(root).read()


def list_reference_runs() -> tuple[ListedRun, ...]:
    """The runs that come with mamltui, by name."""
    root = reference_root()
    return tuple(sorted(list_runs(root), key=lambda run: run.name)) if root else ()


def find_run(name_or_path: str | Path, root: Path | None = None) -> RunFolder:
    """The run with this path, this name or title below ``root``, or this beginning of a name.

    A reference run is found by its name, or the beginning of it, where ``root`` has no such run.

    Raises:
        RunError: there is none, or several.
    """
    asked, root = str(name_or_path), runs_root(root)
    for path in (Path(asked), root / asked):
        if asked and _is_run(path):
            return RunFolder(path)
    names = sorted(path.name for path in _run_paths(root))
    titled = [run for run in list_runs(root) if run.info and run.title == asked] if names else []
    if len(titled) == 1:
        return titled[0].folder
    if titled:
        raise RunError(
            f"{len(titled)} runs are called {asked!r}",
            where=str(root),
            hint=_shown([run.name for run in titled]),
        )
    if asked and not any(name.startswith(asked) for name in names):
        names += [run.name for run in list_reference_runs()]
        reference = reference_root()
        if reference is not None and any(name.startswith(asked) for name in names):
            root = reference
    begun = [name for name in names if asked and name.startswith(asked)]
    if len(begun) == 1 and _is_run(root / begun[0]):
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


def _run_paths(root: Path) -> list[Path]:
    """Folders that are, or once were, runs."""
    try:
        return [root / name for name in os.listdir(root) if _looks_like_run(root, name)]  # noqa: PTH208
    except FileNotFoundError:
        return []
    except NotADirectoryError as error:
        raise RunError("the runs folder is a file", where=str(root)) from error
    except OSError as error:
        raise file_error(error, root, "read the runs folder") from error


def _looks_like_run(root: Path, name: str) -> bool:
    """Or once was one; what is being removed, or copied, is none."""
    if fnmatchcase(name, PART_PATTERN):
        return False
    if os.path.isfile(f"{root}{os.sep}{name}{os.sep}run.json"):  # noqa: PTH113 - as of ``_stamp``
        return True
    path = root / name
    return _is_run(path) or _is_folder(path / "checkpoints")


def _is_run(path: Path) -> bool:
    """Or was to become one."""
    try:
        return (path / "run.json").is_file() or is_abandoned(path)
    except OSError:  # a name that is too long, or a folder that may not be entered
        return False


def _stamp(path: str) -> _Stamp:
    try:
        status = os.stat(path)  # noqa: PTH116 - of some thousand files, Path is what takes time
    except OSError:
        return (0, 0, 0)
    return (status.st_mtime_ns, status.st_size, status.st_ino)


def _is_same_folder(path: Path, other: Path | None) -> bool:
    try:
        return other is not None and path.samefile(other)
    except OSError:  # one of them is not there
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
