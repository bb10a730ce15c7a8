"""Whose parameters and whose episodes the episode screen shows, and what cannot be shown."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from mamltui.profiles import load_profile
from mamltui.runs import RunFolder
from tests.cli.run_folders import trained_run
from tests.tui.conftest import screen_text, until
from tests.tui.looking import (
    MakeApp,
    assert_table_shows,
    opened,
    press,
    scores_of,
    table_row,
)


async def test_the_parameters_are_those_of_the_best_or_of_the_last_checkpoint(
    make_app: MakeApp, tiny_run: Path
) -> None:
    run = RunFolder(tiny_run)
    other = run.load_checkpoint("best")
    parameters = {name: -value for name, value in other.parameters.items()}
    run.save_checkpoint("last", type(other)(**{**vars(other), "parameters": parameters}))
    app = make_app()
    async with opened(app, tiny_run) as pilot:
        best = await press(pilot, shows="best checkpoint")
        last = await press(pilot, "o", shows="last checkpoint")
        assert table_row(best, "query loss") != table_row(last, "query loss")
        again = await press(pilot, "o", shows="best checkpoint")
        # All but the keys, which may be drawn after the rest.
        assert again.split("\n")[:-1] == best.split("\n")[:-1]


async def test_another_screen_opens_an_episode_of_any_run_at_a_step(
    make_app: MakeApp, tiny_run: Path
) -> None:
    other = trained_run(tiny_run.parent, Path("characters"))
    other.release()
    app = make_app()
    async with opened(app, tiny_run) as pilot:
        app.open_episode(other, "validation", 1)
        await until(pilot, lambda: "validation task 0 " in screen_text(app))
        text = screen_text(app)
        assert other.name in text
        assert "step 1 / 2" in text
        assert_table_shows(text, scores_of(other.path, "validation", 0))
        app.open_episode(other, "test", 7)
        await until(pilot, lambda: "step 7 / 7" in screen_text(app))
        # What is opened afterwards is shown instead.
        app.session.watch(RunFolder(tiny_run))
        await until(pilot, lambda: tiny_run.name in screen_text(app))


@pytest.mark.usefixtures("place")
async def test_a_training_is_looked_into_while_it_goes_on(make_app: MakeApp) -> None:
    app = make_app()
    async with opened(app) as pilot:
        profile = load_profile("tiny.toml", ["meta.iterations=1000000"])
        training = app.session.start(profile, "tiny.toml")
        shown = re.compile(r"in training, iteration ([\d,]+)")

        def iteration() -> int:
            found = shown.search(screen_text(app))
            return int(found[1].replace(",", "")) if found else -1

        await until(pilot, lambda: iteration() >= 0)
        first = iteration()
        await until(pilot, lambda: iteration() > first)
        training.pause()
        await until(pilot, lambda: training.state == "paused")
        last = training.history.newest().iteration
        await until(pilot, lambda: iteration() == last)
        await press(pilot, "n", shows="test task 1 ")
        assert iteration() == last
        app.session.stop()
        await until(pilot, lambda: training.is_over)
        await until(pilot, lambda: "checkpoint, iteration" in screen_text(app))


async def test_a_checkpoint_that_another_process_writes_is_looked_at(
    make_app: MakeApp, tiny_run: Path
) -> None:
    app = make_app()
    async with opened(app, tiny_run) as pilot:
        run = RunFolder(tiny_run)
        checkpoint = run.load_checkpoint("best")
        run.save_checkpoint("best", type(checkpoint)(**{**vars(checkpoint), "iteration": 4321}))
        await until(pilot, lambda: "best checkpoint, iteration 4,321" in screen_text(app))


async def test_a_damaged_checkpoint_is_told_in_words_and_the_other_can_be_seen(
    make_app: MakeApp, tiny_run: Path
) -> None:
    RunFolder(tiny_run).checkpoint_path("best").write_bytes(b"no checkpoint")
    app = make_app()
    async with app.run_test(size=(80, 24)) as pilot:
        app.session.watch(RunFolder(tiny_run))
        app.go("episode")
        # Wrapped where the path is long.
        await until(pilot, lambda: "checkpoint is damaged" in " ".join(screen_text(app).split()))
        await press(pilot, "o", shows="last checkpoint, iteration 6")


async def test_other_images_than_those_of_the_training_are_refused(
    make_app: MakeApp, tiny_run: Path
) -> None:
    drawing = next(Path("characters").rglob("*.png"))
    drawing.with_name("1.png").replace(drawing.with_name("0.png"))
    app = make_app()
    async with app.run_test(size=(80, 24)) as pilot:
        app.session.watch(RunFolder(tiny_run))
        app.go("episode")
        await until(
            pilot, lambda: "was trained on other images" in " ".join(screen_text(app).split())
        )
