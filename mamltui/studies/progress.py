"""How far a study is as a whole, and how long it will still take."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from mamltui.studies.standing import OVER, Standing
from mamltui.studies.study import Study
from mamltui.studies.timing import cost, training_share


@dataclass(frozen=True)
class Progress:
    """Of all cells together."""

    cells: int
    over: int
    states: dict[str, int]
    """How many cells are in each state, in the order of a cell's life."""
    fraction: float
    """Of the work, each cell counted by what it costs."""
    seconds_left: float | None
    """None while nothing has been timed yet."""

    @property
    def words(self) -> str:
        """E.g. ``3 of 6 cells over: 2 done, 1 diverged, 2 running, 1 queued``."""
        states = ", ".join(f"{count} {state}" for state, count in self.states.items())
        return f"{self.over} of {self.cells} cells over: {states}"


LIFE = ("done", "diverged", "failed", "trained", "running", "interrupted", "queued")


def progress_of(
    study: Study,
    standings: Sequence[Standing],
    *,
    workers: int = 1,
    working: Collection[str] = (),
) -> Progress:
    """Sum up the standings of a study.

    Args:
        workers: cells that are worked on at once.
        working: names of the cells that are worked on now.
    """
    costs = [_cost(standing) for standing in standings]
    known = [each for each in costs if each is not None]
    usual = sum(known) / len(known) if known else 1.0
    seconds_a_cost = _pace(standings, costs)
    done = total = 0.0
    left: list[float | None] = []
    for standing, maybe in zip(standings, costs, strict=True):
        whole = usual if maybe is None else maybe
        share = _share_done(standing)
        total += whole
        done += whole * share
        if standing.state in OVER:
            continue
        own = _pace([standing], [maybe])
        pace = own if own is not None else seconds_a_cost
        if pace is not None:
            left.append(whole * (1 - share) * pace)
        elif study.minutes is not None:
            left.append(60 * study.minutes)
        else:
            left.append(None)
    seconds_left = None
    if None not in left:
        each = [seconds for seconds in left if seconds is not None]
        seconds_left = max([sum(each) / workers, *each]) if each else 0.0
    counts = Counter(_state(standing, working) for standing in standings)
    return Progress(
        cells=len(standings),
        over=sum(standing.state in OVER for standing in standings),
        states={state: counts[state] for state in LIFE if counts[state]},
        fraction=done / total if total else 1.0,
        seconds_left=seconds_left,
    )


def _state(standing: Standing, working: Collection[str]) -> str:
    is_busy = standing.cell.name in working and standing.state not in OVER
    return "running" if is_busy else standing.state


def _cost(standing: Standing) -> float | None:
    return cost(standing.profile) if standing.profile else None


def _share_done(standing: Standing) -> float:
    if standing.state in OVER or standing.profile is None:
        return float(standing.state in OVER)
    return standing.share * training_share(standing.profile)


def _pace(standings: Sequence[Standing], costs: Sequence[float | None]) -> float | None:
    """Seconds of training for a unit of cost, over what has been trained so far."""
    seconds = done = 0.0
    for standing, whole in zip(standings, costs, strict=True):
        if standing.info is None or whole is None or standing.profile is None:
            continue
        part = whole * standing.share * training_share(standing.profile)
        # The first iterations are slow, and say little.
        if standing.info.elapsed > 2 and part > 0:
            seconds += standing.info.elapsed
            done += part
    return seconds / done if done else None
