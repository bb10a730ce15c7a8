"""Where each cell of a study stands, read from the run folders alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeVar

from mamltui.errors import MamltuiError
from mamltui.profiles import Profile, experiment_key
from mamltui.results import Evaluation, kept_evaluations
from mamltui.runs import RunFolder, RunInfo, list_runs
from mamltui.studies.reading import study_folder
from mamltui.studies.study import Cell, Study
from mamltui.untrusted import Iteration, Text, checked, parse_json, read_file

T = TypeVar("T")
LARGEST = 10_000_000
"""Bytes of what a study notes of its cells."""

State = Literal["queued", "running", "interrupted", "trained", "done", "diverged", "failed"]
"""``trained``: the test is still to come."""
OVER: tuple[State, ...] = ("done", "diverged", "failed")
_WORTH = ("finished", "running", "paused", "interrupted", "diverged", "failed")
"""States of runs; of several that fit a cell, the first of these is taken."""


@dataclass(frozen=True)
class Standing:
    """A cell, and how far it is."""

    cell: Cell
    state: State
    profile: Profile | None
    """None while its iterations are not known: its budget is in minutes, and it was not timed."""
    run: RunFolder | None = None
    info: RunInfo | None = None
    evaluation: Evaluation | None = None
    """Of the best checkpoint on the test split, as the study asks for."""
    why: str = ""
    """It failed or diverged."""

    @property
    def iteration(self) -> int:
        return self.info.iteration if self.info else 0

    @property
    def iterations(self) -> int | None:
        return self.profile.meta.iterations if self.profile else None

    @property
    def share(self) -> float:
        """Of the training that is done."""
        if self.state in ("trained", "done"):
            return 1.0
        return self.iteration / self.iterations if self.iterations else 0.0

    @property
    def core_minutes(self) -> float:
        """Of training, so far."""
        return self.info.elapsed * (self.info.threads or 1) / 60 if self.info else 0.0


class Runs:
    """The runs below a folder; each profile is read once."""

    def __init__(self, root: Path | None) -> None:
        self._root = root
        self._profiles: dict[Path, tuple[int, Profile | None]] = {}
        self._lengths: dict[str, int] = {}
        """Iterations of the newest run of each profile's name."""
        self._evaluations: dict[Path, tuple[tuple[int, ...], list[Evaluation]]] = {}

    def fitting(self) -> dict[str, list[tuple[RunFolder, RunInfo]]]:
        """All runs by what they train, those worth most first."""
        runs: dict[str, list[tuple[RunFolder, RunInfo]]] = {}
        self._lengths = {}
        for summary in list_runs(self._root):
            if summary.info is not None:
                self._lengths.setdefault(summary.info.profile, summary.info.iterations)
            profile = self._profile(summary.path)
            if summary.info is not None and profile is not None:
                found = runs.setdefault(experiment_key(profile), [])
                found.append((RunFolder(summary.path), summary.info))
        for found in runs.values():
            found.sort(key=lambda each: (_WORTH.index(each[1].state), -each[1].iteration))
        return runs

    def length(self, cell: Cell) -> int | None:
        """Iterations of the newest run that carries the cell's name, of those last read."""
        return self._lengths.get(cell.profile(1).name)

    def evaluation(self, run: RunFolder, profile: Profile) -> Evaluation | None:
        """The test of the best checkpoint with all steps and episodes that ``profile`` asks for."""
        paths = sorted(run.evaluation.glob("*.json"))
        try:
            stamp = tuple(path.stat().st_mtime_ns for path in paths)
        except OSError:  # it is being replaced
            return None
        if self._evaluations.get(run.path, (None, []))[0] != stamp:
            self._evaluations[run.path] = (stamp, kept_evaluations(run.evaluation))
        wanted = {*profile.evaluation.steps, profile.inner.test_steps}
        fitting = [
            evaluation
            for evaluation in self._evaluations[run.path][1]
            if evaluation.is_plain
            and evaluation.checkpoint == "best"
            and evaluation.seed == profile.meta.seed
            and evaluation.episodes >= profile.evaluation.episodes
            and wanted <= set(evaluation.steps)
        ]
        return max(fitting, key=lambda each: (each.iteration, -each.episodes), default=None)

    def _profile(self, path: Path) -> Profile | None:
        try:
            stamp = (path / "profile.toml").stat().st_mtime_ns
        except OSError:
            return None
        if self._profiles.get(path, (0, None))[0] != stamp:
            try:
                profile = RunFolder(path).profile
            except MamltuiError:
                return None
            self._profiles[path] = (stamp, profile)
        return self._profiles[path][1]


def find_fitting(root: Path | None, profile: Profile) -> RunFolder | None:
    """The run to go on with, or to test, for ``profile``; None: there is none."""
    for run, info in Runs(root).fitting().get(experiment_key(profile), []):
        if info.state != "diverged":
            return run
    return None


def read_standings(
    study: Study,
    root: Path | None,
    runs: Runs | None = None,
    cells: Sequence[Cell] | None = None,
) -> list[Standing]:
    """Where the cells of ``study`` stand, in its order.

    Args:
        runs: kept from one call to the next, it saves reading what has not changed.
        cells: some of the study's; None: all.
    """
    runs = runs or Runs(root)
    folder = study_folder(study.name, root)
    lengths, failures = read_lengths(folder), read_failures(folder)
    fitting = runs.fitting()
    return [
        _standing(cell, runs, fitting, lengths, failures)
        for cell in (study.cells if cells is None else cells)
    ]


def read_lengths(folder: Path) -> dict[str, int]:
    """Iterations that a budget of minutes is, by the cells' names without their seeds."""
    return _read(folder / "lengths.json", dict[str, Iteration])


def read_failures(folder: Path) -> dict[str, str]:
    """Why cells failed in the last attempt, by their names."""
    return _read(folder / "failures.json", dict[str, Text])


def _read(path: Path, kind: type[dict[str, T]]) -> dict[str, T]:
    try:
        return checked(kind, parse_json(read_file(path, LARGEST)))
    except (OSError, ValueError):
        return {}


def cell_profile(cell: Cell, lengths: Mapping[str, int], runs: Runs) -> Profile | None:
    """The profile of a cell; None while nobody knows how many iterations its minutes are."""
    if cell.iterations is not None or not cell.has_budget:
        return cell.profile()
    if cell.group in lengths:
        return cell.profile(lengths[cell.group])
    # A report of runs that came from another machine: they say themselves how long they were.
    length = runs.length(cell)
    return None if length is None else cell.profile(length)


def _standing(
    cell: Cell,
    runs: Runs,
    fitting: Mapping[str, list[tuple[RunFolder, RunInfo]]],
    lengths: Mapping[str, int],
    failures: Mapping[str, str],
) -> Standing:
    profile = cell_profile(cell, lengths, runs)
    failure = failures.get(cell.name, "")
    if profile is None:
        return Standing(cell, "failed" if failure else "queued", None, why=failure)
    for run, info in fitting.get(experiment_key(profile), ())[:1]:
        if info.state == "finished":
            evaluation = runs.evaluation(run, profile)
            if evaluation is not None:
                return Standing(cell, "done", profile, run, info, evaluation)
            state: State = "failed" if failure else "trained"
            return Standing(cell, state, profile, run, info, why=failure)
        if info.state in ("running", "paused"):
            return Standing(cell, "running", profile, run, info)
        if info.state in ("diverged", "failed"):
            why = failure or info.error or info.state
            return Standing(cell, info.state, profile, run, info, why=why)
        state = "failed" if failure else "interrupted"
        return Standing(cell, state, profile, run, info, why=failure)
    return Standing(cell, "failed" if failure else "queued", profile, why=failure)
