"""``mamltui doctor`` and ``mamltui verify``."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest
import torch

import mamltui.maml.verify
from mamltui import __version__, compiled
from mamltui.cli import main
from mamltui.compiled import find_compiler
from mamltui.maml.verify import run_verification
from tests.cli.tiny import RUN, make_place

Capture = pytest.CaptureFixture[str]


def rows(output: str) -> dict[str, str]:
    """The first line of each label."""
    found: dict[str, str] = {}
    for line in output.splitlines():
        found.setdefault(line[:14].strip(), line[14:])
    return found


def test_doctor_tells_versions_devices_memory_and_folders(
    tmp_path: Path, capsys: Capture, cache_dir: Path
) -> None:
    assert main(["doctor", "--runs-dir", str(tmp_path / "runs")]) == 0
    found = rows(capsys.readouterr().out)
    assert found["mamltui"] == __version__
    assert f"torch {torch.__version__.partition('+')[0]}" in found["packages"]
    assert f"{torch.get_num_threads()} threads" in found["cpu"]
    assert ("not available" in found["cuda"]) is not torch.cuda.is_available()
    assert str(cache_dir) in found["cache folder"]
    assert "not found" in found["omniglot"]
    assert "`mamltui data fetch cifar-fs` downloads it" in found["cifar-100"]
    assert f"{tmp_path / 'runs'}, writable" in found["runs folder"]
    assert not (tmp_path / "runs").exists()


def test_doctor_tells_where_else_trainings_could_run(
    capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    numbers = {"ray": "2.40.0", "submitit": "missing"}
    monkeypatch.setattr("mamltui.cli.checks.package_version", lambda name: numbers.get(name, "1.0"))
    assert main(["doctor"]) == 0
    found = rows(capsys.readouterr().out)
    assert found["processes"].startswith("torchrun shares one training among several")
    assert found["clusters"] == (
        "Ray: 2.40.0; submitit, for Slurm: not installed (pip install 'mamltui[slurm]')"
    )


@pytest.mark.skipif(find_compiler() is None, reason="needs a C++ compiler")
def test_doctor_and_a_dry_run_compile_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture, cache_dir: Path
) -> None:
    monkeypatch.chdir(make_place(tmp_path))
    monkeypatch.setattr(compiled, "_loaded", {})
    assert main(["doctor"]) == 0
    assert rows(capsys.readouterr().out)["kernels"].startswith("not compiled yet")
    for strategy in ("auto", "native"):
        settings = ["--set", "network.filters=16", "--set", f"engine.strategy={strategy}"]
        assert main([*RUN, "--dry-run", *settings]) == 0
    assert not (cache_dir / "compiled").exists()


def test_doctor_finds_omniglot_where_it_is(omniglot_dir: Path, capsys: Capture) -> None:
    assert main(["doctor", "--data-dir", str(omniglot_dir)]) == 0
    found = rows(capsys.readouterr().out)
    assert found["omniglot"].startswith("found through --data-dir")


def test_doctor_ends_with_3_where_no_run_can_be_kept(tmp_path: Path, capsys: Capture) -> None:
    (tmp_path / "file").write_text("")
    assert main(["doctor", "--runs-dir", str(tmp_path / "file")]) == 3
    assert "is not a folder" in rows(capsys.readouterr().out)["runs folder"]


def test_doctor_tells_what_killed_processes_left_and_deletes_it_when_asked(
    tmp_path: Path, capsys: Capture, cache_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    doctor = ["doctor", "--runs-dir", str(tmp_path)]
    assert main(doctor) == 0
    assert rows(capsys.readouterr().out)["left over"] == "nothing by killed processes"
    assert main([*doctor, "--clean"]) == 0
    assert capsys.readouterr().out == "nothing was left over\n"
    packed = cache_dir / "packed"
    packed.mkdir(parents=True)
    left = [packed / f".x.1-0123abc{number}.part" for number in range(2)]
    for path in left:
        path.write_bytes(bytes(300_000))
        os.utime(path, (0, 0))
    assert main(doctor) == 0
    told = rows(capsys.readouterr().out)["left over"]
    assert told.startswith(
        "2 files and folders by killed processes, 0.6 MB: mamltui doctor --clean"
    )
    true = Path.unlink

    def refuse(path: Path, **options: bool) -> None:
        if path == left[0]:
            raise PermissionError(13, "Permission denied")
        true(path, **options)

    monkeypatch.setattr(Path, "unlink", refuse)
    assert main([*doctor, "--clean"]) == 3
    out, error = capsys.readouterr()
    assert out == f"deleted {left[1]}, 0.3 MB\n1 file or folder deleted, 0.3 MB\n"
    assert f"{left[0]}: cannot delete: Permission denied" in error
    monkeypatch.undo()
    assert left[0].exists()


def test_verify_says_that_this_machine_can_be_trusted(capsys: Capture) -> None:
    assert main(["verify", "--device", "cpu"]) == 0
    output = capsys.readouterr().out
    assert "can be trusted here" in output
    assert "finite differences" in output
    assert "WRONG\n" not in output
    assert "vmap" in output


def test_verify_ends_with_1_when_a_gradient_is_off(
    monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    report = run_verification(torch.device("cpu"))
    off = replace(report.checks[0], relative_difference=0.5)
    spoilt = replace(report, checks=(off, *report.checks[1:]))
    monkeypatch.setattr(mamltui.maml.verify, "run_verification", lambda *_: spoilt)
    assert main(["verify", "--device", "cpu"]) == 1
    output = capsys.readouterr().out
    assert "NOT be trusted" in output
    assert "off by 5.0e-01" in output
