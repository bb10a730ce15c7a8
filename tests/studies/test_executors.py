"""Workers on this machine that share its GPUs, and what none can do."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import pytest

from mamltui.errors import DeviceError, MamltuiError, UsageError
from mamltui.studies.executors import local
from mamltui.studies.executors.choosing import executor_named
from mamltui.studies.executors.executor import Assignment, Wanted
from mamltui.studies.executors.local import LocalExecutor

SAY_THE_GPU = (
    "import os, time; print(os.environ['CUDA_VISIBLE_DEVICES'], flush=True); time.sleep(60)"
)


class SaysItsGpu(Assignment):
    """Instead of training."""

    def command(self) -> list[str]:
        return [sys.executable, "-c", SAY_THE_GPU]


def test_trainings_that_take_a_part_of_a_gpu_are_spread_over_all_gpus(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(local, "visible_gpus", lambda: ["3", "5"])
    executor = executor_named("local", Wanted(gpu_share=0.5))
    assert (executor.workers, executor.options()) == (4, ["--gpu-share", "0.5"])
    assignment = SaysItsGpu(tmp_path / "cell.toml", None, None, "cuda", 1)
    logs = [tmp_path / f"{number}.log" for number in range(4)]
    jobs = [executor.start(assignment, log) for log in logs]
    try:
        limit = time.monotonic() + 60
        while not all(log.read_text() for log in logs):
            assert time.monotonic() < limit
            time.sleep(0.02)
        assert [log.read_text().strip() for log in logs] == ["3", "5", "3", "5"]
        assert [job.poll() for job in jobs] == [None] * 4
    finally:
        for job in jobs:
            job.stop(at_once=True)
    while any(job.poll() is None for job in jobs):
        time.sleep(0.02)


def test_a_machine_without_a_gpu_shares_none_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    with pytest.raises(DeviceError, match="there is no CUDA device"):
        LocalExecutor(4, 1, gpu_share=0.25)


@pytest.mark.parametrize(
    ("name", "wanted", "message"),
    [
        ("moon", Wanted(), "cells cannot run on 'moon'"),
        ("local", Wanted(gpu_share=0.0), "a part of one GPU is above 0 and at most 1"),
        ("ray", Wanted(gpu_share=1.5), "a part of one GPU is above 0 and at most 1"),
        ("local", Wanted(gpu_share=0.5, device="cpu"), "exclude each other"),
        ("local", Wanted(address="10.0.0.1:6379"), "--address is of --on ray alone"),
        ("ray", Wanted(slurm=("time=5",)), "--slurm is of --on slurm alone"),
        ("local", Wanted(node_dir=Path("/scratch")), "--node-dir is of --on ray alone"),
    ],
)
def test_what_an_executor_cannot_do_is_told(name: str, wanted: Wanted, message: str) -> None:
    with pytest.raises(MamltuiError, match=message) as error:
        executor_named(name, wanted)
    assert isinstance(error.value, UsageError)
