"""Colour photographs of any size, from a folder to a result."""

from __future__ import annotations

import csv
import math
from pathlib import Path

import pytest

from mamltui.cli import main
from mamltui.events import Step
from mamltui.maml.network import NetworkSpec
from mamltui.runs import RunFolder
from tests.cli.run_folders import write_photographs
from tests.cli.tiny import RUN

PROFILE = """
[data]
set = "folder"
path = "photographs"
rotations = false
resize = "antialias"

[task]
way = 3
shot = 1

[network]
filters = 16

[inner]
steps = 2
test_steps = 2
alpha = 0.05

[meta]
batch = 2
iterations = 3

[validation]
interval = 3
episodes = 2

[evaluation]
steps = "0..2"
episodes = 2

[run]
log_interval = 1
"""


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, with a profile and the photographs that it names."""
    write_photographs(tmp_path / "photographs")
    (tmp_path / "photos.toml").write_text(PROFILE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MAMLTUI_RUNS_DIR", raising=False)
    return tmp_path


def trained(place: Path, size: int, strategy: str) -> RunFolder:
    """The run in a runs folder of its own."""
    runs = place / strategy
    command = [RUN[0], "photos.toml", *RUN[2:], "--out", str(runs)]
    sets = [f"data.image_size={size}", f"engine.strategy={strategy}"]
    assert main([*command, *(part for key in sets for part in ("--set", key))]) == 0
    (run,) = (path for path in runs.iterdir() if path.is_dir())
    return RunFolder(run)


def first_step(run: RunFolder) -> list[float]:
    """Later ones are no comparison: Adam makes whole steps of the rounding of small gradients."""
    steps = [event for event in run.read_metrics().records if isinstance(event, Step)]
    assert [event.iteration for event in steps] == [1, 2, 3]
    return [steps[0].query_loss, steps[0].gradient_norm]


@pytest.mark.parametrize("size", [32, 84])
def test_photographs_train_and_evaluate_alike_by_the_kernels_and_by_autograd(
    place: Path, capsys: pytest.CaptureFixture[str], size: int
) -> None:
    native, autograd = trained(place, size, "native"), trained(place, size, "autograd")
    assert native.info().strategy == "native"
    assert first_step(native) == pytest.approx(first_step(autograd), rel=1e-3)
    checkpoint = native.load_checkpoint("last")
    assert checkpoint.network == NetworkSpec(way=3, channels=3, image_size=size, filters=16)
    capsys.readouterr()
    assert main(["eval", str(native.path), "--csv", "result.csv"]) == 0
    assert "folder 3-way 1-shot" in capsys.readouterr().out
    with Path("result.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 6
    assert all(math.isfinite(float(row["loss"])) for row in rows)
