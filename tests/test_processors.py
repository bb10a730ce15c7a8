"""How many processors there are to use, in a container and without one."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from mamltui import processors
from mamltui.processors import (
    SPIN_VARIABLE,
    THREADS_VARIABLE,
    WAIT_VARIABLE,
    set_up_threads,
    usable_processors,
)


@pytest.fixture(autouse=True)
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A machine of 64 processors, whose control groups are below the folder."""
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(64)), raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: 64)
    monkeypatch.setattr(processors, "CGROUPS", tmp_path)
    monkeypatch.setattr(processors, "OWN_CGROUP", tmp_path / "own")
    for variable in (THREADS_VARIABLE, SPIN_VARIABLE, WAIT_VARIABLE):
        monkeypatch.delenv(variable, raising=False)
    yield tmp_path
    for variable in (THREADS_VARIABLE, SPIN_VARIABLE):
        os.environ.pop(variable, None)  # monkeypatch then sets what was there before


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def test_without_control_groups_all_count() -> None:
    assert usable_processors() == 64
    set_up_threads()
    assert THREADS_VARIABLE not in os.environ


@pytest.mark.parametrize(
    ("quota", "usable"),
    [
        ("200000 100000", 2),
        ("150000 100000", 2),
        ("20000 100000", 1),
        ("max 100000", 64),
        ("?", 64),
    ],
)
def test_a_quota_of_a_container_is_kept_to(machine: Path, quota: str, usable: int) -> None:
    write(machine / "own", "0::/\n")
    write(machine / "cpu.max", quota)
    assert usable_processors() == usable


def test_the_least_of_all_groups_above_counts(machine: Path) -> None:
    write(machine / "own", "0::/slurm/job_7/step\n")
    write(machine / "slurm" / "cpu.max", "400000 100000")
    write(machine / "slurm" / "job_7" / "cpu.max", "300000 100000")
    write(machine / "slurm" / "job_7" / "step" / "cpu.max", "max 100000")
    assert usable_processors() == 3


def test_control_groups_of_version_1_count(machine: Path) -> None:
    write(machine / "own", "4:memory:/docker/x\n3:cpu,cpuacct:/docker/x\n")
    write(machine / "cpu" / "docker" / "x" / "cpu.cfs_quota_us", "250000\n")
    write(machine / "cpu" / "docker" / "x" / "cpu.cfs_period_us", "100000\n")
    assert usable_processors() == 3


def test_a_quota_of_version_1_of_less_than_none_is_none(machine: Path) -> None:
    write(machine / "own", "3:cpu,cpuacct:/\n")
    write(machine / "cpu" / "cpu.cfs_quota_us", "-1\n")
    write(machine / "cpu" / "cpu.cfs_period_us", "100000\n")
    assert usable_processors() == 64


def test_threads_follow_the_quota_unless_the_user_said_otherwise(
    machine: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(machine / "own", "0::/\n")
    write(machine / "cpu.max", "200000 100000")
    monkeypatch.setenv(THREADS_VARIABLE, "7")
    set_up_threads()
    assert os.environ[THREADS_VARIABLE] == "7"
    monkeypatch.delenv(THREADS_VARIABLE)
    set_up_threads()
    assert os.environ[THREADS_VARIABLE] == "2"


def test_idle_threads_sleep_soon_unless_the_user_said_otherwise(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv(WAIT_VARIABLE, "ACTIVE")
    set_up_threads()
    assert SPIN_VARIABLE not in os.environ
    monkeypatch.delenv(WAIT_VARIABLE)
    set_up_threads()
    assert os.environ[SPIN_VARIABLE] == "1000"
    monkeypatch.setenv(SPIN_VARIABLE, "50000")
    set_up_threads()
    assert os.environ[SPIN_VARIABLE] == "50000"
