"""The user's cache folder: what is in it can be made again."""

from __future__ import annotations

import os
from pathlib import Path

import platformdirs

CACHE_DIR_VARIABLE = "MAMLTUI_CACHE_DIR"


def cache_folder() -> Path:
    """``MAMLTUI_CACHE_DIR``, or the system's place for a user's caches; it need not exist."""
    chosen = os.environ.get(CACHE_DIR_VARIABLE)
    if chosen:
        return Path(chosen).expanduser()
    return platformdirs.user_cache_path("mamltui", appauthor=False)
