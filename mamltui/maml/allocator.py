"""Keep freed memory in the process, so that each meta-step reuses the last one's pages.

A meta-step allocates and frees hundreds of arrays of megabytes. By default glibc gives such
memory back to the system at once and asks for it again, zeroed page by page: up to a third of a
step's time on a CPU. The most that a step needs is kept instead, and that is bounded by the task
chunk. It is a setting of the whole process, so commands make it and nothing that is imported does.
"""

from __future__ import annotations

import ctypes
import platform
from functools import lru_cache

M_TRIM_THRESHOLD, M_TOP_PAD, M_MMAP_MAX = -1, -2, -4
"""Names and numbers of ``mallopt(3)``."""


@lru_cache(maxsize=1)
def keep_freed_memory() -> bool:
    """Tell glibc's allocator so; False where there is none and nothing changes."""
    if platform.libc_ver()[0] != "glibc":
        return False
    mallopt = ctypes.CDLL(None).mallopt
    settings = ((M_MMAP_MAX, 0), (M_TRIM_THRESHOLD, 2**31 - 1), (M_TOP_PAD, 64 * 2**20))
    return all(mallopt(option, value) == 1 for option, value in settings)
