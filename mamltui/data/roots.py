"""The folders in which data sets are looked for on this machine."""

from __future__ import annotations

import os
from pathlib import Path

from mamltui.caching import cache_folder

DATA_DIR_VARIABLE = "MAMLTUI_DATA_DIR"


def roots(data_dir: Path | None = None) -> list[tuple[str, Path]]:
    """The folders that a data set is looked for in, and what names each of them."""
    found = []
    if data_dir is not None:
        found.append(("--data-dir", data_dir))
    if named := os.environ.get(DATA_DIR_VARIABLE):
        found.append((DATA_DIR_VARIABLE, Path(named).expanduser()))
    return [*found, ("cache folder", cache_folder())]
