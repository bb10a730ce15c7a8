"""Profiles and runs as the rows of Home's lists, and which of them a filter lets through."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from mamltui.measures import age, averaged, sparkline
from mamltui.runs import ListedRun
from mamltui.runs.seeds import SeedGroup
from mamltui.score import Score
from mamltui.statistics import seed_interval
from mamltui.text import visible
from mamltui.tui.home.profiles import ListedProfile
from mamltui.tui.shared.fitting import SPARK
from mamltui.tui.shared.row_list import Row, Tone

UNENDED = ("running", "paused", "interrupted")
"""States of runs that may go on: how far they are says more than how good."""
STAR = "★ "
STATE_TONES: dict[str, Tone] = {
    "running": "accent",
    "paused": "warn",
    "finished": "good",
    "interrupted": "warn",
    "diverged": "bad",
    "failed": "bad",
    "damaged": "bad",
    "abandoned": "muted",
}


def profile_row(listed: ListedProfile) -> Row:
    """Name, task, data set, inner steps in training and at test, what it is for."""
    profile = listed.profile
    if profile is None:
        return Row(listed.key, listed.name, note=visible(listed.problem))
    return Row(
        listed.key,
        listed.name,
        (
            (_task(listed), "plain"),
            (profile.data.set, "muted"),
            (f"{profile.inner.steps}/{profile.inner.test_steps}", "muted"),
            (visible(listed.purpose), "muted"),
        ),
    )


def run_row(
    listed: ListedRun, now: datetime, *, differs: str = "", marked: bool, whole: bool = True
) -> Row:
    """Name, what tells it from others of its profile, state, how good or how far it is, age.

    Args:
        whole: else nothing is read for it: its curve is left out and, if it is over, its result.
    """
    name = titled(listed)
    if listed.info is None:
        note = f"{listed.state}: {visible(listed.damage)}"
        return Row(listed.name, name, note=note, marked=marked)
    known = whole or _may_go_on(listed)
    text, kind = run_score(listed) if known else ("", "")
    score, _ = _score(listed) if known else (None, "")
    validations = listed.validations if whole else ()
    return Row(
        listed.name,
        name,
        (
            (visible(differs), "accent"),
            (_curve(validations), "muted"),
            (listed.what, "muted" if listed.is_reference else STATE_TONES[listed.state]),
            (text, "plain"),
            (kind, "muted"),
            (age(listed.info.created, now), "muted"),
        ),
        marked=marked,
        order=(
            name.removeprefix(STAR),
            visible(differs) or None,
            validations[-1] if validations else None,
            listed.what,
            None
            if score is None
            else score.order,  # how far a run is does not compare with how good others are
            kind,
            _days(listed, now),
        ),
    )


def group_row(group: SeedGroup, now: datetime, *, differs: str, marked: bool) -> Row:
    """A row for runs that differ in the seed alone: mean and 95% interval over the seeds."""
    first = group.first
    tests, validations = group.tests, group.validations
    # One seed that was tested does not speak for all.
    is_test = len(tests) > 1 or not validations
    values, of = (tests, "test") if is_test else (validations, "valid.")
    interval = seed_interval(values) if values else None
    name = f"{visible(first.info.profile if first.info else first.name)}, {group.words}"
    if interval is not None and len(values) > 1:
        name += f" ± {group.metric.number(interval.half_width)}"
    states = {run.what for run in group.runs}
    state: tuple[str, Tone] = ("mixed", "plain")
    if len(states) == 1:
        state = (first.what, STATE_TONES.get(first.state, "plain"))
    score = group.metric.text(interval.mean) if interval is not None else ""
    return Row(
        first.name,
        name,
        (
            (visible(differs), "accent"),
            (_curve(first.validations), "muted"),
            state,
            (score, "plain"),
            (of if score else "", "muted"),
            (age(first.info.created, now) if first.info else "", "muted"),
        ),
        marked=marked,
        order=(
            name,
            visible(differs) or None,
            None,
            state[0],
            Score(group.metric, interval.mean).order if interval is not None else None,
            of,
            _days(first, now),
        ),
    )


def _curve(validations: Sequence[float]) -> str:
    """Validation scores as a sparkline of at most ``SPARK`` cells."""
    return sparkline(averaged(validations, SPARK))


def titled(listed: ListedRun) -> str:
    """What a run is called, after a star if it has one."""
    return f"{STAR if listed.is_starred else ''}{visible(listed.title)}"


def _days(listed: ListedRun, now: datetime) -> float | None:
    """Its age in days; None if its clock was wrong."""
    if listed.info is None:
        return None
    created = datetime.fromisoformat(listed.info.created.replace("Z", "+00:00"))
    return (now - created).total_seconds() / 86_400


def run_score(listed: ListedRun) -> tuple[str, str]:
    """The number that says most about a run, with its unit, and what it is.

    The test of a run that is over by its profile's own protocol, else another one, called
    so; else its best validation; of a run that may go on how much of it is done.
    """
    score, kind = _score(listed)
    if score is not None:
        is_error = score.metric.is_error and kind == "test"
        return score.full, "error" if is_error else kind
    return (f"{int(100 * listed.share)} %", "done") if listed.info is not None else ("", "")


def _may_go_on(listed: ListedRun) -> bool:
    return listed.state in UNENDED and not listed.is_reference


def _score(listed: ListedRun) -> tuple[Score | None, str]:
    """The score of ``run_score``, and what it is of; None of a run that may go on."""
    if listed.info is None or _may_go_on(listed):
        return None, ""
    test, best = listed.newest_test, listed.info.best
    if test is not None:
        return test.headline().score, "test" if listed.headline is not None else "other"
    return (best.score if best else None), "valid."


def profile_passes(listed: ListedProfile, words: list[str]) -> bool:
    """Whether each word is somewhere in what is known of it; words are in lower case."""
    profile = listed.profile
    about = [listed.name, listed.origin, listed.purpose, listed.problem]
    if profile is not None:
        about += [_task(listed), profile.data.set, profile.description]
    return _holds(about, words)


def _task(listed: ListedProfile) -> str:
    return listed.profile.shape if listed.profile else ""


def _holds(about: list[str], words: list[str]) -> bool:
    text = " ".join(about).lower()
    return all(word in text for word in words)
