"""What is left of runs that never began and of files that were never completed, and removing it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from mamltui import atomic
from mamltui.atomic import leftovers, part_folder, part_path
from mamltui.errors import RunError
from mamltui.profiles import Profile
from mamltui.results import write_results
from mamltui.runs import RunFolder, find_run, list_runs
from mamltui.runs.removal import check_removable, find_leftovers, remove
from mamltui.runs.roots import is_abandoned
from tests.results.examples import evaluation
from tests.training.file_operations import Operation, kill, watched

posix = pytest.mark.skipif(not hasattr(os, "fork"), reason="processes are killed by POSIX signals")


@pytest.fixture
def nobody() -> int:
    """The number of a process that has ended."""
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


def age(path: Path, seconds: float) -> Path:
    """``path``, and all in it, as if last written ``seconds`` ago."""
    then = time.time() - seconds
    for each in (*path.rglob("*"), path):
        os.utime(each, (then, then))
    return path


def part(folder: Path, process: int, seconds: float, name: str = "file") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f".{name}.{process}-0123abcd.part"
    path.write_bytes(b"half")
    return age(path, seconds)


def kill_making(root: Path, profile: Profile, number: int) -> bool:
    """Make a run in a child that is killed at the ``number``-th operation; False: it was made."""
    child = os.fork()
    if child == 0:

        def before(operation: Operation) -> None:
            if operation.number == number:
                kill(operation)

        with watched(root, before):
            RunFolder.create(profile, root)
        os._exit(0)
    _, status = os.waitpid(child, 0)
    return os.WIFSIGNALED(status)


@posix
def test_a_run_whose_making_was_killed_anywhere_is_listed_as_such_and_can_be_removed(
    root: Path, profile: Profile
) -> None:
    root.mkdir()
    number, found = 1, set()
    while kill_making(root, profile, number):
        number += 1
        made = list(root.iterdir())
        for path in made:
            age(path, 100)
        listed = list_runs(root)
        assert [run.path for run in listed] == made
        for run in listed:
            found.add(run.state)
            if run.state == "abandoned":
                assert "killed before it began" in run.damage
                assert f"mamltui runs rm {run.path}" in run.problem
                with pytest.raises(RunError, match="killed before it began"):
                    find_run(run.name, root).info()
            else:
                assert run.state == "interrupted"
            folder = find_run(run.name, root)
            check_removable(folder)
            remove(folder)
        assert list(root.iterdir()) == []
    assert number > 12
    assert found == {"abandoned", "interrupted"}


def test_a_run_that_is_being_made_is_not_abandoned(root: Path, profile: Profile) -> None:
    run = RunFolder.create(profile, root)
    (run.path / "run.json").unlink()
    age(run.path, 100)
    assert not is_abandoned(run.path)
    run.release()
    assert is_abandoned(run.path)
    (run.path / "lock").unlink()
    assert not is_abandoned(run.path)
    assert is_abandoned(age(run.path, 100))


@pytest.mark.parametrize("name", ["metrics.jsonl", "notes.txt", "checkpoints/x", "evaluation/x"])
def test_a_folder_with_anything_in_it_is_not_abandoned(
    root: Path, profile: Profile, name: str
) -> None:
    run = RunFolder.create(profile, root)
    run.release()
    (run.path / "run.json").unlink()
    (run.path / name).write_text("mine")
    age(run.path, 100)
    assert not is_abandoned(run.path)
    with pytest.raises(RunError, match="may be no run"):
        check_removable(run)


def test_other_folders_are_not_abandoned(root: Path, profile: Profile) -> None:
    run = RunFolder.create(profile, root)
    run.release()
    (run.path / "run.json").unlink()
    (root / "x").mkdir()
    (root / "link-20260101-000000-0000").symlink_to(run.path)
    for path in (root / "x", root / "link-20260101-000000-0000", root / "missing"):
        assert not is_abandoned(path)


def test_a_part_is_left_when_its_process_is_gone_or_it_is_old(tmp_path: Path, nobody: int) -> None:
    me, older, newer = os.getpid(), atomic.OLD_SECONDS + 60, atomic.OLD_SECONDS - 60
    left = [part(tmp_path, nobody, 100, "gone"), part(tmp_path, me, older, "old")]
    part(tmp_path, nobody, 10, "perhaps-of-another-machine")
    part(tmp_path, me, newer, "being-written")
    for name in (".mine.part", ".file.1-0123abcd.part.txt", "file.1-0123abcd.part"):
        age(part(tmp_path, me, older).rename(tmp_path / name), older)
    assert leftovers(tmp_path) == sorted(left)


def test_a_folder_is_old_when_all_in_it_is(tmp_path: Path) -> None:
    folder = part_path(tmp_path / "made")
    folder.mkdir()
    (folder / "file").write_text("")
    age(folder, 2 * atomic.OLD_SECONDS)
    assert leftovers(tmp_path) == [folder]
    age(folder / "file", 10)
    assert leftovers(tmp_path) == []


def test_a_folder_that_was_made_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), part_folder(tmp_path / "made") as folder:
        (folder / "file").write_text("")
        raise ZeroDivisionError
    assert list(tmp_path.iterdir()) == []
    with part_folder(tmp_path / "made") as folder:
        (folder / "file").write_text("whole")
        folder.rename(tmp_path / "made")
    assert [path.read_text() for path in tmp_path.rglob("file")] == ["whole"]


def test_results_are_written_without_what_killed_writers_left(tmp_path: Path, nobody: int) -> None:
    part(tmp_path, nobody, 100)
    kept = part(tmp_path, nobody, 0, "another")
    written = write_results(tmp_path, evaluation())
    assert {*tmp_path.iterdir()} == {kept, *written}


@posix
def test_a_removal_that_is_killed_leaves_no_part_of_a_run(root: Path, profile: Profile) -> None:
    run = RunFolder.create(profile, root)
    run.release()
    child = os.fork()
    if child == 0:
        shutil.rmtree = lambda *_, **__: os._exit(9)  # type: ignore[assignment]
        remove(run)
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 9
    assert list_runs(root) == ()
    (left,) = root.iterdir()
    assert find_leftovers(root) == []
    age(left, 100)
    (found,) = find_leftovers(root)
    assert found.path == left
    assert found.bytes > 1000
    found.delete()
    assert list(root.iterdir()) == []


def test_a_run_that_cannot_be_deleted_stays_where_it_was(
    root: Path, profile: Profile, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = RunFolder.create(profile, root)
    run.release()

    def refuse(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(shutil, "rmtree", refuse)
    with pytest.raises(RunError, match="cannot delete: Permission denied"):
        remove(run)
    assert [run.state for run in list_runs(root)] == ["interrupted"]


def test_leftovers_are_looked_for_wherever_mamltui_writes(
    root: Path, profile: Profile, nobody: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = tmp_path / "cache"
    monkeypatch.setenv("MAMLTUI_CACHE_DIR", str(cache))
    done, training = RunFolder.create(profile, root), RunFolder.create(profile, root)
    done.release()
    places = (
        *(root, done.path, done.path / "checkpoints", done.evaluation, root / "studies" / "a"),
        *(cache, cache / "packed", cache / "compiled", cache / "calibration", cache / "rescued"),
    )
    left = [part(place, nobody, 100) for place in places]
    for name in (cache / "compiled" / "compiling-x", cache / ".download-x"):
        name.mkdir()
        left.append(age(name, 2 * atomic.OLD_SECONDS))
    never = RunFolder.create(profile, root)
    never.release()
    (never.path / "run.json").unlink()
    part(training.path, nobody, 100)  # whoever trains takes care of it
    found = find_leftovers(root)
    assert {each.path for each in found} == {*left, never.path}
    for each in found:
        each.delete()
    assert find_leftovers(root) == []
    assert {run.path for run in list_runs(root)} == {done.path, training.path}
