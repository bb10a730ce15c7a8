"""``mamltui run --headless``: trains, evaluates, reports, resumes."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NoReturn

import pytest
import tomli
import torch
from PIL import Image

from mamltui.cli import main
from mamltui.profiles import load_profile, parse_profile
from mamltui.results import kept_evaluations
from mamltui.runs import RunFolder
from tests.cli.tiny import RUN, only_run

Capture = pytest.CaptureFixture[str]

SIX = ("--set", "meta.iterations=6")
"""A resumed run keeps its own number, 4, unless another is set."""


def _refuse(constant: str) -> NoReturn:
    raise AssertionError(f"{constant} is not JSON")


def json_lines(text: str) -> list[dict[str, Any]]:
    return [json.loads(line, parse_constant=_refuse) for line in text.splitlines()]


def metrics(run: Path) -> Iterator[tuple[int, float, float]]:
    for step in RunFolder(run).read_metrics().records:
        yield step.iteration, step.query_loss, step.gradient_norm


def test_a_run_ends_with_results_on_stdout_and_in_its_folder(place: Path, capsys: Capture) -> None:
    assert main(RUN) == 0
    captured = capsys.readouterr()
    assert "folder 3-way 1-shot" in captured.out
    assert "transductive" in captured.out
    assert "There is no published figure for folder 3-way 1-shot" in captured.out
    run = only_run(place)
    assert f"kept in runs/{run.name}" in captured.err
    assert {path.suffix for path in (run / "evaluation").iterdir()} == {".csv", ".json", ".md"}
    assert RunFolder(run).info().state == "finished"
    assert [row[0] for row in metrics(run)] == [1, 2, 3, 4, 5, 6]


def test_progress_is_lines_on_stderr_off_a_terminal(
    place: Path,  # noqa: ARG001
    capsys: Capture,
) -> None:
    assert main(RUN) == 0
    lines = capsys.readouterr().err.splitlines()
    assert sum("started tiny-" in line and "3-way 1-shot on folder" in line for line in lines) == 1
    assert (
        sum("iteration " in line and "validation" in line and " / 6" in line for line in lines) == 2
    )
    assert any("finished in" in line for line in lines)


def test_verbose_says_every_logged_step(place: Path, capsys: Capture) -> None:  # noqa: ARG001
    assert main([*RUN, "-v"]) == 0
    error = capsys.readouterr().err
    for iteration in range(1, 7):
        assert f"iteration {iteration} / 6  loss" in error
    assert "checkpoint best" in error


def test_quiet_says_the_results_alone(place: Path, capsys: Capture) -> None:  # noqa: ARG001
    assert main([*RUN, "-q"]) == 0
    captured = capsys.readouterr()
    assert captured.err == ""
    assert "transductive" in captured.out


def test_format_none_says_nothing(place: Path, capsys: Capture) -> None:
    assert main([*RUN, "--format", "none"]) == 0
    assert capsys.readouterr() == ("", "")
    assert RunFolder(only_run(place)).info().state == "finished"


def test_format_jsonl_is_one_event_a_line_with_the_evaluation_last(
    place: Path,
    capsys: Capture,
) -> None:
    assert main([*RUN, "--format", "jsonl"]) == 0
    captured = capsys.readouterr()
    assert captured.err == ""
    rows = json_lines(captured.out)
    names = [row["event"] for row in rows]
    assert names[0] == "started"
    assert names.count("step") == 6
    assert names.count("validated") == 2
    assert names[-2:] == ["finished", "evaluated"]
    assert rows[0]["run"] == rows[-1]["run"] == only_run(place).name
    assert [result["steps"] for result in rows[-1]["transductive"]] == [0, 1, 2, 3]


def test_the_csv_is_written_to_a_file(place: Path, capsys: Capture) -> None:
    assert main([*RUN, "--csv", "results.csv"]) == 0
    assert "transductive" in capsys.readouterr().out
    rows = list(csv.DictReader(io.StringIO((place / "results.csv").read_text())))
    assert [(row["statistics"], row["test_steps"]) for row in rows] == [
        (statistics, str(steps)) for statistics in ("transductive", "support") for steps in range(4)
    ]
    assert {row["run"] for row in rows} == {only_run(place).name}


def test_a_dash_puts_the_csv_alone_on_stdout(place: Path, capsys: Capture) -> None:  # noqa: ARG001
    assert main([*RUN, "--csv", "-"]) == 0
    captured = capsys.readouterr()
    rows = list(csv.DictReader(io.StringIO(captured.out)))
    assert len(rows) == 8
    assert all(0 <= float(row["accuracy_percent"]) <= 100 for row in rows)
    assert "transductive" in captured.err


def test_settings_are_changed_by_set_and_seed(place: Path, capsys: Capture) -> None:  # noqa: ARG001
    assert main([*RUN, "--set", "meta.iterations=3", "--seed", "5", "--runs-dir", "elsewhere"]) == 0
    (run,) = (place / "elsewhere").iterdir()
    expected = load_profile("tiny.toml", ["meta.iterations=3", "meta.seed=5"])
    assert RunFolder(run).profile == expected
    assert not (place / "runs").exists()


def test_the_same_seed_gives_the_same_training_and_another_seed_another(
    place: Path,
    capsys: Capture,  # noqa: ARG001
) -> None:
    found = []
    for folder, seed in (("a", "1"), ("b", "1"), ("c", "2")):
        assert main([*RUN, "--seed", seed, "--out", folder, "--format", "none"]) == 0
        (run,) = (place / folder).iterdir()
        found.append(list(metrics(run)))
    assert found[0] == found[1]
    assert found[0] != found[2]


def test_a_dry_run_prints_the_plan_and_makes_nothing(place: Path, capsys: Capture) -> None:
    before = sorted(place.rglob("*"))
    assert main([*RUN, "--dry-run", "--set", "inner.steps=2", "--set", "network.filters=8"]) == 0
    output = capsys.readouterr().out
    assert sorted(place.rglob("*")) == before
    asked = load_profile("tiny.toml", ["inner.steps=2", "network.filters=8"])
    assert parse_profile(output, "plan") == asked
    assert tomli.loads(output)["inner"]["steps"] == 2
    # 9 * 8 + 3 * 9 * 8 * 8 weights, 4 * 8 shifts, 8 * 3 + 3 in the head
    assert "1,859 parameters" in output
    assert "25 classes x 6 drawings" in output
    assert "6 iterations of 2 episodes" in output
    assert "runs/tiny-YYYYMMDD-HHMMSS-xxxx" in output


def test_a_dry_run_of_a_resume_names_the_run(trained_place: Path, capsys: Capture) -> None:
    run = only_run(trained_place)
    before = {path: path.stat().st_mtime_ns for path in trained_place.rglob("*")}
    assert main([*RUN, *SIX, "--dry-run", "--resume", "auto"]) == 0
    assert f"runs/{run.name} (resumed)" in capsys.readouterr().out
    assert {path: path.stat().st_mtime_ns for path in trained_place.rglob("*")} == before


def test_an_accuracy_that_is_reached_is_no_failure(place: Path, capsys: Capture) -> None:  # noqa: ARG001
    assert main([*RUN, "--min-accuracy", "0"]) == 0


def test_an_accuracy_that_is_not_reached_ends_with_4_after_the_results(
    place: Path,
    capsys: Capture,
) -> None:
    # Nobody tells pictures of nothing apart: about a third of 40 x 3 answers are right.
    generator = torch.Generator().manual_seed(0)
    for path in (place / "characters").rglob("*.png"):
        noise = torch.randint(0, 256, (12, 12), generator=generator, dtype=torch.uint8)
        Image.fromarray(noise.numpy()).save(path)
    settings = ["--set", "evaluation.episodes=40", "--csv", "results.csv"]
    assert main([*RUN, *settings, "--min-accuracy", "90"]) == 4
    captured = capsys.readouterr()
    assert "below --min-accuracy 90" in captured.err
    assert "transductive" in captured.out
    assert (place / "results.csv").exists()


def test_a_divergence_ends_with_4_and_keeps_the_last_good_checkpoint(
    place: Path, capsys: Capture
) -> None:
    changes = ["--set", "meta.learning_rate=1e30", "--set", "run.checkpoint_interval=1"]
    assert main([*RUN, *changes, "--set", "meta.divergence_loss=50"]) == 4
    error = capsys.readouterr().err
    run = RunFolder(only_run(place))
    assert "the training diverged at iteration" in error
    assert str(run.path.relative_to(place)) in error
    assert run.info().state == "diverged"
    assert run.load_checkpoint("last").iteration >= 1


def test_a_resumed_run_goes_on_as_if_it_had_never_ended(
    trained_place: Path, capsys: Capture
) -> None:
    run = only_run(trained_place)
    assert main([*RUN, *SIX, "--resume", run.name]) == 0
    assert f"resumed {run.name}" in capsys.readouterr().err
    assert main([*RUN, "--out", "unbroken", "--format", "none"]) == 0
    (unbroken,) = (trained_place / "unbroken").iterdir()
    assert list(metrics(run)) == list(metrics(unbroken))


def test_resume_auto_goes_on_with_the_unfinished_run(trained_place: Path, capsys: Capture) -> None:
    run = only_run(trained_place)
    assert main([*RUN, *SIX, "--resume", "auto"]) == 0
    assert f"going on with {run.name}" in capsys.readouterr().err
    assert only_run(trained_place) == run
    assert RunFolder(run).info().iteration == 6


def test_resume_auto_starts_a_new_run_where_there_is_none(place: Path, capsys: Capture) -> None:
    assert main([*RUN, "--resume", "auto"]) == 0
    assert "a new one starts" in capsys.readouterr().err
    assert RunFolder(only_run(place)).info().state == "finished"


def test_resume_auto_leaves_runs_of_other_settings_alone(
    trained_place: Path, capsys: Capture
) -> None:
    run = only_run(trained_place)
    assert main([*RUN, "--resume", "auto", "--set", "inner.alpha=0.3"]) == 0
    assert "a new one starts" in capsys.readouterr().err
    assert RunFolder(run).info().iteration == 4


def test_a_resume_may_change_what_is_only_looked_at(trained_place: Path, capsys: Capture) -> None:  # noqa: ARG001
    run = only_run(trained_place)
    changes = ["--set", "evaluation.episodes=8", "--set", "run.log_interval=2"]
    assert main([*RUN, *SIX, "--resume", run.name, *changes]) == 0
    assert RunFolder(run).profile.evaluation.episodes == 8


def test_a_torn_last_line_of_the_metrics_is_no_obstacle(
    trained_place: Path, capsys: Capture
) -> None:
    run = only_run(trained_place)
    with (run / "metrics.jsonl").open("a") as file:
        file.write('{"event": "step", "iterat')
    assert main([*RUN, *SIX, "--resume", run.name]) == 0
    assert "damaged" not in capsys.readouterr().err
    assert [row[0] for row in metrics(run)] == [1, 2, 3, 4, 5, 6]


def test_a_csv_that_cannot_be_written_is_refused_before_the_training(
    place: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(**_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("tempfile.TemporaryFile", refuse)
    assert main([*RUN, "--csv", "results.csv"]) == 2
    assert "--csv results.csv: cannot be written: Permission denied" in capsys.readouterr().err
    assert not (place / "runs").exists()


def test_a_run_is_named_and_a_command_is_told_of_its_end(place: Path, capsys: Capture) -> None:
    told = "echo $MAMLTUI_STATE $MAMLTUI_ACCURACY > end.txt; test -d $MAMLTUI_RUN && exit 7"
    assert main([*RUN, "-q", "--name", "my first", "--on-end", told]) == 0
    run = RunFolder(only_run(place))
    assert run.info().title == "my first"
    state, accuracy = Path("end.txt").read_text().split()
    (result,) = kept_evaluations(run.evaluation)
    assert (state, accuracy) == ("finished", f"{100 * result.headline().accuracy:.2f}")
    assert "--on-end: the command ended with 7" in capsys.readouterr().err


def test_a_run_that_is_gone_on_with_keeps_its_name(capsys: Capture) -> None:
    assert main([*RUN, "--resume", "some", "--name", "other"]) == 2
    assert "mamltui runs rename some NAME" in capsys.readouterr().err
    assert main([RUN[0], RUN[1], "--on-end", "true"]) == 2
    assert "--on-end needs --headless" in capsys.readouterr().err
