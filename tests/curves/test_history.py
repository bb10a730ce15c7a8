"""What a run's history knows after its events."""

from __future__ import annotations

import threading

import pytest

from mamltui.curves.history import STEPS_KEPT, RunHistory
from mamltui.events import Diverged, Event, Paused, Resumed, Started, Step, Stopped, Validated
from tests.a_training import ITERATIONS, training


def history_of(events: list[Event]) -> RunHistory:
    history = RunHistory()
    for event in events:
        history.add(event, "2026-01-31T14:25:01.000Z")
    return history


def test_every_logged_step_is_a_point_of_its_curves(events: list[Event]) -> None:
    history = history_of(events)
    steps = [event for event in events if isinstance(event, Step)]
    curve = history.curve("query_loss")
    assert curve.x.tolist() == [step.iteration for step in steps]
    assert curve.y.tolist() == [step.query_loss for step in steps]


def test_every_validation_is_a_point_of_its_curves(events: list[Event]) -> None:
    history = history_of(events)
    validations = [event for event in events if isinstance(event, Validated)]
    assert history.curve("validation_accuracy").y.tolist() == [
        event.accuracy for event in validations
    ]
    assert history.validations(2) == validations[-2:]


def test_the_newest_of_a_finished_training(events: list[Event]) -> None:
    newest = history_of(events).newest()
    assert newest.state == "finished"
    assert (newest.iteration, newest.iterations) == (ITERATIONS, ITERATIONS)
    assert newest.best is not None
    assert newest.best.iteration == ITERATIONS
    assert newest.seconds_left == 0


def test_steps_are_no_log_entries_and_all_else_is(events: list[Event]) -> None:
    logged = history_of(events).events()
    assert [entry.event for entry in logged] == [
        event for event in events if not isinstance(event, Step)
    ]
    assert {entry.time for entry in logged} == {"2026-01-31T14:25:01.000Z"}


@pytest.mark.parametrize(
    ("event", "state"),
    [
        (Paused(1), "paused"),
        (Resumed(1), "training"),
        (Stopped(1, "enough"), "stopped"),
        (Diverged(1, "the loss ran away"), "diverged"),
    ],
)
def test_the_state_follows_the_events(event: Event, state: str) -> None:
    started = Started(0, "tiny", 10, "cpu", 1, False)
    assert history_of([started, event]).newest().state == state


def test_before_the_first_event_a_run_waits() -> None:
    newest = RunHistory().newest()
    assert (newest.state, newest.seconds_left) == ("waiting", None)


def test_the_time_left_has_an_error_that_steady_steps_keep_small(events: list[Event]) -> None:
    upto = [event for event in events if event.iteration <= 90]
    newest = history_of(upto).newest()
    assert newest.seconds_left == pytest.approx(0.1 * (ITERATIONS - 90))
    assert newest.seconds_left_error == pytest.approx(0, abs=1e-6)


def test_clearing_forgets_everything_and_is_a_change(events: list[Event]) -> None:
    history = history_of(events)
    version = history.version
    history.clear()
    assert history.version != version
    assert len(history.curve("query_loss")) == 0
    assert history.events() == []


def test_the_last_steps_are_kept_whole_up_to_a_number() -> None:
    step = next(event for event in training() if isinstance(event, Step))
    history = history_of([step] * (STEPS_KEPT + 5))
    assert len(history.steps(10_000)) == STEPS_KEPT
    assert len(history.steps(3)) == 3
    assert len(history.curve("query_loss")) == STEPS_KEPT + 5


def test_a_reader_sees_whole_points_while_another_thread_adds() -> None:
    step = next(event for event in training() if isinstance(event, Step))
    history = RunHistory()
    adding = threading.Thread(target=lambda: [history.add(step) for _ in range(20_000)])
    adding.start()
    while adding.is_alive():
        x, y = history.curve("query_loss").points()
        assert len(x) == len(y)
        assert all(value == step.query_loss for value in y[-5:])
    adding.join()
    assert len(history.curve("query_loss")) == 20_000
