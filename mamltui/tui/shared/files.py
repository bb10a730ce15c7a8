"""Files that are asked for in a dialog, and written when they are not there yet."""

from __future__ import annotations

from pathlib import Path

from mamltui.errors import MamltuiError
from mamltui.results import write_text


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
