"""Run folders on the disk: create, find, list, write, and read back while a process writes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mamltui.runs.files import START, Page, Position
from mamltui.runs.folder import LoggedEvent, RunFolder
from mamltui.runs.listing import (
    ListedRun,
    RunCatalogue,
    find_run,
    list_reference_runs,
    list_runs,
)
from mamltui.runs.roots import REFERENCE_VARIABLE, RUNS_VARIABLE, reference_root, runs_root
from mamltui.runs.state import Best, RunInfo, StartedFrom, State, TrainedOn

if TYPE_CHECKING:
    from mamltui.runs.checkpoint import AdamState, Checkpoint, load_checkpoint
else:

    def __getattr__(name: str) -> Any:
        # Checkpoints need torch, which takes a second to import; a list of runs does without.
        if name in ("AdamState", "Checkpoint", "load_checkpoint"):
            from mamltui.runs import checkpoint

            return getattr(checkpoint, name)
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


__all__ = [
    "REFERENCE_VARIABLE",
    "RUNS_VARIABLE",
    "START",
    "AdamState",
    "Best",
    "Checkpoint",
    "ListedRun",
    "LoggedEvent",
    "Page",
    "Position",
    "RunCatalogue",
    "RunFolder",
    "RunInfo",
    "StartedFrom",
    "State",
    "TrainedOn",
    "find_run",
    "list_reference_runs",
    "list_runs",
    "load_checkpoint",
    "reference_root",
    "runs_root",
]
