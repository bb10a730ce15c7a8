"""What the app remembers from one start to the next: theme, chart settings, last profile."""

from __future__ import annotations

import json
import os
from contextlib import suppress
from pathlib import Path
from typing import Any

from mamltui.atomic import write_atomically

STATE_VARIABLE = "MAMLTUI_STATE_DIR"
LARGEST = 1_000_000
"""Bytes of the file, which has a few hundred."""


def state_file() -> Path:
    """The file, in ``MAMLTUI_STATE_DIR`` or the user's folder for such things."""
    folder = os.environ.get(STATE_VARIABLE)
    if not folder:
        import platformdirs

        from mamltui.caching import cache_folder

        try:
            folder = platformdirs.user_state_dir("mamltui")
        except RuntimeError:  # a user without a home
            folder = str(cache_folder())
    return Path(folder) / "app.json"


class Memory:
    """Values by name. What cannot be read or written is forgotten: it is a comfort, not data.

    Args:
        keeps: write to ``path`` what is set; else it is remembered until the app is left.
    """

    def __init__(self, path: Path, *, keeps: bool = True) -> None:
        self._path, self._keeps = path, keeps
        self._values: dict[str, Any] = {}
        # Not by mamltui.untrusted: it imports pydantic, which the first paint does without.
        with suppress(OSError, ValueError, RecursionError):
            if path.is_file() and path.stat().st_size <= LARGEST:
                values = json.loads(path.read_bytes())
                if isinstance(values, dict):
                    self._values = values

    def get(self, name: str, default: Any) -> Any:
        """The value last set, if it is of the same type as ``default``."""
        value = self._values.get(name, default)
        return value if type(value) is type(default) else default

    def set(self, name: str, value: Any) -> None:
        """Remember a value that JSON can say; written at once."""
        if self._values.get(name) == value:
            return
        self._values[name] = value
        if not self._keeps:
            return
        with suppress(OSError):
            self._path.parent.mkdir(parents=True, exist_ok=True)
            write_atomically(self._path, json.dumps(self._values, indent=2).encode())
