"""Profiles and runs as the rows of Home's lists, and which of them a filter lets through."""

from __future__ import annotations

from datetime import datetime

from mamltui.text import visible
from mamltui.tui.shared.listing import ListedProfile, ListedRun, age
from mamltui.tui.shared.row_list import Row, Tone

STATE_TONES: dict[str, Tone] = {
    "running": "accent",
    "paused": "warn",
    "finished": "good",
    "interrupted": "warn",
    "diverged": "bad",
    "failed": "bad",
    "damaged": "bad",
}


def profile_row(listed: ListedProfile) -> Row:
    """Name, task, data set, inner steps in training and at test, where it is from."""
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
            (listed.origin, "muted"),
        ),
    )


def run_row(listed: ListedRun, now: datetime, *, marked: bool) -> Row:
    """Name, state, how good or how far it is, age."""
    name = visible(listed.name)
    if listed.info is None:
        return Row(listed.name, name, note=f"damaged: {listed.problem}", marked=marked)
    score, kind = listed.score
    return Row(
        listed.name,
        name,
        (
            (listed.state, STATE_TONES[listed.state]),
            (score, "plain"),
            (kind, "muted"),
            (age(listed.info.created, now), "muted"),
        ),
        marked=marked,
    )


def profile_passes(listed: ListedProfile, words: list[str]) -> bool:
    """Whether each word is somewhere in what is known of it; words are in lower case."""
    profile = listed.profile
    about = [listed.name, listed.origin, listed.problem]
    if profile is not None:
        about += [_task(listed), profile.data.set, profile.description]
    return _holds(about, words)


def run_passes(listed: ListedRun, words: list[str]) -> bool:
    """As :func:`profile_passes`."""
    about = [visible(listed.name), listed.state, listed.problem]
    if listed.info is not None:
        about.append(listed.info.profile)
    return _holds(about, words)


def _task(listed: ListedProfile) -> str:
    profile = listed.profile
    return f"{profile.task.way}-way {profile.task.shot}-shot" if profile else ""


def _holds(about: list[str], words: list[str]) -> bool:
    text = " ".join(about).lower()
    return all(word in text for word in words)
