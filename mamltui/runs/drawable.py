"""Which run answers best for what somebody draws."""

from __future__ import annotations

from pathlib import Path

from mamltui.errors import RunError
from mamltui.runs.folder import RunFolder
from mamltui.runs.listing import ListedRun, list_reference_runs, list_runs

CLASSES = 5
"""That a run should be able to tell apart."""


def best_for_drawing(root: Path | None = None) -> RunFolder | None:
    """A run that has learned from drawings: one that came with mamltui, else one below ``root``.

    It tells at least ``CLASSES`` classes apart. First counts how few drawings of a class it has
    learned to do with, then how few classes its tasks had, then its accuracy on the test split.
    """
    runs = [run for run in list_reference_runs() if _is_drawable(run)]
    if not runs:
        try:
            runs = [run for run in list_runs(root) if _is_drawable(run)]
        except RunError:
            return None
    return min(runs, key=_order).folder if runs else None


def _is_drawable(run: ListedRun) -> bool:
    profile = run.profile
    if profile is None or profile.data.set not in ("omniglot", "strokes"):
        return False
    return bool(run.checkpoints) and profile.task.way >= CLASSES


def _order(run: ListedRun) -> tuple[float, ...]:
    profile, test = run.profile, run.newest_test
    assert profile is not None
    accuracy = test.headline().score.value if test else 0.0
    return (profile.task.shot, profile.task.way, -accuracy)
