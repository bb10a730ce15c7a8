"""The two lists of Home, of which one is at hand, and what is under its cursor."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING

from textual import events
from textual.app import ComposeResult
from textual.containers import Container
from textual.message import Message

from mamltui.tui.home.listing import Listing
from mamltui.tui.shared.fitting import SPARK
from mamltui.tui.shared.row_list import Column, RowList

if TYPE_CHECKING:  # these import pydantic, which the first paint does without
    from mamltui.runs import ListedRun
    from mamltui.runs.seeds import SeedGroup
    from mamltui.tui.home.profiles import ListedProfile

PROFILE_COLUMNS = (
    Column("task", 13, 1),
    Column("data set", 8, 3),
    Column("steps", 5, 2, right=True),
    Column("for", 11, 4),
)
RUN_COLUMNS = (
    Column("differs in", 20, 5, optional=True),
    Column("curve", SPARK, 6, least_name=18, optional=True),
    Column("state", 11, 1),
    Column("result", 7, 2, right=True),
    Column("of", 6, 3),
    Column("age", 7, 4, right=True),
)


class HomeLists(Container):
    """Profiles and runs; the list at hand is the one that has, or last had, the focus."""

    class Changed(Message):
        """Another item is under the cursor of the list at hand."""

    def __init__(self, *, id: str) -> None:
        super().__init__(id=id)
        self.at_hand = "profiles"
        self._listing: Listing | None = None
        self._groups: dict[str, SeedGroup] = {}
        """The folded rows, by the name of the first run of each."""

    def compose(self) -> ComposeResult:
        yield RowList("Profiles", PROFILE_COLUMNS, id="profiles")
        yield RowList("Runs", RUN_COLUMNS, id="runs")

    def say(self, text: str) -> None:
        """Show a text instead of the rows, before there are any."""
        self._rows("profiles").show((), title="Profiles", empty=text)
        self._rows("runs").show((), title="Runs", empty=text)

    def show(
        self, listing: Listing, asked: str, marked: Collection[str], *, folded: bool = False
    ) -> None:
        """Show what is listed, as far as it fulfils a query.

        Args:
            listing: whole, unless nothing is asked or folded.
            asked: words, and for runs conditions: see :mod:`mamltui.runs.query`.
            marked: names of runs.
            folded: runs that differ in their seed alone share a row.
        """
        from mamltui.errors import UsageError
        from mamltui.runs.differing import told_apart
        from mamltui.runs.query import Query
        from mamltui.runs.seeds import seed_groups
        from mamltui.text import visible
        from mamltui.tui.home import rows

        self._listing = listing
        self.set_class(bool(listing.runs), "-has-runs")
        now = datetime.now(timezone.utc)
        query, problem = Query(), ""
        try:
            query = Query.parse(asked)
        except UsageError as error:
            problem = visible(error.what)
        words = list(query.words)
        profiles = [
            rows.profile_row(profile)
            for profile in listing.profiles
            if rows.profile_passes(profile, words)
        ]
        matches = [run for run in listing.runs if not problem and query.matches(run)]
        groups = seed_groups(matches) if folded else []
        self._groups = {group.first.name: group for group in groups if len(group.runs) > 1}
        known = listing.runs if listing.is_whole else ()
        differing = told_apart(known, seeds=not folded)
        shown = [group.first for group in groups] if folded else matches
        runs = [
            rows.group_row(
                self._groups[run.name],
                now,
                differs=differing[run.name],
                marked=all(each.name in marked for each in self._groups[run.name].runs),
            )
            if run.name in self._groups
            else rows.run_row(
                run,
                now,
                differs=differing.get(run.name, ""),
                marked=run.name in marked,
                whole=listing.is_whole,
            )
            for run in shown
        ]
        nothing = problem or ("nothing fits the filter" if asked.strip() else "")
        self._rows("profiles").show(
            profiles,
            title=_count("Profiles", len(profiles), len(listing.profiles)),
            empty=nothing,
        )
        self._rows("runs").show(
            runs,
            title=_count("Runs", len(matches), len(listing.runs)),
            empty=listing.runs_problem or nothing or "none yet: Enter opens a profile, r runs it",
        )

    @property
    def profile(self) -> ListedProfile | None:
        """Under the cursor of the profiles."""
        row = self._rows("profiles").row
        if self._listing is None or row is None:
            return None
        return next((item for item in self._listing.profiles if item.key == row.key), None)

    @property
    def run(self) -> ListedRun | None:
        """Under the cursor of the runs."""
        row = self._rows("runs").row
        if self._listing is None or row is None:
            return None
        return next((item for item in self._listing.runs if item.name == row.key), None)

    @property
    def group(self) -> SeedGroup | None:
        """The runs that share the row under the cursor of the runs."""
        row = self._rows("runs").row
        return self._groups.get(row.key) if row else None

    @property
    def runs(self) -> list[ListedRun]:
        """All of the row under the cursor of the runs."""
        group, run = self.group, self.run
        return list(group.runs) if group is not None else [run] if run is not None else []

    @property
    def current(self) -> ListedProfile | ListedRun | None:
        """Under the cursor of the list at hand."""
        return self.run if self.at_hand == "runs" else self.profile

    def take_focus(self, name: str = "") -> None:
        """Go to a list, or back to the one at hand."""
        self._put_at_hand(name or self.at_hand)
        # A list that was hidden is there only after the next refresh.
        self.call_after_refresh(self._rows(self.at_hand).focus)

    def step_down(self) -> None:
        """Move the cursor of the list at hand, as the arrow does there."""
        self._rows(self.at_hand).action_move(1)

    def find_profile(self, path: Path) -> bool:
        """Put the cursor on the profile of a file; whether it is shown."""
        listed = self._listing.profiles if self._listing else ()
        wanted = path.resolve()
        return any(
            self._rows("profiles").go_to(profile.key)
            for profile in listed
            if profile.path.resolve() == wanted
        )

    def on_descendant_focus(self, event: events.DescendantFocus) -> None:
        if event.widget.id in ("profiles", "runs"):
            self._put_at_hand(event.widget.id)

    def on_row_list_moved(self, event: RowList.Moved) -> None:
        if event.control.id == self.at_hand:
            self.post_message(self.Changed())

    def _put_at_hand(self, name: str) -> None:
        if name != self.at_hand:
            self.at_hand = name
            self.set_class(name == "runs", "-runs")
            self.post_message(self.Changed())

    def _rows(self, name: str) -> RowList:
        return self.query_one(f"#{name}", RowList)


def _count(title: str, shown: int, all_of_them: int) -> str:
    """E.g. ``Runs 12``, or with a filter ``Runs 3 of 12``."""
    return f"{title} {shown}" if shown == all_of_them else f"{title} {shown} of {all_of_them}"
