"""What the Study screen shows, read from run folders in a thread of its own."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path

from mamltui.curves.series import Series
from mamltui.errors import MamltuiError
from mamltui.events import Validated
from mamltui.runs import START, Position, RunFolder, runs_root
from mamltui.studies.launch import is_worked_on
from mamltui.studies.progress import Progress, progress_of
from mamltui.studies.reading import COPY, STUDIES, begun_study, is_begun, packaged_studies
from mamltui.studies.standing import OVER, Runs, Standing, known_study
from mamltui.studies.study import Study


@dataclass(frozen=True)
class ListedStudy:
    """A study in the list: packaged, or begun among these runs."""

    name: str
    study: Study | None
    problem: str
    is_begun: bool
    is_worked_on: bool
    over: int | None = None
    """Cells that are; None: not counted."""
    is_reference: bool = False
    """The cells counted are runs that come with mamltui."""


@dataclass(frozen=True)
class Board:
    """One study at one moment."""

    study: Study
    standings: tuple[Standing, ...]
    progress: Progress
    is_begun: bool
    is_worked_on: bool
    validation: dict[str, Series]
    """Accuracy on validation tasks over iterations, by the cells' names; grows where it is."""
    by_steps: dict[str, Series]
    """Accuracy on the test split over inner steps, likewise."""


@dataclass
class _Followed:
    position: Position = START
    series: Series = field(default_factory=Series)


class BoardReader:
    """Reads studies below a folder of runs; what has been read is not read again.

    One thread at a time may use it.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        self._runs = Runs(root)
        self._followed: dict[Path, _Followed] = {}
        self._by_steps: dict[tuple[Path, int], Series] = {}
        self._counts: dict[str, tuple[int, bool]] = {}

    def studies(self, *, counted: bool) -> tuple[ListedStudy, ...]:
        """The packaged studies, and those that were begun here.

        Args:
            counted: count the cells that are over, which takes half a second at first; later
                those alone of studies that are worked on.
        """
        begun = {path.parent.name for path in self._begun()}
        names = [*packaged_studies(), *sorted(begun - set(packaged_studies()))]
        listed = [self._listed(name, name in begun) for name in names]
        return tuple(self._counted(each) for each in listed) if counted else tuple(listed)

    def count_again(self) -> None:
        """Cells that are over are to be counted anew; may be called from another thread."""
        self._counts = {}

    def board(self, name: str) -> Board:
        """A study as it was last run; one that was not begun, as its file says.

        Raises:
            MamltuiError: it cannot be read.
        """
        study, standings = known_study(name, self._root, self._runs)
        validation, by_steps = {}, {}
        for each in standings:
            if each.run is not None:
                validation[each.cell.name] = self._follow(each.run)
            if each.run is not None and each.evaluation is not None:
                key = (each.run.path, len(each.evaluation.steps))
                if key not in self._by_steps:
                    results = each.evaluation.transductive
                    self._by_steps[key] = Series(
                        [result.steps for result in results],
                        [result.score.value for result in results],
                    )
                by_steps[each.cell.name] = self._by_steps[key]
        return Board(
            study=study,
            standings=tuple(standings),
            progress=progress_of(study, standings),
            is_begun=is_begun(study.name, self._root),
            is_worked_on=is_worked_on(study.name, self._root),
            validation=validation,
            by_steps=by_steps,
        )

    def _begun(self) -> list[Path]:
        return list((runs_root(self._root) / STUDIES).glob(f"*/{COPY}"))

    def _listed(self, name: str, is_begun: bool) -> ListedStudy:
        try:
            study, problem = begun_study(name, self._root), ""
        except MamltuiError as error:
            study, problem = None, str(error)
        return ListedStudy(name, study, problem, is_begun, is_worked_on(name, self._root))

    def _counted(self, listed: ListedStudy) -> ListedStudy:
        if listed.study is None:
            return listed
        counts = self._counts
        if listed.is_worked_on or listed.name not in counts:
            _, standings = known_study(listed.name, self._root, self._runs)
            counts[listed.name] = (
                sum(each.state in OVER for each in standings),
                any(each.run.is_reference for each in standings if each.run is not None),
            )
        over, is_reference = counts[listed.name]
        return replace(listed, over=over, is_reference=is_reference)

    def _follow(self, run: RunFolder) -> Series:
        """The validation curve of a run, with what is new since the last time."""
        followed = self._followed.setdefault(run.path, _Followed())
        try:
            page = run.read_events(followed.position)
        except MamltuiError:  # its training will say so
            return followed.series
        if page.restarted:
            followed.series = Series()
        for logged in page.records:
            if isinstance(logged.event, Validated):
                followed.series.append(logged.event.iteration, logged.event.score.value)
        followed.position = page.position
        return followed.series
