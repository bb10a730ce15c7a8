"""What is typed into the questions of the Evaluate screen, checked before it is taken."""

from __future__ import annotations

from mamltui.profiles import parse_steps

MOST_EPISODES = 10_000_000


def steps_problem(text: str) -> str:
    """Why these are no step counts; empty if they are, or nothing is typed."""
    if not text.strip():
        return ""
    try:
        parse_steps(text)
    except ValueError as error:
        return str(error)
    return ""


def episodes_problem(text: str) -> str:
    """Why this is no number of episodes; empty if it is, or nothing is typed."""
    if not text.strip():
        return ""
    if not (text.strip().isascii() and text.strip().isdigit() and len(text) < 20):
        return "this is not a number of episodes"
    if not 2 <= int(text) <= MOST_EPISODES:
        return f"from 2 to {MOST_EPISODES:,} episodes"
    return ""
