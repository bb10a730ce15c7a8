"""Evaluations as JSON, and as the files of a run folder."""

from __future__ import annotations

import json
import math
import os
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from mamltui.errors import MamltuiError, RunError
from mamltui.results import (
    csv_text,
    json_text,
    kept_evaluations,
    markdown_text,
    read_evaluations,
    result_stem,
    write_results,
    write_text,
)
from tests.results.examples import evaluation, with_outcomes


def test_json_is_read_back_as_it_was(tmp_path: Path) -> None:
    evaluations = [evaluation(), evaluation(run="b", train_steps=5)]
    path = tmp_path / "result.json"
    path.write_text(json_text(evaluations))
    assert read_evaluations(path) == evaluations


def test_outcomes_are_read_back_and_stand_on_a_line_each(tmp_path: Path) -> None:
    result = with_outcomes("a", [5, 4, 3])
    text = json_text([result])
    path = tmp_path / "result.json"
    path.write_text(text)
    assert read_evaluations(path) == [result]
    assert '"right": [5, 4, 3]' in text
    spread = json.loads(text)["evaluations"][0]["outcomes"]["support"]["spread"]
    assert spread["worst"] == 0.6


def test_json_holds_the_comparison() -> None:
    document = json.loads(json_text([evaluation()]))
    comparisons = document["evaluations"][0]["comparisons"]
    maml = next(item for item in comparisons if item["method"] == "MAML")
    assert maml["published"] == "98.7 ± 0.4 %"
    assert (maml["relation"], maml["intervals_meet"]) == ("below", True)


def test_a_loss_that_is_not_finite_is_null_in_json(tmp_path: Path) -> None:
    broken = replace(evaluation().transductive[0], loss=math.nan, loss_ci95=math.inf)
    text = json_text([evaluation(transductive=(broken, *evaluation().transductive[1:]))])
    result = json.loads(text)["evaluations"][0]["transductive"][0]
    assert (result["loss"], result["loss_ci95"]) == (None, None)
    path = tmp_path / "result.json"
    path.write_text(text)
    assert math.isnan(read_evaluations(path)[0].transductive[0].loss)


def damaged(**changes: Any) -> str:
    document = json.loads(json_text([evaluation()]))
    document["evaluations"][0] |= changes
    return json.dumps(document)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        "{}",
        "null",
        "\x00\xff",
        "[" * 100_000,
        '{"format": "mamltui evaluation", "version": 2, "evaluations": []}',
        damaged(way="5"),
        damaged(rotations=1),
        damaged(transductive=5),
        damaged(transductive=[]),
        damaged(support=[{}]),
        damaged(test_steps=7),
        damaged(outcomes={"transductive": {}}),
        damaged(outcomes={"transductive": 1, "support": 1}),
        json_text([with_outcomes("a", [5])]).replace('"episodes": 1', '"episodes": 2'),
    ],
    ids=range(17),
)
def test_a_file_that_is_no_result_is_refused_by_name(text: str, tmp_path: Path) -> None:
    path = tmp_path / "result.json"
    path.write_text(text, encoding="latin-1")
    with pytest.raises(RunError) as refusal:
        read_evaluations(path)
    assert refusal.value.where == str(path)
    assert refusal.value.hint is not None


def test_the_three_files_hold_the_result(tmp_path: Path) -> None:
    folder = tmp_path / "run" / "evaluation"
    paths = write_results(folder, evaluation())
    assert sorted(paths) == sorted(folder.iterdir())
    texts = {path.suffix: path.read_text(encoding="utf-8") for path in paths}
    one = [evaluation()]
    assert texts == {".csv": csv_text(one), ".json": json_text(one), ".md": markdown_text(one)}


def test_what_was_kept_is_found_again_and_what_is_damaged_left_out(tmp_path: Path) -> None:
    kept = [evaluation(episodes=100), evaluation(episodes=600)]
    for found in kept:
        write_results(tmp_path, found)
    (tmp_path / "a-damaged.json").write_text("{")
    assert kept_evaluations(tmp_path) == kept
    assert kept_evaluations(tmp_path / "nowhere") == []


@pytest.mark.parametrize(
    "changes",
    [
        {"split": "validation"},
        {"checkpoint": "last"},
        {"iteration": 59_500},
        {"episodes": 100},
        {"seed": 1},
        {"device": "cuda"},
        {"transductive": evaluation().transductive[1:], "support": evaluation().support[1:]},
    ],
    ids=["split", "checkpoint", "iteration", "episodes", "seed", "device", "steps"],
)
def test_another_setting_does_not_overwrite_a_result(
    changes: dict[str, Any], tmp_path: Path
) -> None:
    write_results(tmp_path, evaluation())
    write_results(tmp_path, evaluation(**changes))
    assert len(list(tmp_path.glob("*.csv"))) == 2


def test_a_long_list_of_steps_still_makes_a_file_name_of_its_own() -> None:
    def with_steps(steps: range) -> str:
        results = tuple(replace(evaluation().transductive[0], steps=step) for step in steps)
        return result_stem(evaluation(transductive=results))

    odd, even = with_steps(range(1, 200, 2)), with_steps(range(0, 200, 2))
    assert odd != even
    assert max(len(odd), len(even)) < 200


def test_a_folder_that_cannot_be_made_is_an_error_of_the_run(tmp_path: Path) -> None:
    in_the_way = tmp_path / "evaluation"
    in_the_way.write_text("a file")
    with pytest.raises(RunError, match="cannot be written"):
        write_results(in_the_way, evaluation())
    assert in_the_way.read_text() == "a file"


def test_a_failed_write_leaves_the_old_file_and_nothing_beside_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "result.csv"
    write_text(path, "old")

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(MamltuiError, match="No space left"):
        write_text(path, "new")
    assert [entry.name for entry in tmp_path.iterdir()] == ["result.csv"]
    assert path.read_text() == "old"


def test_a_link_keeps_pointing_where_it_did(tmp_path: Path) -> None:
    (tmp_path / "target.csv").write_text("old")
    link = tmp_path / "link.csv"
    link.symlink_to("target.csv")
    write_text(link, "new")
    assert link.is_symlink()
    assert (tmp_path / "target.csv").read_text() == "new"


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
def test_a_pipe_is_written_to_and_not_replaced(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    received: list[str] = []
    reader = threading.Thread(target=lambda: received.append(pipe.read_text()))
    reader.start()
    write_text(pipe, "data")
    reader.join(timeout=10)
    assert received == ["data"]
    assert pipe.is_fifo()


def test_a_result_written_before_there_were_other_algorithms_is_of_maml(tmp_path: Path) -> None:
    document = json.loads(json_text([evaluation()]))
    for name in ("algorithm", "running_statistics"):
        del document["evaluations"][0][name]
    path = tmp_path / "old.json"
    path.write_text(json.dumps(document))
    assert read_evaluations(path) == [evaluation()]


@pytest.mark.parametrize("lost", [(".csv",), (".md",), (".csv", ".md")])
def test_a_result_whose_writer_was_killed_is_completed_by_its_next_reader(
    tmp_path: Path, lost: tuple[str, ...]
) -> None:
    paths = write_results(tmp_path, evaluation())
    assert paths[0].suffix == ".json"  # the first that is written
    before = {path: path.read_bytes() for path in paths}
    for path in paths:
        if path.suffix in lost:
            path.unlink()
    assert kept_evaluations(tmp_path) == [evaluation()]
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before
