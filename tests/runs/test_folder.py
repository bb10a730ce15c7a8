"""A run folder: made, locked, written and read back."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from mamltui.errors import ProfileError, RunError
from mamltui.events import Checkpointed, Notice, Paused, Validated
from mamltui.profiles import Profile
from mamltui.runs import Best, RunFolder, TrainedOn, runs_root
from mamltui.runs.removal import remove
from tests.runs.conftest import make_checkpoint, make_step

HOLDER = """
import sys
from pathlib import Path
from mamltui.runs import RunFolder
run = RunFolder(Path(sys.argv[1]))
run.acquire()
run.begin()
print("held", flush=True)
sys.stdin.read()
"""


def hold(run: RunFolder) -> subprocess.Popen[str]:
    """Another process that trains into the run."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(run.path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    return process


def change_info(run: RunFolder, **values: Any) -> None:
    path = run.path / "run.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **values}))


def validated(iteration: int) -> Validated:
    return Validated(iteration, 0.5, 0.1, 1.0, (0.2, 0.5), (1.6, 1.0), True, 2.0)


def test_a_new_run_is_named_after_its_profile_and_the_time(run: RunFolder, root: Path) -> None:
    assert run.path.parent == root
    assert re.fullmatch(r"small-\d{8}-\d{6}-[0-9a-f]{4}", run.name)


def test_two_runs_of_one_second_have_two_folders(profile: Profile, root: Path) -> None:
    assert len({RunFolder.create(profile, root).name for _ in range(5)}) == 5


def test_a_new_run_holds_its_profile(run: RunFolder, profile: Profile) -> None:
    assert RunFolder(run.path).profile == profile


def test_a_new_run_says_what_is_known(run: RunFolder, profile: Profile) -> None:
    info = run.info()
    assert (info.profile, info.state, info.pid) == ("small", "running", os.getpid())
    assert (info.iteration, info.iterations, info.seed) == (0, 60, profile.meta.seed)
    assert set(info.versions) == {"mamltui", "torch", "python"}
    assert info.versions["python"] == sys.version.split()[0]
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", info.created)


def test_the_runs_folder_is_the_argument_the_variable_or_runs(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("MAMLTUI_RUNS_DIR", raising=False)
    assert runs_root() == Path("runs")
    monkeypatch.setenv("MAMLTUI_RUNS_DIR", str(tmp_path / "mine"))
    assert runs_root() == tmp_path / "mine"
    assert runs_root(tmp_path / "other") == tmp_path / "other"


def test_a_runs_folder_that_is_a_file_is_refused(profile: Profile, tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("")
    with pytest.raises(RunError, match="is a file") as caught:
        RunFolder.create(profile, file)
    assert caught.value.where == str(file)
    with pytest.raises(RunError, match="Not a directory"):
        RunFolder.create(profile, file / "runs")


@pytest.mark.skipif(sys.platform != "linux", reason="/proc takes no folders, not even of root")
def test_a_runs_folder_that_cannot_be_made_is_refused(profile: Profile) -> None:
    with pytest.raises(RunError, match="cannot make a run folder"):
        RunFolder.create(profile, Path("/proc/runs"))


def test_a_run_that_cannot_be_written_leaves_nothing(
    profile: Profile, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(descriptor: int) -> None:  # noqa: ARG001
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(RunError, match="No space left"):
        RunFolder.create(profile, root)
    assert list(root.iterdir()) == []


def test_what_is_updated_is_read_by_others(run: RunFolder) -> None:
    data = TrainedOn(name="strokes", content_hash="c", split="strokes", split_hash="s")
    best = Best(iteration=20, accuracy=0.5, loss=1.25)
    run.begin(device="cpu", threads=2, data=data, iterations=80)
    run.update(iteration=40, best=best, elapsed=3.25)
    info = RunFolder(run.path).info()
    assert (info.device, info.threads, info.data, info.iterations) == ("cpu", 2, data, 80)
    assert (info.iteration, info.best, info.elapsed) == (40, best, 3.25)
    assert info.started is not None
    assert info.created <= info.started <= info.updated


def test_one_process_at_a_time_trains_into_a_run(run: RunFolder) -> None:
    with pytest.raises(RunError, match=f"in use by process {os.getpid()} on"):
        RunFolder(run.path).acquire()
    run.release()
    with hold(run) as other:
        with pytest.raises(RunError, match=f"in use by process {other.pid} on"):
            run.acquire()
        assert not run.held
        other.kill()
    run.acquire()
    assert run.held


def test_a_run_is_locked_again_by_its_holder_without_harm(run: RunFolder) -> None:
    run.acquire()
    run.release()
    RunFolder(run.path).acquire()


def test_a_reader_needs_no_lock(run: RunFolder) -> None:
    run.append_metrics(make_step(10))
    reader = RunFolder(run.path)
    assert reader.info().state == "running"
    assert reader.read_metrics().records == [make_step(10)]
    assert not reader.held


@pytest.mark.parametrize("state", ["running", "paused"])
def test_a_run_whose_process_is_gone_is_interrupted(run: RunFolder, state: str) -> None:
    run.release()
    with hold(run) as process:
        change_info(run, state=state)
        assert run.info().state == state
        process.send_signal(signal.SIGKILL)
    assert run.info().state == "interrupted"


@pytest.mark.parametrize("state", ["finished", "diverged", "failed"])
def test_a_run_that_ended_keeps_its_state(run: RunFolder, state: str) -> None:
    change_info(run, state=state)
    run.release()
    assert run.info().state == state


def test_asking_for_the_state_does_not_keep_others_from_training(run: RunFolder) -> None:
    run.release()
    assert run.info().state == "interrupted"
    RunFolder(run.path).acquire()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "damaged"),
        ("{", "damaged"),
        ("[]", "damaged"),
        ('{"state": "running"}', "profile is missing"),
        ("\x00\x01", "damaged"),
    ],
)
def test_a_damaged_state_is_refused(run: RunFolder, content: str, message: str) -> None:
    (run.path / "run.json").write_text(content)
    with pytest.raises(RunError, match=message) as caught:
        run.info()
    assert caught.value.where == str(run.path / "run.json")


def test_a_wrong_value_in_the_state_is_named(run: RunFolder) -> None:
    change_info(run, iteration="many")
    with pytest.raises(RunError, match="iteration is "):
        run.info()


def test_keys_of_a_later_version_in_the_state_are_left_out(run: RunFolder) -> None:
    change_info(run, colour="blue")
    assert run.info().profile == "small"


def test_a_missing_state_is_refused(run: RunFolder) -> None:
    (run.path / "run.json").unlink()
    with pytest.raises(RunError, match="cannot read"):
        run.info()


@pytest.mark.parametrize("content", [b"task.way = ", b"task.ways = 5", b"\xff\xfe\x00"])
def test_a_damaged_profile_is_refused(run: RunFolder, content: bytes) -> None:
    (run.path / "profile.toml").write_bytes(content)
    with pytest.raises((ProfileError, RunError)) as caught:
        _ = RunFolder(run.path).profile
    assert "profile.toml" in str(caught.value)


def test_a_missing_profile_is_refused(run: RunFolder) -> None:
    (run.path / "profile.toml").unlink()
    with pytest.raises(RunError, match="cannot read"):
        _ = RunFolder(run.path).profile


def test_another_profile_takes_the_place_of_the_first(run: RunFolder, profile: Profile) -> None:
    longer = profile.model_copy(update={"meta": profile.meta.model_copy(update={"iterations": 90})})
    run.set_profile(longer)
    assert run.profile == longer == RunFolder(run.path).profile


def test_events_are_read_back_with_their_time(run: RunFolder) -> None:
    run.append_event(Notice(3, "für alle"))
    run.append_event(validated(10))
    page = RunFolder(run.path).read_events()
    assert [logged.event for logged in page.records] == [Notice(3, "für alle"), validated(10)]
    assert all(re.fullmatch(r"\d{4}-.*Z", logged.time) for logged in page.records)


def test_metrics_hold_steps_only(run: RunFolder) -> None:
    (run.path / "metrics.jsonl").write_text(json.dumps(Notice(3, "x").to_dict()) + "\n")
    with pytest.raises(RunError, match="notice is not a step") as caught:
        run.read_metrics()
    assert caught.value.where == f"{run.path / 'metrics.jsonl'}:1"


def test_an_event_without_a_time_is_damaged(run: RunFolder) -> None:
    (run.path / "events.jsonl").write_text(json.dumps(Notice(3, "x").to_dict()) + "\n")
    with pytest.raises(RunError, match="time is missing"):
        run.read_events()


def test_metrics_of_a_long_run_are_read_page_by_page(run: RunFolder) -> None:
    run.append_metrics(make_step(10))
    page = run.read_metrics()
    run.append_metrics(make_step(20, query_loss=1 / 3))
    assert run.read_metrics(page.position).records == [make_step(20, query_loss=1 / 3)]


def test_a_run_is_cut_back_to_a_checkpoint(run: RunFolder) -> None:
    for iteration in (10, 20, 30):
        run.append_metrics(make_step(iteration))
        run.append_event(validated(iteration))
        run.append_event(Checkpointed(iteration, "last", "checkpoints/last.safetensors"))
    run.cut_back(20, validated=10)
    assert [step.iteration for step in run.read_metrics().records] == [10, 20]
    left = [(logged.event.name, logged.event.iteration) for logged in run.read_events().records]
    assert left == [("validated", 10), ("checkpointed", 10), ("checkpointed", 20)]


def test_a_checkpoint_comes_after_all_lines_are_on_the_disk(
    run: RunFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    run.append_metrics(make_step(10))
    run.append_event(Paused(10))
    synced = []
    sync = os.fsync

    def spy(descriptor: int) -> None:
        synced.append(os.fstat(descriptor).st_ino)
        sync(descriptor)

    monkeypatch.setattr(os, "fsync", spy)
    run.save_checkpoint("last", make_checkpoint())
    order = [
        synced.index((run.path / name).stat().st_ino)
        for name in ("metrics.jsonl", "events.jsonl", "checkpoints/last.safetensors")
    ]
    assert order == sorted(order)


def test_a_run_is_removed_unless_it_is_in_use(run: RunFolder) -> None:
    with pytest.raises(RunError, match="in use"):
        remove(RunFolder(run.path))
    run.release()
    remove(RunFolder(run.path))
    assert not run.path.exists()
