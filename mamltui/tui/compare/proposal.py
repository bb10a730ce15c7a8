"""Which runs are compared before anybody has chosen some on the screen."""

from __future__ import annotations

from collections.abc import Sequence

from mamltui.runs import ListedRun


class Proposal:
    """Proposes the runs that are marked in Home, or without marks the open one and its forerunner.

    Attributes:
        unasked: the names that were proposed although no run was marked.
    """

    def __init__(self) -> None:
        self.unasked: list[str] = []
        self._marked: list[str] = []
        """The marks of Home that were taken over."""
        self._names: list[str] = []
        """To be chosen as soon as the list is there."""
        self._open_run = ""
        """As it was when the list was there last."""

    def heed_marks(self, marked: Sequence[str]) -> None:
        """Propose the marked runs, if they are others than before."""
        if list(marked) != self._marked:
            self._marked = list(marked)
            self._names = list(marked)

    def heed_open_run(self, name: str, runs: Sequence[ListedRun], *, is_chosen: bool) -> bool:
        """Propose the open run, unless others are proposed or chosen; whether it was not open yet.

        Args:
            name: empty where no run is open.
            runs: all there are, the newest first.
            is_chosen: whether any run is compared.
        """
        if name == self._open_run or all(run.name != name for run in runs):
            return False
        self._open_run = name
        if not self._names and not is_chosen:
            self._names = self.unasked = with_the_one_before(name, runs)
        return True

    def take(self) -> list[str]:
        """The names, of which each is given once."""
        names, self._names = self._names, []
        return names


def with_the_one_before(name: str, runs: Sequence[ListedRun]) -> list[str]:
    """A run, and the one of the same profile that was begun before it, if there is one.

    Args:
        runs: all there are, the newest first; ``name`` is among them.
    """
    index = [run.name for run in runs].index(name)
    info = runs[index].info
    before = [
        run.name
        for run in runs[index + 1 :]
        if run.info is not None
        and info is not None
        and run.info.profile == info.profile
        and not run.is_archived
    ]
    return [name, *before[:1]]
