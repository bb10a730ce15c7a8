"""The report of a study: of what is there, complete, repeatable, and in one file."""

from __future__ import annotations

import csv
import math
import re
from dataclasses import replace
from pathlib import Path

import pytest

from mamltui.cli import main
from mamltui.events import Step
from mamltui.profiles import load_profile
from mamltui.studies.curves import TrainingLog, training_panels
from mamltui.studies.plots import Line, Panel, curves
from mamltui.studies.queue import Queue
from mamltui.studies.reading import load_study
from mamltui.studies.report import Report, make_report
from mamltui.studies.standing import Standing, read_standings
from mamltui.studies.study import Study
from tests.a_training import training
from tests.results.examples import evaluation, step_result
from tests.studies.conftest import use_small_images
from tests.studies.small import SMALL, Here, write_study
from tests.training.small import make_profile, make_run


@pytest.fixture(scope="module")
def two_seeds(tmp_path_factory: pytest.TempPathFactory) -> tuple[Study, Path]:
    """A study of two arms and two seeds, of which the last cell is still to come."""
    folder = tmp_path_factory.mktemp("study")
    study = load_study(str(write_study(folder, SMALL.replace("seeds = 1", "seeds = 2"))))
    cells = [cell.name for cell in study.cells][:3]
    with pytest.MonkeyPatch.context() as patch:
        use_small_images(patch)
        queue = Queue(study, Here(), root=folder / "runs", only=cells, notify=lambda _: None)
        while not queue.step()[1]:
            pass
        queue.close()
    return study, folder / "runs"


@pytest.fixture(scope="module")
def written(two_seeds: tuple[Study, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Its report."""
    folder = tmp_path_factory.mktemp("report")
    report_of(*two_seeds).write(folder)
    return folder


def report_of(study: Study, root: Path) -> Report:
    return make_report(study, read_standings(study, root))


def test_a_report_half_way_says_so_and_holds_what_there_is(
    written: Path,
) -> None:
    text = (written / "report.md").read_text()
    assert "3 of 4 cells over: 3 done, 1 queued." in text
    assert "The study is not over" in text
    assert "| inner.steps 2 | 1 done, 1 queued |" in text
    for picture in re.findall(r"\]\((plots/[^)]+\.svg)\)", text):
        assert (written / picture).stat().st_size > 1000
        assert (written / picture).with_suffix(".png").stat().st_size > 1000
    assert "mamltui run quickstart --headless --set name=small-quickstart-steps1-seed0" in text

    assert "Example episodes" in text
    assert (written / "plots" / "episode-quickstart.svg").read_text().count("support") >= 3

    html = (written / "report.html").read_text()
    assert html.count("data:image/svg+xml;base64,") == len(list((written / "plots").glob("*.svg")))
    assert not re.search(r'(src|href)="(?!data:)', html)


def test_tables_hold_the_results_of_the_run_folders(
    two_seeds: tuple[Study, Path], written: Path
) -> None:
    study, root = two_seeds
    standings = read_standings(study, root)
    with (written / "tables" / "results-quickstart.csv").open() as file:
        rows = list(csv.DictReader(file))
    accuracies = [each.evaluation.headline().accuracy for each in standings if each.evaluation]
    # Seeds 0 and 1 of the first arm are the first and the third cell.
    mean = 100 * (accuracies[0] + accuracies[2]) / 2
    assert rows[0]["test %"].startswith(f"{mean:.2f} ± ")
    assert rows[0]["± over seeds"] != "-"
    assert rows[1]["test %"].startswith(f"{100 * accuracies[1]:.2f} ± ")
    assert rows[1]["± over seeds"] == "-"


def test_arms_are_compared_on_the_same_episodes(
    two_seeds: tuple[Study, Path], written: Path
) -> None:
    study, root = two_seeds
    with (written / "tables" / "differences.csv").open() as file:
        (row,) = csv.DictReader(file)
    first, second = (
        each.evaluation.headline().accuracy
        for each in read_standings(study, root)[:2]
        if each.evaluation
    )
    assert row["arm"] == "inner.steps 2"
    assert float(row["difference"].split(" ± ")[0].lstrip("'")) == pytest.approx(
        100 * (second - first), abs=0.006
    )
    assert row["over seeds"] == "-"


@pytest.mark.parametrize("length", [4, 30, 45])
def test_the_words_of_a_legend_are_within_the_picture(length: int) -> None:
    names = [f"{number}{'n' * (length - 1)}" for number in range(7)]
    lines = tuple(Line(name, (([0.0, 1.0], [0.0, 1.0]),)) for name in names)
    svg = curves("a", "a", [Panel("validation", "x", "y", lines)]).svg.decode()
    drawn = re.findall(r'text-anchor: start" x="(-?[\d.]+)" [^>]*>([^<]+)<', svg)
    assert {name: float(x) > 0 for x, name in drawn if name in names} == dict.fromkeys(names, True)


def test_scores_of_images_that_reptile_adapts_to_do_not_count(tmp_path: Path) -> None:
    """They are near 100 % from the first iterations on, whatever it has learned."""
    logs = []
    for algorithm in ("maml", "reptile"):
        run = make_run(tmp_path, make_profile(f"algorithm={algorithm}"))
        for event in training():
            run.append_metrics(event) if isinstance(event, Step) else run.append_event(event)
        logs.append(TrainingLog.read(run))
        run.release()
    maml, reptile = logs
    assert maml.steps == reptile.steps
    assert maml.generalisation_gap == pytest.approx(maml.late_training_accuracy - 0.88)
    assert maml.loss_spread < 1e-9
    assert math.isnan(reptile.generalisation_gap) and math.isnan(reptile.loss_spread)
    assert reptile.late_validation_accuracy == maml.late_validation_accuracy
    panel, validation, _ = training_panels([("MAML", [maml]), ("Reptile", [reptile])])
    assert [len(line.runs[0][0]) > 0 for line in panel.lines] == [True, False]
    assert [len(line.runs[0][0]) > 0 for line in validation.lines] == [True, True]
    assert b"<svg" in curves("a", "a", [panel, validation]).svg


def test_the_same_run_folders_give_the_same_bytes(
    two_seeds: tuple[Study, Path], written: Path, tmp_path: Path
) -> None:
    report_of(*two_seeds).write(tmp_path)
    files = [path.relative_to(written) for path in written.rglob("*.*")]
    assert len(files) > 10
    for path in files:
        assert (written / path).read_bytes() == (tmp_path / path).read_bytes()


def test_slim_copies_give_the_same_report_from_an_empty_folder_of_runs(
    two_seeds: tuple[Study, Path],
    written: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    study, root = two_seeds
    package, empty = tmp_path / "package", tmp_path / "empty"
    assert main(["study", "slim", study.name, "--to", str(package), f"--runs-dir={root}"]) == 0
    output = capsys.readouterr()
    assert output.out.count(" MB\n") == 3
    assert "left out: quickstart-steps2-seed1, queued" in output.err
    monkeypatch.setenv("MAMLTUI_REFERENCE_DIR", str(package))

    file = str(write_study(tmp_path))  # of one seed: what was run had two
    to = tmp_path / "report"
    assert main(["study", "report", file, f"--runs-dir={empty}", "--to", str(to)]) == 0
    assert not empty.exists()
    assert "These are the runs that come with mamltui." in (to / "report.md").read_text()
    for table in (written / "tables").iterdir():
        assert (to / "tables" / table.name).read_bytes() == table.read_bytes()
    # Whoever runs the study trains it, and sees what is trained.
    assert main(["study", "run", file, f"--runs-dir={empty}", "--dry-run"]) == 0
    assert capsys.readouterr().out.count("queued") == 3


def test_a_study_of_ones_own_profiles_is_not_slimmed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "mine.toml").write_text(load_profile("quickstart").to_toml())
    file = write_study(tmp_path, 'extends = "mine.toml"')
    command = ["study", "slim", str(file), "--to", str(tmp_path / "copies")]
    assert main([*command, f"--runs-dir={tmp_path / 'runs'}"]) == 2
    assert "a file, which a copy would not find" in capsys.readouterr().err
    write_study(tmp_path)
    assert main([*command, f"--runs-dir={tmp_path / 'runs'}"]) == 3
    assert "no cell is over yet" in capsys.readouterr().err


def test_a_report_of_nothing_says_that_nothing_was_tested(tmp_path: Path) -> None:
    study = load_study(str(write_study(tmp_path)))
    report_of(study, tmp_path / "runs").write(tmp_path / "report")
    assert "nothing has been tested yet" in (tmp_path / "report" / "report.md").read_text()


def test_published_figures_stand_beside_a_cell_of_omniglot(tmp_path: Path) -> None:
    text = 'extends = "20way5shot"\nbudget.iterations = 100\n[set]\nmeta.batch = 4'
    study = load_study(str(write_study(tmp_path, text)))
    (standing,) = read_standings(study, tmp_path / "runs")
    tested = evaluation(data="omniglot", way=20, shot=5)
    report = make_report(study, [replace(standing, state="done", evaluation=tested)])
    report.write(tmp_path / "report")
    page = (tmp_path / "report" / "report.md").read_text()
    assert "Finn, Abbeel and Levine 2017, Table 1" in page
    assert re.search(r"is (above|below|equal to) the MAML paper's 98\.9 ± 0\.2 %", page)


def in_words(study: Study, standings: list[Standing], folder: Path) -> str:
    make_report(study, standings).write(folder)
    page = (folder / "report.md").read_text()
    return page.partition("## In words")[2].partition("\n## ")[0]


def test_words_tell_differences_steadiness_and_further_steps(
    two_seeds: tuple[Study, Path], tmp_path: Path
) -> None:
    study, root = two_seeds
    standings = read_standings(study, root)
    words = in_words(study, standings, tmp_path)
    first, second, other_seed = (each.evaluation for each in standings[:3])
    assert first and second and other_seed
    points = 100 * (second.headline().accuracy - first.headline().accuracy)
    assert "against inner.steps 1, in points: " in words
    assert f"inner.steps 2 ({points:+.2f} ± " in words
    assert "of these trained parameters on the same episodes, at 5 %." in words
    # The second arm has a seed that is still to come.
    assert "steadiest" not in words
    of_seeds = [100 * each.transductive[1].accuracy for each in (first, other_seed)]
    after = sum(of_seeds) / 2
    assert f"inner.steps 1 from {after:.2f} % after 1 to " in words


def test_words_set_the_grid_beside_that_of_the_earlier_study(tmp_path: Path) -> None:
    text = 'extends = "20way5shot"\nbudget.iterations = 100\n[grid]\ninner.steps = [1, 5]'
    study = load_study(str(write_study(tmp_path, text)))
    results = tuple(step_result(step, accuracy) for step, accuracy in [(1, 0.95), (3, 0.9)])
    standings = [
        replace(
            standing,
            state="done",
            evaluation=evaluation(
                data="omniglot",
                way=20,
                shot=5,
                train_steps=steps,
                test_steps=3,
                transductive=results,
            ),
        )
        for standing, steps in zip(read_standings(study, tmp_path), (1, 5), strict=True)
    ]
    words = in_words(study, standings, tmp_path / "report")
    # The earlier study: 90.64 and 91.64 trained with 1, 88.15 and 92.49 trained with 5.
    assert "higher in 2 of 4 cells, from -2.49 points (trained with 5, after 3)" in words
    assert "to +6.85 (trained with 5, after 1)" in words
    drawn = (tmp_path / "report" / "plots" / "steps-20way5shot.svg").read_text()
    assert drawn.count("student study (2022/23), 1 step<") == 1
    assert "student study (2022/23), 5 steps<" in drawn
