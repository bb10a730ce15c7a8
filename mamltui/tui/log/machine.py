"""What this process takes of the machine: processor, memory, GPU, disk.

Read from the operating system itself: the one thing that psutil would add is the memory on Windows,
for an import of 12 ms, a compiled dependency, and twice the time a sample takes.
"""

from __future__ import annotations

import os
import shutil
import sys
import time
from dataclasses import dataclass
from pathlib import Path

GIB = 2**30
STALE_SECONDS = 10.0
"""After a longer break the processor's share begins anew: an average over it says nothing."""


@dataclass(frozen=True)
class Memory:
    """Bytes of memory that the process holds."""

    bytes: int
    is_peak: bool
    """The most that it ever was: all that this system tells."""


@dataclass(frozen=True)
class Gpu:
    """The GPU that torch uses here."""

    name: str
    reserved: int
    """Bytes that torch has taken of it in this process."""
    total: int
    """Bytes that it has."""


@dataclass(frozen=True)
class Sample:
    """The machine at one moment; None is what is not known."""

    threads: int
    """That torch computes with on the CPU; before it is loaded, the processors there are."""
    gpu: Gpu | None
    memory: Memory | None
    processor: float | None
    """Percent of one processor that the process has used since the sample before."""
    disk_free: int | None
    """Bytes free where the runs are written."""


class Machine:
    """Takes samples.

    Args:
        folder: of the runs; it need not be there yet.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._before: tuple[float, float] | None = None

    def sample(self) -> Sample:
        """The machine now; asking a network disk may take its time, so ask from a thread."""
        return Sample(_threads(), _gpu(), _memory(), self._processor(), _disk_free(self._folder))

    def _processor(self) -> float | None:
        now, before = (time.monotonic(), time.process_time()), self._before
        self._before = now
        if before is None or not 0 < now[0] - before[0] < STALE_SECONDS:
            return None
        return 100 * (now[1] - before[1]) / (now[0] - before[0])


def describe(sample: Sample) -> list[str]:
    """The sample in words, each number in as many cells as before; the most telling first."""
    gpu, memory = sample.gpu, sample.memory
    threads = f"{sample.threads} thread{'' if sample.threads == 1 else 's'}"
    parts = [f"cpu, {threads}" if gpu is None else gpu.name]
    if gpu is not None:
        parts.append(f"GPU memory {_gib(gpu.reserved)} of {gpu.total / GIB:.1f} GiB")
    share = "-" if sample.processor is None else f"{sample.processor:.0f}"
    parts.append(f"processor {share:>4} %")
    if memory is not None:
        parts.append(f"{'most memory' if memory.is_peak else 'memory'} {_gib(memory.bytes)} GiB")
    if sample.disk_free is not None:
        parts.append(f"disk {_gib(sample.disk_free)} GiB free")
    return parts


def _gib(count: int) -> str:
    return f"{count / GIB:6.2f}"


def _threads() -> int:
    try:
        return int(sys.modules["torch"].get_num_threads())
    except (KeyError, AttributeError):  # not imported, or another thread is at it
        return os.cpu_count() or 1


def _gpu() -> Gpu | None:
    """The GPU, if this process computes on one already.

    Only what torch knows by itself: to ask the driver may disturb the recording of a CUDA graph.
    """
    try:
        cuda = sys.modules["torch"].cuda
        if not cuda.is_initialized():
            return None
        properties = cuda.get_device_properties(cuda.current_device())
        return Gpu(properties.name, cuda.memory_reserved(), properties.total_memory)
    except (KeyError, AttributeError, RuntimeError):
        return None


def _memory() -> Memory | None:
    try:
        pages = Path("/proc/self/statm").read_bytes().split()[1]
        return Memory(int(pages) * os.sysconf("SC_PAGE_SIZE"), is_peak=False)
    except OSError:
        pass
    try:
        import resource
    except ImportError:
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    # macOS counts bytes, all others kilobytes.
    return Memory(peak if sys.platform == "darwin" else peak * 1024, is_peak=True)


def _disk_free(folder: Path) -> int | None:
    """Of the folder, or of the nearest above it that is there."""
    for existing in (folder, *folder.absolute().parents):
        try:
            return shutil.disk_usage(existing).free
        except FileNotFoundError:
            continue
        except OSError:
            return None
    return None
