"""The benchmark of a GPU works without one, in miniature."""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
import torch

ROOT = Path(__file__).resolve().parents[1]
SETTINGS = ["5way1shot", "5way5shot", "20way1shot", "20way5shot"]


def run_benchmark(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(ROOT / "benchmarks/gpu.py"), *arguments],
        capture_output=True,
        text=True,
        timeout=200,
        env=os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
    )


def test_every_part_of_it_leaves_its_results(tmp_path: Path) -> None:
    done = run_benchmark(
        "--device=cpu", "--quick", "--data=strokes", f"--out={tmp_path}", "--minutes=10"
    )
    assert done.returncode == 0, done.stderr
    report = json.loads((tmp_path / "report.json").read_text())
    assert report["errors"] == {}
    compared = report["correctness"]["captured against uncaptured"]
    assert len(compared) == 10
    assert all(result["equal to the bit"] for result in compared.values())
    assert report["correctness"]["memory"]["flat"]
    exact = report["correctness"]["against float64"]
    assert all(value < 1e-4 for name, value in exact.items() if "fp32" in name)
    assert list(report["speed"]) == list(report["trainings"]) == SETTINGS
    assert all(not result["left out"] for result in report["speed"].values())
    assert all(result["end"] == "finished" for result in report["trainings"].values())
    summary = (tmp_path / "summary.md").read_text()
    assert "these figures mean nothing" in summary
    rows = list(csv.DictReader((tmp_path / "speed.csv").open()))
    assert {"mamltui captured, fp32", "mamltui eager, fp32", "plain loop"} <= {
        row["contender"] for row in rows
    }
    evaluated = list(csv.DictReader((tmp_path / "evaluations.csv").open()))
    assert [row["profile"] for row in evaluated[::6]] == SETTINGS
    names = zipfile.ZipFile(tmp_path / "runs.zip").namelist()
    assert sum(name.endswith("best.safetensors") for name in names) == 4


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
def test_without_a_gpu_it_says_so(tmp_path: Path) -> None:
    done = run_benchmark(f"--out={tmp_path / 'out'}")
    assert done.returncode == 3
    assert "finds none" in done.stderr
    assert not (tmp_path / "out").exists()


def test_the_page_holds_the_figures_against_the_aims(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    from gpu_report import speed_csv, summary

    launched = {
        "graphs": 1,
        "kernels launched one by one": 0,
        "copies and fills": 0,
        "on device": 630,
    }
    result = {
        "ms": {
            "mamltui captured, fp32": [1.0, 1.1, 0.9],
            "mamltui captured, bf16": [0.5, 0.5, 0.5],
            "plain loop": [300.0, 310.0, 290.0],
            "higher": [400.0, 400.0, 400.0],
        },
        "left out": {"torchopt": "ImportError: none"},
        "launches": {"mamltui captured, fp32": launched, "plain loop": None, "higher": None}
        | {"mamltui captured, bf16": launched},
        "float64 relative difference": {"plain loop": 1e-6},
    }
    speed = dict.fromkeys(SETTINGS, result)
    report = {
        "machine": {
            "device": "cuda (a GPU)",
            "processors": 16,
            "python": "3.12",
            "packages": {"torch": "2.11.0"},
            "cuda": "13.0",
            "quick": False,
        },
        "seconds": 600.0,
        "correctness": {"against float64": {}, "memory": None, "captured against uncaptured": {}},
        "speed": speed,
        "trainings": {},
        "errors": {"memory": "Traceback: no"},
    }
    page = summary(report)
    assert "| 60,000 iterations of 5-way 1-shot in 60 s | 60 s | 30 s |" in page
    assert "| 60,000 of each of the four settings in 600 s | 240 s | 120 s |" in page
    assert "5way1shot (plain loop) | 300.0 x | 600.0 x |" in page
    assert "| mamltui captured, fp32 | 1 + 630 |" in page
    assert "- left out of 20way5shot: torchopt: ImportError: none" in page
    assert "## memory failed" in page
    rows = speed_csv(speed).splitlines()
    assert rows[1].startswith("5way1shot,") and len(rows) == 1 + 4 * 4
    assert rows[1].split(",")[-5:-1] == ["1", "0", "0", "630"]
