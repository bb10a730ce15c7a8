"""The user's cache folder: what is in it can be made again."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import platformdirs

CACHE_DIR_VARIABLE = "MAMLTUI_CACHE_DIR"


def cache_folder() -> Path:
    """``MAMLTUI_CACHE_DIR``, or the system's place for a user's caches; it need not exist."""
    chosen = os.environ.get(CACHE_DIR_VARIABLE)
    if chosen:
        return expanded(Path(chosen))
    try:
        folder = platformdirs.user_cache_path("mamltui", appauthor=False)
    except RuntimeError:
        folder = Path("~")
    if folder.parts[0] == "~":  # a user without a home: of a container, of a batch system
        return Path(tempfile.gettempdir()) / f"mamltui-{os.getuid()}"
    return folder


def expanded(path: Path) -> Path:
    """With the user's home for ``~``, where the user has one."""
    try:
        return path.expanduser()
    except RuntimeError:
        return path
