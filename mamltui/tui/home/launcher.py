"""What is opened, run or resumed from Home, and the screen that then shows it."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from mamltui.commands import run_command
from mamltui.errors import MamltuiError
from mamltui.runs import ListedRun, RunFolder
from mamltui.tui.home.profiles import ListedProfile

if TYPE_CHECKING:
    from mamltui.tui.shared.host import Host


class Launcher:
    """Takes a listed profile or run to Train, and a run to Draw."""

    def __init__(self, host: Host) -> None:
        self._host, self._session = host, host.session

    def open(self, listed: ListedProfile | ListedRun) -> None:
        """Show a run, or a profile to run it."""
        if isinstance(listed, ListedRun):
            run = RunFolder(listed.path)
            self._go("train", "Cannot be opened", lambda: self._session.watch(run))
        elif listed.profile is None:
            self._refuse_damaged(listed)
        else:
            self._session.stage(listed.profile, listed.source)
            self._host.go("train")

    def run(self, listed: ListedProfile) -> None:
        """Train a profile now; during a training, ask whether to queue it."""
        profile = listed.profile
        if profile is None:
            self._refuse_damaged(listed)
        elif self._session.is_training:
            self._host.offer_queue(profile)
        else:
            self._go("train", "Cannot run", lambda: self._session.start(profile, listed.source))

    def resume(self, listed: ListedRun) -> None:
        """Go on with a run."""
        run = RunFolder(listed.path)
        self._go("train", "Cannot be resumed", lambda: self._session.resume(run))

    def draw(self, listed: ListedRun) -> None:
        """Draw for a run, which answers."""
        self._go("draw", "Cannot be opened", lambda: self._session.watch(listed.folder))

    def command(self, listed: ListedProfile | ListedRun) -> str:
        """The headless command that runs or resumes it."""
        common = self._session.options.common
        if isinstance(listed, ListedProfile):
            return run_command(listed.source, common)
        resume = listed.name if listed.can_resume else None
        return run_command(str(listed.path / "profile.toml"), common, resume=resume)

    def _go(self, screen: str, failure: str, prepare: Callable[[], object]) -> None:
        """Show a screen when all is prepared for it, or what is in the way."""
        try:
            prepare()
        except MamltuiError as error:
            self._host.report(failure, error)
        else:
            self._host.go(screen)

    def _refuse_damaged(self, listed: ListedProfile) -> None:
        text = "This profile cannot be run"
        self._session.tell(text, listed.problem, severity="error")
