"""Where each cell of a study stands, read from the run folders alone."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeVar

from mamltui.profiles import Profile, experiment_key
from mamltui.results import Evaluation
from mamltui.runs import ListedRun, RunCatalogue, RunFolder, RunInfo
from mamltui.studies.reading import begun_study, is_begun, reference_study, study_folder
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
        """Of training, so far: the processors', or the clock's times the threads where those were
        not counted; the clock's of a GPU."""
        info = self.info
        if info is None:
            return 0.0
        if info.device not in (None, "cpu"):
            return info.elapsed / 60
        if info.processor_seconds is not None:
            return info.processor_seconds / 60
        return info.elapsed * (info.threads or 1) / 60


class Runs:
    """The runs below a folder and those that come with mamltui; each is read once.

    Args:
        root: the folder of the runs; None: the usual one.
    """

    def __init__(self, root: Path | None) -> None:
        self._catalogue = RunCatalogue(root, references=True)

    def fitting(self, *, references: bool = False) -> dict[str, list[ListedRun]]:
        """Runs by what they train, those worth most first.

        Args:
            references: those that come with mamltui, instead of those below the folder.
        """
        runs: dict[str, list[ListedRun]] = {}
        for run in self._of(references):
            if run.profile is not None:
                runs.setdefault(experiment_key(run.profile), []).append(run)
        for group in runs.values():
            group.sort(key=lambda each: (_WORTH.index(each.state), -_iteration(each)))
        return runs

    def length(self, cell: Cell, *, references: bool = False) -> int | None:
        """Iterations of the newest run that carries the cell's name."""
        name = cell.profile(1).name
        infos = (run.info for run in self._of(references) if run.info)
        return next((info.iterations for info in infos if info.profile == name), None)

    def _of(self, references: bool) -> Iterator[ListedRun]:
        return (run for run in self._catalogue.read() if run.is_reference == references)


def _iteration(run: ListedRun) -> int:
    return run.info.iteration if run.info else 0


def find_fitting(root: Path | None, profile: Profile) -> ListedRun | None:
    """The run to go on with, or to test, for ``profile``; None: there is none."""
    for run in Runs(root).fitting().get(experiment_key(profile), []):
        if run.state != "diverged":
            return run
    return None


def fitting_evaluation(run: ListedRun, profile: Profile) -> Evaluation | None:
    """The test of the best checkpoint with all steps and episodes that ``profile`` asks for."""
    wanted = {*profile.evaluation.steps, profile.inner.test_steps}
    fitting = [
        evaluation
        for evaluation in run.evaluations
        if evaluation.is_plain
        and evaluation.checkpoint == "best"
        and evaluation.seed == profile.meta.seed
        and evaluation.episodes >= profile.evaluation.episodes
        and wanted <= set(evaluation.steps)
    ]
    return max(fitting, key=lambda each: (each.iteration, -each.episodes), default=None)


def read_standings(
    study: Study,
    root: Path | None,
    runs: Runs | None = None,
    cells: Sequence[Cell] | None = None,
) -> list[Standing]:
    """Where the cells of ``study`` stand among one's own runs, in its order.

    Args:
        runs: kept from one call to the next, it saves reading what has not changed.
        cells: some of the study's; None: all.
    """
    runs = runs or Runs(root)
    folder = study_folder(study.name, root)
    lengths, failures = read_lengths(folder), read_failures(folder)
    fitting = runs.fitting()
    return [
        _standing(cell, cell_profile(cell, lengths, runs), fitting, failures)
        for cell in (study.cells if cells is None else cells)
    ]


def known_study(
    name_or_file: str, root: Path | None, runs: Runs | None = None
) -> tuple[Study, list[Standing]]:
    """A study with where its cells stand, for a look or a report.

    That is the study as it was last run here; of one that nobody has begun here, and of which no
    run is here, the one that comes with mamltui, with its reference runs. The two are never mixed.

    Raises:
        MamltuiError: there is no such study, or it cannot be read.
    """
    runs = runs or Runs(root)
    study = begun_study(name_or_file, root)
    own = read_standings(study, root, runs)
    if is_begun(study.name, root) or any(each.run for each in own):
        return study, own
    study = reference_study(study.name) or study
    fitting = runs.fitting(references=True)
    matches = [
        _standing(cell, cell_profile(cell, {}, runs, references=True), fitting, {})
        for cell in study.cells
    ]
    return study, (matches if any(each.run for each in matches) else own)


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


def cell_profile(
    cell: Cell, lengths: Mapping[str, int], runs: Runs, *, references: bool = False
) -> Profile | None:
    """The profile of a cell; None while nobody knows how many iterations its minutes are."""
    if cell.iterations is not None or not cell.has_budget:
        return cell.profile()
    if cell.group in lengths:
        return cell.profile(lengths[cell.group])
    # A report of runs that came from another machine: they say themselves how long they were.
    length = runs.length(cell, references=references)
    return None if length is None else cell.profile(length)


def _standing(
    cell: Cell,
    profile: Profile | None,
    fitting: Mapping[str, list[ListedRun]],
    failures: Mapping[str, str],
) -> Standing:
    failure = failures.get(cell.name, "")
    if profile is None:
        return Standing(cell, "failed" if failure else "queued", None, why=failure)
    for listed in fitting.get(experiment_key(profile), ())[:1]:
        run, info = listed.folder, listed.info
        assert info is not None, "a run with a profile has a state"
        if info.state == "finished":
            evaluation = fitting_evaluation(listed, profile)
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
