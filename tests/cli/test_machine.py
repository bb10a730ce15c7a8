"""The machine as it is: without columns, locks, memory, permission or the device asked for."""

from __future__ import annotations

import errno
import os
import signal
from pathlib import Path

import pytest

from mamltui.caching import CACHE_DIR_VARIABLE, cache_folder
from mamltui.cli import main
from mamltui.data.banks import Banks
from mamltui.runs import RunFolder, lock
from tests.cli.tiny import RUN

Capture = pytest.CaptureFixture[str]


@pytest.mark.parametrize("columns", ["0", "00", ""])
def test_no_columns_are_as_good_as_unknown_ones(
    capsys: Capture, monkeypatch: pytest.MonkeyPatch, columns: str
) -> None:
    assert main(["profiles", "list"]) == 0
    expected = capsys.readouterr().out
    monkeypatch.setenv("COLUMNS", columns)
    assert main(["profiles", "list"]) == 0
    assert capsys.readouterr().out == expected


@pytest.mark.parametrize("device", [["--device", "cuda:1"], ["--device=cuda:1"]])
def test_a_gpu_by_its_number_is_answered_with_the_way(capsys: Capture, device: list[str]) -> None:
    assert main(["run", "quickstart", "--headless", *device]) == 2
    assert "CUDA_VISIBLE_DEVICES=1 mamltui ... --device cuda" in capsys.readouterr().err


def test_another_makers_gpu_is_answered_with_what_there_is(capsys: Capture) -> None:
    assert main(["run", "quickstart", "--headless", "--device", "mps"]) == 2
    assert "Use --device cpu, or cuda" in capsys.readouterr().err


@pytest.mark.parametrize(
    "error",
    [MemoryError(), RuntimeError("DefaultCPUAllocator: can't allocate memory: 80 bytes")],
)
def test_too_little_memory_for_the_images_is_no_bug(
    place: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def run_out(*_: object) -> None:
        raise error

    monkeypatch.setattr(Banks, "bank", run_out)
    assert main(RUN) == 3
    said = capsys.readouterr().err
    assert "the machine is out of memory" in said
    assert "data.image_size" in said
    assert "bug" not in said
    assert not (place / "runs").exists()


def test_a_dry_run_looks_whether_runs_can_be_kept(
    place: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(**_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("tempfile.TemporaryFile", refuse)
    assert main([*RUN, "--dry-run"]) == 3
    said = capsys.readouterr().err
    assert "runs: the runs folder cannot be written: Permission denied" in said
    assert not (place / "runs").exists()


def test_a_file_system_without_locks_is_told_with_a_remedy(
    place: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_: int) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(lock, "_try_lock", refuse)
    assert main(RUN) == 3
    said = capsys.readouterr().err
    assert "cannot lock the run: No locks available" in said
    assert "MAMLTUI_RUNS_DIR" in said
    assert list((place / "runs").iterdir()) == []


def test_a_tilde_is_the_users_home_wherever_it_stands(
    place: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(place / "home"))
    assert main([*RUN, "--dry-run", "--runs-dir=~/runs"]) == 0
    assert f"{place}/home/runs" in capsys.readouterr().out
    monkeypatch.setenv("MAMLTUI_RUNS_DIR", "~/others")
    assert main([*RUN, "--dry-run"]) == 0
    assert f"{place}/home/others" in capsys.readouterr().out


def test_a_user_without_a_home_has_a_cache_folder_all_the_same(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv(CACHE_DIR_VARIABLE)
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setattr("os.path.expanduser", lambda path: path)
    assert cache_folder().is_absolute()


@pytest.mark.skipif(os.name != "posix", reason="this system has no such signals")
@pytest.mark.parametrize("name", ["SIGTERM", "SIGHUP", "SIGINT"])
def test_a_signal_while_a_run_folder_is_made_leaves_none(
    place: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    by = signal.Signals[name]
    monkeypatch.setattr(RunFolder, "set_profile", lambda *_: os.kill(os.getpid(), by))
    assert main(RUN) == 128 + by
    assert list((place / "runs").iterdir()) == []
    assert "Traceback" not in capsys.readouterr().err


@pytest.mark.skipif(not hasattr(signal, "SIGUSR1"), reason="this system has no such signals")
def test_a_warning_of_the_scheduler_before_the_training_ends_nothing(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bank = Banks.bank

    def warned(*arguments: object) -> object:
        os.kill(os.getpid(), signal.SIGUSR1)
        return bank(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(Banks, "bank", warned)
    assert main([*RUN, "--format", "none"]) == 0
    assert list((place / "runs").iterdir())
