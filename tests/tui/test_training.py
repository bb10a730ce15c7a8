"""The thread that trains: steered, ended and failing."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mamltui.data.banks import Banks
from mamltui.errors import DataError
from mamltui.events import Checkpointed, Finished, Step, Stopped
from mamltui.profiles import load_profile
from mamltui.runs import find_run
from mamltui.tui.session.training import Training
from tests.tui.conftest import SECONDS


def make(*overrides: str, **options: Any) -> Training:
    settings = {"runs": Path("runs"), "banks": Banks(), "device": "cpu", **options}
    return Training(load_profile("tiny.toml", overrides), **settings)


def wait_until(condition: Callable[[], object]) -> None:
    limit = time.monotonic() + SECONDS
    while not condition():
        assert time.monotonic() < limit, "timed out"
        time.sleep(0.005)


@pytest.mark.usefixtures("place")
class TestTraining:
    def test_trains_to_the_end_and_evaluates_as_the_profile_says(self) -> None:
        training = make()
        training.start()
        assert training.wait(SECONDS)
        assert training.error is None, training.traceback
        assert training.state == "finished"
        assert training.run is not None
        assert training.evaluation is not None
        assert training.evaluation.episodes == 6
        assert list(training.run.evaluation.glob("*.csv"))

    def test_the_history_is_what_the_run_folder_holds(self) -> None:
        training = make()
        training.start()
        assert training.wait(SECONDS)
        assert training.run is not None
        assert training.history.steps(100) == training.run.read_metrics().records
        assert [entry.event for entry in training.history.events()] == [
            entry.event for entry in training.run.read_events().records
        ]

    def test_a_pause_holds_it_until_it_goes_on(self) -> None:
        training = make("meta.iterations=100000")
        training.pause()
        training.start()
        wait_until(lambda: training.state == "paused")
        iteration = training.history.newest().iteration
        training.resume()
        wait_until(lambda: training.history.newest().iteration > iteration + 2)
        assert training.state == "training"
        training.stop("enough")
        assert training.wait(SECONDS)

    def test_a_stop_saves_a_checkpoint_and_says_why(self) -> None:
        training = make("meta.iterations=100000", "run.checkpoint_interval=100000")
        training.start()
        wait_until(lambda: training.history.newest().iteration > 3)
        training.stop("enough")
        assert training.wait(SECONDS)
        assert training.run is not None
        last = training.history.events()[-1].event
        assert isinstance(last, Stopped)
        assert last.reason == "enough"
        assert training.state == "stopped"
        assert training.run.load_checkpoint("last").iteration == last.iteration

    def test_a_checkpoint_is_saved_when_asked_for(self) -> None:
        training = make("meta.iterations=100000", "run.checkpoint_interval=100000")
        training.start()
        wait_until(lambda: training.history.newest().iteration > 3)
        training.checkpoint()
        wait_until(
            lambda: any(
                isinstance(entry.event, Checkpointed) for entry in training.history.events()
            )
        )
        training.stop("enough")
        assert training.wait(SECONDS)

    def test_a_resumed_run_remembers_what_came_before_and_ends_as_if_never_stopped(self) -> None:
        whole = make("meta.iterations=9")
        whole.start()
        assert whole.wait(SECONDS)
        first = make("meta.iterations=9", "run.checkpoint_interval=4")
        first.start()
        wait_until(lambda: first.history.newest().iteration >= 4 or first.is_over)
        first.stop("enough")
        assert first.wait(SECONDS)
        assert first.run is not None
        again = make("meta.iterations=9", resume=str(first.run.path))
        again.start()
        assert again.wait(SECONDS)
        assert again.error is None, again.traceback
        assert again.run is not None
        assert again.run.path == first.run.path
        steps = [(step.iteration, step.query_loss) for step in again.history.steps(100)]
        assert steps == [(step.iteration, step.query_loss) for step in whole.history.steps(100)]
        assert isinstance(again.history.events()[-1].event, Finished)

    def test_a_failure_is_kept_in_words_and_the_run_can_be_resumed(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        from mamltui.maml.engine import Engine

        def fail(*_: object, **__: object) -> None:
            raise ValueError("the engine broke")

        monkeypatch.setattr(Engine, "meta_gradient", fail)
        told: list[Training] = []
        training = make(ended=told.append)
        training.start()
        assert training.wait(SECONDS)
        assert training.state == "failed"
        assert training.error_text() == "ValueError: the engine broke"
        assert "in fail" in training.traceback
        assert told == [training]
        assert training.run is not None
        assert find_run(training.run.path).info().state == "failed"

    def test_data_that_is_not_there_is_a_failure_before_a_run_is_made(self) -> None:
        training = make("data.path=nowhere")
        training.start()
        assert training.wait(SECONDS)
        assert isinstance(training.error, DataError)
        assert training.run is None
        assert not Path("runs").exists()

    def test_a_stop_before_it_began_makes_no_run(self) -> None:
        loading = threading.Event()

        class Slow(Banks):
            def bank(self, *arguments: Any) -> Any:
                loading.set()
                wait_until(lambda: training.is_stopping)
                return super().bank(*arguments)

        training = make(banks=Slow())
        training.start()
        assert loading.wait(SECONDS)
        training.stop("enough")
        assert training.wait(SECONDS)
        assert training.error is None
        assert not Path("runs").exists()

    def test_a_snapshot_is_of_the_parameters_between_two_meta_steps(self) -> None:
        training = make("meta.iterations=100000")
        assert training.snapshot() is None
        training.start()
        wait_until(lambda: any(isinstance(step, Step) for step in training.history.steps(1)))
        asked = training.snapshot()
        assert asked is not None
        snapshot = asked.result(SECONDS)
        assert snapshot.iteration >= 1
        assert "head.weight" in snapshot.parameters
        training.stop("enough")
        assert training.wait(SECONDS)
