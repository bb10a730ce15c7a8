"""What is known of the profile, the run or the group of runs under the cursor."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import TYPE_CHECKING

from textual.app import ComposeResult
from textual.containers import Vertical
from textual.content import Content

from mamltui.tui.shared.details import Details
from mamltui.tui.shared.lines import Lines

if TYPE_CHECKING:  # these import pydantic, which the first paint does without
    from mamltui.runs import ListedRun
    from mamltui.runs.seeds import SeedGroup
    from mamltui.tui.home.profiles import ListedProfile


class About(Vertical):
    """A title, and details to scroll through."""

    _shown: tuple[object, ...] = ()

    def compose(self) -> ComposeResult:
        yield Lines(id="subject")
        yield Details(id="details")

    def show(self, listed: ListedProfile | ListedRun | None, group: SeedGroup | None) -> None:
        """Show this one; nothing is done while it and its age in words are the same.

        Args:
            group: the runs that share a row with it.
        """
        from mamltui.measures import age
        from mamltui.runs import ListedRun
        from mamltui.text import visible
        from mamltui.tui.home import facts

        now = datetime.now(timezone.utc)
        info = listed.info if isinstance(listed, ListedRun) else None
        shown = (listed, group, age(info.created, now) if info else "")
        if shown == self._shown:
            return
        self._shown = shown
        title = visible(listed.name) if listed else ""
        if isinstance(listed, ListedRun) and listed.title != listed.name:
            title = f"{visible(listed.title)}   {title}"
        entries = facts.entries(listed, now) if listed else []
        if group is not None:
            title, entries = f"{title}, {group.words}", facts.group_entries(group)
        self.query_one("#subject", Lines).show([Content(title)])
        self.query_one(Details).show(entries, of=f"{type(listed)} {title}")
