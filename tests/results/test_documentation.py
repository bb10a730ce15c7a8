"""``docs/results.md`` says what the code does."""

from __future__ import annotations

import csv
import json
import re
from pathlib import Path

import pytest

from mamltui.cli import main
from mamltui.profiles import load_profile
from mamltui.profiles.differences import differences
from mamltui.results import (
    COLUMNS,
    compare_with_published,
    kept_evaluations,
    published_figures,
    result_stem,
    score_cell,
)
from mamltui.runs import RunFolder
from mamltui.studies.document import Table
from mamltui.studies.reading import load_study
from mamltui.studies.report import make_report
from mamltui.studies.standing import known_study
from tests.results.examples import evaluation, step_result

ROOT = Path(__file__).parents[2]
PAGE = (Path(__file__).parents[2] / "docs" / "results.md").read_text(encoding="utf-8")


def test_every_column_of_the_csv_is_documented_in_order() -> None:
    documented = re.findall(r"^\| `(\w+)` \| (.+) \|$", PAGE, flags=re.MULTILINE)
    assert documented == list(COLUMNS.items())


def test_the_sentence_shown_is_the_sentence_written() -> None:
    (sentence,) = re.findall(r"^> (.+)$", PAGE, flags=re.MULTILINE)
    assert sentence == compare_with_published(evaluation())[0].sentence


def test_the_file_name_shown_is_the_name_given() -> None:
    results = tuple(step_result(step, 0.9) for step in range(11))
    assert f"\n{result_stem(evaluation(transductive=results))}.csv " in PAGE


def test_every_option_named_is_one_of_the_commands(capsys: pytest.CaptureFixture[str]) -> None:
    for command in (["run"], ["eval"], ["runs", "export"], ["runs", "slim"], ["doctor"]):
        main([*command, "--help"])
    options = set(re.findall(r"--[a-z][a-z-]*", capsys.readouterr().out))
    named = set(re.findall(r"--[a-z][a-z-]*", PAGE))
    assert {"--steps", "--episodes", "--csv", "--json", "--what"} <= named
    assert named <= options


def test_every_command_named_is_there(capsys: pytest.CaptureFixture[str]) -> None:
    main(["runs", "--help"])
    listed = capsys.readouterr().out
    for name in ("list", "show", "compare", "export", "slim", "rm"):
        assert f"`{name}`" in PAGE or f"runs {name}" in PAGE
        assert re.search(rf"^\W*{name}\b", listed, flags=re.MULTILINE)


def beside_peers(name: str) -> tuple[tuple[str, str], set[str]]:
    """How many times as long the fastest peer takes, at least and at most, and who was measured."""
    results = json.loads((ROOT / "benchmarks" / "results" / name).read_text())["results"]
    longer, peers = [], set()
    for result in results.values():
        best = {name: min(times) for name, times in result["times_ms"].items()}
        ours = min(time for name, time in best.items() if name.startswith("mamltui"))
        others = {name: time for name, time in best.items() if not name.startswith("mamltui")}
        longer.append(min(others.values()) / ours)
        peers |= set(others)
        assert max(result["float64_relative_difference"].values()) < 1e-10
    return (f"{min(longer):.1f}", f"{max(longer):.1f}"), peers


@pytest.mark.parametrize("page", ["README.md", "docs/engine.md"])
def test_the_speed_beside_peers_is_what_was_measured(page: str) -> None:
    times, peers = beside_peers("cpu.json")
    text = " ".join((ROOT / page).read_text(encoding="utf-8").split())
    (said,) = re.findall(r"the fastest of (.*?) takes ([\d.]+) to ([\d.]+) times as long", text)
    assert said[1:] == times
    times_there, peers_there = beside_peers("cpu-zen5.json")
    assert re.search(rf"Zen 5 .*?{times_there[0]} to {times_there[1]} times", text)
    assert peers_there == peers
    named = re.split(r", | and ", said[0].removeprefix("a "))
    assert {name.strip("`") for name in named} == peers


def test_the_tables_of_scaling_are_what_was_measured() -> None:
    results = (ROOT / "benchmarks" / "results" / "scaling.md").read_text(encoding="utf-8")
    tables = [part.strip() for part in results.split("\n\n") if part.startswith("| ")]
    page = (ROOT / "docs" / "cluster.md").read_text(encoding="utf-8")
    assert len(tables) == 2
    assert all(table in page for table in tables)
    measured = json.loads((ROOT / "benchmarks" / "results" / "scaling.json").read_text())
    times = measured["results"]["20w5s"]["clock_s"]
    alone, shared = (min(times[name]) for name in ("1 training, 1 core", "1 training, 2 processes"))
    assert f"({alone / shared:.2f} x)" in tables[0]


def rows_of_reference_runs(page: str) -> list[tuple[str, str, list[str]]]:
    """Of each table row that names a reference run, its task, the name, and the figures."""
    rows = []
    for line in (ROOT / page).read_text(encoding="utf-8").splitlines():
        named = re.search(r"^\| (\d+-way \d+-shot) \| `((?:fast|best)-[\w-]+)` \|(.*)", line)
        if named:
            figures = re.findall(r"\d[\d:,.]*(?: ± [\d.]+ %| %|:\d\d)?", named[3])
            rows.append((named[1], named[2], figures))
    return rows


@pytest.mark.parametrize("page", ["README.md", "docs/results.md"])
def test_the_figures_of_reference_runs_are_what_the_command_prints(
    page: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    shipped = ROOT / "runs" / "reference"
    monkeypatch.setenv("MAMLTUI_REFERENCE_DIR", str(shipped))
    rows = rows_of_reference_runs(page)
    assert {name for _, name, _ in rows} == {
        run.name.rsplit("-", 3)[0]
        for run in shipped.iterdir()
        if run.name.startswith(("fast-", "best-")) and "-seed" not in run.name
    }
    for task, name, figures in rows:
        assert main(["runs", "show", name]) == 0
        lines = capsys.readouterr().out.splitlines()
        results = [line for line in lines if line.startswith("result") and task in line]
        shown = [line for line in lines if not line.startswith("result")] + results
        published = {
            figure.printed
            for figure in published_figures()
            if figure.method in ("MAML", "MAML, earlier study")
            and f"{figure.way}-way {figure.shot}-shot" == task
        }
        ours = [figure for figure in figures if figure not in published]
        assert results
        assert len(ours) >= 2
        for figure in ours:
            assert any(figure in line for line in shown), (page, name, figure)


def test_quickstart_reaches_what_is_promised_of_it() -> None:
    (path,) = (ROOT / "runs" / "reference").glob("quickstart-*")
    run = RunFolder(path)
    assert run.profile == load_profile("quickstart")
    (test,) = kept_evaluations(run.evaluation)
    promise = "| a first look: above 90 % in half a minute on two cores |"
    assert promise in (ROOT / "docs" / "profiles.md").read_text(encoding="utf-8")
    assert test.headline().score.value > 0.9


def test_what_the_query_set_knows_is_what_the_reference_run_was_tested_with() -> None:
    (run,) = (ROOT / "runs" / "reference").glob("best-20way1shot-*")
    tests = [
        each
        for each in kept_evaluations(run / "evaluation")
        if (each.way, each.shot) == (20, 1)
        and (each.head == "refined" or each.query == 1)
        and not each.together_with
    ]
    assert {(each.head, each.query, each.models) for each in tests} == {
        ("refined", 5, None),
        ("refined", 5, 5),
        ("refined", 1, None),
        ("prototypes", 1, None),
    }
    passage = PAGE.split("**What the query set knows.**")[1].split("\n\n")[0]
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    for each in tests:
        assert score_cell(each.headline()) in passage
        if each.head == "refined" and each.models is None:
            assert score_cell(each.headline()) in readme
            assert score_cell(each.headline("support")) in passage


def test_what_three_trainings_have_as_one_is_what_they_were_tested_with() -> None:
    runs = [RunFolder(path) for path in sorted((ROOT / "runs" / "reference").glob("best-*"))]
    first, *others = runs
    assert [run.profile.meta.seed for run in runs] == [0, 1, 2]
    passage = PAGE.split("**Three trainings as one.**")[1].split("\n\n")[0]
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    for run in others:
        changed = {each.key for each in differences([first.profile, run.profile])}
        assert changed == {"description", "meta.seed"}
        (own,) = kept_evaluations(run.evaluation)
        assert score_cell(own.headline()) in passage
    together = [each for each in kept_evaluations(first.evaluation) if each.together_with]
    assert {(each.way, each.query, each.head) for each in together} == {
        (20, 5, "prototypes"),
        (20, 5, "refined"),
        (20, 1, "prototypes"),
        (20, 1, "refined"),
        (5, 5, "prototypes"),
    }
    for each in together:
        assert each.together_with == " ".join(run.name for run in others)
        assert each.models == len(runs)
        assert score_cell(each.headline()) in passage
        if (each.way, each.query) == (20, 5):
            assert f"{score_cell(each.headline())} %" in readme


@pytest.mark.parametrize("name", ["5way1shot", "20way1shot", "meta-curvature-20way1shot"])
def test_with_one_query_image_a_class_the_figures_are_those_of_the_reference_runs(
    name: str,
) -> None:
    (path,) = (ROOT / "runs" / "reference").glob(f"fast-{name}-2*")
    (evaluation,) = (each for each in kept_evaluations(path / "evaluation") if each.query == 1)
    assert (evaluation.shot, evaluation.episodes, evaluation.split) == (1, 600, "test")
    passage = PAGE.split("**One query image a class.**")[1].split("\n\n")[0]
    for statistics in ("transductive", "support"):
        score = score_cell(evaluation.headline(statistics))
        assert re.search(rf"\b{re.escape(score)}(?!\d)", passage)
    if evaluation.algorithm == "maml":
        readme = (ROOT / "README.md").read_text(encoding="utf-8")
        assert f"{score_cell(evaluation.headline())} % at {evaluation.way}-way" in readme


def test_the_errors_of_reference_runs_are_those_of_their_results() -> None:
    shipped = sorted((ROOT / "runs" / "reference").glob("sinusoid-*"))
    rows = re.findall(r"^\| `(sinusoid-\w+)` \|(.*)\|$", PAGE, flags=re.MULTILINE)
    assert sorted(name for name, _ in rows) == [path.name.rsplit("-", 3)[0] for path in shipped]
    for path in shipped:
        run = RunFolder(path)
        info, (evaluation,) = run.info(), kept_evaluations(run.evaluation)
        assert not evaluation.departures(run.profile)
        (comparison,) = compare_with_published(evaluation)
        errors = {result.steps: result.score.with_interval for result in evaluation.transductive}
        assert info.processor_seconds is not None
        assert [cell.strip() for cell in dict(rows)[run.profile.name].split("|")] == [
            f"{info.processor_seconds / 60:.1f}",
            f"{info.iteration:,}",
            *(errors[steps] for steps in (0, 1, 2, 5, 10)),
            comparison.figure.printed,
        ]


def test_the_grid_of_inner_steps_is_the_reports(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MAMLTUI_REFERENCE_DIR", str(ROOT / "runs" / "reference"))
    report = make_report(*known_study("test-steps", tmp_path))
    (grid,) = (
        block for block in report.blocks if isinstance(block, Table) and "grid" in block.name
    )
    page = (ROOT / "docs" / "studies.md").read_text(encoding="utf-8")
    lines = ["| " + " | ".join(cells) + " |" for cells in (grid.columns, *grid.rows)]
    assert len(grid.rows) == 6
    for line in lines:
        assert line in page


def test_what_ten_minutes_reach_is_what_the_study_has(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MAMLTUI_REFERENCE_DIR", str(ROOT / "runs" / "reference"))
    _, standings = known_study("laptop", tmp_path)
    page = (ROOT / "docs" / "studies.md").read_text(encoding="utf-8")
    assert len(standings) == 8
    for paper, recipe in zip(standings[::2], standings[1::2], strict=True):
        assert paper.profile is not None
        cells = [paper.profile.shape]
        for standing in (paper, recipe):
            assert standing.evaluation is not None
            score = standing.evaluation.headline().score
            cells += [f"{standing.iteration:,}", f"{score.with_interval} %"]
        assert "| " + " | ".join(cells) + " |" in page


def table_of(name: str) -> list[dict[str, str]]:
    """A table of the report of the study ``parts``, without the marks before plus and minus."""
    with (ROOT / "benchmarks" / "results" / "parts" / f"{name}.csv").open(encoding="utf-8") as file:
        return [
            {key: value.removeprefix("'") for key, value in row.items()}
            for row in csv.DictReader(file)
        ]


def test_what_each_part_is_worth_is_what_the_study_reported() -> None:
    page = (ROOT / "docs" / "ablation.md").read_text(encoding="utf-8")
    differences = {(row["base"], row["arm"]): row["difference"] for row in table_of("differences")}
    shown = 0
    for base in ("5w1s", "20w1s"):
        after_ten = {row["arm"]: row["after 10"].split(" (")[0] for row in table_of(f"grid-{base}")}
        for row in table_of(f"results-{base}"):
            assert row["state"] == "done"
            cells = [row[key] for key in ("arm", "iterations", "test %")]
            cells += [differences.get((base, row["arm"]), "-"), row["support statistics %"]]
            cells.append(after_ten.get(row["arm"], "-"))
            assert "| " + " | ".join(cells) + " |" in page
            shown += 1
    assert shown == len(load_study("parts").cells)


def test_the_reference_runs_of_the_parts_have_the_results_of_the_report() -> None:
    cells = {row["run"]: row["cell"] for row in table_of("repeat")}
    titles = {cell.name: (cell.base.name, cell.title) for cell in load_study("parts").cells}
    shipped = sorted((ROOT / "runs" / "reference").glob("parts-*"))
    assert len(shipped) == 10
    for path in shipped:
        base, title = titles[cells[path.name]]
        (reported,) = (row for row in table_of(f"results-{base}") if row["arm"] == title)
        (evaluation,) = kept_evaluations(path / "evaluation")
        assert evaluation.headline().score.with_interval == reported["test %"]


def test_the_accuracy_of_learn2learns_example_is_what_was_measured() -> None:
    measured = ROOT / "benchmarks" / "results" / "learn2learn_example.csv"
    *_, last = measured.read_text(encoding="utf-8").splitlines()
    _, core_minutes, iteration, accuracy = last.split(",")
    page = (ROOT / "docs" / "studies.md").read_text(encoding="utf-8")
    minutes = f"{float(core_minutes):.1f} minutes of the processor, {iteration} iterations"
    assert f"After {minutes}, it had {float(accuracy):.1f} % on its validation tasks" in page
