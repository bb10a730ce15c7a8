"""Images that are loaded once, however many runs are trained and scored on them."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import TYPE_CHECKING

from mamltui.data.load import load_bank
from mamltui.data.progress import Progress
from mamltui.maml.memory import memory_explained

if TYPE_CHECKING:
    from mamltui.data.sampling import DataSource
    from mamltui.profiles import DataSection


class Banks:
    """Loads the images of profiles and keeps them; may be asked from any thread.

    Args:
        data_dir: a folder to look for Omniglot or CIFAR-100 in, before the others.
    """

    def __init__(self, data_dir: Path | None = None) -> None:
        self._data_dir = data_dir
        self._loaded: dict[tuple[str | int, ...], DataSource] = {}
        self._lock = threading.Lock()

    def bank(self, data: DataSection, progress: Progress | None = None) -> DataSource:
        """The images, or the waves, that ``data`` names; a second caller waits for the first one.

        Raises:
            DataError: the images are not there, damaged or hostile.
            DeviceError: there is no memory for them.
        """
        key = (data.set, data.path, data.resize, data.image_size, data.fit, data.unreadable)
        with self._lock:
            if key not in self._loaded:
                with memory_explained("take a smaller data.image_size, or fewer images"):
                    self._loaded[key] = load_bank(data, self._data_dir, progress=progress)
            return self._loaded[key]
