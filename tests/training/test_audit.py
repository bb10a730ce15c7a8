"""``mamltui runs verify`` tells a run that is whole and true from one that is not."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner

from mamltui.cli.runs import app
from mamltui.data.banks import Banks
from mamltui.errors import ExitCode
from mamltui.runs import RunFolder
from mamltui.training.audit import audit

KEPT = Path(__file__).parents[1] / "runs" / "formats" / "2"


@pytest.fixture
def run(tmp_path: Path) -> RunFolder:
    return RunFolder(shutil.copytree(KEPT, tmp_path / "kept"))


@pytest.fixture(scope="module")
def banks() -> Banks:
    return Banks()


def flip(path: Path, offset: int) -> None:
    content = bytearray(path.read_bytes())
    content[offset] ^= 1
    path.write_bytes(content)


def lines_of(path: Path, change: Callable[[list[str]], list[str]]) -> None:
    path.write_text("".join(change(path.read_text().splitlines(keepends=True))))


def flip_a_bit(run: RunFolder) -> None:
    flip(run.checkpoint_path("last"), -1)


def swap_checkpoints(run: RunFolder) -> None:
    shutil.copy(run.checkpoint_path("last"), run.checkpoint_path("best"))


def lose_a_checkpoint(run: RunFolder) -> None:
    run.checkpoint_path("best").unlink()


def lose_a_line(run: RunFolder) -> None:
    lines_of(run.path / "metrics.jsonl", lambda lines: [*lines[:2], *lines[3:]])


def lose_a_validation(run: RunFolder) -> None:
    lines_of(
        run.path / "events.jsonl",
        lambda lines: [each for each in lines if '"validated", "iteration": 5,' not in each],
    )


def finish_twice(run: RunFolder) -> None:
    lines_of(run.path / "events.jsonl", lambda lines: [*lines, lines[-1]])


def improve_the_loss(run: RunFolder) -> None:
    def change(lines: list[str]) -> list[str]:
        last = json.loads(lines[-1])
        return [*lines[:-1], json.dumps(last | {"query_loss": 0.9 * last["query_loss"]}) + "\n"]

    lines_of(run.path / "metrics.jsonl", change)


def learn_otherwise(run: RunFolder) -> None:
    path = run.path / "profile.toml"
    text = path.read_text()
    assert "alpha = 0.4" in text
    path.write_text(text.replace("alpha = 0.4", "alpha = 0.1"))


def train_on_other_images(run: RunFolder) -> None:
    path = run.path / "run.json"
    document = json.loads(path.read_text())
    document["data"]["content_hash"] = "0" * 64
    path.write_text(json.dumps(document))


def tear_a_result(run: RunFolder) -> None:
    (result,) = run.evaluation.glob("*.json")
    result.write_text("{")


def test_a_whole_run_is_right_and_left_as_it_is(run: RunFolder, banks: Banks) -> None:
    before = {path: path.read_bytes() for path in run.path.rglob("*") if path.is_file()}
    checks = list(audit(run, banks, torch.device("cpu")))
    assert [check for check in checks if not check.passed] == []
    assert len(checks) == 10
    assert {path: path.read_bytes() for path in run.path.rglob("*") if path.is_file()} == before


@pytest.mark.parametrize("is_whole", [True, False])
def test_the_command_prints_each_check_and_exits_with_1_if_one_is_wrong(
    run: RunFolder, banks: Banks, is_whole: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mamltui.data.banks.Banks", lambda _: banks)
    if not is_whole:
        flip_a_bit(run)
    done = CliRunner().invoke(app, ["verify", str(run.path), "--device", "cpu"])
    assert done.exit_code == (ExitCode.DONE if is_whole else ExitCode.FAILURE)
    verdicts = {line.split()[0]: line.split()[1] for line in done.stdout.splitlines()}
    assert verdicts["last"] == ("right" if is_whole else "WRONG")
    assert verdicts["replay"] == "right"


@pytest.mark.parametrize(
    ("damage", "check", "why"),
    [
        (flip_a_bit, "last", "not those of its hash"),
        (swap_checkpoints, "best", "of iteration 12, not 10"),
        (lose_a_checkpoint, "best", "no such checkpoint"),
        (lose_a_line, "metrics", "1 lines are missing: 6"),
        (lose_a_validation, "validations", "1 are missing: 5"),
        (finish_twice, "end", "finished stands 2 times"),
        (improve_the_loss, "replay", "off by 1.1e-01"),
        (learn_otherwise, "replay", "off by"),
        (train_on_other_images, "data", "other images"),
        (tear_a_result, "results", "1 of 1 are damaged"),
    ],
)
def test_what_is_not_whole_or_not_true_is_named(
    run: RunFolder, banks: Banks, damage: Callable[[RunFolder], None], check: str, why: str
) -> None:
    damage(run)
    checks = audit(run, banks, torch.device("cpu"))
    wrong = {each.name: each.result for each in checks if not each.passed}
    assert why in wrong[check]
