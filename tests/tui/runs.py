"""Runs to evaluate: real data and checkpoints, no training."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mamltui.runs import ListedRun, RunFolder, list_runs
from tests.cli.run_folders import trained_run


def make_run(place: Path, name: str, train_steps: int = 1, **changes: Any) -> RunFolder:
    """A finished run in ``runs`` of a place, not evaluated; its name begins with ``name``."""
    inner = {"steps": train_steps, "test_steps": 2}
    return trained_run(place / "runs", place / "characters", name, inner=inner, **changes)


def listed(place: Path) -> dict[str, ListedRun]:
    """The runs in ``runs`` of a place, by the beginning of their names."""
    return {run.name.split("-")[0]: run for run in list_runs(place / "runs")}
