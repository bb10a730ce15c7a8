"""The display that stays in place on a terminal."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from mamltui.events import (
    Diverged,
    Event,
    Failed,
    Finished,
    Notice,
    Paused,
    Resumed,
    Started,
    Stopped,
)
from mamltui.headless import LiveDisplay

TITLE = "5-way 1-shot on strokes"


def console(width: int = 80, height: int = 24, *, color: bool = False) -> Console:
    return Console(
        file=io.StringIO(),
        force_terminal=True,
        width=width,
        height=height,
        color_system="standard" if color else None,
        legacy_windows=False,
        _environ={},
    )


def frame(display: LiveDisplay, width: int = 80) -> list[str]:
    """The display as text, without its colours; a line that is too long would wrap and add one."""
    screen = Console(file=io.StringIO(), width=width, color_system=None, _environ={})
    with screen.capture() as capture:
        screen.print(display.frame())
    return capture.get().splitlines()


def shown(events: list[Event], *, until: int, width: int = 80) -> list[str]:
    display = LiveDisplay(console(width), TITLE)
    for event in events:
        if event.iteration <= until:
            display.show(event)
    return frame(display, width)


def test_the_frame_tells_progress_time_left_metrics_and_the_run(events: list[Event]) -> None:
    text = "\n".join(shown(events, until=300))
    for part in (
        "5-way 1-shot on strokes",
        "cpu",
        "training",
        "300 / 400",
        "75.0 %",
        "elapsed 0:00:45",
        "left 0:00:15",
        "10.0 it/s",
        "0.6400",
        "72.5 %",
        "70.5 % ± 1.2",
        "best 70.5 % at 300",
        "20.0  67.5  70.5 %",
        "norm 0.5",
        "tiny-20260131-142501-3f9a",
    ):
        assert part in text


def test_the_sparklines_fall_with_the_loss_and_rise_with_the_accuracy(events: list[Event]) -> None:
    lines = shown(events, until=400)
    loss = next(line for line in lines if line.startswith("loss")).split()[-1]
    accuracy = next(line for line in lines if line.startswith("accuracy")).split()[-1]
    assert loss[0] == "█" and loss[-1] == "▁"
    assert accuracy[0] == "▁" and accuracy[-1] == "█"


def test_after_early_stopping_no_time_is_left_and_the_plan_is_still_told(
    events: list[Event],
) -> None:
    before = [event for event in events if event.iteration <= 300]
    text = "\n".join(shown([*before, Finished(300, 200, 0.6, 1.0, 45.0)], until=300))
    for part in ("finished", "300 / 400", "75.0 %", "left 0:00:00", "best 60.0 % at 200"):
        assert part in text


@pytest.mark.parametrize("width", [20, 30, 40, 60, 80, 120, 200])
def test_no_frame_is_wider_than_the_terminal_or_changes_its_height(
    events: list[Event], width: int
) -> None:
    display = LiveDisplay(console(width), TITLE)
    heights = {len(frame(display, width))}
    for event in events:
        display.show(event)
        lines = frame(display, width)
        heights.add(len(lines))
        assert all(len(line.rstrip()) <= width for line in lines)
    assert len(heights) == 1


@pytest.mark.parametrize(
    ("event", "word"),
    [
        (Paused(100), "paused"),
        (Resumed(100), "training"),
        (Diverged(100, "the loss is not a number"), "diverged"),
        (Stopped(100, "SIGINT"), "stopped"),
        (Failed(100, "the disk is full"), "failed"),
    ],
)
def test_a_state_is_a_word(events: list[Event], event: Event, word: str) -> None:
    display = LiveDisplay(console(), TITLE)
    for earlier in events[:5]:
        display.show(earlier)
    display.show(event)
    assert frame(display)[0].rstrip().endswith(word)


def test_a_stop_and_the_evaluation_are_told(events: list[Event]) -> None:
    display = LiveDisplay(console(), TITLE)
    display.show(events[0])
    display.stopping()
    assert "stopping: saving a checkpoint" in frame(display)[0]
    display.evaluating(120, 600)
    assert "evaluating 120 / 600" in frame(display)[0]
    display.evaluating(600, 600)
    assert frame(display)[0].rstrip().endswith("finished")


def test_a_resumed_run_starts_at_its_iteration() -> None:
    display = LiveDisplay(console(), TITLE)
    display.show(Started(250, "tiny", 400, "cpu", 1, True))
    assert "250 / 400" in frame(display)[1]


def test_the_cursor_is_shown_again_after_an_error(events: list[Event]) -> None:
    terminal = console()
    with pytest.raises(RuntimeError), LiveDisplay(terminal, TITLE) as display:
        display.show(events[0])
        raise RuntimeError
    output = terminal.file.getvalue()  # type: ignore[attr-defined]
    assert output.rindex("\x1b[?25h") > output.rindex("\x1b[?25l")


def test_a_run_that_cannot_start_shows_nothing() -> None:
    terminal = console()
    with pytest.raises(RuntimeError), LiveDisplay(terminal, TITLE):
        raise RuntimeError
    assert terminal.file.getvalue() == ""  # type: ignore[attr-defined]


def test_a_notice_is_printed_above_the_display() -> None:
    terminal = console()
    with LiveDisplay(terminal, TITLE) as display:
        display.show(Notice(10, "the disk is [nearly] full"))
    assert "the disk is [nearly] full" in terminal.file.getvalue()  # type: ignore[attr-defined]


def test_no_color_is_respected(events: list[Event], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    screen = Console(file=io.StringIO(), force_terminal=True, color_system="truecolor", width=80)
    display = LiveDisplay(screen, TITLE)
    for event in events:
        display.show(event)
    with screen.capture() as capture:
        screen.print(display.frame())
    colours = [f"\x1b[{code}m" for code in (*range(30, 38), *range(90, 98))]
    assert not any(colour in capture.get() for colour in colours)
    assert ";5;" not in capture.get() and ";2;" not in capture.get()
