"""The Train screen: a profile is run, watched and steered; runs are looked at."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest
from textual.pilot import Pilot

from mamltui.events import Diverged, Step
from mamltui.profiles import load_profile
from mamltui.runs import ListedRun, RunFolder, find_run
from mamltui.studies.waiting import TrainingQueue
from mamltui.tui.app import MamltuiApp
from mamltui.tui.shared.chart.chart import Chart
from tests.a_training import training
from tests.tui.conftest import SIZES, screen_text, until
from tests.tui.home_place import change_run

MakeApp = Callable[..., MamltuiApp]
ENDLESS = ("meta.iterations=1000000", "validation.interval=1000000")


async def train(pilot: Pilot[None]) -> None:
    """Wait until the training that is shown has logged something."""
    app = pilot.app
    assert isinstance(app, MamltuiApp)
    await until(pilot, lambda: app.session.training and app.session.training.history.newest().step)


async def end(app: MamltuiApp, pilot: Pilot[None]) -> None:
    app.session.stop()
    await until(pilot, lambda: not app.session.is_training)


@pytest.mark.usefixtures("place")
@pytest.mark.parametrize("size", SIZES)
async def test_a_profile_is_run_from_start_to_end(size: tuple[int, int], make_app: MakeApp) -> None:
    app = make_app(profile="tiny.toml")
    async with app.run_test(size=size) as pilot:
        await until(pilot, lambda: app.current_mode == "train")
        if size != (20, 5):
            await until(pilot, lambda: "Press r to run it." in screen_text(app))
        await pilot.press("r")
        await until(pilot, lambda: app.session.training and app.session.training.is_over)
        assert app.session.training is not None
        assert app.session.training.state == "finished", app.session.training.traceback
        if size != (20, 5):
            await until(pilot, lambda: "finished" in screen_text(app).splitlines()[1])
            assert "6 / 6" in screen_text(app)


@pytest.mark.skipif(not hasattr(signal, "SIGUSR1"), reason="this system has no such signals")
@pytest.mark.usefixtures("place")
async def test_a_schedulers_warning_saves_a_checkpoint_and_ends_nothing(make_app: MakeApp) -> None:
    more = (*ENDLESS, "run.checkpoint_interval=1000000")
    app = make_app(profile="tiny.toml", overrides=more, run_now=True)
    async with app.run_test(size=(80, 24)) as pilot:
        os.kill(os.getpid(), signal.SIGUSR1)  # perhaps before there is a training
        await train(pilot)
        run = app.session.training and app.session.training.run
        assert run is not None
        for _ in range(2):
            last = run.checkpoint_path("last")
            before = last.stat().st_mtime_ns if last.exists() else 0
            os.kill(os.getpid(), signal.SIGUSR1)
            await until(
                pilot,
                lambda last=last, before=before: last.exists() and last.stat().st_mtime_ns > before,
            )
        assert app.session.is_training
        await end(app, pilot)


@pytest.mark.usefixtures("place")
async def test_pause_and_go_on_and_stop(make_app: MakeApp) -> None:
    app = make_app(profile="tiny.toml", overrides=ENDLESS, run_now=True)
    async with app.run_test(size=(80, 24), notifications=True) as pilot:
        await train(pilot)
        training = app.session.training
        assert training is not None
        await until(pilot, lambda: "p Pause x Stop k Save" in screen_text(app))
        assert "r Run" not in screen_text(app)
        await pilot.press("p")
        await until(pilot, lambda: "paused" in screen_text(app).splitlines()[1])
        iteration = training.history.newest().iteration
        await pilot.press("p")
        await until(pilot, lambda: training.history.newest().iteration > iteration)
        await pilot.press("x")
        await until(pilot, lambda: "Press r to resume it" in screen_text(app))
        await until(pilot, lambda: "Pause" not in screen_text(app))
        assert "r Run" in screen_text(app)
        stopped = training.history.newest().iteration
        await pilot.press("r")
        await until(pilot, lambda: app.session.training is not training)
        again = app.session.training
        assert again is not None
        await until(pilot, lambda: again.history.newest().iteration > stopped)
        assert again.run is not None
        assert training.run is not None
        assert again.run.path == training.run.path
        await end(app, pilot)


@pytest.mark.usefixtures("place")
async def test_a_checkpoint_is_saved_by_its_key(make_app: MakeApp) -> None:
    settings = (*ENDLESS, "run.checkpoint_interval=1000000")
    app = make_app(profile="tiny.toml", overrides=settings, run_now=True)
    async with app.run_test(size=(80, 24), notifications=True) as pilot:
        await train(pilot)
        await pilot.press("k")
        run = app.session.training.run if app.session.training else None
        assert run is not None
        await until(pilot, lambda: run.checkpoint_path("last").exists())
        await end(app, pilot)


@pytest.mark.usefixtures("place")
async def test_a_second_training_is_queued_after_asking(make_app: MakeApp) -> None:
    app = make_app(profile="tiny.toml", overrides=ENDLESS, run_now=True)
    async with app.run_test(size=(80, 24), notifications=True) as pilot:
        await train(pilot)
        assert app.session.watched is not None
        app.session.stage(app.session.watched.profile, "tiny.toml")
        await pilot.press("r")
        await until(pilot, lambda: "Queue tiny" in screen_text(app))
        words = " ".join(screen_text(app).replace("│", " ").split())
        assert "that run is used, and nothing is trained" in words
        await pilot.press("y")
        await until(pilot, lambda: app.session.queue.read())
        (waiting,) = app.session.queue.read()
        assert waiting.state == "waiting"
        await pilot.press("Q")
        await until(pilot, lambda: "waiting" in screen_text(app))
        (row,) = (line for line in screen_text(app).splitlines() if "waiting" in line)
        assert "%" not in row, "it has no progress, the running twin has"
        await pilot.press("escape")
        app.session.queue.remove(waiting.id)  # or it would be trained when the app is left
        await end(app, pilot)


@pytest.mark.usefixtures("place")
@pytest.mark.parametrize("does", ["looks", "queues", "stops"])
async def test_what_waits_begins_on_leaving_if_it_was_queued_here_and_not_stopped(
    does: str, make_app: MakeApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    done: list[str] = []
    monkeypatch.setattr(TrainingQueue, "start", lambda *_: done.append("started"))
    monkeypatch.setattr(TrainingQueue, "stop", lambda _: done.append("stopped"))
    profile = load_profile("tiny.toml")
    TrainingQueue().add(profile)
    app = make_app()
    async with app.run_test(size=(80, 24)) as pilot:
        if does != "looks":
            app.session.add_to_queue(profile)
        await pilot.press("Q")
        await until(pilot, lambda: "waiting" in screen_text(app))
        if does == "stops":
            await pilot.press("x")
            await until(pilot, lambda: done)
        await pilot.press("escape", "ctrl+q")
    assert done == {"looks": [], "queues": ["started"], "stops": ["stopped"]}[does]


async def test_a_finished_run_shows_its_numbers_and_curve(
    tiny_run: Path, make_app: MakeApp
) -> None:
    app = make_app(attach=tiny_run.name)
    steps = find_run(tiny_run).read_metrics().records
    async with app.run_test(size=(160, 45), notifications=True) as pilot:
        # Home, which is there first, lists it as finished too.
        await until(pilot, lambda: f"{steps[-1].query_loss:.4f}" in screen_text(app))
        text = screen_text(app)
        assert tiny_run.name in text
        assert "finished" in text
        assert f"{100 * steps[-1].query_accuracy:.1f} %" in text
        assert any(0x2800 < ord(char) <= 0x28FF for char in text), "no curve"
        await pilot.press("k")
        await until(pilot, lambda: "nothing is running here" in screen_text(app))


@pytest.mark.parametrize("width", [80, 160])
async def test_the_head_says_what_a_run_is_called(
    tiny_run: Path, width: int, make_app: MakeApp
) -> None:
    run = RunFolder(tiny_run)
    run.annotate(title="the first try")
    app = make_app(attach=tiny_run.name)
    async with app.run_test(size=(width, 45)) as pilot:
        await until(pilot, lambda: "the first try" in screen_text(app).splitlines()[1])
        assert tiny_run.name in screen_text(app).splitlines()[1]
        run.annotate(title="a name that is longer than there is room for beside that of a folder")
        await until(pilot, lambda: "a name that is longer" in screen_text(app).splitlines()[1])
        head = screen_text(app).splitlines()[1]
        assert "3-way 1-shot folder" in head and head.rstrip().endswith("finished")
        assert (tiny_run.name in head) == (width == 160)
        run.annotate(title="")
        await until(pilot, lambda: "a name" not in screen_text(app).splitlines()[1])
        assert tiny_run.name in screen_text(app).splitlines()[1]


async def test_a_run_that_a_signal_stopped_says_so_in_words(
    tiny_run: Path, make_app: MakeApp
) -> None:
    change_run(tiny_run, state="interrupted", error="SIGTERM")
    app = make_app(attach=tiny_run.name)
    async with app.run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: "stopped by SIGTERM" in screen_text(app))


@pytest.mark.usefixtures("place")
async def test_a_training_is_headed_by_the_name_that_it_was_given(make_app: MakeApp) -> None:
    app = make_app(profile="tiny.toml", overrides=ENDLESS, run_now=True, title="the second try")
    async with app.run_test(size=(80, 24)) as pilot:
        await train(pilot)
        await until(pilot, lambda: "the second try" in screen_text(app).splitlines()[1])
        await end(app, pilot)


async def test_the_keys_of_the_chart(tiny_run: Path, make_app: MakeApp) -> None:
    for event in training():
        if isinstance(event, Step):
            RunFolder(tiny_run).append_metrics(event)
    app = make_app(attach=tiny_run.name)
    async with app.run_test(size=(80, 24), notifications=True) as pilot:
        await until(pilot, lambda: app.current_mode == "train" and "finished" in screen_text(app))
        chart = app.screen.query_one(Chart)
        await until(pilot, lambda: len(app.session.watched.history.curve("query_loss")) > 40)
        assert chart.title == "query accuracy %  (smoothing 0.9)"
        await pilot.press("m")
        assert chart.title == "query loss, nats  (smoothing 0.9)"
        await pilot.press("y")
        assert chart.log_y
        await pilot.press("right_square_bracket")
        assert chart.zoomed is not None
        await pilot.press("backslash")
        assert chart.zoomed is None
        await pilot.press("left")
        assert chart.cursor is not None
        await pilot.press("escape")
        assert chart.cursor is None and app.current_mode == "train"
        await pilot.press("escape")
        await until(pilot, lambda: app.current_mode == "home")


async def test_the_table_takes_the_place_of_the_step_curve(
    tiny_run: Path, make_app: MakeApp
) -> None:
    app = make_app(attach=tiny_run.name)
    async with app.run_test(size=(80, 24), notifications=True) as pilot:
        await until(pilot, lambda: "inner step" in screen_text(app))
        await pilot.press("t")
        await until(pilot, lambda: "iteration  query loss" in screen_text(app))
        assert "inner step" not in screen_text(app)


async def test_settings_of_the_chart_are_remembered(tiny_run: Path, make_app: MakeApp) -> None:
    first = make_app(attach=tiny_run.name)
    async with first.run_test(size=(80, 24), notifications=True) as pilot:
        await until(pilot, lambda: "finished" in screen_text(first))
        await pilot.press("m", "y", "s")
    second = make_app(attach=tiny_run.name)
    async with second.run_test(size=(80, 24), notifications=True) as pilot:
        await until(pilot, lambda: "finished" in screen_text(second))
        chart = second.screen.query_one(Chart)
        assert chart.title == "query loss, nats  (smoothing 0.98, log axis)"
        assert chart.log_y


@pytest.mark.usefixtures("place")
async def test_a_failing_training_is_told_in_words_and_the_app_lives_on(make_app: MakeApp) -> None:
    app = make_app(profile="tiny.toml", overrides=("data.path=nowhere",), run_now=True)
    async with app.run_test(size=(80, 24), notifications=True) as pilot:
        await until(pilot, lambda: "failed" in screen_text(app).splitlines()[1])
        assert "nowhere" in screen_text(app)
        await pilot.press("2")
        assert app.is_running


@pytest.mark.parametrize("has_checkpoint", [True, False])
async def test_why_a_run_ended_and_what_to_do_are_on_the_screen_whole(
    has_checkpoint: bool, tiny_run: Path, make_app: MakeApp
) -> None:
    change_run(tiny_run, state="diverged")
    reason = "the query loss of iteration 4 is 1e+30, " + "far beyond what any loss can be, " * 3
    RunFolder(tiny_run).append_event(Diverged(4, f"{reason}and nothing can follow"))
    if not has_checkpoint:
        for path in (tiny_run / "checkpoints").iterdir():
            path.unlink()
    app = make_app(attach=tiny_run.name)
    async with app.run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: "inner.alpha" in screen_text(app))
        text = " ".join(screen_text(app).split())
        assert reason.strip() in text
        kept = "The last good checkpoint is kept." in text
        assert (kept, "There was no checkpoint yet." in text) == (
            has_checkpoint,
            not has_checkpoint,
        )
        assert "A smaller meta.learning_rate or inner.alpha may help." in text


async def test_a_note_is_laid_out_again_when_there_is_more_room(
    tiny_run: Path, make_app: MakeApp
) -> None:
    change_run(tiny_run, state="diverged")
    RunFolder(tiny_run).append_event(Diverged(4, "the loss left all bounds, " * 6))
    app = make_app(attach=tiny_run.name)
    async with app.run_test(size=(20, 12)) as pilot:
        await until(pilot, lambda: "the loss left" in screen_text(app))
        await pilot.resize_terminal(1, 1)
        await pilot.resize_terminal(120, 36)
        await until(
            pilot, lambda: " ".join(screen_text(app).split()).count("the loss left all bounds") == 6
        )
        assert "inner.alpha" in screen_text(app)


async def test_the_test_has_a_tile_and_the_chart_says_how_it_is_drawn(
    tiny_run: Path, make_app: MakeApp
) -> None:
    headline = ListedRun.read(tiny_run).headline
    assert headline is not None
    app = make_app(attach=tiny_run.name)
    async with app.run_test(size=(80, 15)) as pilot:
        await until(
            pilot, lambda: f"{100 * headline.headline().accuracy:.2f} %" in screen_text(app)
        )
        chart = app.screen.query_one(Chart)
        assert chart.size.height >= 6  # a low window has a chart, and nothing beside it
        await until(pilot, lambda: "(smoothing 0.9)" in screen_text(app))
        await pilot.press("y")
        assert "(smoothing 0.9, log axis)" in screen_text(app)
        names = [command.title for command in app.get_system_commands(app.screen)]
        assert "Run the profile, or resume the run" in names


async def test_a_name_with_markup_and_escapes_is_shown_literally(
    tiny_run: Path, make_app: MakeApp
) -> None:
    named = tiny_run.rename(tiny_run.with_name("[red]x\x1b[2Jy"))
    app = make_app(attach=str(named))
    async with app.run_test(size=(80, 24), notifications=True) as pilot:
        await until(pilot, lambda: app.current_mode == "train" and "finished" in screen_text(app))
        assert "[red]x\\x1b[2Jy" in screen_text(app)


async def test_the_palette_does_what_the_keys_do(tiny_run: Path, make_app: MakeApp) -> None:
    app = make_app(attach=tiny_run.name)
    async with app.run_test(size=(80, 24), notifications=True) as pilot:
        await until(pilot, lambda: app.current_mode == "train" and "finished" in screen_text(app))
        await pilot.press("ctrl+p", *"log axis")
        await until(pilot, lambda: "Here, key y" in screen_text(app))
        await pilot.press("enter")
        await pilot.press("enter")
        await until(pilot, lambda: app.screen.query(Chart) and app.screen.query_one(Chart).log_y)
