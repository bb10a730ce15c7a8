"""The ablation works in miniature: timed, trained, stopped, gone on with, and made a page of."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from mamltui.events import Diverged, Event, Step, Validated
from mamltui.runs import RunFolder, list_runs

BENCHMARKS = Path(__file__).resolve().parents[1] / "benchmarks"
DRIVER = """
import sys
sys.path.insert(0, {benchmarks!r})
from evidence.variants import VARIANTS, Variant
VARIANTS.append(Variant("runaway", "runs away", "network", ("meta.learning_rate=1e30",)))
from ablation import main
sys.exit(main(sys.argv[1:]))
"""
SMALL = (
    "data.set=strokes",
    "network.filters=4",
    "network.layers=2",
    "engine.strategy=autograd",
    "meta.batch=2",
    "validation.episodes=4",
    "evaluation.episodes=5",
)
RUNAWAY = {
    "overrides": [
        "inner.steps=3",
        "inner.test_steps=3",
        "inner.alpha=0.4",
        "inner.loss_scale=mean",
        "meta.batch=4",
        "meta.learning_rate=0.001",
        "meta.learning_rate=1e30",
        *SMALL,
    ],
    "shares": [1.0],
    "seconds": [0.01],
    "validation_seconds": 0.01,
    "logging_seconds": 0.001,
}


@pytest.fixture(autouse=True)
def _path(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(BENCHMARKS))


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-c", DRIVER.format(benchmarks=str(BENCHMARKS)), *arguments]


def wait_for(condition: Callable[[], bool], seconds: float = 100) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.2)


def runs_of(out: Path, name: str) -> list[RunFolder]:
    return [
        RunFolder(run.path)
        for run in list_runs(out / "runs")
        if run.info is not None and run.info.profile == name
    ]


def test_it_goes_on_after_a_stop_and_a_diverging_variant_hinders_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from evidence import variants

    runaway = variants.Variant("runaway", "runs away", "network", ("meta.learning_rate=1e30",))
    out, name = tmp_path / "out", "5w1s-maml-seed0"
    out.mkdir()
    (out / "trials.json").write_text(json.dumps({"5w1s-runaway": RUNAWAY}))
    run = command(
        "run",
        f"--out={out}",
        "--minutes=0.03",
        "--trial-seconds=0.1",
        "--seeds=1",
        "--jobs=2",
        "--only=5w1s-maml",
        "--only=5w1s-runaway",
        *(f"--set={override}" for override in SMALL),
    )
    environment = os.environ | {"PYTHONPATH": str(BENCHMARKS.parent)}
    process = subprocess.Popen(run, stderr=subprocess.PIPE, text=True, env=environment)
    try:
        wait_for(lambda: any(one.read_metrics().records for one in runs_of(out, name)))
    finally:
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=100)
    assert process.returncode == 130, said
    (stopped,) = runs_of(out, name)
    assert stopped.info().state == "interrupted"

    done = subprocess.run(run, capture_output=True, text=True, env=environment, timeout=200)
    assert done.returncode == 0, done.stderr
    (run_folder,) = runs_of(out, name)
    assert run_folder.path == stopped.path
    assert run_folder.info().state == "finished"
    assert len(list(run_folder.evaluation.glob("test-best-*.json"))) == 1
    (away,) = runs_of(out, "5w1s-runaway-seed0")
    assert away.info().state == "diverged"
    assert "2 trainings: 1 diverged, 1 finished" in done.stderr

    monkeypatch.setattr(variants, "VARIANTS", [*variants.VARIANTS, runaway])
    written = report(out, tmp_path)
    assert {"ablation.md", "ablation-5w1s-minutes.svg", "ablation-5w1s-steps.svg"} <= {*written}
    assert "5w1s-runaway-seed0: diverged: " in written["ablation.md"].decode()
    assert report(out, tmp_path) == written


def report(out: Path, folder: Path) -> dict[str, bytes]:
    """The files that it writes."""
    from ablation import main

    docs, results = folder / "docs", folder / "docs/ablation.json"
    assert main(["report", f"--out={out}", f"--results={results}", f"--docs={docs}"]) == 0
    return {path.name: path.read_bytes() for path in docs.iterdir()}


def test_a_folder_is_not_gone_on_with_under_another_plan(tmp_path: Path) -> None:
    from evidence.plan import Plan

    from mamltui.errors import UsageError

    plan = Plan(5.0, 1, "cpu", (), {"processor": "one"})
    plan.keep(tmp_path)
    assert replace(plan, machine={"processor": "another"}).keep(tmp_path) == plan
    with pytest.raises(UsageError, match=r"minutes = 5\.0, and now it is 6\.0"):
        replace(plan, minutes=6.0).keep(tmp_path)


def test_every_variant_is_a_profile_that_can_be() -> None:
    from evidence.plan import Plan, Training, Trial
    from evidence.variants import cases

    for case in cases():
        phases = case.phases
        trial = Trial((), tuple(share for share, _ in phases), (0.1,) * len(phases), 1.0, 0.01)
        profile = Training(case, 2, Plan(10.0, 1, "cpu", (), {}), trial).profile
        assert profile.name == f"{case.name}-seed2"
        assert profile.meta.seed == 2
        assert (profile.task.way, profile.task.shot) == (case.setting.way, case.setting.shot)
        assert profile.meta.iterations == int((600 - 15 * 1.0 - 120 * 0.01) / 0.1)


def test_all_seeds_of_one_case_wait_for_the_first_of_all() -> None:
    from evidence.plan import Plan, Trial, trainings
    from evidence.variants import cases

    chosen = cases(["maml", "fomaml"])
    trials = {case.name: Trial((), (1.0,), (0.1,), 1.0, 0.01) for case in chosen}
    del trials["20w1s-fomaml"]
    queue = trainings(chosen, Plan(1.0, 1, "cpu", (), {}), trials, {"5w1s": 2, "20w1s": 1})
    assert [training.name for training in queue] == [
        "5w1s-maml-seed0",
        "5w1s-fomaml-seed0",
        "20w1s-maml-seed0",
        "5w1s-maml-seed1",
        "5w1s-fomaml-seed1",
    ]


def test_stretches_of_other_speed_are_timed_and_count_by_their_length() -> None:
    from evidence.plan import Trial
    from evidence.variants import FIRST_ORDER, MULTI_STEP, cases

    (case,) = cases(["5w1s-plus"])
    shares, held = zip(*case.phases, strict=True)
    assert shares == pytest.approx((0.1, 0.4, 0.5))
    during, after = 100_000_000, 1
    assert held == (
        (f"{MULTI_STEP}={during}", f"{FIRST_ORDER}={during}"),
        (f"{MULTI_STEP}={after}", f"{FIRST_ORDER}={during}"),
        (f"{MULTI_STEP}={after}", f"{FIRST_ORDER}={after}"),
    )
    trial = Trial((), shares, (0.4, 0.1, 0.2), 2.0, 0.0)
    assert trial.seconds_per_iteration == pytest.approx(0.18)
    count = trial.iterations(1.4)
    assert count == pytest.approx((84 - 30) / 0.18, abs=1)
    assert trial.minutes_at(count, count) == pytest.approx(1.4, abs=0.005)
    assert trial.minutes_at(30, 300) == pytest.approx((0.1 * 30 + 30 * 0.4) / 60)
    assert trial.minutes_at(150, 300) == pytest.approx((15 + 30 * 0.4 + 120 * 0.1) / 60)


def a_step(iteration: int, seconds: float) -> Step:
    return Step(iteration, 1.0, 0.5, 1.0, 0.5, (), (), 1.0, 0.001, 1 / seconds, iteration * 0.5)


def a_validation(step: Step) -> Validated:
    return Validated(step.iteration, 0.5, 0.1, 1.0, (), (), False, step.elapsed + 0.25)


def test_a_trial_takes_what_others_on_the_machine_slow_down_least() -> None:
    from evidence.trials import _paces

    events: list[Event] = []
    for iteration in range(5, 200, 5):
        events.append(a_step(iteration, 0.1 if iteration % 15 else 0.3))
        if iteration % 10 == 0:
            events.append(a_validation(events[-1]))  # type: ignore[arg-type]
    assert _paces(events, 30) == pytest.approx((0.1, 0.25))
    assert _paces([*events[:3], Diverged(10, "the loss is nan")], 30) == (
        "diverged: the loss is nan"
    )


def test_a_training_of_a_command_that_was_killed_is_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from evidence import trainings as module
    from evidence.trainings import Found, Queue

    states = iter(["running", "running", "finished", "finished"])
    monkeypatch.setattr(module, "find", lambda *_: Found(next(states)))  # type: ignore[arg-type]
    monkeypatch.setattr(module, "LOOK_SECONDS", 0.0)
    monkeypatch.setattr(module, "POLL_SECONDS", 0.0)
    training: Any = SimpleNamespace(name="5w1s-maml-seed0")
    processes: Any = SimpleNamespace(stopping=False)  # without a way to start any
    said: list[str] = []
    Queue([training], tmp_path, [], 1, processes, said.append).run()
    assert said == ["5w1s-maml-seed0: goes on in a process of an earlier command"]
    assert next(states, None) is None


def a_run(variant: str, seed: int, accuracy: float) -> dict[str, Any]:
    late = {
        "gradient_norm_max": 9.0,
        "gradient_norm_median": 2.0,
        "loss_spread": 0.1,
        "training_accuracy": 99.0,
        "validation_accuracy": 95.0,
    }
    return {
        "setting": "5w1s",
        "variant": variant,
        "seed": seed,
        "state": "finished",
        "why": "",
        "iterations": 1000,
        "ms_per_iteration": 50.0,
        "train_steps": 3,
        "test_steps": 3,
        "steps_by_validation": 2,
        "validation": [[500, 5.0, 80.0], [1000, 10.0, accuracy]],
        "training": [[500, 5.0, 80.0, 0.5], [1000, 10.0, 99.0, 0.1]],
        "late": late,
        "test": {
            statistics: {"2": [accuracy - 1, 0.3], "3": [accuracy, 0.3]}
            for statistics in ("transductive", "support")
        },
    }


def figures_of(accuracies: dict[str, tuple[float, ...]]) -> dict[str, Any]:
    machine = {"processor": "P", "cores": "2", "python": "3", "torch": "2", "mamltui": "0"}
    return {
        "plan": {
            "minutes": 10.0,
            "threads": 1,
            "device": "cpu",
            "overrides": [],
            "machine": machine,
        },
        "data": "omniglot",
        "episodes": 600,
        "failed_trials": {},
        "unfinished": [],
        "trainings": [
            a_run(variant, seed, accuracy)
            for variant, found in accuracies.items()
            for seed, accuracy in enumerate(found)
        ],
    }


def test_the_page_says_what_follows_from_the_figures() -> None:
    from evidence.page import page

    figures = figures_of(
        {
            "maml": (95.0, 95.2, 95.4),
            "fomaml": (94.0, 94.2, 93.8),
            "anil": (95.1, 95.3, 95.3),
            "meta-sgd": (96.5, 96.6, 96.7),
        }
    )
    text = page(figures, "Kept.")
    cells = next(line for line in text.splitlines() if line.startswith("| Meta-SGD")).split(" | ")
    # Student's t of 4 degrees: 2.776 * sqrt((0.04 + 0.01) / 2 * 2 / 3) = 0.358
    assert cells[1:] == [
        "1,000",
        "50",
        "**96.60 ± 0.17**",
        "3, sd 0.10",
        "+1.40 ± 0.36",
        "95.60 (2)",
        "96.60",
        "99.53 ± 0.26 |",
    ]
    prose = " ".join(text.split())
    assert "Above plain MAML by more than the interval of the difference: Meta-SGD." in prose
    assert "Below it: first-order MAML." in prose
    assert "Not to be told from it by these runs: ANIL." in prose
    assert "98.8" not in text  # ProtoNet's figure was never compared with its source


def test_conclusions_written_by_hand_outlive_a_new_report(tmp_path: Path) -> None:
    from evidence.page import write_page

    figures = figures_of({"maml": (95.0,), "fomaml": (94.0,)})
    path = write_page(figures, tmp_path)
    path.write_text(path.read_text().replace("None yet.", "One line,\n- and a point."))
    write_page(figures_of({"maml": (96.0,), "fomaml": (94.0,)}), tmp_path)
    text = path.read_text()
    assert "96.00 ± 0.30" in text
    assert text.count("One line,\n- and a point.") == 1
