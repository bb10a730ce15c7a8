"""The best checkpoints of a run, ``top-ITERATION.safetensors``, kept for an ensemble."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from typing import TYPE_CHECKING

from mamltui.errors import CheckpointError
from mamltui.runs.folder import RunFolder

if TYPE_CHECKING:
    from mamltui.maml.learner import Learner
    from mamltui.runs.checkpoint import Checkpoint

_NAME = re.compile(r"top-(\d+)\.safetensors")


def kept_iterations(run: RunFolder) -> list[int]:
    """The meta-iterations of those that are there, in order; none without a folder."""
    paths = {*(run.path / "checkpoints").glob("top-*"), *run.backlog.checkpoints}
    return iterations_of(path.name for path in paths)


def iterations_of(names: Iterable[str]) -> list[int]:
    """The meta-iterations, in order, of the files that have the name of a checkpoint kept."""
    matches = map(_NAME.fullmatch, names)
    return sorted(int(match[1]) for match in matches if match)


def load_kept(run: RunFolder, expect: Learner | None = None) -> list[Checkpoint]:
    """Those kept just now, in the order of their iterations, also while a training changes them.

    Raises:
        CheckpointError: there is none, or one is damaged or of another network than ``expect``.
    """
    while True:
        present = kept_iterations(run)
        if not present:
            raise CheckpointError(
                "the run keeps no checkpoints for an ensemble, only its best",
                where=str(run.path / "checkpoints"),
                hint="Train with --set validation.keep=5, or evaluate the best: --checkpoint best",
            )
        try:
            # The newest was the last to change the choice; one that it put out may still be there.
            newest = run.load_checkpoint(present[-1], expect)
            chosen = {best.iteration for best in newest.kept}.intersection(present[:-1])
            return [
                *(run.load_checkpoint(iteration, expect) for iteration in sorted(chosen)),
                newest,
            ]
        except CheckpointError:
            if kept_iterations(run) == present:
                raise


def keep_only(run: RunFolder, iterations: Collection[int]) -> None:
    """Delete the others.

    Raises:
        RunError: the folder is not writable.
    """
    for iteration in kept_iterations(run):
        if iteration not in iterations:
            run.backlog.delete(run.checkpoint_path(iteration))
    run.backlog.settle()
