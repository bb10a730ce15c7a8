"""What the lists of Home are made of: read again only where something has changed."""

from __future__ import annotations

import json
import os
import shutil
import time
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest

from mamltui.errors import RunError
from mamltui.measures import age
from mamltui.profiles import packaged_profiles
from mamltui.profiles.sources import packaged_folder
from mamltui.results import write_results
from mamltui.runs import Best, ListedRun, RunCatalogue, RunFolder
from mamltui.runs.removal import check_removable, remove
from mamltui.runs.slim import slim_run
from mamltui.tui.home.lists import RUN_COLUMNS
from mamltui.tui.home.profiles import ProfileCatalogue
from mamltui.tui.home.rows import run_row, run_score
from mamltui.tui.shared.row_list import in_order
from tests.tui.home_place import change_run, copy_run

RUNS = Path("runs")


def run_named(catalogue: RunCatalogue, name: str) -> ListedRun:
    (run,) = (run for run in catalogue.read() if run.name == name)
    return run


def test_what_has_not_changed_is_not_read_again(tiny_run: Path) -> None:
    profiles, runs = ProfileCatalogue(None), RunCatalogue(RUNS)
    first = runs.read()
    assert [run.path.resolve() for run in first] == [tiny_run.resolve()]
    assert runs.read() is first
    assert profiles.read() is profiles.read()


def test_a_changed_profile_is_read_again_and_a_removed_one_is_gone(place: Path) -> None:
    (place / "profiles").mkdir()
    path = place / "profiles" / "mine.toml"
    path.write_text("[inner]\nsteps = 2\n")
    catalogue = ProfileCatalogue(None)
    (mine,) = (profile for profile in catalogue.read() if profile.name == "mine")
    assert mine.profile is not None and mine.profile.inner.steps == 2
    path.write_text("[inner]\nsteps = 33\n")
    (mine,) = (profile for profile in catalogue.read() if profile.name == "mine")
    assert mine.profile is not None and mine.profile.inner.steps == 33
    path.write_text("[inner]\nsteps = -3\nstops = 1\n")
    (mine,) = (profile for profile in catalogue.read() if profile.name == "mine")
    assert mine.profile is None
    assert mine.problem.startswith("line 2  inner.steps: -3 is not allowed")
    assert mine.problem.endswith("and 1 more")
    path.unlink()
    assert "mine" not in [profile.name for profile in catalogue.read()]


def test_a_profile_is_listed_once_however_many_folders_lead_to_it(place: Path) -> None:
    (place / "profiles").mkdir()
    (place / "profiles" / "mine.toml").write_text("[inner]\nsteps = 2\n")
    (place / "link.toml").symlink_to(place / "profiles" / "mine.toml")
    listed = ProfileCatalogue(place / "profiles").read()
    assert [profile.name for profile in listed].count("mine") == 1
    assert "link" not in [profile.name for profile in listed]


def test_a_copy_of_a_packaged_profile_is_listed_once_until_it_is_changed(place: Path) -> None:
    shutil.copytree(packaged_folder(), place / "profiles")
    catalogue = ProfileCatalogue(None)
    sources = [each.source for each in catalogue.read() if each.name in packaged_profiles()]
    assert sources == list(packaged_profiles())
    with (place / "profiles" / "5way1shot.toml").open("a") as file:
        file.write("# mine\n")
    listed = [each for each in catalogue.read() if each.name == "5way1shot"]
    assert [each.source for each in listed] == ["profiles/5way1shot.toml", "5way1shot"]
    assert [each.is_packaged for each in listed] == [False, True]


def test_a_run_is_followed_from_its_beginning_to_the_loss_of_its_process(tiny_run: Path) -> None:
    catalogue = RunCatalogue(RUNS)
    assert len(catalogue.read()) == 1
    values = json.loads((tiny_run / "run.json").read_text())
    fresh = tiny_run.with_name("fresh")
    fresh.mkdir()
    assert len(catalogue.read()) == 1  # an empty folder is not yet a run
    values |= {"state": "running", "iteration": 1, "best": None}
    (fresh / "run.json").write_text(json.dumps(values))
    holder = RunFolder(fresh)
    holder.acquire()
    run = run_named(catalogue, "fresh")
    assert (run.state, run.done, run_score(run)) == ("running", "1 of 6", ("16 %", "done"))
    change_run(fresh, iteration=3)
    assert run_score(run_named(catalogue, "fresh")) == ("50 %", "done")
    holder.release()
    run = run_named(catalogue, "fresh")
    assert (run.state, run.can_resume) == ("interrupted", True)
    shutil.rmtree(fresh)
    assert [run.name for run in catalogue.read()] == [tiny_run.name]


def test_a_new_result_is_found_and_a_damaged_one_left_out(tiny_run: Path) -> None:
    (result,) = tiny_run.glob("evaluation/*.json")
    text = result.read_text()
    result.unlink()
    catalogue = RunCatalogue(RUNS)
    assert catalogue.read()[0].headline is None
    assert run_score(catalogue.read()[0])[1] == "valid."
    result.write_text(text)
    (run,) = catalogue.read()
    assert run.headline is not None and run_score(run)[1] == "test"
    (tiny_run / "evaluation" / "worse.json").write_text("{")
    assert catalogue.read()[0].headline == run.headline


def test_the_result_of_an_ensemble_is_not_the_runs_own(tiny_run: Path) -> None:
    own = RunCatalogue(RUNS).read()[0].headline
    assert own is not None
    write_results(tiny_run / "evaluation", replace(own, checkpoint="ensemble of 3"))
    assert RunCatalogue(RUNS).read()[0].headline == own


def test_a_run_that_is_damaged_later_and_mended_is_listed_as_such(tiny_run: Path) -> None:
    catalogue = RunCatalogue(RUNS)
    good = (tiny_run / "run.json").read_text()
    assert catalogue.read()[0].state == "finished"
    (tiny_run / "run.json").write_text("{")
    (run,) = catalogue.read()
    assert run.state == "damaged"
    assert run.damage.startswith("the file is damaged")
    (tiny_run / "run.json").write_text(good)
    assert catalogue.read()[0].state == "finished"


def test_a_runs_folder_that_cannot_be_read_is_told_until_it_can(place: Path) -> None:
    (place / "runs").write_text("")
    catalogue = RunCatalogue(RUNS)
    for _ in range(2):
        with pytest.raises(RunError, match="the runs folder is a file"):
            catalogue.read()
    (place / "runs").unlink()
    assert catalogue.read() == ()


def test_only_whole_run_folders_that_nobody_uses_are_removed(tiny_run: Path) -> None:
    link = tiny_run.with_name("link")
    link.symlink_to(tiny_run)
    bare = copy_run(tiny_run, "bare")
    (bare / "profile.toml").unlink()
    used = copy_run(tiny_run, "used", state="running")
    holder = RunFolder(used)
    holder.acquire()
    catalogue = RunCatalogue(RUNS)
    for name in ("link", "bare", "used"):
        with pytest.raises(RunError):
            check_removable(run_named(catalogue, name).folder)
    holder.release()
    assert tiny_run.is_dir() and bare.is_dir() and used.is_dir()
    folder = run_named(catalogue, tiny_run.name).folder
    check_removable(folder)
    remove(folder)
    assert not tiny_run.exists()


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (-30, "< 1 min"),
        (59, "< 1 min"),
        (60, "1 min"),
        (3599, "59 min"),
        (2 * 3600 + 5, "2 h"),
        (5 * 86_400, "5 d"),
    ],
)
def test_ages_are_in_one_unit(seconds: float, text: str) -> None:
    now = datetime(2026, 5, 1, tzinfo=timezone.utc)
    assert age((now - timedelta(seconds=seconds)).isoformat(), now) == text


@pytest.mark.parametrize("created", ["", "yesterday", "2026-05-01T00:00:00"])
def test_an_age_that_cannot_be_known_is_not_shown(created: str) -> None:
    assert age(created, datetime(2026, 5, 1, tzinfo=timezone.utc)) == ""


def test_a_short_evaluation_does_not_replace_the_profiles_own(tiny_run: Path) -> None:
    own = RunCatalogue(RUNS).read()[0].headline
    assert own is not None
    short = replace(own, episodes=own.episodes - 1, outcomes=())
    (path, *_) = write_results(tiny_run / "evaluation", short)
    later = time.time() + 10
    os.utime(path.with_suffix(".json"), (later, later))
    (run,) = RunCatalogue(RUNS).read()
    assert run.evaluations[0] == short
    assert run.headline == own and run.newest_test == own
    assert run_score(run)[1] == "test"
    for result in (tiny_run / "evaluation").glob("*.json"):
        if result != path.with_suffix(".json"):
            result.unlink()
    (run,) = RunCatalogue(RUNS).read()
    assert run.headline is None and run.newest_test == short
    assert run_score(run)[1] == "other"


def test_reference_runs_come_last_and_are_not_resumed(
    tiny_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = tmp_path / "package"
    copy = slim_run(RunFolder(tiny_run), root)
    copy.update(state="interrupted")
    copy.path.rename(copy.path.with_name("reference-run"))
    monkeypatch.setenv("MAMLTUI_REFERENCE_DIR", str(root))
    catalogue = RunCatalogue(RUNS, references=True)
    runs = catalogue.read()
    assert [run.what for run in runs] == ["finished", "reference"]
    assert [run.can_resume or run.is_interrupted for run in runs] == [False, False]
    assert run_score(runs[1])[1] == "test"
    row = run_row(runs[1], datetime.now(timezone.utc), marked=False)
    assert len(row.cells[1][0]) == len(runs[1].validations) > 1  # a sparkline
    assert row.cells[2] == ("reference", "muted")
    assert catalogue.read() is runs
    assert [run.name for run in RunCatalogue(RUNS).read()] == [tiny_run.name]


def test_sorted_by_result_runs_that_go_on_come_last_and_the_least_error_first(
    tiny_run: Path,
) -> None:
    run, now = ListedRun.read(tiny_run), datetime.now(timezone.utc)
    assert run.info is not None and run.info.best is not None

    def listed(name: str, state: str, accuracy: float | None, loss: float) -> ListedRun:
        best = Best(iteration=1, accuracy=accuracy, loss=loss)
        info = run.info.model_copy(update={"state": state, "best": best})  # type: ignore[union-attr]
        return ListedRun(tiny_run.parent / name, info)

    runs = [
        listed("half", "interrupted", 0.99, 0.1),
        listed("error", "failed", None, 0.55),
        listed("small-error", "failed", None, 0.31),
        listed("poor", "failed", 0.60, 0.9),
        listed("good", "failed", 0.98, 0.2),
    ]
    rows = [run_row(each, now, marked=False) for each in runs]
    result = [column.title for column in RUN_COLUMNS].index("result") + 1
    best_first = [row.key for row in in_order(rows, result, descending=True)]
    assert best_first == ["good", "poor", "small-error", "error", "half"]
