"""The runs that come with mamltui: whole, slim, nobody's machine in them, figures as printed."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from mamltui.profiles import load_profile, packaged_profiles
from mamltui.profiles.differences import differences
from mamltui.results import kept_evaluations
from mamltui.runs import REFERENCE_VARIABLE, RunFolder, list_runs
from mamltui.runs.slim import LINES
from mamltui.studies.reading import STUDIES

ROOT = Path(__file__).parents[2]
REFERENCES = ROOT / "runs" / "reference"
RUNS = sorted(path.parent for path in REFERENCES.glob("*/run.json"))
MEGABYTES = 1.5
ALL_MEGABYTES = 30


def size(folder: Path) -> float:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) / 1e6


def test_there_are_some_and_together_they_are_small() -> None:
    assert RUNS
    assert size(REFERENCES) < ALL_MEGABYTES
    assert {path.name for path in REFERENCES.iterdir()} - {path.name for path in RUNS} <= {STUDIES}


@pytest.mark.parametrize("path", RUNS, ids=lambda path: path.name)
def test_a_reference_run_is_whole_and_slim_and_says_nothing_of_its_machine(path: Path) -> None:
    run = RunFolder(path)
    info, profile = run.info(), run.profile
    assert size(path) < MEGABYTES
    assert (info.host, info.pid, info.title) == ("", 0, "")
    assert info.best is not None
    best = run.load_checkpoint("best")
    assert best.iteration == info.best.iteration
    assert best.adam.exp_avg == {}
    assert 10 < len(run.read_metrics().records) <= LINES
    validated = [each.event for each in run.read_events().records if each.event.name == "validated"]
    assert len(validated) >= info.iteration // profile.validation.interval - 1
    assert {item.name for item in path.iterdir()} <= {
        "checkpoints",
        "evaluation",
        "events.jsonl",
        "metrics.jsonl",
        "profile.toml",
        "run.json",
    }


@pytest.mark.parametrize("path", RUNS, ids=lambda path: path.name)
def test_a_reference_run_was_trained_by_the_profile_of_its_name(path: Path) -> None:
    run = RunFolder(path)
    if run.profile.name in packaged_profiles():
        changed = differences([load_profile(run.profile.name), run.profile])
        assert {each.key for each in changed} <= {"description", "meta.seed"}


@pytest.mark.parametrize("path", RUNS, ids=lambda path: path.name)
def test_its_results_are_of_its_checkpoint_and_hold_every_episode(path: Path) -> None:
    run = RunFolder(path)
    for evaluation in kept_evaluations(run.evaluation):
        assert evaluation.run == run.name
        if evaluation.models is None:
            assert evaluation.iteration == run.load_checkpoint("best").iteration
        elif evaluation.together_with:
            members = [RunFolder(REFERENCES / name) for name in evaluation.together_with.split()]
            assert evaluation.models == 1 + len(members)
            iterations = [each.load_checkpoint("best").iteration for each in (run, *members)]
            assert evaluation.iteration == max(iterations)
        else:  # an ensemble, of whose members the best alone is shipped
            assert evaluation.models == run.profile.validation.keep
        if evaluation.metric.is_error:  # which keeps no single episodes
            assert evaluation.outcomes == ()
            continue
        for statistics in ("transductive", "support"):
            accuracies = evaluation.accuracies(statistics)
            mean = sum(accuracies) / len(accuracies)
            assert mean == pytest.approx(evaluation.headline(statistics).accuracy, abs=1e-7)


def test_a_reference_run_is_known_by_where_it_is_also_through_a_link(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(REFERENCE_VARIABLE, str(REFERENCES))
    assert all(run.is_reference for run in list_runs(REFERENCES))
    (tmp_path / "linked").symlink_to(RUNS[0])
    shutil.copytree(RUNS[0], tmp_path / "copied")
    listed = {run.name: run.is_reference for run in list_runs(tmp_path)}
    assert listed == {"linked": True, "copied": False}
