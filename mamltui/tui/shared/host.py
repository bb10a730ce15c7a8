"""What a screen may ask of the app that shows it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from mamltui.profiles import Profile
    from mamltui.runs import RunFolder
    from mamltui.tui.session.session import Session


class Host(Protocol):
    """The app, as its screens and their widgets know it."""

    session: Session
    """What the screens share."""

    @property
    def current_mode(self) -> str:
        """The name of the screen that is shown."""

    def go(self, name: str) -> None:
        """Show one of the screens."""

    def open_episode(self, run: RunFolder, split: str, step: int) -> None:
        """Show the episodes of ``run`` on a split, after ``step`` inner steps."""

    def offer_queue(self, profile: Profile) -> None:
        """Ask whether ``profile`` is to be trained after the training that is going on."""

    def report(self, title: str, error: BaseException) -> None:
        """Show an error of something that was asked for; the app lives on."""

    def load_torch(self) -> None:
        """Import torch in a thread of its own, unless that was done."""

    def training_summary(self, *, short: bool) -> str:
        """What trains in this process, for the status line; empty if nothing does."""
