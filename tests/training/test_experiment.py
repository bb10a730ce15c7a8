"""One experiment from its plan to its result, as the command, the app and a worker run it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from mamltui.errors import StorageError
from mamltui.events import Event, Finished, Step, Stopped
from mamltui.results import Evaluation, kept_evaluations
from mamltui.runs import RunFolder
from mamltui.runs.requests import ask
from mamltui.training import Control, Plan, run_experiment
from tests.training.small import (
    CPU,
    assert_same_training,
    make_bank,
    make_profile,
    without_timings,
)

QUICK = ("meta.iterations=6", "evaluation.episodes=4", "evaluation.steps=0..2")


class Noting:
    """Notes what it is told."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.episodes: list[tuple[int, int]] = []
        self.evaluations: list[Evaluation] = []

    def show(self, event: Event) -> None:
        self.events.append(event)

    def evaluating(self, done: int, episodes: int) -> None:
        self.episodes.append((done, episodes))

    def evaluated(self, evaluation: Evaluation) -> None:
        self.evaluations.append(evaluation)


def make_plan(root: Path) -> Plan:
    return Plan.of(make_profile(*QUICK), make_bank(), CPU, runs=root)


def test_a_plan_alone_is_trained_and_evaluated_in_a_folder_of_its_own(root: Path) -> None:
    outcome = run_experiment(make_plan(root))
    assert outcome.run.path.parent == root
    assert isinstance(outcome.end, Finished)
    assert outcome.evaluation is not None
    assert outcome.evaluation.episodes == 4
    assert kept_evaluations(outcome.run.evaluation) == [outcome.evaluation]
    assert not outcome.run.held


def test_the_reader_is_told_all_that_the_folder_holds_and_the_evaluation(root: Path) -> None:
    reader = Noting()
    outcome = run_experiment(make_plan(root), reader=reader)
    run = outcome.run
    steps = [event for event in reader.events if isinstance(event, Step)]
    assert without_timings(steps) == without_timings(run.read_metrics().records)
    others = [event for event in reader.events if not isinstance(event, Step)]
    assert others == [logged.event for logged in run.read_events().records]
    assert reader.episodes[0] == (0, 4)
    assert reader.episodes[-1] == (4, 4)
    assert reader.evaluations == [outcome.evaluation]
    assert {entry.suffix for entry in run.evaluation.iterdir()} == {".csv", ".json", ".md"}


def test_a_stop_in_the_training_leaves_a_run_that_ends_as_if_there_had_been_none(
    root: Path,
) -> None:
    control = Control()

    class Stopping(Noting):
        def show(self, event: Event) -> None:
            if isinstance(event, Step) and event.iteration == 4:
                control.stop("enough")

    plan = make_plan(root)
    stopped = run_experiment(plan, control, Stopping())
    assert isinstance(stopped.end, Stopped)
    assert stopped.end.reason == "enough"
    assert stopped.evaluation is None
    again = run_experiment(replace(plan, run=RunFolder(stopped.run.path)))
    unbroken = run_experiment(plan)
    assert_same_training(again.run, unbroken.run)
    assert again.evaluation is not None
    assert unbroken.evaluation is not None
    assert again.evaluation.transductive == unbroken.evaluation.transductive


def test_a_stop_in_the_evaluation_leaves_a_finished_run_without_a_result(root: Path) -> None:
    control = Control()

    class Stopping(Noting):
        def evaluating(self, done: int, episodes: int) -> None:
            super().evaluating(done, episodes)
            control.stop("enough")

    outcome = run_experiment(make_plan(root), control, Stopping())
    assert isinstance(outcome.end, Finished)
    assert outcome.evaluation is None
    assert outcome.run.info().state == "finished"
    assert not list(outcome.run.evaluation.iterdir())


def test_what_the_reader_raises_ends_the_training_after_a_checkpoint(root: Path) -> None:
    class Breaking(Noting):
        def show(self, event: Event) -> None:
            if isinstance(event, Step) and event.iteration == 4:
                raise BrokenPipeError

    with pytest.raises(BrokenPipeError):
        run_experiment(make_plan(root), reader=Breaking())
    (path,) = root.iterdir()
    run = RunFolder(path)
    assert run.info().state == "interrupted"
    assert run.load_checkpoint("last").iteration == 4


def test_a_result_that_cannot_be_kept_is_not_lost(root: Path) -> None:
    run = RunFolder.create(make_profile(*QUICK), root)

    class Blocking(Noting):
        def evaluating(self, done: int, episodes: int) -> None:
            super().evaluating(done, episodes)
            if run.evaluation.is_dir():
                run.evaluation.rmdir()
                run.evaluation.write_text("in the way")

    reader = Blocking()
    with pytest.raises(StorageError, match="the results are not in the run folder"):
        run_experiment(replace(make_plan(root), run=run), reader=reader)
    assert [evaluation.episodes for evaluation in reader.evaluations] == [4]


def test_another_process_stops_a_training_through_its_folder(root: Path) -> None:
    class Asking(Noting):
        def show(self, event: Event) -> None:
            super().show(event)
            if isinstance(event, Step) and event.iteration == 2:
                (run,) = root.iterdir()
                ask(RunFolder(run), "pause")
                ask(RunFolder(run), "stop")

    plan = Plan.of(make_profile("meta.iterations=100000"), make_bank(), CPU, runs=root)
    outcome = run_experiment(plan, reader=Asking())
    assert isinstance(outcome.end, Stopped)
    assert outcome.end.reason == "stopped from another process"
