"""The thread that evaluates runs one after another."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from mamltui import evaluation as evaluating
from mamltui.data.banks import Banks
from mamltui.evaluation import evaluate_run
from mamltui.results import Evaluation, kept_evaluations
from mamltui.runs import RunFolder
from mamltui.tui.evaluate.candidates import Settings
from mamltui.tui.evaluate.sweep import Sweep
from tests.tui.conftest import SECONDS
from tests.tui.runs import listed, make_run

ENDLESS = 1_000_000


def sweep_of(place: Path, names: str, settings: Settings, **more: Any) -> Sweep:
    runs = listed(place)
    return Sweep(
        [runs[name] for name in names.split()], settings, banks=Banks(), device="cpu", **more
    )


def wait_for(condition: Callable[[], object]) -> None:
    limit = time.monotonic() + SECONDS
    while not condition():
        assert time.monotonic() < limit, "timed out"
        time.sleep(0.005)


def by_command(run: RunFolder, **settings: Any) -> Evaluation:
    return evaluate_run(
        run, bank=Banks().bank(run.profile.data), device=torch.device("cpu"), **settings
    )


def test_each_run_is_evaluated_as_its_profile_says_and_the_result_kept(place: Path) -> None:
    runs = {name: make_run(place, name, steps) for name, steps in (("one", 1), ("three", 3))}
    sweep = sweep_of(place, "three one", Settings()).start()
    assert sweep.wait(SECONDS)
    for run in runs.values():
        expected = by_command(run, steps=(0, 1, 2, 3), episodes=6)
        assert sweep.parts[run.name].state == "done"
        assert sweep.parts[run.name].evaluation == expected
        assert kept_evaluations(run.evaluation) == [expected]
    assert list(sweep.parts) == [runs["three"].name, runs["one"].name]


def test_settings_go_before_the_profiles(place: Path) -> None:
    run = make_run(place, "one")
    settings = Settings(steps=(0, 5), episodes=9, split="validation", checkpoint="last")
    sweep = sweep_of(place, "one", settings).start()
    assert sweep.wait(SECONDS)
    expected = by_command(run, steps=(0, 5), episodes=9, split="validation", checkpoint="last")
    assert sweep.parts[run.name].evaluation == expected
    assert expected.steps == (0, 2, 5)


def test_a_run_that_fails_says_why_and_the_next_is_evaluated(place: Path) -> None:
    damaged, whole = make_run(place, "damaged"), make_run(place, "whole")
    damaged.checkpoint_path("best").write_bytes(b"no checkpoint")
    sweep = sweep_of(place, "damaged whole", Settings()).start()
    assert sweep.wait(SECONDS)
    part = sweep.parts[damaged.name]
    assert (part.state, part.evaluation, part.details) == ("failed", None, "")
    assert "the checkpoint is damaged" in part.problem
    assert sweep.parts[whole.name].state == "done"


def test_an_error_nobody_expected_is_kept_with_its_traceback(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    odd, whole = make_run(place, "odd"), make_run(place, "whole")
    original = evaluating.evaluate_run

    def failing(run: RunFolder, **settings: Any) -> Evaluation:
        if run.name == odd.name:
            raise ZeroDivisionError("nobody expected that")
        return original(run, **settings)

    monkeypatch.setattr(evaluating, "evaluate_run", failing)
    sweep = sweep_of(place, "odd whole", Settings()).start()
    assert sweep.wait(SECONDS)
    part = sweep.parts[odd.name]
    assert part.problem == "ZeroDivisionError: nobody expected that"
    assert "Traceback" in part.details and "in failing" in part.details
    assert sweep.parts[whole.name].state == "done"


def test_cancelling_ends_at_once_and_keeps_only_what_is_done(place: Path) -> None:
    first = make_run(place, "first")
    second = make_run(place, "second", engine={"task_chunk": 4})
    third = make_run(place, "third")
    runs = listed(place)
    # So long that nobody sees its end: only a stop ends it.
    for name in ("second", "third"):
        profile = runs[name].profile
        assert profile is not None
        longer = profile.evaluation.model_copy(update={"episodes": ENDLESS})
        RunFolder(runs[name].path).set_profile(profile.model_copy(update={"evaluation": longer}))
    ended: list[Sweep] = []
    sweep = sweep_of(place, "first second third", Settings(), ended=ended.append).start()
    wait_for(lambda: sweep.parts[second.name].evaluation)
    partial = sweep.parts[second.name].evaluation
    assert partial is not None and 0 < partial.episodes < ENDLESS
    assert not sweep.is_over
    sweep.cancel()
    assert sweep.wait(SECONDS)
    states = [part.state for part in sweep.parts.values()]
    assert states == ["done", "cancelled", "cancelled"]
    assert len(kept_evaluations(first.evaluation)) == 1
    assert not list(second.evaluation.iterdir()) and not list(third.evaluation.iterdir())
    assert ended == [sweep] and sweep.is_over


def test_progress_grows_while_a_sweep_runs_and_tells_what_is_left(place: Path) -> None:
    run = make_run(place, "one", engine={"task_chunk": 4})
    sweep = sweep_of(place, "one", Settings(episodes=ENDLESS))
    before = sweep.progress()
    assert (before.runs_done, before.runs) == (0, 1)
    assert (before.episodes_done, before.episodes) == (0, ENDLESS)
    assert before.seconds_left is None
    version = sweep.version
    sweep.start()
    wait_for(lambda: sweep.parts[run.name].evaluation)
    during = sweep.progress()
    wait_for(lambda: sweep.progress().episodes_done > during.episodes_done)
    assert during.seconds_left is not None and during.seconds_left > 0
    assert sweep.version > version
    sweep.cancel()
    assert sweep.wait(SECONDS)


def test_progress_ends_with_everything_done(place: Path) -> None:
    make_run(place, "one")
    broken = make_run(place, "broken")
    broken.checkpoint_path("best").write_bytes(b"")
    sweep = sweep_of(place, "one broken", Settings()).start()
    assert sweep.wait(SECONDS)
    progress = sweep.progress()
    assert (progress.runs_done, progress.runs) == (2, 2)
    assert progress.episodes_done == progress.episodes == 12
    assert progress.seconds_left == 0


def test_a_result_that_cannot_be_kept_is_shown_with_the_reason(place: Path) -> None:
    run = make_run(place, "one")
    run.evaluation.rmdir()
    run.evaluation.write_text("in the way")
    sweep = sweep_of(place, "one", Settings()).start()
    assert sweep.wait(SECONDS)
    part = sweep.parts[run.name]
    assert part.state == "done" and part.evaluation is not None
    assert "not kept" in part.problem and "cannot be written" in part.problem
