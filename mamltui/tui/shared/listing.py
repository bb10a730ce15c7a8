"""The profiles and runs that Home lists, read in the background and again only where changed."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from pathlib import Path

import tomli

from mamltui.errors import MamltuiError, ProfileError, RunError
from mamltui.profiles import Profile, load_profile, packaged_profiles
from mamltui.profiles.sources import LARGEST
from mamltui.results import Evaluation, read_evaluations
from mamltui.runs import RunFolder, RunInfo, list_runs
from mamltui.text import shortened, visible
from mamltui.tui.shared.faults import Fault, faults_of
from mamltui.untrusted import read_file

FIRST = "quickstart"
OWN_FOLDER = Path("profiles")
"""Where a user's profiles are looked for and written, if it is there."""
UNENDED = ("running", "paused", "interrupted")
"""States of runs that may go on: how far they are says more than how good."""

_Stamp = tuple[int, ...]


@dataclass(frozen=True)
class _RunStamp:
    """What changes when a run is written."""

    file: _Stamp
    """Of ``run.json``."""
    has_checkpoints: bool
    results: int
    """Of the folder of its results; 0 if there is none."""


_NO_RUN = _RunStamp((0, 0, 0), False, 0)


@dataclass(frozen=True)
class ListedProfile:
    """A profile in a list: either ``profile`` or ``faults`` is there."""

    name: str
    """The file's name without ending, to be shown literally."""
    path: Path
    source: str
    """What a command calls it: the name if it is packaged, else the file."""
    origin: str
    """``packaged``, or the folder it is in."""
    profile: Profile | None
    faults: tuple[Fault, ...] = ()

    @property
    def key(self) -> str:
        """What tells it from all others."""
        return str(self.path)

    @property
    def is_packaged(self) -> bool:
        return self.origin == "packaged"

    @property
    def problem(self) -> str:
        """What is wrong with it, in one line."""
        more = len(self.faults) - 1
        return f"{self.faults[0]}{f', and {more} more' if more > 0 else ''}" if self.faults else ""


@dataclass(frozen=True)
class ListedRun:
    """A run in a list: either ``info`` or ``problem`` is there."""

    name: str
    """The folder's name as it is; ``visible`` before it is shown."""
    path: Path
    info: RunInfo | None
    problem: str
    """What is damaged, to be shown literally."""
    test: Evaluation | None
    """Its newest result on the test split."""

    @property
    def state(self) -> str:
        """The state of ``run.json``, or ``damaged``."""
        return self.info.state if self.info else "damaged"

    @property
    def can_resume(self) -> bool:
        """It ended before its time, by no fault of the training itself."""
        return self.state in ("interrupted", "failed")

    @property
    def share(self) -> float:
        """The part of the iterations that is done."""
        return min(1.0, self.info.iteration / max(1, self.info.iterations)) if self.info else 0.0

    @property
    def score(self) -> tuple[str, str]:
        """The number that says most about it, in percent, and what it is."""
        if self.info is None:
            return "", ""
        if self.state not in UNENDED:
            if self.test is not None:
                return f"{100 * self.test.headline().accuracy:.2f} %", "test"
            if self.info.best is not None:
                return f"{100 * self.info.best.accuracy:.2f} %", "valid."
        return f"{int(100 * self.share)} %", "done"

    @property
    def done(self) -> str:
        """E.g. ``4,120 of 60,000``."""
        return f"{self.info.iteration:,} of {self.info.iterations:,}" if self.info else ""


@dataclass(frozen=True)
class Listing:
    """All that Home lists; a part that has not changed is the same object as before."""

    profiles: tuple[ListedProfile, ...] = ()
    runs: tuple[ListedRun, ...] = ()
    runs_problem: str = ""
    """Why the runs cannot be read."""


class Catalogue:
    """Reads the profiles and runs again and again; what is as it was is not read twice.

    Args:
        runs: the folder of the run folders; it need not exist.
        profiles: a folder of profiles to list besides the packaged ones and the user's own.
    """

    def __init__(self, runs: Path, profiles: Path | None) -> None:
        self._runs, self._profiles = runs, profiles
        self._listing = Listing()
        self._profile_stamps: dict[Path, _Stamp] = {}
        self._run_stamps: dict[str, _RunStamp] = {}

    def read(self) -> Listing:
        """All there is now. A damaged profile or run is listed with its problem.

        Raises:
            ProfileError: the packaged profiles are not there.
        """
        profiles = self._read_profiles()
        runs, problem = self._listing.runs, ""
        try:
            runs = self._read_runs()
        except RunError as error:
            runs, problem, self._run_stamps = (), visible(str(error)), {}
        self._listing = Listing(profiles, runs, problem)
        return self._listing

    def _read_profiles(self) -> tuple[ListedProfile, ...]:
        before = {item.path: item for item in self._listing.profiles}
        found, stamps = [], {}
        for path, source, origin in self._profile_paths():
            stamps[path] = stamp = _stamp(path)
            known = before.get(path)
            if known is None or self._profile_stamps.get(path) != stamp:
                known = _listed_profile(path, source, origin)
            found.append(known)
        self._profile_stamps = stamps
        listed = tuple(found)
        return self._listing.profiles if listed == self._listing.profiles else listed

    def _profile_paths(self) -> Iterable[tuple[Path, str, str]]:
        """File, source and origin of every profile, each file once.

        The first look comes first, then the user's own, which are few, then the other packaged.
        """
        packaged = packaged_profiles()
        seen = {path.resolve() for path in packaged.values()}
        first = packaged.pop(FIRST, None)
        if first is not None:
            yield first, FIRST, "packaged"
        meant = [OWN_FOLDER, *([self._profiles] if self._profiles else [])]
        for folder in (*meant, Path()):
            for path in _toml_files(folder):
                if path.resolve() in seen or (folder not in meant and not _looks_like(path)):
                    continue
                seen.add(path.resolve())
                yield path, str(path), _folder_name(folder)
        for name, path in packaged.items():
            yield path, name, "packaged"

    def _read_runs(self) -> tuple[ListedRun, ...]:
        stamps, before = _run_stamps(self._runs), self._run_stamps
        known = {run.path.name: run for run in self._listing.runs}
        same = bool(stamps) and _kinds(stamps) == _kinds(before) and known.keys() <= stamps.keys()
        runs = []
        for run in self._listing.runs if same else _list_runs(self._runs):
            name = run.path.name
            stamp, old = stamps.get(name, _NO_RUN), before.get(name, _NO_RUN)
            # A process that trains may end without a word: then only the lock tells.
            if same and (stamp.file != old.file or run.state in ("running", "paused")):
                run = self._read_again(run)
            if name not in known or stamp.results != old.results:
                run = replace(run, test=_newest_test(run.path) if stamp.results else None)
            elif not same:
                run = replace(run, test=known[name].test)
            runs.append(run)
        self._run_stamps = stamps
        listed = tuple(runs)
        return self._listing.runs if listed == self._listing.runs else listed

    @staticmethod
    def _read_again(run: ListedRun) -> ListedRun:
        try:
            return replace(run, info=RunFolder(run.path).info(), problem="")
        except RunError as error:
            return replace(run, info=None, problem=_damage(run.path, str(error)))


def age(created: str, now: datetime) -> str:
    """How long ago, in one unit: ``3 min``, ``2 h``, ``5 d``; empty if that is not known."""
    try:
        then = datetime.fromisoformat(created.replace("Z", "+00:00"))
        seconds = (now - then).total_seconds()
    except (ValueError, TypeError):
        return ""
    for unit, length in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= length:
            return f"{int(seconds // length)} {unit}"
    return "< 1 min"


def utc_now() -> datetime:
    """The time that ages are counted to."""
    return datetime.now(timezone.utc)


def read_text(path: Path) -> str:
    """The text of a profile's file, valid or not, its line ends as they are.

    Raises:
        ProfileError: it cannot be read, or is not text.
    """
    try:
        return read_file(path, LARGEST).decode("utf-8-sig")
    except OSError as error:
        raise ProfileError(f"cannot be read: {error.strerror}", where=str(path)) from error
    except UnicodeDecodeError as error:
        raise ProfileError(
            "is not UTF-8 text", where=str(path), hint="save it as UTF-8 with another program"
        ) from error


def remove_run(run: ListedRun) -> None:
    """Delete a run's folder.

    Raises:
        RunError: it is in use, or may be no run of this program, or cannot be deleted.
    """
    folder = RunFolder(run.path)
    folder.check_removable()
    folder.remove()


def _listed_profile(path: Path, source: str, origin: str) -> ListedProfile:
    name = visible(path.stem)
    try:
        return ListedProfile(name, path, source, origin, load_profile(str(path)))
    except ProfileError as error:
        faults = faults_of(error, shortened(str(path), most=4096))
        return ListedProfile(name, path, source, origin, None, tuple(faults))


def _toml_files(folder: Path) -> list[Path]:
    try:
        return sorted(path for path in folder.glob("*.toml") if path.is_file())
    except OSError:
        return []


def _folder_name(folder: Path) -> str:
    return visible(folder.resolve().name) or visible(str(folder))


def _looks_like(path: Path) -> bool:
    """Whether a file beside others, such as ``pyproject.toml``, has only keys of a profile."""
    try:
        keys = tomli.loads(read_text(path)).keys()
    except (MamltuiError, ValueError, RecursionError):
        return False
    return bool(keys) and keys <= Profile.model_fields.keys()


def _stamp(path: Path) -> _Stamp:
    """What changes when a file or folder is written; zeros if there is none."""
    try:
        status = path.stat()
    except OSError:
        return (0, 0, 0)
    return (status.st_mtime_ns, status.st_size, status.st_ino)


def _list_runs(root: Path) -> list[ListedRun]:
    return [
        ListedRun(run.name, run.path, run.info, _damage(run.path, run.problem or ""), None)
        for run in list_runs(root)
    ]


def _damage(path: Path, problem: str) -> str:
    """What is damaged, without the place, which is where the run is."""
    return visible(problem.removeprefix(f"{path / 'run.json'}: "))


def _run_stamps(root: Path) -> dict[str, _RunStamp]:
    """Of every folder below ``root``."""
    try:
        with os.scandir(root) as entries:
            folders = [Path(entry.path) for entry in entries if entry.is_dir()]
    except OSError:
        return {}  # list_runs says what is wrong, if it is more than that there are none yet
    return {
        path.name: _RunStamp(
            _stamp(path / "run.json"),
            (path / "checkpoints").is_dir(),
            _stamp(path / "evaluation")[0],
        )
        for path in folders
    }


def _kinds(stamps: dict[str, _RunStamp]) -> dict[str, tuple[bool, bool]]:
    """Which folders are runs, or look like it."""
    return {name: (any(stamp.file), stamp.has_checkpoints) for name, stamp in stamps.items()}


def _newest_test(path: Path) -> Evaluation | None:
    """The newest result of a single checkpoint on the test split that can be read."""
    try:
        files = [(file.stat().st_mtime_ns, file) for file in (path / "evaluation").glob("*.json")]
    except OSError:
        return None
    for _, file in sorted(files, reverse=True):
        try:
            found = [item for item in read_evaluations(file) if item.is_plain]
        except RunError:
            continue
        if found:
            return found[-1]
    return None
