"""What Home lists, read in one go."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from mamltui.tui.session.options import Options

if TYPE_CHECKING:  # these import pydantic, which the first paint does without
    from mamltui.runs import ListedRun, RunCatalogue
    from mamltui.tui.home.profiles import ListedProfile, ProfileCatalogue


FEW = 50
"""Runs of which all is read before any is listed."""


@dataclass(frozen=True)
class Listing:
    """All that Home lists."""

    profiles: tuple[ListedProfile, ...] = ()
    runs: tuple[ListedRun, ...] = ()
    runs_problem: str = ""
    """Why the runs cannot be read, to be shown literally."""
    is_whole: bool = True
    """More of each run is read than its ``run.json``: profile, results, curve."""

    @property
    def interrupted(self) -> list[ListedRun]:
        """Runs that can go on, the newest first."""
        return [run for run in self.runs if run.is_interrupted]


class ListingReader:
    """Reads profiles and runs again and again; what has not changed is not read anew."""

    def __init__(self, options: Options) -> None:
        self._options = options
        self._catalogues: tuple[ProfileCatalogue, RunCatalogue] | None = None

    def read(self) -> Listing:
        """All there is now; made for a thread, which also imports what showing it needs.

        Where there are many runs the first listing is not whole, so that they are seen early.
        """
        from mamltui.errors import RunError
        from mamltui.runs import RunCatalogue, differing, query, seeds  # noqa: F401
        from mamltui.text import visible
        from mamltui.tui.home import facts, rows  # noqa: F401
        from mamltui.tui.home.profiles import ProfileCatalogue

        is_first = self._catalogues is None
        if self._catalogues is None:
            self._catalogues = (
                ProfileCatalogue(self._options.profiles_dir),
                RunCatalogue(self._options.runs, references=True),
            )
        profiles, runs = self._catalogues
        listed = profiles.read()
        try:
            found = runs.read()
            if is_first and len(found) > FEW:
                return Listing(listed, found, is_whole=False)
            return Listing(listed, tuple(run.load() for run in found))
        except RunError as error:
            return Listing(listed, (), visible(str(error)))
