"""What the process takes of the machine, and how it is said."""

from __future__ import annotations

import itertools
import mmap
import os
import shutil
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest
import torch

from mamltui.tui.log import machine
from mamltui.tui.log.machine import GIB, Gpu, Machine, Memory, Sample, describe

SAMPLE = Sample(
    threads=2, gpu=None, memory=Memory(GIB // 2, False), processor=98.4, disk_free=41 * GIB
)
MIB = 2**20


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="the system has no /proc")
def test_memory_grows_by_what_is_allocated(tmp_path: Path) -> None:
    before = Machine(tmp_path).sample().memory
    # Pages of its own: a bytearray may get memory that was freed before and is still resident.
    held = mmap.mmap(-1, 64 * MIB)
    held.write(b"\xb5" * len(held))
    after = Machine(tmp_path).sample().memory
    assert before is not None and after is not None
    assert not after.is_peak
    assert after.bytes - before.bytes > len(held) / 2


def test_without_proc_the_most_memory_there_ever_was_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("resource")
    now = Machine(tmp_path).sample().memory
    assert now is not None

    def missing(_: Path) -> bytes:
        raise FileNotFoundError

    monkeypatch.setattr(Path, "read_bytes", missing)
    peak = Machine(tmp_path).sample().memory
    assert peak is not None and peak.is_peak
    # The system counts the present one in pages that it may not have handed out yet.
    assert peak.bytes > 0.8 * now.bytes
    assert "most memory" in " ".join(describe(replace(SAMPLE, memory=peak)))


def test_the_processors_share_is_that_since_the_sample_before(tmp_path: Path) -> None:
    taker = Machine(tmp_path)
    assert taker.sample().processor is None
    used = time.process_time() + 0.3
    while time.process_time() < used:
        pass
    share = taker.sample().processor
    assert share is not None and 5 < share <= 100 * (os.cpu_count() or 1) + 50


def test_no_share_is_told_of_a_long_break(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    taker = Machine(tmp_path)
    clock = itertools.count(0, 60)
    monkeypatch.setattr(machine, "time", SimpleNamespace(
        monotonic=lambda: float(next(clock)), process_time=time.process_time
    ))  # fmt: skip
    taker.sample()
    assert taker.sample().processor is None


def test_the_free_disk_is_that_of_the_nearest_folder_that_is_there(tmp_path: Path) -> None:
    free = Machine(tmp_path / "not" / "yet").sample().disk_free
    assert free == pytest.approx(shutil.disk_usage(tmp_path).free, rel=0.2)


def test_the_threads_are_those_of_torch(tmp_path: Path) -> None:
    assert Machine(tmp_path).sample().threads == torch.get_num_threads()


def test_torch_is_never_imported_for_it(tmp_path: Path) -> None:
    code = (
        "import os, sys\n"
        "from pathlib import Path\n"
        "from mamltui.tui.log.machine import Machine\n"
        "sample = Machine(Path(sys.argv[1])).sample()\n"
        "assert sample.threads == os.cpu_count() and sample.gpu is None\n"
        "assert not {'torch', 'numpy', 'pydantic'} & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=True)


def test_a_torch_that_another_thread_is_importing_does_no_harm(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "torch", ModuleType("torch"))
    sample = Machine(tmp_path).sample()
    assert (sample.threads, sample.gpu) == (os.cpu_count(), None)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device")
def test_the_gpu_is_told_with_what_torch_has_taken_of_it(tmp_path: Path) -> None:
    held = torch.ones(256, 1024, 1024, device="cuda", dtype=torch.uint8)
    gpu = Machine(tmp_path).sample().gpu
    assert gpu is not None
    assert gpu.name == torch.cuda.get_device_name()
    assert held.nbytes <= gpu.reserved < gpu.total


def test_numbers_keep_their_places_while_they_change() -> None:
    assert describe(SAMPLE) == [
        "cpu, 2 threads",
        "processor   98 %",
        "memory   0.50 GiB",
        "disk  41.00 GiB free",
    ]
    larger = replace(SAMPLE, memory=Memory(12 * GIB, False), processor=None, disk_free=999 * GIB)
    assert list(map(len, describe(larger))) == list(map(len, describe(SAMPLE)))


def test_a_gpu_is_named_with_its_memory() -> None:
    sample = replace(SAMPLE, gpu=Gpu("NVIDIA H200", 3 * GIB // 2, 140 * GIB), memory=None)
    assert describe(sample)[:2] == ["NVIDIA H200", "GPU memory   1.50 of 140.0 GiB"]
