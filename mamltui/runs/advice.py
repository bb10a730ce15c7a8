"""What to do with a run that ended before its time, in words."""

from __future__ import annotations

from mamltui.runs.folder import RunFolder

SMALLER_STEPS = "A smaller meta.learning_rate or inner.alpha may help."


def after_divergence(run: RunFolder) -> str:
    """What is left of a run that diverged, and what may help."""
    if run.checkpoint_path("best").is_file() or run.checkpoint_path("last").is_file():
        return f"The last good checkpoint is kept. {SMALLER_STEPS}"
    return f"There was no checkpoint yet. {SMALLER_STEPS}"


def to_resume(run: RunFolder, key: str) -> str:
    """How to go on with a run that ended early by ``key``, and from where."""
    if run.checkpoint_path("last").is_file():
        return f"Press {key} to resume it from its last checkpoint."
    return f"There is no checkpoint yet: {key} starts it again from the beginning."
