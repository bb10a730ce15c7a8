"""The run that the screens show: trained here, trained elsewhere, over, or not begun."""

from __future__ import annotations

from collections.abc import Sequence

from mamltui.commands import CommonOptions, run_command
from mamltui.curves.history import RunHistory
from mamltui.profiles import Profile
from mamltui.results import StepResult
from mamltui.runs import RunFolder
from mamltui.tui.session.following import Follower
from mamltui.tui.session.training import Training


class Watched:
    """One of: a ``training`` of this process, a run followed by its files, a profile not yet run.

    Args:
        profile: what is, was or will be trained.
        source: the profile as a command names it: a file, or a packaged name.
        overrides: what was changed of it, as for ``--set``.
        training: of this process.
        follower: of a run that this process does not train.
    """

    def __init__(
        self,
        profile: Profile,
        source: str,
        *,
        overrides: Sequence[str] = (),
        training: Training | None = None,
        follower: Follower | None = None,
    ) -> None:
        self.profile = profile
        self.source = source
        self.overrides = tuple(overrides)
        self.training = training
        self.follower = follower
        self._nothing = RunHistory()

    @property
    def run(self) -> RunFolder | None:
        """The run's folder; None before there is one."""
        if self.training is not None:
            return self.training.run
        return self.follower.run if self.follower else None

    @property
    def name(self) -> str:
        """The run's name, or the profile's before there is a run."""
        return self.run.name if self.run else self.profile.name

    @property
    def title(self) -> str:
        """What people call the run; empty where that is its name."""
        if self.follower is not None:
            return self.follower.info.title if self.follower.info else ""
        return self.run.title if self.run else ""

    @property
    def history(self) -> RunHistory:
        if self.training is not None:
            return self.training.history
        return self.follower.history if self.follower else self._nothing

    @property
    def state(self) -> str:
        """In one word: ``ready`` before there is a run."""
        if self.training is not None:
            return self.training.state
        if self.follower is None:
            return "ready"
        if self.follower.problem:
            return "damaged"
        info = self.follower.info
        if info is None:
            return "reading"
        return "training" if info.state == "running" else info.state

    @property
    def is_reading(self) -> bool:
        """Whether only a part of a run's files has been read so far."""
        return self.follower is not None and not self.follower.is_loaded

    @property
    def note(self) -> str:
        """What is done just now, or why it ended; in words, often empty."""
        if self.training is not None:
            training = self.training
            return training.error_text() or training.note or self._remark
        if self.follower is None:
            return ""
        if self.follower.problem or self.is_reading:
            return self.follower.problem or "reading the run's files"
        error = self.follower.info.error if self.follower.info else None
        return _reason_text(error or "") or self._remark

    @property
    def _remark(self) -> str:
        newest = self.history.newest()
        return _reason_text(newest.reason) or (newest.warning if self.is_live else "")

    @property
    def test(self) -> StepResult | None:
        """The headline of its test, by the profile's own protocol, as soon as there is one."""
        if self.training is not None and self.training.evaluation is not None:
            return self.training.evaluation.headline()
        evaluation = self.follower.test if self.follower else None
        return evaluation.headline() if evaluation else None

    @property
    def is_live(self) -> bool:
        """Something is still happening, here or in another process."""
        return self.state in ("preparing", "training", "paused", "stopping", "evaluating")

    @property
    def can_resume(self) -> bool:
        """The run ended before its time, and nobody trains it."""
        if self.training is not None and not self.training.is_over:
            return False
        return self.run is not None and self.state in ("interrupted", "stopped", "failed")

    def command(self, common: CommonOptions) -> str:
        """The headless command that does the same."""
        if self.can_resume and self.run is not None:
            profile = str(self.run.path / "profile.toml")
            return run_command(profile, common, resume=self.run.name)
        return run_command(self.source, common, overrides=self.overrides)


def _reason_text(reason: str) -> str:
    """Why a run ended, in words: of a signal a run folder has the name alone."""
    return f"stopped by {reason}" if reason.startswith("SIG") else reason
