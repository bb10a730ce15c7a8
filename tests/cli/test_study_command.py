"""``mamltui study``: exit codes, what goes to stdout, and going on."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from mamltui.cli import main
from tests.studies.conftest import use_small_images
from tests.studies.small import SMALL, Here, write_study


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch) -> Here:
    """Cells run in this process, on small images."""
    use_small_images(monkeypatch)
    executor = Here()
    monkeypatch.setattr(
        "mamltui.studies.executors.choosing.executor_named", lambda *_, **__: executor
    )
    return executor


def test_a_study_runs_shows_where_it_stands_and_writes_its_report(
    tmp_path: Path, here: Here, capsys: pytest.CaptureFixture[str]
) -> None:
    file, runs = str(write_study(tmp_path)), f"--runs-dir={tmp_path / 'runs'}"
    assert main(["study", "run", file, runs, "--iterations", "3", "--only", "steps1"]) == 0
    output = capsys.readouterr()
    assert "quickstart-steps1-seed0: done" in output.err
    assert "quickstart-steps1-seed0  done   3 / 3" in output.out

    assert main(["study", "status", "small", runs, "--json"]) == 0
    status = json.loads(capsys.readouterr().out)
    assert status["states"] == {"done": 1, "queued": 1}
    assert [cell["iterations"] for cell in status["cells"]] == [3, 3]

    assert main(["study", "run", "small", runs, "--resume", "-q"]) == 0
    assert here.started == ["quickstart-steps1-seed0", "quickstart-steps2-seed0"]
    capsys.readouterr()

    assert main(["study", "report", "small", runs, "--to", str(tmp_path / "report")]) == 0
    paths = capsys.readouterr().out.split()
    assert [Path(path).name for path in paths] == ["report.md", "report.html"]
    assert "2 of 2 cells over" in Path(paths[0]).read_text()


@pytest.mark.usefixtures("here")
def test_the_exit_code_tells_of_cells_that_failed_or_diverged(
    tmp_path: Path, here: Here, capsys: pytest.CaptureFixture[str]
) -> None:
    text = SMALL.replace("[grid]", "meta.divergence_loss = 1.0000001\n[grid]")
    file, runs = str(write_study(tmp_path, text)), f"--runs-dir={tmp_path / 'runs'}"
    assert main(["study", "run", file, runs, "-q"]) == 4
    capsys.readouterr()
    assert main(["study", "status", "small", runs]) == 0
    assert "quickstart-steps1-seed0: diverged: " in capsys.readouterr().out
    here._before = lambda _: 1
    assert main(["study", "run", str(write_study(tmp_path, name="other")), runs, "-q"]) == 1


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--iterations", "3", "--minutes", "1"], "exclude each other"),
        (["--minutes", "0"], "a number of minutes above 0"),
        (["--resume", "--seeds", "2"], "it takes no changes"),
        (["--only", "nothing"], "has no nothing"),
        (["--set", "inner.steps"], "a change is KEY=VALUE"),
        (["--set", "inner.stepps=2"], "inner.stepps is no key of a profile"),
    ],
)
def test_wrong_options_end_with_2_before_anything_is_made(
    options: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = str(write_study(tmp_path))
    assert main(["study", "run", file, f"--runs-dir={tmp_path / 'runs'}", *options]) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "runs").exists()


def test_a_dry_run_lists_the_cells_and_makes_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    runs = tmp_path / "runs"
    assert main(["study", "run", "train-steps", f"--runs-dir={runs}", "--dry-run"]) == 0
    assert capsys.readouterr().out.count("queued") == 7
    assert not runs.exists()


def test_the_packaged_studies_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["study", "list"]) == 0
    rows = {line.split()[0] for line in capsys.readouterr().out.splitlines()[1:]}
    assert rows >= {"paper", "train-steps", "test-steps", "parts", "loss-scale", "quick"}
