"""``mamltui eval``, as it is typed."""

from __future__ import annotations

import csv
import io
import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console

from mamltui.cli import main
from mamltui.cli.tables import print_evaluation
from mamltui.errors import ExitCode
from mamltui.results import COLUMNS, Evaluation, read_evaluations
from mamltui.runs import Best, RunFolder
from tests.cli.run_folders import trained_run, write_characters
from tests.results.examples import evaluation

Capture = pytest.CaptureFixture[str]


@pytest.fixture(scope="module")
def characters(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_characters(tmp_path_factory.mktemp("data") / "characters")


@pytest.fixture
def run(tmp_path: Path, characters: Path) -> RunFolder:
    return trained_run(tmp_path / "runs", characters)


def evaluate(*arguments: object) -> int:
    return main(["eval", *map(str, arguments), "--device", "cpu"])


def rows_of(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))


def test_one_run_gives_a_row_a_step_with_the_headline_marked(
    run: RunFolder, capsys: Capture
) -> None:
    assert evaluate(run.path) == ExitCode.DONE
    printed = capsys.readouterr()
    lines = printed.out.splitlines()
    assert lines[0] == run.name
    assert lines[1] == (
        "folder 3-way 1-shot, 1 inner step in training; test split (proportional), 6 episodes of "
        "seed 7; best checkpoint, iteration 40"
    )
    header = next(number for number, line in enumerate(lines) if line.startswith("steps"))
    table = lines[header : header + 5]
    assert [line.split()[0] for line in table] == ["steps", "0", "1", "2*", "3"]
    assert len({len(line) for line in table}) == 1
    assert "There is no published figure for folder 3-way 1-shot." in printed.out
    assert "kept in" in printed.err


def test_the_result_is_kept_in_the_run_folder(run: RunFolder, capsys: Capture) -> None:
    assert evaluate(run.path, "--csv", "-") == ExitCode.DONE
    (kept,) = run.evaluation.glob("*.csv")
    assert kept.read_text() == capsys.readouterr().out
    assert {path.suffix for path in run.evaluation.iterdir()} == {".csv", ".json", ".md"}


def test_options_choose_what_is_evaluated(run: RunFolder, capsys: Capture) -> None:
    options = "--steps 1,5 --episodes 4 --split validation --checkpoint last --seed 3 --csv -"
    assert evaluate(run.path, *options.split()) == ExitCode.DONE
    printed = capsys.readouterr()
    rows = rows_of(printed.out)
    assert list(rows[0]) == list(COLUMNS)
    assert [row["test_steps"] for row in rows] == ["1", "2", "5"] * 2
    for row in rows:
        chosen = [row[key] for key in ("episodes", "split", "checkpoint", "seed")]
        assert chosen == ["4", "validation", "last", "3"]


def test_an_ensemble_is_called_one(run: RunFolder, capsys: Capture) -> None:
    best = run.load_checkpoint("best")
    kept = tuple(Best(iteration=each, accuracy=0.5, loss=1.0) for each in (20, 40))
    for count, iteration in enumerate((20, 40), start=1):
        kept_then = replace(best, iteration=iteration, validated=iteration, kept=kept[:count])
        run.save_checkpoint(iteration, kept_then)
    assert evaluate(run.path, "--checkpoint", "ensemble", "--csv", "-") == ExitCode.DONE
    rows = rows_of(capsys.readouterr().out)
    assert {(row["checkpoint"], row["iteration"]) for row in rows} == {("ensemble of 2", "40")}
    names = {path.name.split("-steps")[0] for path in run.evaluation.iterdir()}
    assert names == {"test-ensemble-of-2-iteration40"}
    assert evaluate(run.path, "--checkpoint", "ensemble") == ExitCode.DONE
    assert "ensemble of 2 checkpoints up to iteration 40" in capsys.readouterr().out


def test_runs_are_scored_as_one(
    run: RunFolder, tmp_path: Path, characters: Path, capsys: Capture
) -> None:
    other = trained_run(tmp_path / "others", characters)
    assert evaluate(run.path, other.path, "--ensemble", "--csv", "-") == ExitCode.DONE
    rows = rows_of(capsys.readouterr().out)
    assert {(row["checkpoint"], row["together_with"]) for row in rows} == {
        ("ensemble of 2", other.name)
    }
    assert len({path.stem for path in run.evaluation.iterdir()}) == 1
    assert not list(other.evaluation.glob("*ensemble*"))


def test_the_same_command_gives_the_same_bytes(run: RunFolder, capsys: Capture) -> None:
    evaluate(run.path, "--csv", "-")
    first = capsys.readouterr().out
    evaluate(run.path, "--csv", "-")
    assert capsys.readouterr().out == first


def test_json_goes_to_stdout_alone(run: RunFolder, capsys: Capture) -> None:
    assert evaluate(run.path, "--json") == ExitCode.DONE
    document = json.loads(capsys.readouterr().out)
    assert document["evaluations"][0]["run"] == run.name


def test_files_are_written_beside_the_table(
    run: RunFolder, tmp_path: Path, capsys: Capture
) -> None:
    table, text = tmp_path / "out.csv", tmp_path / "out.md"
    assert evaluate(run.path, "--csv", table, "--markdown", text) == ExitCode.DONE
    assert len(rows_of(table.read_text())) == 8
    assert text.read_text().startswith(f"### {run.name}\n")
    assert "transductive %" in capsys.readouterr().out


def test_markdown_goes_to_stdout_alone(run: RunFolder, capsys: Capture) -> None:
    assert evaluate(run.path, "--markdown", "-") == ExitCode.DONE
    (kept,) = run.evaluation.glob("*.md")
    assert capsys.readouterr().out == kept.read_text()


def test_disjoint_episodes_are_as_many_as_the_images_allow(run: RunFolder, capsys: Capture) -> None:
    assert evaluate(run.path, "--disjoint", "--json") == ExitCode.DONE
    result = json.loads(capsys.readouterr().out)["evaluations"][0]
    assert result["disjoint"] is True
    assert len(result["outcomes"]["support"]["right"]) == result["episodes"]
    assert all("-disjoint-" in path.name for path in run.evaluation.iterdir())
    assert evaluate(run.path, "--disjoint", "--episodes", "999") == ExitCode.USAGE
    assert "without a common image" in capsys.readouterr().err


def test_runs_on_the_same_episodes_are_compared_pair_by_pair(
    tmp_path: Path, characters: Path, capsys: Capture
) -> None:
    root = tmp_path / "runs"
    names = [trained_run(root, characters, name).name for name in ("one", "two")]
    assert evaluate(*names, "--runs-dir", root) == ExitCode.DONE
    printed = capsys.readouterr().out
    same = "+0.00 ± 0.00 points on the same 6 episodes (p = 1.000; better on 50 % of them"
    assert printed.count(f"{names[1]}, transductive: {same}") == 1
    assert printed.count(f"{names[1]}, support statistics: {same}") == 1
    assert "± is of the episodes; over " in printed
    assert main(["runs", "compare", *names, "--runs-dir", str(root)]) == ExitCode.DONE
    assert f"B - A, transductive: {same}" in capsys.readouterr().out


def test_several_runs_make_the_grid(tmp_path: Path, characters: Path, capsys: Capture) -> None:
    one = trained_run(tmp_path / "runs", characters, "one")
    five = trained_run(tmp_path / "runs", characters, "five", inner={"steps": 5, "test_steps": 3})
    assert evaluate(five.name, one.name, "--runs-dir", tmp_path / "runs") == ExitCode.DONE
    lines = capsys.readouterr().out.splitlines()
    heads = [line.split() for line in lines if line.startswith("steps")]
    assert heads == [["steps", "A:", "train", "1", "B:", "train", "5"]] * 2
    assert f"A  {one.name}, 1 inner step in training" in lines
    assert f"B  {five.name}, 5 inner steps in training" in lines
    rows = [line for line in lines if line.startswith(("    2 ", "    3 "))]
    assert [row.count("*") for row in rows] == [1, 1, 1, 1]
    assert len(list(one.evaluation.iterdir())) == len(list(five.evaluation.iterdir())) == 3


def test_a_grid_wider_than_the_terminal_is_laid_out_in_several(
    tmp_path: Path, characters: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    runs = [trained_run(tmp_path / "runs", characters) for _ in range(4)]
    assert evaluate(*(run.path for run in runs), "--steps", "1,2") == ExitCode.DONE
    tables = [line for line in capsys.readouterr().out.splitlines() if line.startswith("steps")]
    assert sum(line.count("train") for line in tables) == 2 * len(runs)
    assert max(line.count("train") for line in tables) > 1
    assert max(map(len, tables)) <= 80


def test_a_run_named_twice_is_evaluated_once(run: RunFolder, capsys: Capture) -> None:
    assert evaluate(run.path, run.path, "--json") == ExitCode.DONE
    assert len(json.loads(capsys.readouterr().out)["evaluations"]) == 1


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["no-such-run"], ExitCode.UNAVAILABLE, "there is no run 'no-such-run'"),
        (["RUN", "--steps", "5..1"], ExitCode.USAGE, "runs backwards"),
        (["RUN", "--steps", "many"], ExitCode.USAGE, "--steps many"),
        (["RUN", "--steps", "-1"], ExitCode.USAGE, "steps"),
        (["RUN", "--episodes", "1"], ExitCode.USAGE, "episodes"),
        (["RUN", "--split", "tset"], ExitCode.USAGE, "tset"),
        (["RUN", "--checkpoint", "first"], ExitCode.USAGE, "first"),
        (["RUN", "--checkpoint", "ensemble"], ExitCode.UNAVAILABLE, "--set validation.keep=5"),
        (["RUN", "--ensemble"], ExitCode.USAGE, "at least two"),
        (["RUN", "--seed", "-1"], ExitCode.USAGE, "seed"),
        (["RUN", "--csv", "-", "--json"], ExitCode.USAGE, "cannot share stdout"),
        (["RUN", "--csv", "no/such/folder/x.csv"], ExitCode.USAGE, "no such folder"),
        (["RUN", "--markdown", "."], ExitCode.USAGE, "is a folder"),
        (["RUN", "--csv", ""], ExitCode.USAGE, "is a folder"),
        (["RUN", "--csv", "same", "--markdown", "same"], ExitCode.USAGE, "cannot share a file"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_what_cannot_be_done_is_refused_in_words(
    arguments: list[str], code: ExitCode, said: str, run: RunFolder, capsys: Capture
) -> None:
    asked = [str(run.path) if argument == "RUN" else argument for argument in arguments]
    assert evaluate(*asked, "--runs-dir", run.path.parent) == code
    printed = capsys.readouterr()
    assert said in printed.err
    assert "Traceback" not in printed.err
    assert printed.out == ""
    assert not list(run.evaluation.iterdir())


def test_other_data_than_the_runs_is_refused(
    tmp_path: Path, characters: Path, capsys: Capture
) -> None:
    copy = tmp_path / "characters"
    shutil.copytree(characters, copy)
    run = trained_run(tmp_path / "runs", copy)
    (copy / "class00" / "0.png").write_bytes((copy / "class01" / "0.png").read_bytes())
    assert evaluate(run.path) == ExitCode.UNAVAILABLE
    assert "was trained on other images" in capsys.readouterr().err


def test_a_torn_checkpoint_is_refused(run: RunFolder, capsys: Capture) -> None:
    path = run.checkpoint_path("best")
    path.write_bytes(path.read_bytes()[:1000])
    assert evaluate(run.path) == ExitCode.UNAVAILABLE
    assert "the checkpoint is damaged" in capsys.readouterr().err


def test_a_run_folder_that_cannot_be_written_does_not_cost_the_result(
    run: RunFolder, capsys: Capture
) -> None:
    run.evaluation.rmdir()
    run.evaluation.write_text("a file in the way")
    assert evaluate(run.path, "--csv", "-") == ExitCode.UNAVAILABLE
    printed = capsys.readouterr()
    assert len(rows_of(printed.out)) == 8
    assert "cannot be written" in printed.err


def test_a_name_with_escapes_and_markup_is_shown_as_it_is(
    run: RunFolder, tmp_path: Path, capsys: Capture
) -> None:
    moved = tmp_path / "runs" / "[bold]a\x1b[31m"
    run.path.rename(moved)
    assert evaluate(moved) == ExitCode.DONE
    printed = capsys.readouterr()
    assert printed.out.splitlines()[0] == r"[bold]a\x1b[31m"
    assert "\x1b" not in printed.out + printed.err


def test_the_kept_result_can_be_read_back(run: RunFolder) -> None:
    assert evaluate(run.path) == ExitCode.DONE
    (path,) = run.evaluation.glob("*.json")
    (found,) = read_evaluations(path)
    assert (found.run, found.steps) == (run.name, (0, 1, 2, 3))


def shown(*evaluations: Evaluation, encoding: str = "utf-8", width: int = 100) -> list[str]:
    written = io.BytesIO()
    file = io.TextIOWrapper(written, encoding)
    print_evaluation(Console(file=file, width=width, soft_wrap=True, highlight=False), evaluations)
    file.flush()
    return written.getvalue().decode(encoding).splitlines()


def test_numbers_are_right_aligned_with_fixed_decimals() -> None:
    lines = shown(evaluation())
    assert lines[3:8] == [
        "steps   transductive %    loss  support statistics %    loss",
        "    0     20.00 ± 0.31  1.4000          15.00 ± 0.31  1.4500",
        "    1     90.00 ± 0.31  0.7000          85.00 ± 0.31  0.7500",
        "    2     95.00 ± 0.31  0.6500          90.00 ± 0.31  0.7000",
        "    3*    98.21 ± 0.31  0.6179          93.21 ± 0.31  0.6679",
    ]


def test_published_figures_stand_below_the_table_in_words_with_source_and_differences() -> None:
    lines = shown(evaluation(iteration=1_200))
    start = lines.index("98.21 ± 0.31 % after 3 inner steps, transductive:")
    assert lines[start + 1 : start + 3] == [
        "  below the MAML paper's 98.7 ± 0.4 %, and the intervals meet "
        "[Finn, Abbeel and Levine 2017, Table 1]",
        "    1,200 meta-iterations, theirs 60,000",
    ]


def test_the_grid_of_the_earlier_study_stands_beside_runs_of_its_task() -> None:
    def run(name: str, train_steps: int) -> Evaluation:
        return evaluation(run=name, way=20, shot=5, query=5, train_steps=train_steps)

    lines = shown(run("three", 3), run("one", 1), width=200)
    header = next(number for number, line in enumerate(lines) if line.startswith("steps"))
    columns = ["A: train 1", "B: train 3", "C: train 1", "D: train 3", "E: train 5"]
    assert lines[header].removeprefix("steps").split("  ")[-1].strip() == columns[-1]
    assert all(column in lines[header] for column in columns)
    assert lines[header + 2].split()[-6:] == [
        "90.64",
        "0.3041",
        "81.17",
        "0.9367",
        "88.15",
        "0.3801",
    ]
    assert "A  one, 1 inner step in training" in lines
    assert "E  student study (2022/23), 5 inner steps in training" in lines


def test_a_terminal_without_the_sign_shows_plus_minus_in_letters() -> None:
    lines = shown(evaluation(run="größe"), encoding="ascii")
    assert lines[0] == r"gr\xf6\xdfe"
    assert lines[7].split() == [
        "3*",
        "98.21",
        "+/-",
        "0.31",
        "0.6179",
        "93.21",
        "+/-",
        "0.31",
        "0.6679",
    ]


def test_images_that_were_moved_after_the_training_are_found_where_they_are_said_to_be(
    trained_place: Path, capsys: Capture
) -> None:
    (run,) = (trained_place / "runs").iterdir()
    (trained_place / "characters").rename(trained_place / "elsewhere")
    assert evaluate(run.name) == ExitCode.UNAVAILABLE
    said = capsys.readouterr().err
    assert f"characters: there is no such folder: {trained_place}/characters" in said
    assert "--data-path" in said
    assert evaluate(run.name, "--data-path", "elsewhere") == ExitCode.DONE
    assert len(list((run / "evaluation").glob("*.json"))) == 1


def test_a_relative_path_of_images_is_told_with_where_it_was_looked_for(
    trained_place: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    (run,) = (trained_place / "runs").iterdir()
    other = trained_place / "other"
    other.mkdir()
    monkeypatch.chdir(other)
    assert evaluate(f"../runs/{run.name}") == ExitCode.UNAVAILABLE
    said = capsys.readouterr().err
    assert f"{other}/characters" in said
    assert "seen from the folder in which the command is started" in said
    assert evaluate(f"../runs/{run.name}", "--data-path", "../characters") == ExitCode.DONE


def test_tasks_may_have_another_shape_than_in_training(run: RunFolder, capsys: Capture) -> None:
    options = ["--way", "2", "--shot", "3", "--query", "1", "--csv", "-"]
    assert evaluate(run.path, *options) == ExitCode.DONE
    (row, *_) = rows_of(capsys.readouterr().out)
    shape = {name: row[name] for name in ("way", "shot", "query", "train_way", "train_shot")}
    assert shape == {"way": "2", "shot": "3", "query": "1", "train_way": "3", "train_shot": "1"}
    assert evaluate(run.path, "--shot", "3") == ExitCode.DONE
    assert "folder 3-way 3-shot (trained on 3-way 1-shot)" in capsys.readouterr().out
    assert len({path.stem for path in run.evaluation.iterdir()}) == 2
    kept = [each for path in run.evaluation.glob("*.json") for each in read_evaluations(path)]
    assert {(each.way, each.train_way) for each in kept} == {(2, 3), (3, 0)}
    assert all(each.departures(run.profile) and not each.is_plain for each in kept)
    assert main(["runs", "show", str(run.path)]) == ExitCode.DONE
    shown = capsys.readouterr().out
    assert "2-way 3-shot, 1 query image a class, test split" in shown
    assert "3-way 3-shot, 2 query images a class, test split" in shown


def test_more_classes_than_were_learned_need_another_head(run: RunFolder, capsys: Capture) -> None:
    assert evaluate(run.path, "--way", "4") == ExitCode.USAGE
    assert "learned for tasks of 3 classes, not of 4" in capsys.readouterr().err
    for head in ("fresh", "prototypes"):
        assert evaluate(run.path, "--way", "4", "--head", head, "--json") == ExitCode.DONE
        (found,) = json.loads(capsys.readouterr().out)["evaluations"]
        assert (found["way"], found["train_way"], found["head"]) == (4, 3, head)
    assert evaluate(run.path, "--way", "9") == ExitCode.USAGE
    assert evaluate(run.path, "--shot", "6") == ExitCode.USAGE
    assert "Lower task.shot or task.query" in capsys.readouterr().err


def test_the_query_set_refines_the_class_means_of_protonet_if_asked(
    tmp_path: Path, characters: Path, run: RunFolder, capsys: Capture
) -> None:
    protonet = trained_run(
        tmp_path / "runs",
        characters,
        "nearest",
        algorithm="protonet",
        inner={"steps": 0, "test_steps": 0},
        evaluation={"steps": (0,), "episodes": 6},
    )
    assert evaluate(protonet.path) == evaluate(protonet.path, "--head", "refined") == ExitCode.DONE
    assert "3-way 1-shot with class means refined with the query set, " in capsys.readouterr().out
    assert main(["runs", "show", str(protonet.path)]) == ExitCode.DONE
    shown = capsys.readouterr().out
    words = "3-way 1-shot, 2 query images a class"
    assert f"{words}, class means refined with the query set, test split" in shown
    assert f"{words}, test split" in shown
    own, refined = sorted(
        (each for path in protonet.evaluation.glob("*.json") for each in read_evaluations(path)),
        key=lambda each: each.head,
    )
    assert (own.head, refined.head) == ("prototypes", "refined")
    assert own.is_plain and not refined.is_plain
    assert refined.departures(protonet.profile) == ["a refined head"]
    assert refined.headline("transductive").loss != own.headline("transductive").loss
    assert refined.headline("support") == own.headline("support")
    for folder, options, reason in (
        (protonet, ["--steps", "1"], "are not adapted any further"),
        (run, ["--steps", "0"], "the class means of protonet alone"),
    ):
        assert evaluate(folder.path, "--head", "refined", *options) == ExitCode.USAGE
        assert reason in capsys.readouterr().err


def test_the_same_shape_and_head_by_name_are_the_profiles_own(
    run: RunFolder, capsys: Capture
) -> None:
    assert evaluate(run.path, "--csv", "-") == ExitCode.DONE
    own = capsys.readouterr().out
    same = ["--way", "3", "--shot", "1", "--query", "2", "--head", "learned", "--csv", "-"]
    assert evaluate(run.path, *same) == ExitCode.DONE
    assert capsys.readouterr().out == own
