"""What the lists of Home are made of: read again only where something has changed."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest

from mamltui.errors import RunError
from mamltui.results import write_results
from mamltui.runs import RunFolder
from mamltui.tui.shared.listing import Catalogue, ListedRun, Listing, age, remove_run
from tests.tui.home_place import change_run, copy_run

RUNS = Path("runs")


def run_named(listing: Listing, name: str) -> ListedRun:
    (run,) = (run for run in listing.runs if run.name == name)
    return run


def test_what_has_not_changed_is_not_read_again(tiny_run: Path) -> None:
    catalogue = Catalogue(RUNS, None)
    first = catalogue.read()
    assert [run.path.resolve() for run in first.runs] == [tiny_run.resolve()]
    second = catalogue.read()
    assert second.runs is first.runs
    assert second.profiles is first.profiles


def test_a_changed_profile_is_read_again_and_a_removed_one_is_gone(place: Path) -> None:
    (place / "profiles").mkdir()
    path = place / "profiles" / "mine.toml"
    path.write_text("[inner]\nsteps = 2\n")
    catalogue = Catalogue(RUNS, None)
    (mine,) = (profile for profile in catalogue.read().profiles if profile.name == "mine")
    assert mine.profile is not None and mine.profile.inner.steps == 2
    path.write_text("[inner]\nsteps = 33\n")
    (mine,) = (profile for profile in catalogue.read().profiles if profile.name == "mine")
    assert mine.profile is not None and mine.profile.inner.steps == 33
    path.write_text("[inner]\nsteps = -3\nstops = 1\n")
    (mine,) = (profile for profile in catalogue.read().profiles if profile.name == "mine")
    assert mine.profile is None
    assert mine.problem.startswith("line 2  inner.steps: -3 is not allowed")
    assert mine.problem.endswith("and 1 more")
    path.unlink()
    assert "mine" not in [profile.name for profile in catalogue.read().profiles]


def test_a_profile_is_listed_once_however_many_folders_lead_to_it(place: Path) -> None:
    (place / "profiles").mkdir()
    (place / "profiles" / "mine.toml").write_text("[inner]\nsteps = 2\n")
    (place / "link.toml").symlink_to(place / "profiles" / "mine.toml")
    listing = Catalogue(RUNS, place / "profiles").read()
    assert [profile.name for profile in listing.profiles].count("mine") == 1
    assert "link" not in [profile.name for profile in listing.profiles]


def test_a_run_is_followed_from_its_beginning_to_the_loss_of_its_process(tiny_run: Path) -> None:
    catalogue = Catalogue(RUNS, None)
    assert len(catalogue.read().runs) == 1
    values = json.loads((tiny_run / "run.json").read_text())
    fresh = tiny_run.with_name("fresh")
    fresh.mkdir()
    assert len(catalogue.read().runs) == 1  # an empty folder is not yet a run
    (fresh / "run.json").write_text(json.dumps(values | {"state": "running", "iteration": 1}))
    holder = RunFolder(fresh)
    holder.acquire()
    run = run_named(catalogue.read(), "fresh")
    assert (run.state, run.done, run.score) == ("running", "1 of 6", ("16 %", "done"))
    change_run(fresh, iteration=3)
    assert run_named(catalogue.read(), "fresh").score == ("50 %", "done")
    holder.release()
    run = run_named(catalogue.read(), "fresh")
    assert (run.state, run.can_resume) == ("interrupted", True)
    shutil.rmtree(fresh)
    assert [run.name for run in catalogue.read().runs] == [tiny_run.name]


def test_a_new_result_is_found_and_a_damaged_one_left_out(tiny_run: Path) -> None:
    (result,) = tiny_run.glob("evaluation/*.json")
    text = result.read_text()
    result.unlink()
    catalogue = Catalogue(RUNS, None)
    assert catalogue.read().runs[0].test is None
    assert catalogue.read().runs[0].score[1] == "valid."
    result.write_text(text)
    (run,) = catalogue.read().runs
    assert run.test is not None and run.score[1] == "test"
    (tiny_run / "evaluation" / "worse.json").write_text("{")
    assert catalogue.read().runs[0].test == run.test


def test_the_result_of_an_ensemble_is_not_the_runs_own(tiny_run: Path) -> None:
    own = Catalogue(RUNS, None).read().runs[0].test
    assert own is not None
    write_results(tiny_run / "evaluation", replace(own, checkpoint="ensemble of 3"))
    assert Catalogue(RUNS, None).read().runs[0].test == own


def test_a_run_that_is_damaged_later_and_mended_is_listed_as_such(tiny_run: Path) -> None:
    catalogue = Catalogue(RUNS, None)
    good = (tiny_run / "run.json").read_text()
    assert catalogue.read().runs[0].state == "finished"
    (tiny_run / "run.json").write_text("{")
    (run,) = catalogue.read().runs
    assert run.state == "damaged"
    assert run.problem.startswith("the file is damaged")
    (tiny_run / "run.json").write_text(good)
    assert catalogue.read().runs[0].state == "finished"


def test_a_runs_folder_that_cannot_be_read_is_told_until_it_can(place: Path) -> None:
    (place / "runs").write_text("")
    catalogue = Catalogue(RUNS, None)
    for _ in range(2):
        assert "the runs folder is a file" in catalogue.read().runs_problem
    (place / "runs").unlink()
    assert (catalogue.read().runs, catalogue.read().runs_problem) == ((), "")


def test_only_whole_run_folders_that_nobody_uses_are_removed(tiny_run: Path) -> None:
    link = tiny_run.with_name("link")
    link.symlink_to(tiny_run)
    bare = copy_run(tiny_run, "bare")
    (bare / "profile.toml").unlink()
    used = copy_run(tiny_run, "used", state="running")
    holder = RunFolder(used)
    holder.acquire()
    listing = Catalogue(RUNS, None).read()
    for name in ("link", "bare", "used"):
        with pytest.raises(RunError):
            remove_run(run_named(listing, name))
    holder.release()
    assert tiny_run.is_dir() and bare.is_dir() and used.is_dir()
    remove_run(run_named(listing, tiny_run.name))
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
