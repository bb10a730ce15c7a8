"""Run folders of every format that was ever written are read, checked and gone on with."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch

from mamltui.data.banks import Banks
from mamltui.errors import RunError
from mamltui.events import Finished
from mamltui.results import kept_evaluations
from mamltui.runs import RunFolder, list_runs
from mamltui.runs.state import RUN_FORMAT
from mamltui.training import make_plan, run_experiment
from mamltui.training.audit import audit

FORMATS = Path(__file__).parent / "formats"
"""The same small training as each format has it, written by ``mamltui run``."""


@pytest.fixture(params=range(1, RUN_FORMAT + 1))
def written(request: pytest.FixtureRequest, tmp_path: Path) -> RunFolder:
    """A copy of the run folder of a format."""
    return RunFolder(shutil.copytree(FORMATS / str(request.param), tmp_path / "runs" / "kept"))


def test_one_of_each_format_is_kept() -> None:
    found = {int(path.name): RunFolder(path).info().format for path in FORMATS.iterdir()}
    assert found == {number: number for number in range(1, RUN_FORMAT + 1)}


def test_a_run_of_any_format_is_whole_and_goes_on_to_the_end(written: RunFolder) -> None:
    assert [summary.state for summary in list_runs(written.path.parent)] == ["finished"]
    banks = Banks()
    checks = list(audit(written, banks, torch.device("cpu")))
    assert [check for check in checks if not check.passed] == []
    assert checks[-1].result.startswith("iteration 12 from 10: loss 1.2")
    assert [result.iteration for result in kept_evaluations(written.evaluation)] == [10]
    plan = make_plan(
        written.profile,
        device="cpu",
        runs=written.path.parent,
        banks=banks,
        resume="kept",
        overrides=["meta.iterations=16"],
    )
    outcome = run_experiment(plan)
    assert isinstance(outcome.end, Finished)
    assert outcome.end.iteration == 16
    assert written.info().format == RUN_FORMAT
    assert [step.iteration for step in written.read_metrics().records] == [*range(2, 17, 2)]


def test_a_run_of_a_later_format_is_refused_in_words(written: RunFolder) -> None:
    path = written.path / "run.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"format": RUN_FORMAT + 1}))
    with pytest.raises(RunError, match=rf"is of format {RUN_FORMAT + 1}.* reads up to"):
        written.info()
