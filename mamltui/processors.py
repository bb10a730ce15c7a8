"""The processors of this machine, and how many of them this process may use: often fewer."""

from __future__ import annotations

import math
import os
from contextlib import suppress
from functools import cache
from pathlib import Path, PurePosixPath

from mamltui.text import visible

THREADS_VARIABLE = "OMP_NUM_THREADS"
"""What torch, and all else that computes, goes by; read once, when it is imported."""
SPIN_VARIABLE = "GOMP_SPINCOUNT"
WAIT_VARIABLE = "OMP_WAIT_POLICY"
SPINS = 1000
"""Looks for more work, some microseconds, after which one of torch's threads sleeps. Its default is
300,000, milliseconds in which it takes a core from the threads of the kernels."""
CGROUPS = Path("/sys/fs/cgroup")
OWN_CGROUP = Path("/proc/self/cgroup")
CPU_INFO = Path("/proc/cpuinfo")


@cache
def processor_name() -> str:
    """As far as the system tells it."""
    with suppress(OSError):
        for line in CPU_INFO.read_text(encoding="utf-8", errors="replace").splitlines():
            key, _, value = line.partition(":")
            if key.strip() == "model name":
                return visible(value.strip())
    import platform  # not at every start

    return platform.processor() or platform.machine()


def usable_processors() -> int:
    """Those that the process may run on, but no more than its control groups' quota lets it use.

    ``docker run --cpus=2`` shows all 64 cores of a machine, and gives the time of two: 64 threads
    would spend most of it waiting for each other.
    """
    try:
        available = len(os.sched_getaffinity(0))
    except AttributeError:  # macOS, Windows
        available = os.cpu_count() or 1
    quota = min(_quotas(), default=float(available))
    return max(1, min(available, math.ceil(quota)))


def set_up_threads() -> None:
    """Let torch, imported later, start no more threads than there are processors to use, and let
    them sleep soon when they have nothing to do. What the user has set stays."""
    if THREADS_VARIABLE not in os.environ and usable_processors() < (os.cpu_count() or 1):
        os.environ[THREADS_VARIABLE] = str(usable_processors())
    if not {SPIN_VARIABLE, WAIT_VARIABLE} & os.environ.keys():
        os.environ[SPIN_VARIABLE] = str(SPINS)


def _quotas() -> list[float]:
    """Processors' worth of time, of this process's control group and of all above it."""
    try:
        lines = OWN_CGROUP.read_text().splitlines()
    except OSError:
        return []
    quotas = []
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers and "cpu" not in controllers.split(","):
            continue
        base = CGROUPS / "cpu" if controllers else CGROUPS
        relative = PurePosixPath(path.lstrip("/"))
        for folder in (relative, *relative.parents):
            quota = _quota(base / folder)
            if quota is not None:
                quotas.append(quota)
    return quotas


def _quota(folder: Path) -> float | None:
    """Of one control group, version 2 or 1; None: it has none."""
    try:
        if (folder / "cpu.max").is_file():
            quota, period = (folder / "cpu.max").read_text().split()
        else:
            quota = (folder / "cpu.cfs_quota_us").read_text()
            period = (folder / "cpu.cfs_period_us").read_text()
        value = int(quota) / int(period)  # version 2 says "max" where there is none, version 1 -1
    except (OSError, ValueError, ZeroDivisionError):
        return None
    return value if value > 0 else None
