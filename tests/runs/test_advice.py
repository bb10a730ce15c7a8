"""What to do with a run that ended before its time."""

from __future__ import annotations

from mamltui.runs import RunFolder
from mamltui.runs.advice import after_divergence, to_resume
from tests.runs.conftest import make_checkpoint


def test_a_checkpoint_is_spoken_of_only_when_there_is_one(run: RunFolder) -> None:
    assert after_divergence(run).startswith("There was no checkpoint yet.")
    assert to_resume(run, "r") == (
        "There is no checkpoint yet: r starts it again from the beginning."
    )
    run.save_checkpoint("last", make_checkpoint())
    assert after_divergence(run).startswith("The last good checkpoint is kept.")
    assert to_resume(run, "r") == "Press r to resume it from its last checkpoint."
