"""A training as plain lines."""

from __future__ import annotations

from mamltui.events import Diverged, Event, Notice, Stopped
from mamltui.headless import LineDisplay


class Clock:
    """A clock that a test sets."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def lines_of(
    events: list[Event], *, seconds_per_event: float, every_step: bool = False
) -> list[str]:
    lines: list[str] = []
    clock = Clock()
    with LineDisplay(
        lines.append, "5-way 1-shot on strokes", every_step=every_step, clock=clock
    ) as display:
        for event in events:
            display.show(event)
            clock.now += seconds_per_event
    return lines


def test_a_fast_training_gives_a_line_at_the_start_each_validation_and_the_end(
    events: list[Event],
) -> None:
    lines = lines_of(events, seconds_per_event=0.01)
    assert len(lines) == 1 + 4 + 1
    assert all("validation" in line for line in lines[1:5])


def test_a_slow_training_gives_at_most_a_line_every_ten_seconds(events: list[Event]) -> None:
    lines = lines_of(events, seconds_per_event=4.0)
    steps = [line for line in lines if "iteration " in line and "validation" not in line]
    assert 4 * len(events) / 10 * 0.5 < len(steps) <= 4 * len(events) / 10


def test_verbose_gives_every_logged_step_and_checkpoint(events: list[Event]) -> None:
    lines = lines_of(events, seconds_per_event=0.01, every_step=True)
    assert len(lines) == len(events)


def test_a_line_says_time_iteration_loss_accuracy_validation_and_time_left(
    events: list[Event],
) -> None:
    line = lines_of(events, seconds_per_event=0.01)[3]
    time_of_day = line.split("  ")[0]
    assert len(time_of_day.split(":")) == 3
    for part in (
        "iteration 300 / 400",
        "loss 0.6400",
        "accuracy  72.5 %",
        "10.0 it/s",
        "left 0:00:15",
        "validation 70.5 % ± 1.2",
        "best so far",
    ):
        assert part in line


def test_the_start_says_what_is_trained(events: list[Event]) -> None:
    line = lines_of(events, seconds_per_event=0.01)[0]
    for part in (
        "started tiny-",
        "5-way 1-shot on strokes",
        "28,037 parameters",
        "cpu",
        "0 to 400",
    ):
        assert part in line


def test_what_must_be_known_is_never_held_back() -> None:
    lines = lines_of(
        [Notice(1, "one"), Diverged(1, "loss is not a number"), Stopped(1, "SIGTERM")],
        seconds_per_event=0.0,
    )
    assert [line.split("  ", 1)[1] for line in lines] == [
        "one",
        "diverged: loss is not a number",
        "stopped: SIGTERM",
    ]


def test_the_evaluation_is_announced_once() -> None:
    lines: list[str] = []
    display = LineDisplay(lines.append, "title")
    for done in (0, 100, 200):
        display.evaluating(done, 200)
    assert len(lines) == 1 and "200 episodes" in lines[0]
