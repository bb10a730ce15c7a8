"""``mamltui runs``, as it is typed."""

from __future__ import annotations

import csv
import io
import json
import math
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from mamltui.cli import main
from mamltui.errors import ExitCode
from mamltui.profiles import load_profile
from mamltui.results import COLUMNS, StepResult, write_results
from mamltui.runs import Best, RunFolder
from tests.cli.run_folders import trained_run, write_characters
from tests.results.examples import OWN_PROTOCOL, evaluation, with_headline, with_outcomes

Capture = pytest.CaptureFixture[str]


@pytest.fixture(scope="module")
def characters(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_characters(tmp_path_factory.mktemp("data") / "characters")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "runs"


@pytest.fixture
def run(root: Path, characters: Path) -> RunFolder:
    return trained_run(root, characters)


@pytest.fixture(autouse=True)
def _runs_folder(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MAMLTUI_RUNS_DIR", str(root))


def runs(*arguments: object) -> int:
    return main(["runs", *map(str, arguments)])


def rows_of(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))


def test_the_list_has_a_row_a_run_the_newest_first(
    root: Path, characters: Path, capsys: Capture
) -> None:
    older = trained_run(root, characters, "older")
    newer = trained_run(root, characters, "newer")
    assert runs("list") == ExitCode.DONE
    head, *rows = capsys.readouterr().out.splitlines()
    assert head.split() == [
        "NAME",
        "STATE",
        "PROFILE",
        "TASK",
        "ITERATIONS",
        "VALIDATION",
        "TEST",
        "AGE",
    ]
    assert [row.split()[0] for row in rows] == [newer.name, older.name]
    assert rows[0].split()[1:10] == [
        "finished",
        "newer",
        "3-way",
        "1-shot",
        "40",
        "/",
        "40",
        "91.25",
        "%",
    ]


def test_the_list_as_json(run: RunFolder, capsys: Capture) -> None:
    assert runs("list", "--json") == ExitCode.DONE
    (listed,) = json.loads(capsys.readouterr().out)
    assert (listed["name"], listed["state"]) == (run.name, "finished")
    assert (listed["way"], listed["shot"], listed["iteration"], listed["iterations"]) == (
        3,
        1,
        40,
        40,
    )
    assert listed["best"] == {"iteration": 40, "accuracy": 0.9125, "loss": 0.25}
    assert listed["test"] is None


def test_a_list_shows_the_test_by_the_profiles_own_protocol_alone(
    run: RunFolder, capsys: Capture
) -> None:
    asked: dict[str, Any] = {"way": 3, "shot": 1, "query": 2, "seed": 7, "test_steps": 2}
    own = evaluation(episodes=6, **asked)
    write_results(run.evaluation, own)
    for path in write_results(run.evaluation, evaluation(episodes=5, **asked)):
        os.utime(path, (path.stat().st_mtime + 10, path.stat().st_mtime + 10))
    assert runs("list", "--json") == ExitCode.DONE
    (listed,) = json.loads(capsys.readouterr().out)
    assert listed["test"]["episodes"] == 6
    assert listed["test"]["accuracy"] == own.headline().accuracy
    assert runs("list") == ExitCode.DONE
    assert f"{100 * own.headline().accuracy:.2f} ±" in capsys.readouterr().out.splitlines()[1]


def test_a_list_for_a_terminal_without_plus_minus_says_it_otherwise(
    root: Path, run: RunFolder
) -> None:
    own = evaluation(episodes=6, way=3, shot=1, query=2, seed=7, test_steps=2)
    write_results(run.evaluation, own)
    process = subprocess.run(
        [sys.executable, "-m", "mamltui", "runs", "list", "--runs-dir", root],
        env={**os.environ, "PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0"},
        capture_output=True,
        text=True,
        check=True,
    )
    head, row, *_ = process.stdout.splitlines()
    assert f"{100 * own.headline().accuracy:.2f} +/- " in row and "\\x" not in process.stdout
    assert head.index("TEST") + len("TEST") == row.index(" %", row.index("+/-")) + len(" %")


def test_a_list_of_nothing_says_so_on_stderr(root: Path, capsys: Capture) -> None:
    assert runs("list") == ExitCode.DONE
    printed = capsys.readouterr()
    assert (printed.out, printed.err) == ("", f"There are no runs in {root}.\n")
    assert runs("list", "--json") == ExitCode.DONE
    assert json.loads(capsys.readouterr().out) == []


def test_damaged_runs_are_listed_as_such(root: Path, characters: Path, capsys: Capture) -> None:
    state, profile = (trained_run(root, characters, name) for name in ("state", "profile"))
    (state.path / "run.json").write_text("{")
    (profile.path / "profile.toml").write_text("way = ")
    assert runs("list") == ExitCode.DONE
    rows = {row.split()[0]: row for row in capsys.readouterr().out.splitlines()}
    assert rows[state.name].split()[1] == "damaged"
    assert "damaged profile" in rows[profile.name]


def test_show_tells_of_a_run_and_its_results(run: RunFolder, capsys: Capture) -> None:
    write_results(run.evaluation, evaluation())
    assert runs("show", run.name) == ExitCode.DONE
    out = capsys.readouterr().out
    shown = {line[:12].strip(): line[12:] for line in out.splitlines()}
    assert shown["run"] == run.name
    assert shown["state"] == "finished"
    assert shown["iterations"] == "40 of 40"
    assert shown["best"] == "validation accuracy 91.25 %, loss 0.2500 at iteration 40"
    assert shown["result"].startswith("98.21 ± 0.31 % transductive, 93.21 ± 0.31 % support")


def test_show_finds_a_run_by_the_beginning_of_its_name(run: RunFolder, capsys: Capture) -> None:
    assert runs("show", "small", "--json") == ExitCode.DONE
    shown = json.loads(capsys.readouterr().out)
    assert shown["name"] == run.name
    assert shown["settings"]["task"]["way"] == 3
    assert shown["evaluations"] == []


def test_compare_shows_what_differs_and_how_the_runs_did(
    root: Path, characters: Path, capsys: Capture
) -> None:
    one = trained_run(root, characters, "small")
    changed = {"steps": 5, "test_steps": 2, "alpha": 0.1}
    five = trained_run(root, characters, "small", inner=changed, description="Not a setting.")
    write_results(one.evaluation, evaluation(episodes=200))
    assert runs("compare", one.name, five.name) == ExitCode.DONE
    lines = capsys.readouterr().out.splitlines()
    assert lines[:2] == [f"A  {one.name}", f"B  {five.name}"]
    table = {line[:28].strip(): line[28:].split() for line in lines[4:-1]}
    assert lines[-1].startswith("* A was not tested as its profile says, ")
    assert table == {
        "inner.steps": ["1", "5"],
        "inner.alpha": ["0.4", "0.1"],
        "state": ["finished", "finished"],
        "iterations": ["40", "40"],
        "best validation %": ["91.25", "91.25"],
        "test %": ["98.21", "±", "0.31", "*", "-"],
        "test %, support statistics": ["93.21", "±", "0.31", "*", "-"],
        "test inner steps": ["3", "-"],
        "test episodes": ["200", "-"],
    }


def test_compare_goes_pair_by_pair_over_tests_by_the_profiles_own_protocol_alone(
    root: Path, characters: Path, capsys: Capture
) -> None:
    own, other, short = (trained_run(root, characters, name, **OWN_PROTOCOL) for name in "abc")
    for run, episodes in ((own, 600), (other, 600), (short, 300)):
        write_results(
            run.evaluation, with_outcomes(run.name, [5] * (episodes - 1) + [int(run is own)])
        )
    assert runs("compare", own.name, other.name, short.name) == ExitCode.DONE
    out = capsys.readouterr().out
    assert "* C was not tested as its profile says" in out and "300 episodes" in out
    pairs = out.partition("test, pair by pair:")[2]
    assert "B - A" in pairs and "C - A" not in pairs
    assert runs("compare", short.name, own.name) == ExitCode.DONE
    assert "pair by pair" not in capsys.readouterr().out


def test_compare_takes_seeds_together_with_students_interval(
    root: Path, characters: Path, capsys: Capture
) -> None:
    """Also those of a study, whose names hold their seeds."""
    names = []
    for seed, right in ((0, 5), (1, 4), (2, 3)):
        name = f"study-maml-seed{seed}"
        protocol = OWN_PROTOCOL | {"meta": {"seed": seed, "iterations": 40}}
        run = trained_run(root, characters, name, **protocol)
        tested = with_headline(right / 5, 0.003, run=run.name, seed=seed)
        write_results(run.evaluation, tested)
        names.append(run.name)
    assert runs("compare", *names) == ExitCode.DONE
    over_seeds = capsys.readouterr().out.partition("test, over training seeds:\n")[2]
    # sd 0.2, t of 2 degrees of freedom 4.303: 4.303 x 0.2 / sqrt(3) = 0.4968.
    expected = (
        "  A, B, C: 80.00 ± 49.68 % (95 % interval of the mean of 3 seeds), 60.00 to 100.00 %"
    )
    assert over_seeds.splitlines()[0] == expected


def test_compare_writes_the_unit_to_each_figure_where_one_run_has_errors(
    root: Path, run: RunFolder, capsys: Capture
) -> None:
    write_results(run.evaluation, evaluation())
    waves = RunFolder.create(load_profile("sinusoid-5shot"), root)
    waves.update(state="finished", iteration=1, best=Best(iteration=1, accuracy=None, loss=0.549))
    waves.release()
    errors = tuple(StepResult(steps, None, math.nan, 0.554, 0.058) for steps in range(2))
    tested = evaluation(data="sinusoid", way=0, test_steps=1, transductive=errors, support=errors)
    write_results(waves.evaluation, tested)
    assert runs("compare", run.name, waves.name) == ExitCode.DONE
    table = capsys.readouterr().out.partition("\niterations")[2]
    lines = [re.sub(" +", " ", line) for line in table.splitlines()]
    assert lines[1:4] == [
        "best validation 91.25 % MSE 0.549",
        "test 98.21 ± 0.31 % * MSE 0.554 ± 0.058 *",
        "test, support statistics 93.21 ± 0.31 % * - *",
    ]


def test_compare_takes_the_newest_test_result_and_no_other_split(
    root: Path, characters: Path, capsys: Capture
) -> None:
    first, second = (trained_run(root, characters, "small") for _ in range(2))
    for age, changes in ((30, {}), (20, {"episodes": 100}), (10, {"split": "validation"})):
        for path in write_results(first.evaluation, evaluation(**changes)):
            now = path.stat().st_mtime
            os.utime(path, (now - age, now - age))
    assert runs("compare", first.name, second.name) == ExitCode.DONE
    out = capsys.readouterr().out
    (line,) = (line for line in out.splitlines() if line.startswith("profile"))
    assert line.split() == ["profile", "the", "same", "the", "same"]
    (line,) = (line for line in out.splitlines() if line.startswith("test episodes"))
    assert line.split() == ["test", "episodes", "100", "-"]


def test_an_ensemble_is_shown_apart_from_the_runs_own_result(
    root: Path, characters: Path, capsys: Capture
) -> None:
    single, both = (trained_run(root, characters, "small") for _ in range(2))
    write_results(both.evaluation, evaluation())
    for run in (single, both):
        write_results(run.evaluation, evaluation(checkpoint="ensemble of 5", episodes=100))
    assert runs("compare", single.name, both.name) == ExitCode.DONE
    out = capsys.readouterr().out
    (line,) = (line for line in out.splitlines() if line.startswith("test episodes"))
    assert line.split() == ["test", "episodes", "-", "600"]
    assert runs("show", both.name) == ExitCode.DONE
    results = [line for line in capsys.readouterr().out.splitlines() if "transductive" in line]
    assert ["best checkpoint, " in line for line in results] == [True, False]
    assert "ensemble of 5 checkpoints up to iteration 60,000, 100 episodes" in results[1]


def test_compare_needs_two_runs(run: RunFolder, capsys: Capture) -> None:
    assert runs("compare", run.name) == ExitCode.USAGE
    assert "at least two runs" in capsys.readouterr().err


def test_exported_metrics_have_a_row_a_logged_iteration(run: RunFolder, capsys: Capture) -> None:
    assert runs("export", run.name) == ExitCode.DONE
    rows = rows_of(capsys.readouterr().out)
    assert [(row["run"], row["iteration"]) for row in rows] == [(run.name, "20"), (run.name, "40")]
    assert (rows[0]["query_accuracy"], rows[0]["query_loss_step0"]) == ("0.75", "1.125")
    assert [row["validation_accuracy"] for row in rows] == ["", "0.9125"]
    assert rows[1]["validation_accuracy_step2"] == "0.9125"


def test_exported_evaluations_are_those_kept_in_the_run(
    run: RunFolder, tmp_path: Path, capsys: Capture
) -> None:
    write_results(run.evaluation, evaluation())
    write_results(run.evaluation, evaluation(seed=1))
    path = tmp_path / "out.csv"
    assert runs("export", run.name, "--what", "evaluation", "--csv", path) == ExitCode.DONE
    assert capsys.readouterr().out == ""
    rows = rows_of(path.read_text())
    assert list(rows[0]) == list(COLUMNS)
    assert [row["seed"] for row in rows] == ["0"] * 8 + ["1"] * 8


def test_export_of_results_that_are_not_there_points_to_eval(
    run: RunFolder, capsys: Capture
) -> None:
    assert runs("export", run.name, "--what", "evaluation") == ExitCode.UNAVAILABLE
    assert f"mamltui eval {run.name}" in capsys.readouterr().err


def test_a_damaged_metrics_line_is_named(run: RunFolder, capsys: Capture) -> None:
    with (run.path / "metrics.jsonl").open("a") as file:
        file.write("not json\n")
    assert runs("export", run.name) == ExitCode.UNAVAILABLE
    assert "metrics.jsonl:3" in capsys.readouterr().err


def test_a_torn_last_metrics_line_is_left_out(run: RunFolder, capsys: Capture) -> None:
    with (run.path / "metrics.jsonl").open("a") as file:
        file.write('{"event": "step", "iter')
    assert runs("export", run.name) == ExitCode.DONE
    assert len(rows_of(capsys.readouterr().out)) == 2


def test_a_damaged_result_is_named(run: RunFolder, capsys: Capture) -> None:
    (run.evaluation / "test-x.json").write_text("{")
    for command in (["show", run.name], ["export", run.name, "--what", "evaluation"]):
        assert runs(*command) == ExitCode.UNAVAILABLE
        assert "test-x.json" in capsys.readouterr().err


def test_rm_removes_the_runs_and_nothing_else(
    root: Path, characters: Path, capsys: Capture
) -> None:
    gone, kept = (trained_run(root, characters, name) for name in ("gone", "kept"))
    assert runs("rm", gone.name, gone.path, "--yes") == ExitCode.DONE
    assert list(root.iterdir()) == [kept.path]
    assert f"removed {gone.name}" in capsys.readouterr().err


@pytest.mark.parametrize(("answer", "left"), [("n\n", True), ("\n", True), ("y\n", False)])
def test_rm_asks_first(
    answer: str, left: bool, run: RunFolder, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    stdin = io.StringIO(answer)
    monkeypatch.setattr(stdin, "isatty", lambda: True)
    monkeypatch.setattr(sys, "stdin", stdin)
    assert runs("rm", run.name) == ExitCode.DONE
    assert run.path.exists() is left
    assert "Remove this run for good?" in capsys.readouterr().err


def test_rm_without_anybody_to_ask_needs_yes(
    run: RunFolder, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO("y\n"))
    assert runs("rm", run.name) == ExitCode.USAGE
    assert "--yes" in capsys.readouterr().err
    assert run.path.exists()


def test_rm_refuses_a_run_in_training_and_then_removes_none(
    root: Path, characters: Path, capsys: Capture
) -> None:
    finished, running = (trained_run(root, characters, name) for name in ("finished", "running"))
    running.acquire()
    running.update(state="running")
    try:
        assert runs("rm", finished.name, running.name, "--yes") == ExitCode.UNAVAILABLE
    finally:
        running.release()
    assert "the run is running" in capsys.readouterr().err
    assert finished.path.exists() and running.path.exists()


def test_rm_takes_no_folder_that_is_not_a_whole_run(
    root: Path, characters: Path, tmp_path: Path
) -> None:
    stranger = tmp_path / "project"
    stranger.mkdir()
    (stranger / "run.json").write_text('{"name": "of another program"}')
    (stranger / "precious.txt").write_text("precious")
    without_profile = trained_run(root, characters)
    (without_profile.path / "profile.toml").unlink()
    for folder in (stranger, without_profile.path):
        assert runs("rm", folder, "--yes") == ExitCode.UNAVAILABLE
        assert folder.exists()
    assert (stranger / "precious.txt").read_text() == "precious"


def test_what_is_left_of_a_run_that_never_began_is_listed_and_removed(
    run: RunFolder, root: Path, capsys: Capture
) -> None:
    (root / "small-20260131-101500-3f9a" / "checkpoints").mkdir(parents=True)
    (root / "small-20260131-101500-3f9a" / "lock").touch()
    assert runs("list") == ExitCode.DONE
    assert re.search(r"small-20260131-101500-3f9a +abandoned", capsys.readouterr().out)
    assert runs("rm", "--where", "state:abandoned", "--yes") == ExitCode.DONE
    assert list(root.iterdir()) == [run.path]


def test_rm_does_not_follow_a_link(
    run: RunFolder, tmp_path: Path, root: Path, capsys: Capture
) -> None:
    elsewhere = tmp_path / "elsewhere"
    run.path.rename(elsewhere)
    (root / "link").symlink_to(elsewhere, target_is_directory=True)
    assert runs("rm", "link", "--yes") == ExitCode.UNAVAILABLE
    assert "Traceback" not in capsys.readouterr().err
    assert (elsewhere / "run.json").exists()


def test_names_are_shown_as_they_are(run: RunFolder, root: Path, capsys: Capture) -> None:
    name = "[red]=1+1\x1b]0;title\x07\u202e"
    run.path.rename(root / name)
    for command in (["list"], ["show", root / name], ["compare", root / name, root / name]):
        assert runs(*command) == ExitCode.DONE
        printed = capsys.readouterr()
        assert r"[red]=1+1\x1b]0;title\x07\u202e" in printed.out
        assert not {"\x1b", "\x07", "\u202e"} & set(printed.out + printed.err)


@pytest.mark.parametrize("command", ["show", "export", "rm"])
def test_a_run_that_is_not_there_is_named(command: str, run: RunFolder, capsys: Capture) -> None:
    assert runs(command, "smal1") == ExitCode.UNAVAILABLE
    printed = capsys.readouterr()
    assert "there is no run 'smal1'" in printed.err
    assert printed.out == ""
    assert run.path.exists()


def test_a_query_chooses_what_is_listed_and_removed(
    root: Path, characters: Path, capsys: Capture
) -> None:
    one, two = (trained_run(root, characters, name) for name in ("one", "two"))
    assert runs("tag", two.name, "--add", "paper") == ExitCode.DONE
    assert capsys.readouterr().out == f"{two.name}: paper\n"
    assert runs("list", "--where", "tag:paper valid>90", "--json") == ExitCode.DONE
    (listed,) = json.loads(capsys.readouterr().out)
    assert (listed["name"], listed["tags"]) == (two.name, ["paper"])
    assert runs("list", "--sort", "name", "--json") == ExitCode.DONE
    names = [run["name"] for run in json.loads(capsys.readouterr().out)]
    assert names == [one.name, two.name]
    assert runs("list", "--where", "tset>3") == ExitCode.USAGE
    assert "Did you mean set or test?" in capsys.readouterr().err
    assert runs("rm", "--yes") == ExitCode.USAGE
    assert runs("rm", "--where", "tag:paper", "--yes") == ExitCode.DONE
    assert one.path.is_dir() and not two.path.exists()
    assert runs("tag", one.name, "--add", "two words") == ExitCode.USAGE


def test_a_run_is_called_starred_noted_and_archived_and_found_by_all_of_it(
    root: Path, characters: Path, capsys: Capture
) -> None:
    one, other = (trained_run(root, characters, name) for name in ("one", "other"))
    assert runs("rename", one.name, "my best") == ExitCode.DONE
    assert runs("note", "my best", "the seed was lucky") == ExitCode.DONE
    assert runs("star", "my best") == ExitCode.DONE
    assert runs("tag", "--where", "profile=one", "--add", "paper") == ExitCode.DONE
    info = one.info()
    assert (info.title, info.notes, info.starred) == ("my best", "the seed was lucky", True)
    capsys.readouterr()
    for query in ("starred=yes", "title:best", "notes:lucky", "lucky", "tag=paper"):
        assert runs("list", "--where", query) == ExitCode.DONE
        lines = capsys.readouterr().out.splitlines()
        assert [line.split()[0] for line in lines[1:]] == [one.name]
    assert lines[0].split()[-2:] == ["CALLED", "MARKS"]
    assert lines[1].endswith("my best  starred paper")
    assert runs("show", "my best") == ExitCode.DONE
    shown = {line[:12].strip(): line[12:] for line in capsys.readouterr().out.splitlines()}
    assert (shown["called"], shown["notes"]) == ("my best", "the seed was lucky")

    assert runs("archive", "--where", "starred=yes") == ExitCode.DONE
    assert runs("list", "--json") == ExitCode.DONE
    out = capsys.readouterr().out
    assert [each["name"] for each in json.loads(out[out.index("[") :])] == [other.name]
    assert runs("archive", "--off", "--where", "tag=paper") == ExitCode.DONE
    assert one.info().archived is False
    assert runs("star", "--off", one.name) == ExitCode.DONE
    assert one.info().starred is False


def test_what_cannot_be_a_name_or_has_it_twice_is_refused(
    root: Path, characters: Path, capsys: Capture
) -> None:
    one, other = (trained_run(root, characters, name) for name in ("one", "other"))
    assert runs("rename", one.name, "two\nlines") == ExitCode.USAGE
    for run in (one, other):
        assert runs("rename", run.name, "twins") == ExitCode.DONE
    capsys.readouterr()
    assert runs("show", "twins") == ExitCode.UNAVAILABLE
    assert one.name in capsys.readouterr().err
    assert runs("rename", one.name) == ExitCode.DONE
    assert runs("show", "twins") == ExitCode.DONE
    assert runs("star") == ExitCode.USAGE


def test_reference_runs_are_not_marked(
    tmp_path: Path, characters: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    reference = trained_run(tmp_path / "reference", characters)
    monkeypatch.setenv("MAMLTUI_REFERENCE_DIR", str(tmp_path / "reference"))
    assert runs("star", reference.name) == ExitCode.UNAVAILABLE
    assert "came with mamltui" in capsys.readouterr().err
