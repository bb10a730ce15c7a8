"""Slim copies of runs, and reference runs, which are such copies."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path

import pytest
import torch

from mamltui.cli import main
from mamltui.errors import ExitCode, RunError
from mamltui.runs import RunFolder, find_run, list_reference_runs
from mamltui.runs.slim import LINES, slim_run
from tests.cli.run_folders import step_at, trained_run, write_characters


@pytest.fixture(scope="module")
def characters(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_characters(tmp_path_factory.mktemp("data") / "characters")


@pytest.fixture
def run(tmp_path: Path, characters: Path) -> RunFolder:
    return trained_run(tmp_path / "runs", characters)


@pytest.fixture
def reference(run: RunFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> RunFolder:
    """A slim copy where the program looks for reference runs; nothing there may be written."""
    root = tmp_path / "package"
    copy = slim_run(run, root)
    monkeypatch.setenv("MAMLTUI_REFERENCE_DIR", str(root))
    monkeypatch.setenv("MAMLTUI_RUNS_DIR", str(tmp_path / "own"))
    return copy


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_slim_copy_reads_as_the_run_and_weighs_little(run: RunFolder, tmp_path: Path) -> None:
    for iteration in range(41, 1041):
        run.append_metrics(step_at(iteration))
    copy = slim_run(run, tmp_path / "slim")
    assert copy.profile == run.profile
    assert copy.info() == run.info().model_copy(update={"host": "", "pid": 0})
    steps = [step.iteration for step in copy.read_metrics().records]
    assert LINES / 2 < len(steps) <= LINES
    assert steps[-1] == 1040
    assert len({later - sooner for sooner, later in pairwise(steps[1:])}) == 1
    events = [logged.event.name for logged in copy.read_events().records]
    assert events == ["validated"]
    assert sorted(path.name for path in copy.path.iterdir()) == [
        "checkpoints",
        "evaluation",
        "events.jsonl",
        "metrics.jsonl",
        "profile.toml",
        "run.json",
    ]
    ours, theirs = copy.load_checkpoint("best"), run.load_checkpoint("best")
    assert all(
        torch.equal(ours.parameters[name], theirs.parameters[name]) for name in theirs.parameters
    )
    assert ours.adam.exp_avg == {}
    sizes = [each.checkpoint_path("best").stat().st_size for each in (copy, run)]
    assert sizes[0] < 0.6 * sizes[1]


def test_slimming_again_renews_the_copy_and_never_replaces_the_run(
    run: RunFolder, tmp_path: Path
) -> None:
    slim_run(run, tmp_path / "slim")
    run.append_metrics(step_at(60))
    assert slim_run(run, tmp_path / "slim").read_metrics().records[-1].iteration == 60
    assert [path.name for path in (tmp_path / "slim").iterdir()] == [run.name]
    before = contents(run.path)
    with pytest.raises(RunError, match="would replace the run"):
        slim_run(run, run.path.parent)
    assert contents(run.path) == before


def test_a_training_that_goes_on_is_not_slimmed(run: RunFolder, tmp_path: Path) -> None:
    run.acquire()
    run.update(state="running")
    with pytest.raises(RunError, match="the run is running"):
        slim_run(run, tmp_path / "slim")
    run.release()


def test_the_command_says_where_the_copy_is_and_how_large(
    run: RunFolder, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["runs", "slim", str(run.path), "--to", str(tmp_path / "slim")]) == ExitCode.DONE
    assert capsys.readouterr().out.startswith(f"{tmp_path / 'slim' / run.name}  0.")


def test_a_reference_run_is_found_by_the_beginning_of_its_name(reference: RunFolder) -> None:
    assert find_run(reference.name[:8]).path == reference.path
    assert find_run(reference.name).path == reference.path
    assert [run.name for run in list_reference_runs()] == [reference.name]
    assert find_run(reference.name).is_reference


def test_a_run_of_ones_own_goes_before_a_reference_run(
    reference: RunFolder, characters: Path, tmp_path: Path
) -> None:
    own = trained_run(tmp_path / "own", characters)
    assert find_run("small").path.resolve() == own.path.resolve()
    assert not find_run("small").is_reference
    assert find_run(reference.name).is_reference


def test_reference_runs_are_listed_as_such(
    reference: RunFolder, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["runs", "list"]) == ExitCode.DONE
    row = capsys.readouterr().out.splitlines()[1].split()
    assert row[:3] == [reference.name, "reference", "small"]
    assert main(["runs", "list", "--json"]) == ExitCode.DONE
    (listed,) = json.loads(capsys.readouterr().out)
    assert listed["reference"] is True


def test_a_reference_run_is_evaluated_and_shown_and_left_as_it_is(
    reference: RunFolder, capsys: pytest.CaptureFixture[str]
) -> None:
    before = contents(reference.path)
    assert main(["eval", "small", "--device", "cpu"]) == ExitCode.DONE
    printed = capsys.readouterr()
    assert "± is of the episodes" in printed.out
    assert "its folder is left as it is" in printed.err
    assert main(["runs", "show", "small"]) == ExitCode.DONE
    assert " on " not in capsys.readouterr().out.split("created")[1].splitlines()[0]
    assert contents(reference.path) == before


def test_a_reference_run_is_neither_trained_nor_removed(
    reference: RunFolder, capsys: pytest.CaptureFixture[str]
) -> None:
    before = contents(reference.path)
    with pytest.raises(RunError, match="only read"):
        reference.acquire()
    assert main(["runs", "rm", "--yes", "small"]) == ExitCode.UNAVAILABLE
    assert "came with mamltui" in capsys.readouterr().err
    profile = reference.path / "profile.toml"
    done = main(["run", str(profile), "--headless", "--resume", reference.name, "--device", "cpu"])
    assert done == ExitCode.UNAVAILABLE
    assert "came with mamltui and is only read" in capsys.readouterr().err
    assert contents(reference.path) == before
