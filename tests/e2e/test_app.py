"""The app in a real terminal, from its start to its end."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from mamltui.runs import RunFolder
from mamltui.studies.waiting import TrainingQueue
from tests.cli.tiny import PROFILE, make_place, only_run
from tests.e2e.process import SECONDS, run
from tests.e2e.terminal import Terminal

ENDLESS = ["--set", "meta.iterations=1000000", "--set", "validation.interval=1000000"]
SLOW = ["--set", "run.checkpoint_interval=1000000"]


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder with the profile ``tiny`` among its profiles, and nothing remembered."""
    folder = make_place(tmp_path / "place")
    (folder / "profiles").mkdir()
    (folder / "profiles" / "tiny.toml").write_text(PROFILE)
    monkeypatch.setenv("MAMLTUI_STATE_DIR", str(tmp_path / "state"))
    monkeypatch.delenv("MAMLTUI_RUNS_DIR", raising=False)
    return folder


def choose_train_evaluate_export_quit(place: Path, profile: str, seconds: float) -> str:
    """What a user does on the first day; gives the exported CSV."""
    with Terminal([], place) as terminal:
        terminal.wait_for("first look")
        terminal.press("/")
        terminal.wait_for("words to look for")
        terminal.press(*profile, "enter")
        terminal.wait_for(" of ")
        terminal.wait_for(profile)
        while "Press r to run it." not in terminal.text:  # the list has the focus in a moment
            terminal.press("enter")
            terminal.read(0.5)
        terminal.press("r")
        terminal.wait_for("finished", seconds)
        terminal.press("4")
        terminal.wait_for(only_run(place).name[:20])
        terminal.press("r")
        terminal.wait_for("best of all", seconds)
        terminal.press("E")
        terminal.wait_for("Enter applies")
        terminal.press("enter")
        while not list(place.glob("evaluation-*.csv")):
            terminal.read(0.05)
        terminal.press("ctrl+q")
        assert terminal.wait_for_end() == 0
    (csv,) = place.glob("evaluation-*.csv")
    return csv.read_text()


def test_choose_train_evaluate_export_quit(place: Path) -> None:
    csv = choose_train_evaluate_export_quit(place, "tiny", 120)
    command = run(["eval", only_run(place).name, "--device", "cpu", "--csv", "-"], place)
    assert command.returncode == 0, command.stderr
    assert csv == command.stdout


@pytest.mark.long
def test_the_same_with_quickstart(place: Path) -> None:
    csv = choose_train_evaluate_export_quit(place, "quickstart", 600)
    assert len(csv.splitlines()) > 20


def test_the_app_and_the_headless_command_find_the_same_numbers(place: Path) -> None:
    headless = run(["run", "tiny.toml", "--headless", "--device", "cpu", "--out", "a"], place)
    assert headless.returncode == 0, headless.stderr
    with Terminal(["run", "tiny.toml", "--device", "cpu", "--out", "b"], place) as terminal:
        terminal.wait_for("finished")
        terminal.press("ctrl+q")
        assert terminal.wait_for_end() == 0
    one, other = (RunFolder(next((place / root).iterdir())) for root in ("a", "b"))

    def losses(folder: RunFolder) -> list[tuple[int, float, float]]:
        steps = folder.read_metrics().records
        return [(step.iteration, step.query_loss, step.gradient_norm) for step in steps]

    assert losses(one) == losses(other)
    csvs = []
    for folder in (one, other):
        (csv,) = folder.evaluation.glob("*.csv")
        # A run's name holds the time of its start.
        csvs.append(csv.read_bytes().replace(folder.name.encode(), b"RUN"))
    assert csvs[0] == csvs[1]


def test_quitting_while_training_is_quick_and_leaves_a_checkpoint(place: Path) -> None:
    arguments = ["run", "tiny.toml", "--device", "cpu", *ENDLESS, *SLOW]
    with Terminal(arguments, place) as terminal:
        terminal.wait_for("elapsed")
        terminal.press("ctrl+q")
        terminal.wait_for("A training is running")
        start = time.monotonic()
        terminal.press("y")
        assert terminal.wait_for_end() == 0
        assert time.monotonic() - start < 10  # 2 s on a machine that has nothing else to do
    left = RunFolder(only_run(place))
    assert left.info().state == "interrupted"
    assert left.load_checkpoint("last").iteration == left.info().iteration > 0


@pytest.mark.parametrize(("by", "code"), [(signal.SIGTERM, 143), (signal.SIGHUP, 129)])
def test_a_signal_ends_it_after_a_checkpoint(place: Path, by: signal.Signals, code: int) -> None:
    arguments = ["run", "tiny.toml", "--device", "cpu", *ENDLESS, *SLOW]
    with Terminal(arguments, place) as terminal:
        terminal.wait_for("elapsed")
        os.kill(terminal.process.pid, by)
        assert terminal.wait_for_end() == code
    left = RunFolder(only_run(place))
    assert left.info().state == "interrupted"
    assert left.checkpoint_path("last").exists()


@pytest.mark.parametrize("keys", ["", "1e"], ids=["train", "editor"])
def test_a_terminal_that_is_gone_ends_it_after_a_checkpoint(place: Path, keys: str) -> None:
    with Terminal(["run", "tiny.toml", "--device", "cpu", *ENDLESS], place) as terminal:
        terminal.wait_for("elapsed")
        terminal.press(*keys)
        terminal.read(1.0)
        terminal.hang_up()
        assert terminal.process.wait(timeout=SECONDS) == 129
    left = RunFolder(only_run(place))
    assert left.info().state == "interrupted"
    assert left.checkpoint_path("last").exists()


def test_a_killed_app_leaves_a_run_that_goes_on(place: Path) -> None:
    arguments = ["run", "tiny.toml", "--device", "cpu", *ENDLESS]
    with Terminal(arguments, place) as terminal:
        terminal.wait_for("elapsed")
        path = only_run(place)
        limit = time.monotonic() + 60
        while not (path / "checkpoints" / "last.safetensors").exists():
            terminal.read(0.05)
            assert time.monotonic() < limit
        terminal.process.kill()
    assert RunFolder(path).info().state == "interrupted"
    with Terminal(
        ["run", "tiny.toml", "--device", "cpu", *ENDLESS, "--resume", "auto"], place
    ) as again:
        again.wait_for("elapsed")
        assert path.name in again.text
        again.press("x")
        again.wait_for("Press r to resume it")
        again.press("ctrl+q")
        assert again.wait_for_end() == 0


def test_a_run_of_another_process_is_watched(place: Path) -> None:
    arguments = ["run", "tiny.toml", "--device", "cpu", *ENDLESS]
    with Terminal(arguments, place) as trainer:
        trainer.wait_for("elapsed")
        with Terminal(["attach", only_run(place).name], place) as watcher:
            watcher.wait_for("training")
            watcher.wait_for("elapsed")
            watcher.press("x")  # stops it there
            watcher.wait_for("stopped from another process")
            watcher.press("ctrl+q")
            assert watcher.wait_for_end() == 0
        trainer.wait_for("Press r to resume it")
        trainer.press("ctrl+q")
        assert trainer.wait_for_end() == 0


@pytest.mark.parametrize(
    "environment",
    [{"NO_COLOR": "1"}, {"TERM": "screen"}, {"TERM": "xterm", "COLORTERM": ""}],
    ids=["no colour", "screen", "16 colours"],
)
def test_it_opens_in_plain_terminals(place: Path, environment: dict[str, str]) -> None:
    with Terminal([], place, environment=environment) as terminal:
        terminal.wait_for("first look")
        terminal.press("?")
        terminal.wait_for("Home")
        terminal.press("escape", "ctrl+q")
        assert terminal.wait_for_end() == 0


def test_without_utf8_all_is_ascii_and_an_episode_is_drawn(place: Path) -> None:
    run(["run", "tiny.toml", "--headless", "--quiet"], place)
    name = only_run(place).name
    with Terminal(["attach", name], place, environment={"LC_ALL": "C"}) as terminal:
        terminal.wait_for("finished")
        assert terminal.text.isascii()
        terminal.press("3")
        terminal.wait_for("query")
        terminal.wait_for("^ support")
        assert terminal.text.isascii()
        terminal.press("ctrl+q")
        assert terminal.wait_for_end() == 0


def test_what_is_not_a_terminal_is_told_what_to_do(place: Path) -> None:
    for arguments in ([], ["run", "tiny.toml"], ["attach", "x"]):
        ended = run(arguments, place)
        assert ended.returncode == (3 if "attach" in arguments else 2)
        assert "Traceback" not in ended.stderr
    assert "--headless" in run(["tiny.toml"], place).stderr


def test_what_is_no_command_and_no_profile_is_told(place: Path) -> None:
    ended = run(["evla"], place)
    assert ended.returncode == 2
    assert "there is no command and no profile 'evla'" in ended.stderr
    assert "mamltui eval" in ended.stderr


def test_a_training_outlives_the_app_and_an_attached_one_steers_it(place: Path) -> None:
    settings = [*ENDLESS, *SLOW, "--set", "run.log_interval=1"]
    with Terminal(["run", "tiny.toml", *settings], place) as terminal:
        terminal.wait_for("elapsed")
        folder = RunFolder(only_run(place))
        while folder.info().iteration < 1:
            terminal.read(0.1)
        mine = folder.info().pid
        terminal.press("ctrl+q")
        terminal.wait_for("d: leave it running")
        terminal.press("d")
        assert terminal.wait_for_end() == 0
        assert f"Watch it with: mamltui attach {folder.name}" in terminal.text
    left_at, limit = folder.info().iteration, time.monotonic() + SECONDS
    # The one that the queue is about to go on with, before it does.
    with Terminal(["attach"], place, columns=100, rows=30) as terminal:
        terminal.wait_for(folder.name)
        while (now := folder.info()).iteration <= left_at and time.monotonic() < limit:
            terminal.press("k")  # a checkpoint tells how far it is
            terminal.read(0.5)
        assert (now.state, now.pid != mine) == ("running", True) and now.iteration > left_at
        assert folder.checkpoint_path("last").exists()
        terminal.wait_for("training")
        terminal.press("p")
        terminal.wait_for("paused")
        assert folder.info().state == "paused"
        terminal.press("p")
        terminal.wait_for("training")
        terminal.press("x")
        terminal.wait_for("stopped")
        terminal.press("ctrl+q")
        assert terminal.wait_for_end() == 0
    assert folder.info().state == "interrupted"
    while TrainingQueue(place / "runs").is_worked_on and time.monotonic() < limit:
        time.sleep(0.1)
    assert not TrainingQueue(place / "runs").is_worked_on
