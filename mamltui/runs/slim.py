"""Slim copies of runs, small enough to be handed on: reference runs are made so."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mamltui.atomic import part_folder
from mamltui.errors import RunError
from mamltui.runs.files import file_error, write_whole
from mamltui.runs.folder import RunFolder
from mamltui.runs.roots import FOLDERS
from mamltui.runs.state import RunInfo

if TYPE_CHECKING:
    from mamltui.runs.checkpoint import Checkpoint

LINES = 200
"""Of the metrics, at most; a chart has fewer columns."""
_TOLD = ("started", "validated", "stopped", "resumed", "diverged", "finished")
"""Events of a slimmed run; the others tell of files that it has not."""


def slim_run(run: RunFolder, root: Path) -> RunFolder:
    """Copy what readers need of a run that is over: a folder of the same name below ``root``.

    That is the profile, ``run.json`` without the host, at most ``LINES`` lines of the metrics, all
    validations, the best checkpoint without the optimizer's state, and the evaluations. It cannot
    be trained further. A copy that is there already is replaced.

    Raises:
        RunError: the run trains, cannot be read, or the copy cannot be written.
        CheckpointError: there is no best checkpoint, or it is damaged.
    """
    from mamltui.runs.checkpoint import load_checkpoint

    info = run.info()
    if info.state in ("running", "paused"):
        raise RunError(f"the run is {info.state}", where=str(run.path), hint="Let it end first.")
    if root.resolve() == run.path.resolve().parent:
        raise RunError("the copy would replace the run", where=str(root), hint="Choose another.")
    best = load_checkpoint(run.checkpoint_path("best"))
    copy = RunFolder(root / run.name)
    try:
        root.mkdir(parents=True, exist_ok=True)
        with part_folder(copy.path) as folder:
            _write_slim(run, info, best, RunFolder(folder))
            shutil.rmtree(copy.path, ignore_errors=True)
            folder.rename(copy.path)
    except OSError as error:
        raise file_error(error, root, "copy the run") from error
    return copy


def _write_slim(run: RunFolder, info: RunInfo, best: Checkpoint, copy: RunFolder) -> None:
    from mamltui.runs.checkpoint import AdamState, checkpoint_bytes

    for name in FOLDERS:
        (copy.path / name).mkdir()
    shutil.copyfile(run.path / "profile.toml", copy.path / "profile.toml")
    for result in run.evaluation.glob("*.*"):
        shutil.copyfile(result, copy.evaluation / result.name)
    anonymous = info.model_copy(update={"host": "", "pid": 0})
    write_whole(copy.path / "run.json", anonymous.model_dump_json(indent=2).encode() + b"\n")
    write_whole(copy.path / "metrics.jsonl", _thinned(_lines(run.path / "metrics.jsonl"), LINES))
    told = [line for line in _lines(run.path / "events.jsonl") if _event(line) in _TOLD]
    write_whole(copy.path / "events.jsonl", b"".join(told))
    slim = checkpoint_bytes(
        replace(best, adam=AdamState(0, {}, {}), kept=()),
        about={"run": run.name, "slimmed": "the optimizer's state is left out"},
    )
    write_whole(copy.checkpoint_path("best"), slim)


def _lines(path: Path) -> list[bytes]:
    """The whole lines of a file; none if it is missing."""
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return []
    except OSError as error:
        raise file_error(error, path, "read") from error
    return [line for line in content.splitlines(keepends=True) if line.endswith(b"\n")]


def _thinned(lines: list[bytes], most: int) -> bytes:
    """Every so many of the lines, the last one among them."""
    stride = max(1, -(-len(lines) // most))
    return b"".join(lines[::-1][::stride][::-1])


def _event(line: bytes) -> Any:
    try:
        return json.loads(line).get("event")
    except (ValueError, AttributeError):
        return None
