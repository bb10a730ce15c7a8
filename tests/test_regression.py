"""A run that fits sine waves: trained, tested, listed, compared and refused like any other run."""

from __future__ import annotations

import csv
import json
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from mamltui import api
from mamltui.cli import main
from mamltui.data.banks import Banks
from mamltui.errors import MamltuiError, UsageError
from mamltui.events import Finished, Step, Validated
from mamltui.profiles import InvalidProfileError, load_profile, parse_profile
from mamltui.profiles.regression import OF_IMAGES
from mamltui.results import (
    Evaluation,
    compare_with_published,
    csv_text,
    grids,
    read_evaluations,
    result_stem,
)
from mamltui.results.markdown import markdown_text
from mamltui.results.paired import unpaired_reason
from mamltui.runs import ListedRun, RunFolder
from mamltui.runs.query import Query, value_of
from mamltui.score import ACCURACY, SQUARED_ERROR, Score
from mamltui.studies.run_plot import plot_runs
from mamltui.training import Control, make_plan
from mamltui.training.trainer import Trainer
from tests.cli.run_folders import trained_run, write_characters
from tests.results.examples import evaluation as image_evaluation

Capture = pytest.CaptureFixture[str]
SMALL = (
    "meta.iterations=12",
    "meta.batch=3",
    "validation.interval=5",
    "validation.episodes=8",
    "evaluation.episodes=20",
    "run.log_interval=2",
    "run.checkpoint_interval=4",
)
LEARNING = (
    "maml",
    "fomaml",
    "anil",
    "boil",
    "meta-sgd",
    "meta-curvature",
    "alfa",
    "reptile",
    "imaml",
)


@pytest.fixture(scope="module", autouse=True)
def _one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of runs with one that is trained and tested; only for reading."""
    root = tmp_path_factory.mktemp("regression") / "runs"
    api.train(load_profile("sinusoid-5shot", SMALL), device="cpu", runs_dir=root)
    return root


@pytest.fixture(scope="module")
def of_images(root: Path, tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    """A run beside it that classifies."""
    characters = write_characters(tmp_path_factory.mktemp("images") / "characters")
    return trained_run(root, characters)


@pytest.fixture
def run(root: Path) -> RunFolder:
    (path,) = root.glob("sinusoid-*")
    return RunFolder(path)


def result_of(run: RunFolder) -> Evaluation:
    (evaluation,) = read_evaluations(next(run.evaluation.glob("*.json")))
    return evaluation


def overrides(*changes: str) -> list[str]:
    return [part for change in (*SMALL, *changes) for part in ("--set", change)]


def test_the_profiles_are_the_papers() -> None:
    for shot in (5, 10):
        profile = load_profile(f"sinusoid-{shot}shot")
        assert (profile.task.shot, profile.task.query) == (shot, shot)
        assert (profile.network.layers, profile.network.filters) == (2, 40)
        assert (profile.inner.steps, profile.inner.alpha) == (1, 0.01)
        assert (profile.meta.batch, profile.meta.learning_rate) == (25, 0.001)
        assert profile.meta.iterations == 70_000
        assert profile.evaluation.steps == tuple(range(11))
        assert profile.metric is SQUARED_ERROR and profile.shape == f"{shot}-shot"


def test_a_profile_of_waves_is_written_without_what_it_cannot_say() -> None:
    profile = load_profile("sinusoid-5shot")
    text = profile.to_toml()
    assert parse_profile(text, "x.toml") == profile
    for key in ("way =", "rotations", "pooling", "[augment]", "label_smoothing"):
        assert key not in text
    assert "way =" in load_profile("5way1shot").to_toml()


@pytest.mark.parametrize("key", sorted(OF_IMAGES))
def test_keys_of_images_are_refused_with_the_reason(key: str) -> None:
    section, name = key.split(".")
    values = {
        "path": "x",
        "split": "finn",
        "resize": "antialias",
        "fit": "pad",
        "unreadable": "leave-out",
        "image_size": 32,
        "rotations": "false",
        "way": 3,
        "test_way": 3,
        "pooling": "max",
        "normalisation": "layer",
        "head": "flatten",
        "module": "a:B",
        "arguments": "{width = 3}",
        "weights": "x.pt",
        "label_smoothing": 0.1,
    }
    value = values.get(name, "true" if section == "plus" else 0.5)
    with pytest.raises(InvalidProfileError, match=r"does not apply to set = \"sinusoid\""):
        load_profile("sinusoid-5shot", [f"{key}={value}"])


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ("algorithm=proto-maml", "proto-maml cannot fit waves: its head is made of class means"),
        ("validation.criterion=accuracy", "an error and no accuracy"),
    ],
)
def test_what_needs_classes_is_refused(change: str, words: str) -> None:
    with pytest.raises(InvalidProfileError, match=words):
        load_profile("sinusoid-5shot", [change])


def test_protonet_is_refused_before_the_training() -> None:
    steps = ("inner.steps=0", "inner.test_steps=0", "evaluation.steps=0")
    with pytest.raises(InvalidProfileError, match="protonet cannot fit waves"):
        load_profile("sinusoid-5shot", ["algorithm=protonet", *steps])


@pytest.mark.parametrize("algorithm", LEARNING)
def test_the_other_algorithms_learn_waves(algorithm: str, tmp_path: Path) -> None:
    profile = load_profile("sinusoid-5shot", [*SMALL, f"algorithm={algorithm}", "inner.steps=2"])
    trained = api.train(profile, device="cpu", runs_dir=tmp_path)
    assert trained.info.state == "finished"
    assert trained.info.best is not None and trained.info.best.accuracy is None
    assert result_of(trained.folder).episodes == 20


def test_events_and_run_json_say_errors_and_no_accuracies(run: RunFolder) -> None:
    steps = run.read_metrics().records
    events = [logged.event for logged in run.read_events().records]
    validated = [event for event in events if isinstance(event, Validated)]
    (finished,) = (event for event in events if isinstance(event, Finished))
    assert all(isinstance(step, Step) and step.query_accuracy is None for step in steps)
    assert [event.iteration for event in validated] == [5, 10, 12]
    assert all(event.accuracy is None and event.ci95 > 0 for event in validated)
    best = min(validated, key=lambda event: event.loss)
    assert finished.best_iteration == best.iteration
    info = run.info()
    assert info.best is not None and info.best.score == Score(SQUARED_ERROR, best.loss)
    assert info.data is not None and info.data.name == "sinusoid"
    assert ListedRun.read(run.path).validations == tuple(event.loss for event in validated)


def test_a_stopped_training_goes_on_to_the_same_end(run: RunFolder, tmp_path: Path) -> None:
    profile = load_profile("sinusoid-5shot", SMALL)
    plan = make_plan(profile, device="cpu", runs=tmp_path, banks=Banks())
    part, control = RunFolder.create(profile, tmp_path), Control()
    for event in Trainer(plan, part, control).train():
        if isinstance(event, Step) and event.iteration == 6:
            control.stop("for the test")
    assert part.info().state == "interrupted" and part.info().iteration < 12
    again = api.train(profile, device="cpu", runs_dir=tmp_path, resume=part.name)
    whole, resumed = (each.load_checkpoint("last") for each in (run, again.folder))
    for name, value in whole.parameters.items():
        assert torch.equal(value, resumed.parameters[name])
        assert torch.equal(whole.adam.exp_avg[name], resumed.adam.exp_avg[name])
    losses = [
        [step.query_loss for step in each.read_metrics().records] for each in (run, again.folder)
    ]
    assert losses[0] == losses[1]
    assert replace(result_of(run), run="", profile="") == replace(
        result_of(again.folder), run="", profile=""
    )


def test_the_result_files_give_errors_with_intervals(run: RunFolder) -> None:
    evaluation = result_of(run)
    assert evaluation.metric is SQUARED_ERROR and evaluation.task == "sinusoid 5-shot"
    assert evaluation.steps == tuple(range(11)) and evaluation.outcomes == ()
    headline = evaluation.headline()
    assert headline.accuracy is None and headline.score.ci95 == headline.loss_ci95 > 0
    rows = list(csv.DictReader(csv_text([evaluation]).splitlines()))
    assert len(rows) == 11 and {row["accuracy_percent"] for row in rows} == {""}
    assert float(rows[1]["loss"]) == pytest.approx(headline.loss, abs=1e-6)
    text = markdown_text([evaluation])
    assert "| test steps | mean squared error |" in text
    assert f"| **1** | {headline.score.with_interval} |" in text
    assert "accuracy" not in text and "%" not in text
    (comparison,) = compare_with_published(evaluation)
    assert comparison.figure.printed == "0.69"
    assert "second hand" in comparison.sentence


def test_a_result_whose_scores_are_of_another_kind_is_damaged(
    run: RunFolder, tmp_path: Path
) -> None:
    document = json.loads(next(run.evaluation.glob("*.json")).read_text())
    document["evaluations"][0]["way"] = 5
    (tmp_path / "x.json").write_text(json.dumps(document))
    with pytest.raises(MamltuiError):
        read_evaluations(tmp_path / "x.json")


def test_other_waves_are_scored_and_options_of_images_refused(run: RunFolder) -> None:
    more = api.evaluate(api.Run(run), steps=[0, 1], episodes=10, shot=10, query=50, device="cpu")
    assert (more.shot, more.query, more.trained_on) == (10, 50, "5-shot")
    assert not more.is_plain
    finer = api.evaluate(api.Run(run), steps=[0, 1], episodes=10, query=50, device="cpu")
    usual = api.evaluate(api.Run(run), steps=[0, 1], episodes=10, device="cpu")
    assert len({result_stem(each) for each in (more, finer, usual)}) == 3
    for options in ({"way": 5}, {"head": "fresh"}, {"disjoint": True}):
        with pytest.raises(UsageError, match="no classes and no images"):
            api.evaluate(api.Run(run), device="cpu", **options)  # type: ignore[arg-type]


def test_the_commands_for_runs_tell_errors(
    root: Path, run: RunFolder, of_images: RunFolder, capsys: Capture
) -> None:
    copy = root / "another-copy"
    shutil.copytree(run.path, copy)
    try:
        where = ["--runs-dir", str(root)]
        assert main(["runs", "list", *where]) == 0
        listed = capsys.readouterr().out
        assert listed.count("MSE ") == 4 and "  5-shot " in listed and "3-way 1-shot" in listed
        head, *rows = listed.splitlines()
        assert "%" not in head
        assert ["%" in row for row in rows] == ["3-way" in row for row in rows]
        assert main(["runs", "show", run.name, *where]) == 0
        shown = capsys.readouterr().out
        assert "validation mean squared error" in shown and "5 query points" in shown
        assert main(["runs", "compare", run.name, copy.name, *where]) == 0
        compared = capsys.readouterr().out
        assert "best validation error" in compared and "test %" not in compared
        assert "single waves are not kept" in compared
        assert main(["runs", "compare", run.name, of_images.name, *where]) == 0
        mixed = capsys.readouterr().out
        assert "MSE" in mixed and "test error" not in mixed and "pair by pair" not in mixed
        assert main(["runs", "verify", run.name, *where]) == 0
        verified = capsys.readouterr().out
        assert "WRONG" not in verified and "the same to the last digit" in verified
    finally:
        shutil.rmtree(copy)


def test_python_gets_the_network_and_the_measures(run: RunFolder) -> None:
    of = api.Run(run)
    network = run.load_checkpoint("best").network
    x = torch.linspace(-5, 5, 7).view(7, 1)
    values = {name: torch.from_numpy(value) for name, value in of.parameters().items()}
    expected, _ = network.apply(values, x.unsqueeze(0))
    assert torch.allclose(of.module()(x), expected[0], atol=1e-6)
    assert "query_loss" in of.metrics() and "query_accuracy" not in of.metrics()
    assert all(row["accuracy"] is None for row in of.validations())
    assert {row["accuracy_percent"] for row in api.table(result_of(run))} == {""}


def test_queries_do_not_compare_an_error_with_an_accuracy(run: RunFolder) -> None:
    listed = ListedRun.read(run.path)
    assert value_of(listed, "test") is None and value_of(listed, "valid") is None
    error = value_of(listed, "test_error")
    assert isinstance(error, float) and error == result_of(run).headline().loss
    assert not Query.parse("test>0").matches(listed)
    assert Query.parse("test_error<100").matches(listed)
    assert Query.parse("sinusoid 5-shot").matches(listed)


def test_grids_hold_errors_apart_from_accuracies(run: RunFolder) -> None:
    both = [result_of(run), image_evaluation()]
    assert [grid.metric for grid in grids(both)] == [SQUARED_ERROR, ACCURACY]
    assert [grid.metric for grid in grids(both, "support")] == [ACCURACY]
    assert "one is a mean squared error" in unpaired_reason(*both)
    assert "\nMean squared error with its 95% interval.\n" in markdown_text(both)


def test_a_slim_copy_is_read_like_the_run(run: RunFolder, root: Path, tmp_path: Path) -> None:
    assert main(["runs", "slim", run.name, "--to", str(tmp_path), "--runs-dir", str(root)]) == 0
    copy = RunFolder(tmp_path / run.name)
    assert result_of(copy) == result_of(run)
    again = api.evaluate(api.Run(copy), device="cpu")
    assert again.transductive == result_of(run).transductive


def test_curves_are_drawn_and_never_on_one_axis_with_accuracies(
    run: RunFolder, of_images: RunFolder
) -> None:
    picture = plot_runs([run])
    assert b"mean squared error" in picture.svg and b"accuracy" not in picture.svg
    with pytest.raises(UsageError, match="share no axis"):
        plot_runs([run, of_images])


def test_what_is_of_images_says_that_this_is_not(
    root: Path, run: RunFolder, capsys: Capture
) -> None:
    where = ["--runs-dir", str(root)]
    (root.parent / "known" / "a").mkdir(parents=True, exist_ok=True)
    known = str(root.parent / "known")
    assert main(["adapt", run.name, "--support", known, "--query", known, *where]) == 2
    assert "fits sine waves" in capsys.readouterr().err
    with pytest.raises(UsageError, match="fits sine waves"):
        api.Run(run).adapt([], [])
    assert main(["run", "sinusoid-5shot", "--headless", "--min-accuracy", "50"]) == 2
    assert "an error and no accuracy" in capsys.readouterr().err


def test_a_study_of_waves_is_refused(tmp_path: Path, capsys: Capture) -> None:
    study = tmp_path / "waves.toml"
    study.write_text('extends = "sinusoid-5shot"\n[grid]\n"inner.steps" = [1, 2]\n')
    assert main(["study", "run", str(study), "--dry-run"]) == 2
    assert "fits waves, and what studies report are accuracies" in capsys.readouterr().err


def test_the_dry_run_and_verify_know_waves(capsys: Capture) -> None:
    assert main(["run", "sinusoid-5shot", "--headless", "--dry-run"]) == 0
    assert "# data       sine waves" in capsys.readouterr().out
    assert main(["verify", "sinusoid-5shot"]) == 0
    printed = capsys.readouterr().out
    assert "WRONG" not in printed
    assert "of fully connected layers of 40 and 40 units can be trusted here" in printed
