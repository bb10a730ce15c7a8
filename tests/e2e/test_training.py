"""A training by the real command: to the end, killed and resumed, stopped by signals."""

from __future__ import annotations

import csv
import json
import shlex
import signal
from pathlib import Path

import pytest

from mamltui.errors import ExitCode
from mamltui.runs import RunFolder
from mamltui.runs.requests import ask
from tests.cli.tiny import RUN, make_place, only_run
from tests.e2e.process import SECONDS, read_until, run, start, wait_for

# A second of training on the strokes, where the profile's own takes a minute.
SHORT = {
    "network.filters": 4,
    "meta.batch": 2,
    "meta.iterations": 6,
    "validation.interval": 3,
    "validation.episodes": 4,
    "evaluation.episodes": 6,
    "run.log_interval": 1,
}
# Nobody waits for the end of it.
ENDLESS = ["--set", "meta.iterations=1000000", "--set", "validation.interval=1000000"]


@pytest.fixture
def place(tmp_path: Path) -> Path:
    return make_place(tmp_path)


def losses(folder: Path) -> list[tuple[int, float, float]]:
    steps = RunFolder(folder).read_metrics().records
    return [(step.iteration, step.query_loss, step.gradient_norm) for step in steps]


def test_the_packaged_quickstart_trains_on_the_embedded_data_to_the_end(tmp_path: Path) -> None:
    arguments = ["run", "quickstart", "--headless", "--csv", "results.csv", "--device", "cpu"]
    for key, value in SHORT.items():
        arguments += ["--set", f"{key}={value}"]
    process = run(arguments, tmp_path)
    assert process.returncode == 0, process.stderr
    assert "strokes 5-way 1-shot" in process.stdout
    assert "kept in runs/quickstart-" in process.stderr
    rows = list(csv.DictReader((tmp_path / "results.csv").open()))
    assert len(rows) == 22
    assert {row["data"] for row in rows} == {"strokes"}
    assert {row["episodes"] for row in rows} == {"6"}
    folder = only_run(tmp_path)
    assert [row[0] for row in losses(folder)] == [1, 2, 3, 4, 5, 6]
    results = json.loads(next((folder / "evaluation").glob("*.json")).read_text())
    assert results["evaluations"][0]["run"] == folder.name


def test_a_killed_run_is_resumed_to_what_it_would_have_been(place: Path) -> None:
    arguments = [*RUN, "--set", "meta.iterations=150", "--set", "validation.interval=50"]
    arguments += ["--set", "run.checkpoint_interval=20"]
    process = start(arguments, place)
    runs = place / "runs"
    wait_for(lambda: any(runs.glob("*/checkpoints/last.safetensors")), process)
    process.kill()
    process.communicate()
    killed = only_run(place)
    done = RunFolder(killed).load_checkpoint("last").iteration
    assert 0 < done < 150
    assert RunFolder(killed).info().state == "interrupted"

    resumed = run([*arguments, "--resume", "auto"], place)
    assert resumed.returncode == 0, resumed.stderr
    assert f"going on with {killed.name}" in resumed.stderr
    unbroken = run([*arguments, "--out", "unbroken"], place)
    assert unbroken.returncode == 0, unbroken.stderr
    (whole,) = (place / "unbroken").iterdir()
    assert len(losses(killed)) == 150
    assert losses(killed) == losses(whole)
    assert resumed.stdout.splitlines()[2:] == unbroken.stdout.splitlines()[2:]


def test_sigterm_and_sigint_save_and_say_how_to_go_on(place: Path) -> None:
    process = start([*RUN, *ENDLESS], place)
    runs = place / "runs"
    wait_for(lambda: any(path.stat().st_size for path in runs.glob("*/metrics.jsonl")), process)
    process.send_signal(signal.SIGTERM)
    _, error = process.communicate()
    assert process.returncode == 143
    folder = only_run(place)
    saved = RunFolder(folder).load_checkpoint("last").iteration
    assert f"SIGTERM: stopped at iteration {saved:,}, a checkpoint is saved" in error
    assert RunFolder(folder).info().state == "interrupted"
    assert "Traceback" not in error

    command = next(line for line in error.splitlines() if line.startswith("Go on with: "))
    words = shlex.split(command.removeprefix("Go on with: "))
    assert words[0] == "mamltui"
    again = start(words[1:], place)
    assert again.stderr is not None
    started = read_until("resumed ", again.stderr)
    assert f"iterations {saved:,} to 1,000,000" in started
    again.send_signal(signal.SIGINT)
    _, error = again.communicate()
    assert again.returncode == 130
    assert "SIGINT: stopped at iteration" in error
    assert RunFolder(folder).load_checkpoint("last").iteration >= saved


def test_stopped_by_another_process_it_says_how_to_go_on(place: Path) -> None:
    process = start([*RUN, *ENDLESS], place)
    runs = place / "runs"
    wait_for(lambda: any(path.stat().st_size for path in runs.glob("*/metrics.jsonl")), process)
    run = RunFolder(only_run(place))
    ask(run, "stop")
    _, error = process.communicate()
    assert process.returncode == ExitCode.INTERRUPTED
    saved = run.load_checkpoint("last").iteration
    assert f"another process: stopped at iteration {saved:,}, a checkpoint is saved" in error
    assert f"--resume {run.name}" in error


def test_a_second_interrupt_ends_at_once(place: Path) -> None:
    # One meta-step of ten thousand tasks takes longer than the test waits between the signals.
    slow = ["--set", "meta.batch=10000", "--set", "network.filters=64"]
    process = start([*RUN, *ENDLESS, *slow, "--set", "engine.task_chunk=20"], place)
    assert process.stderr is not None
    read_until("started ", process.stderr)
    process.send_signal(signal.SIGINT)
    read_until("a second interrupt ends at once", process.stderr)
    process.send_signal(signal.SIGINT)
    _, error = process.communicate()
    assert process.returncode == -signal.SIGINT
    assert "Traceback" not in error


@pytest.mark.skipif(not hasattr(signal, "SIGHUP"), reason="this system has no such signals")
def test_sigusr1_saves_and_a_lost_connection_ends_after_a_checkpoint(place: Path) -> None:
    process = start([*RUN, *ENDLESS, "--set", "run.checkpoint_interval=1000000"], place)
    assert process.stderr is not None
    read_until("started ", process.stderr)
    process.send_signal(signal.SIGUSR1)
    wait_for(lambda: any(place.glob("runs/*/checkpoints/last.safetensors")), process)
    process.stderr.close()  # as a terminal that is gone: nothing can be said there any more
    process.send_signal(signal.SIGHUP)
    assert process.wait(SECONDS) == 129
    folder = RunFolder(only_run(place))
    assert folder.info().state == "interrupted"
    assert folder.load_checkpoint("last").iteration == folder.info().iteration


def test_a_training_goes_on_when_the_reader_of_its_events_has_gone(place: Path) -> None:
    process = start([*RUN, "--format", "jsonl"], place)
    assert process.stdout is not None
    assert json.loads(process.stdout.readline())["event"] == "started"
    process.stdout.close()
    assert process.stderr is not None
    assert process.stderr.read() == ""
    assert process.wait(SECONDS) == 1
    folder = RunFolder(only_run(place))
    assert folder.info().state == "finished"
    assert list(folder.evaluation.glob("*.json"))


def test_an_interrupt_of_the_evaluation_says_how_to_evaluate(place: Path) -> None:
    process = start([*RUN, "--set", "evaluation.episodes=10000000"], place)
    assert process.stderr is not None
    read_until("evaluating the best checkpoint", process.stderr)
    process.send_signal(signal.SIGINT)
    _, error = process.communicate()
    assert process.returncode == 130
    folder = only_run(place)
    assert f"Evaluate with: mamltui eval {folder.name}" in error
    assert "Traceback" not in error
    assert RunFolder(folder).info().state == "finished"
