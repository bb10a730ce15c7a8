"""Where runs are, how their folders are called, and which of them never became a run."""

from __future__ import annotations

import os
import re
import secrets
import time
from pathlib import Path

from mamltui.atomic import GONE_SECONDS, PART_PATTERN, is_untouched
from mamltui.caching import expanded
from mamltui.runs.lock import Lock

RUNS_VARIABLE = "MAMLTUI_RUNS_DIR"
REFERENCE_VARIABLE = "MAMLTUI_REFERENCE_DIR"
FOLDERS = ("checkpoints", "evaluation")
"""In each run folder."""
_PACKAGE = Path(__file__).parents[1]
_REFERENCE_FOLDERS = (_PACKAGE / "reference_runs", _PACKAGE.parent / "runs" / "reference")
_NAME = re.compile(r".+-\d{8}-\d{6}-[0-9a-f]{4}", re.DOTALL)
_FILES = ("lock", "profile.toml")
"""What is made, with ``FOLDERS``, before ``run.json``, which makes a run of it."""


def runs_root(root: Path | None = None) -> Path:
    """``root``, else ``MAMLTUI_RUNS_DIR``, else ``runs`` in the current folder."""
    return expanded(root or Path(os.environ.get(RUNS_VARIABLE) or "runs"))


def reference_root() -> Path | None:
    """The folder of the runs that come with mamltui; None: they are not there.

    ``MAMLTUI_REFERENCE_DIR``, else in the installed package, else in the source tree.
    """
    chosen = os.environ.get(REFERENCE_VARIABLE)
    folders = (Path(chosen),) if chosen else _REFERENCE_FOLDERS
    return next((folder for folder in folders if folder.is_dir()), None)


def new_folder(root: Path, profile_name: str) -> Path:
    """A folder for a new run below ``root``, which no other process has.

    Raises:
        OSError: it cannot be made.
    """
    while True:
        stamp = time.strftime("%Y%m%d-%H%M%S")
        path = root / f"{profile_name}-{stamp}-{secrets.token_hex(2)}"
        try:
            path.mkdir()
        except FileExistsError:
            continue
        return path


def is_abandoned(path: Path) -> bool:
    """Whether ``path`` is what is left where the making of a run was killed: nothing is in it yet.

    A run that is just being made is not.
    """
    try:
        if not _NAME.fullmatch(path.name) or path.is_symlink():
            return False
        inside = [each for each in path.iterdir() if not each.match(PART_PATTERN)]
        if not all(map(_is_made_first, inside)):
            return False
        lock = Lock(path / "lock")
        return lock.is_free() if lock.path.exists() else is_untouched(path, GONE_SECONDS)
    except OSError:
        return False


def _is_made_first(path: Path) -> bool:
    if path.name in FOLDERS:
        return path.is_dir() and not any(path.iterdir())
    return path.name in _FILES and path.is_file()
