"""``benchmarks/learn2learn_example.py``: what it makes of the example's prints."""

from __future__ import annotations

import csv
import importlib.util
import io
from pathlib import Path
from types import ModuleType

import pytest

SCRIPT = Path(__file__).parents[1] / "benchmarks" / "learn2learn_example.py"


@pytest.fixture
def script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("learn2learn_example", SCRIPT)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_prints_of_iterations_become_rows_and_end_in_time(
    script: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = iter([0.0, 20.0, 40.0, 60.0, 90.0])
    monkeypatch.setattr(script.time, "monotonic", lambda: next(clock))
    monkeypatch.setattr(script.time, "process_time", lambda: 0.0)
    path = tmp_path / "l2l.csv"
    out = script.Recorder(path, 1.5, io.StringIO())
    out.begin()
    with pytest.raises(SystemExit):
        for iteration, accuracy in enumerate([0.2, 0.4, 0.5, 0.75]):
            print("\n", file=out)
            print("Iteration", iteration, file=out)
            print("Meta Train Accuracy", 1.0, file=out)
            print("Meta Valid Accuracy", accuracy, file=out)
    rows = list(csv.DictReader(path.open()))
    # Rows come after 30 seconds at the earliest: the mean of what was printed since the last one.
    assert [(row["minutes"], row["iteration"], row["accuracy"]) for row in rows] == [
        ("0.667", "2", "30.00"),
        ("1.500", "4", "62.50"),
    ]
