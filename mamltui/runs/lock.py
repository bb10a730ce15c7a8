"""One process at a time trains into a run folder."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

if sys.platform == "win32":
    import msvcrt

    def _try_lock(descriptor: int) -> None:
        msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
else:
    import fcntl

    def _try_lock(descriptor: int) -> None:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)


# A reader that asks whether the lock is free holds it for an instant.
TRIES, WAIT = 10, 0.02


class Lock:
    """A lock on a file, which the operating system frees when the process ends, however it ends."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._descriptor: int | None = None

    @property
    def held(self) -> bool:
        """By this object."""
        return self._descriptor is not None

    def acquire(self) -> bool:
        """Whether the lock is now held by this object; False: another holds it.

        Raises:
            OSError: the file cannot be opened.
        """
        for _ in range(TRIES):
            if self.held or self._acquire():
                return True
            time.sleep(WAIT)
        return False

    def _acquire(self) -> bool:
        descriptor = os.open(
            self.path, os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0), 0o666
        )
        try:
            _try_lock(descriptor)
        except (BlockingIOError, PermissionError):
            os.close(descriptor)
            return False
        except BaseException:
            os.close(descriptor)
            raise
        self._descriptor = descriptor
        return True

    def release(self) -> None:
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def is_free(self) -> bool:
        """Whether nobody holds the lock: the process that did is gone.

        A lock that cannot be asked, on a disk without locks for instance, counts as held.
        """
        if self.held:
            return False
        try:
            descriptor = os.open(self.path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0))
        except FileNotFoundError:
            return True
        except OSError:
            return False
        try:
            _try_lock(descriptor)
        except OSError:
            return False
        else:
            return True
        finally:
            os.close(descriptor)

    def __del__(self) -> None:
        self.release()
