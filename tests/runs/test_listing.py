"""The runs below a folder."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from mamltui.errors import RunError
from mamltui.profiles import Profile
from mamltui.runs import RunFolder, find_run, list_runs


def make_run(root: Path, name: str, profile: Profile, **info: object) -> RunFolder:
    """An unlocked run with this name and these values in its run.json."""
    made = RunFolder.create(profile, root)
    made.release()
    run = RunFolder(made.path.rename(root / name))
    path = run.path / "run.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **info}))
    return run


def at(hour: int) -> str:
    return f"2026-01-31T{hour:02}:00:00.000Z"


def test_no_folder_holds_no_runs(root: Path) -> None:
    assert list_runs(root) == ()


def test_runs_are_listed_newest_first(root: Path, profile: Profile) -> None:
    for name, hour in (("b", 9), ("a", 11), ("c", 10)):
        make_run(root, name, profile, created=at(hour))
    assert [summary.name for summary in list_runs(root)] == ["a", "c", "b"]


def test_a_listed_run_has_its_state(root: Path, profile: Profile) -> None:
    make_run(root, "done", profile, state="finished", iteration=60)
    (summary,) = list_runs(root)
    assert (summary.state, summary.path, summary.problem) == ("finished", root / "done", "")
    assert summary.info is not None
    assert summary.info.iteration == 60


def test_a_run_is_dead_when_its_lock_is_free_whatever_the_host_is_called_now(
    root: Path, profile: Profile
) -> None:
    run = make_run(root, "killed", profile, host="container-before", pid=1)
    assert list_runs(root)[0].state == "interrupted"
    run.acquire()
    assert list_runs(root)[0].state == "running"


def test_damaged_runs_are_listed_last_with_what_is_damaged(root: Path, profile: Profile) -> None:
    make_run(root, "whole", profile)
    (make_run(root, "torn", profile).path / "run.json").write_text("{")
    (make_run(root, "without", profile).path / "run.json").unlink()
    (make_run(root, "folder", profile).path / "run.json").unlink()
    (root / "folder" / "run.json").mkdir()
    summaries = {summary.name: summary for summary in list_runs(root)}
    assert next(iter(summaries)) == "whole"
    for name in ("torn", "without", "folder"):
        assert summaries[name].state == "damaged"
        assert "run.json" in str(summaries[name].problem)


def test_what_is_no_run_is_not_listed(root: Path, profile: Profile) -> None:
    make_run(root, "a", profile)
    (root / "notes").mkdir()
    (root / ".gitkeep").write_text("")
    assert [summary.name for summary in list_runs(root)] == ["a"]


def test_a_runs_folder_that_is_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(RunError, match="is a file"):
        list_runs(tmp_path / "file")


def test_five_hundred_runs_are_listed_at_once(root: Path, profile: Profile) -> None:
    first = make_run(root, "run-000", profile)
    for number in range(1, 500):
        shutil.copytree(first.path, root / f"run-{number:03}")
    begun = time.process_time()
    assert len(list_runs(root)) == 500
    assert time.process_time() - begun < 1.0


def test_listing_does_without_torch(root: Path, profile: Profile) -> None:
    make_run(root, "a", profile)
    program = (
        "import sys; from pathlib import Path; from mamltui.runs import RunFolder, list_runs;"
        "run = list_runs(Path(sys.argv[1]))[0]; RunFolder(run.path).read_metrics();"
        "print(run.name, 'torch' in sys.modules)"
    )
    command = [sys.executable, "-c", program, str(root)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout == "a False\n"


def test_a_run_is_found_by_name_path_and_beginning(
    root: Path, profile: Profile, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = make_run(root, "small-20260131-142501-3f9a", profile)
    make_run(root, "small-20260201-101010-0001", profile)
    found = [
        find_run(run.name, root),
        find_run(run.path),
        find_run(f"{run.path}/"),
        find_run("small-202601", root),
    ]
    monkeypatch.chdir(run.path)
    found.append(find_run("."))
    assert {other.path.resolve() for other in found} == {run.path.resolve()}
    assert found[-1].name == run.name


def test_an_exact_name_wins_over_a_longer_one(root: Path, profile: Profile) -> None:
    make_run(root, "run-1", profile)
    make_run(root, "run-10", profile)
    assert find_run("run-1", root).name == "run-1"


def test_a_beginning_of_several_names_is_refused_with_the_names(
    root: Path, profile: Profile
) -> None:
    for number in range(8):
        make_run(root, f"run-{number}", profile)
    with pytest.raises(RunError, match="8 runs begin with 'run'") as caught:
        find_run("run", root)
    assert caught.value.hint == "There are run-7, run-6, run-5, run-4, run-3 and 3 more."


def test_a_misspelt_name_is_answered_with_the_nearest(root: Path, profile: Profile) -> None:
    make_run(root, "5way1shot-20260131-142501-3f9a", profile)
    with pytest.raises(RunError, match="there is no run") as caught:
        find_run("5way1shot-20260131-142501-3f9b", root)
    assert caught.value.hint == "Did you mean 5way1shot-20260131-142501-3f9a?"


@pytest.mark.parametrize("name", ["", "zzz", "a/b", "x" * 5000, "nul\0byte"])
def test_a_name_that_no_run_has_is_answered_with_what_there_is(
    root: Path, profile: Profile, name: str
) -> None:
    make_run(root, "quickstart-1", profile)
    with pytest.raises(RunError, match="there is no run") as caught:
        find_run(name, root)
    assert caught.value.hint == "There are quickstart-1."


def test_without_runs_there_is_nothing_to_name(root: Path) -> None:
    with pytest.raises(RunError) as caught:
        find_run("any", root)
    assert caught.value.hint == "There are no runs there yet."


def test_a_folder_that_is_no_run_is_refused(root: Path, profile: Profile, tmp_path: Path) -> None:
    with pytest.raises(RunError, match="not a run folder"):
        find_run(tmp_path, root)
    (make_run(root, "torn", profile).path / "run.json").unlink()
    for name in ("torn", "to"):
        with pytest.raises(RunError, match="not a run folder") as caught:
            find_run(name, root)
        assert caught.value.where == str(root / "torn")
