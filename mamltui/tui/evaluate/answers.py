"""What is typed into the questions of the Evaluate screen, checked before it is taken."""

from __future__ import annotations

from pathlib import Path

from mamltui.errors import MamltuiError
from mamltui.profiles import parse_steps
from mamltui.results import write_text

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


def path_problem(text: str) -> str:
    """Why a file cannot be made there; empty if it can."""
    if not text.strip():
        return "a file name is needed"
    path = Path(text).expanduser()
    try:
        if path.is_symlink() or path.exists():
            return "that exists already, and nothing is overwritten"
        if not path.parent.is_dir():
            return "there is no such folder to write in"
    except (OSError, RuntimeError) as error:
        return f"that cannot be a file: {error}"
    return ""


def write_new(path: Path, text: str) -> None:
    """Write a file that is not there yet.

    Raises:
        MamltuiError: it is there, or cannot be written.
    """
    try:
        path.open("x").close()
    except OSError as error:
        raise MamltuiError(f"cannot be written: {error.strerror}", where=str(path)) from error
    try:
        write_text(path, text)
    except BaseException:
        path.unlink(missing_ok=True)
        raise
