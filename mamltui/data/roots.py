"""The folders in which data sets are looked for on this machine."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from mamltui.caching import cache_folder, expanded
from mamltui.text import visible

DATA_DIR_VARIABLE = "MAMLTUI_DATA_DIR"

Found = TypeVar("Found")


def roots(data_dir: Path | None = None) -> list[tuple[str, Path]]:
    """The folders that a data set is looked for in, and what names each of them."""
    folders = []
    if data_dir is not None:
        folders.append(("--data-dir", data_dir))
    if named := os.environ.get(DATA_DIR_VARIABLE):
        folders.append((DATA_DIR_VARIABLE, expanded(Path(named))))
    return [*folders, ("cache folder", cache_folder())]


def search_roots(
    data_dir: Path | None, look_in: Callable[[str, Path], Found | str]
) -> tuple[Found | None, list[str]]:
    """What ``look_in`` finds in the first folder that has it, and what those before it lack.

    Args:
        look_in: told what names a folder, and the folder; what is found, or in words what lacks.
    """
    lacks: list[str] = []
    for origin, root in roots(data_dir):
        result = look_in(origin, root)
        if not isinstance(result, str):
            return result, lacks
        lacks.append(f"{origin}: {visible(str(root))}: {result}")
    return None, lacks
