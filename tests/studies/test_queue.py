"""The queue of a study: what it trains, takes over, goes on with, and lets fail."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from mamltui import evaluation
from mamltui.data.banks import Banks
from mamltui.errors import UsageError
from mamltui.events import Step
from mamltui.results import write_results
from mamltui.runs import RunFolder, list_runs
from mamltui.studies import worker
from mamltui.studies.executors.executor import Executor
from mamltui.studies.progress import progress_of
from mamltui.studies.queue import ATTEMPTS, Queue
from mamltui.studies.reading import begun_study, load_study
from mamltui.studies.standing import Standing, read_standings
from mamltui.training import Control, Trainer
from mamltui.training.plan import make_plan
from tests.studies.small import SMALL, Here, write_study


def work(
    file: Path, root: Path, executor: Executor, said: list[str] | None = None
) -> list[Standing]:
    notify = (said if said is not None else []).append
    queue = Queue(load_study(str(file)), executor, root=root, notify=notify)
    try:
        for _ in range(100):
            standings, is_over = queue.step()
            if is_over:
                return standings
        raise AssertionError("the queue does not end")
    finally:
        queue.close()


def train_partly(root: Path, file: Path, until: int) -> RunFolder:
    """The first cell's training, stopped, under a name that is not the study's."""
    profile = load_study(str(file)).cells[0].profile().model_copy(update={"name": "mine"})
    plan = make_plan(profile, device="cpu", runs=root, banks=Banks())
    run = RunFolder.create(profile, root)
    control = Control()
    for event in Trainer(plan, run, control).train():
        if isinstance(event, Step) and event.iteration == until:
            control.stop("test")
    return run


def test_every_cell_becomes_an_ordinary_run_with_its_test(tmp_path: Path) -> None:
    file, root = write_study(tmp_path), tmp_path / "runs"
    standings = work(file, root, Here())
    assert [each.state for each in standings] == ["done", "done"]
    assert {run.name.rpartition("-seed0-")[0] for run in list_runs(root)} == {
        "small-quickstart-steps1",
        "small-quickstart-steps2",
    }
    for each in standings:
        assert each.evaluation is not None
        assert each.evaluation.steps == (0, 1, 2, 3)
        assert each.evaluation.episodes == 4
    progress = progress_of(load_study(str(file)), standings)
    assert (progress.fraction, progress.seconds_left, progress.over) == (1.0, 0.0, 2)


def test_a_study_that_is_done_starts_nothing_and_is_known_without_its_file(tmp_path: Path) -> None:
    file, root = write_study(tmp_path), tmp_path / "runs"
    work(file, root, Here())
    again = Here()
    work(file, root, again)
    assert again.started == []
    file.unlink()
    states = [each.state for each in read_standings(begun_study("small", root), root)]
    assert states == ["done", "done"]


def test_a_run_that_fits_is_gone_on_with_whoever_began_it(tmp_path: Path) -> None:
    file, root = write_study(tmp_path), tmp_path / "runs"
    run = train_partly(root, file, until=2)
    standings = work(file, root, Here())
    assert standings[0].run is not None
    assert standings[0].run.name == run.name
    assert [step.iteration for step in run.read_metrics().records] == [1, 2, 3, 4]
    assert len(list_runs(root)) == 2


def test_a_finished_run_with_too_small_a_test_is_only_tested_again(tmp_path: Path) -> None:
    file, root = write_study(tmp_path), tmp_path / "runs"
    work(file, root, Here())
    trained = {
        run.name: (root / run.name / "metrics.jsonl").read_bytes() for run in list_runs(root)
    }
    write_study(tmp_path, SMALL.replace("episodes = 4", "episodes = 6"))
    standings = work(file, root, Here())
    assert [each.evaluation.episodes for each in standings if each.evaluation] == [6, 6]
    assert trained == {
        run.name: (root / run.name / "metrics.jsonl").read_bytes() for run in list_runs(root)
    }


def test_what_another_study_tests_meanwhile_is_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    file, root = write_study(tmp_path), tmp_path / "runs"
    work(file, root, Here())
    write_study(tmp_path, SMALL.replace("episodes = 4", "episodes = 6"))
    profile = load_study(str(file)).cells[0].profile()
    others = [RunFolder(root / run.name) for run in list_runs(root)]
    for other in others:
        other.acquire()
    evaluate_run = evaluation.evaluate_run

    def test_meanwhile(seconds: float) -> None:
        if seconds != worker.LOCK_SECONDS:
            return
        for other in others:
            result = evaluate_run(
                other,
                bank=Banks().bank(profile.data),
                steps=profile.evaluation.steps,
                episodes=6,
                device=torch.device("cpu"),
            )
            write_results(other.evaluation, result)
            other.release()

    def not_again(*_: object, **__: object) -> None:
        raise AssertionError("tested twice")

    monkeypatch.setattr(worker.time, "sleep", test_meanwhile)
    monkeypatch.setattr(evaluation, "evaluate_run", not_again)
    standings = work(file, root, Here())
    assert [each.evaluation.episodes for each in standings if each.evaluation] == [6, 6]
    assert capsys.readouterr().err.count("waiting: the run is in use") == 1


def test_a_worker_waits_for_another_that_trains_its_cell_and_goes_on_from_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    file, root = write_study(tmp_path), tmp_path / "runs"
    run = train_partly(root, file, until=2)
    run.acquire()
    looks = [0]

    def end_after_two_looks(seconds: float) -> None:
        if seconds == worker.LOCK_SECONDS:
            looks[0] += 1
            if looks[0] == 2:
                run.release()

    monkeypatch.setattr(worker.time, "sleep", end_after_two_looks)
    cell = tmp_path / "cell.toml"
    cell.write_text(load_study(str(file)).cells[0].profile().to_toml())
    assert worker.main([str(cell), "--out", str(root), "--device", "cpu"]) == 0
    assert looks == [2]
    assert capsys.readouterr().err.count("waiting: the run is in use") == 1
    assert [step.iteration for step in run.read_metrics().records] == [1, 2, 3, 4]
    assert len(list_runs(root)) == 1


def test_a_cell_that_fails_does_not_stop_the_others_and_is_tried_again_next_time(
    tmp_path: Path,
) -> None:
    file, root = write_study(tmp_path), tmp_path / "runs"
    said: list[str] = []
    breaks = Here(lambda name: 1 if "steps1" in name else None)
    standings = work(file, root, breaks, said)
    assert [each.state for each in standings] == ["failed", "done"]
    assert standings[0].why == "the last words of quickstart-steps1-seed0"
    assert any("quickstart-steps1-seed0: failed" in text for text in said)
    assert [each.state for each in work(file, root, Here())] == ["done", "done"]


def test_a_cell_that_diverges_is_reported_and_left(tmp_path: Path) -> None:
    text = SMALL.replace("[grid]", "meta.divergence_loss = 1.0000001\n[grid]")
    file, root = write_study(tmp_path, text), tmp_path / "runs"
    standings = work(file, root, Here())
    assert [each.state for each in standings] == ["diverged", "diverged"]
    assert "loss" in standings[0].why
    again = Here()
    work(file, root, again)
    assert again.started == []


def test_a_killed_process_is_started_again_but_not_for_ever(tmp_path: Path) -> None:
    file, root = write_study(tmp_path), tmp_path / "runs"
    kills = iter([-9, -9, None])
    executor = Here(lambda name: next(kills) if "steps1" in name else None)
    assert [each.state for each in work(file, root, executor)] == ["done", "done"]
    assert executor.started.count("quickstart-steps1-seed0") == 3
    always = Here(lambda name: -9 if "steps1" in name else None)
    standings = work(file, tmp_path / "others", always)
    assert [each.state for each in standings] == ["failed", "done"]
    assert always.started.count("quickstart-steps1-seed0") == ATTEMPTS


def test_a_process_that_ends_without_a_result_is_not_started_for_ever(tmp_path: Path) -> None:
    idle = Here(lambda name: 0 if "steps1" in name else None)
    standings = work(write_study(tmp_path), tmp_path / "runs", idle)
    assert [each.state for each in standings] == ["failed", "done"]
    assert idle.started.count("quickstart-steps1-seed0") == 1


def test_cells_that_are_the_same_experiment_share_a_run(tmp_path: Path) -> None:
    text = SMALL.partition("[grid]")[0] + (
        '[[variant]]\nname = "a"\n[[variant]]\nname = "b"\n[test]\nsteps = "1"\nepisodes = 2\n'
    )
    file, root = write_study(tmp_path, text), tmp_path / "runs"
    standings = work(file, root, Here())
    assert [each.state for each in standings] == ["done", "done"]
    assert len(list_runs(root)) == 1


def test_minutes_become_iterations_once_and_for_all_seeds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mamltui.studies.timing.SECONDS", 0.05)
    text = SMALL.replace("iterations = 4", "minutes = 0.002").replace("seeds = 1", "seeds = 2")
    file, root = write_study(tmp_path, text), tmp_path / "runs"
    queue = Queue(load_study(str(file)), Here(), root=root, only=["quickstart-steps1"])
    while not queue.step()[1]:
        pass
    queue.close()
    lengths = json.loads((root / "studies" / "small" / "lengths.json").read_text())
    assert list(lengths) == ["quickstart-steps1"]
    trained = {each.iterations for each in queue.standings()}
    assert trained == set(lengths.values())
    # Without the study's folder the runs themselves say how long they were.
    (root / "studies" / "small" / "lengths.json").unlink()
    states = [each.state for each in read_standings(load_study(str(file)), root)]
    assert states == ["done", "queued", "done", "queued"]


def test_all_lengths_are_timed_before_anything_is_trained(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else each one would wait for the trainings before it, and workers for each other."""
    monkeypatch.setattr("mamltui.studies.timing.SECONDS", 0.05)
    file = write_study(tmp_path, SMALL.replace("iterations = 4", "minutes = 0.002"))
    executor = Here()
    standings = work(file, tmp_path / "runs", executor)
    assert [each.state for each in standings] == ["done", "done"]
    names = [each.cell.name for each in standings]
    assert executor.started == [*names, *names]


def test_two_processes_do_not_work_on_one_study(tmp_path: Path) -> None:
    study, root = load_study(str(write_study(tmp_path))), tmp_path / "runs"
    first = Queue(study, Here(), root=root)
    with pytest.raises(UsageError, match="another process works on the study"):
        Queue(study, Here(), root=root)
    first.close()
    Queue(study, Here(), root=root).close()
