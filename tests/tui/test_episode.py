"""The episode screen shows what the network sees and predicts, of any episode of a run."""

from __future__ import annotations

import re
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
from textual.widgets import Input

from mamltui.profiles import load_profile
from mamltui.tui.episode.glyphs import braille, draw
from mamltui.tui.episode.inspector import EpisodeInspector
from mamltui.tui.episode.request import Request
from mamltui.tui.episode.screen import EpisodeScreen
from mamltui.tui.episode.search import AT_ONCE
from mamltui.tui.shared.dialogs import Ask
from tests.cli.run_folders import trained_run, write_photographs
from tests.tui.conftest import SECONDS, SIZES, final_text, screen_text, until
from tests.tui.looking import (
    MakeApp,
    assert_table_shows,
    opened,
    press,
    sampler_of,
    scores_of,
    table_row,
)


@pytest.mark.usefixtures("place")
@pytest.mark.parametrize("size", SIZES)
async def test_without_a_run_it_says_how_to_open_one(
    make_app: MakeApp, size: tuple[int, int]
) -> None:
    app = make_app()
    async with opened(app, size=size) as pilot:
        await until(pilot, lambda: "No run is open." in screen_text(app))


@pytest.mark.usefixtures("place")
async def test_of_a_profile_that_was_not_trained_it_says_how_to_train(make_app: MakeApp) -> None:
    app = make_app()
    async with opened(app) as pilot:
        app.session.stage(load_profile("tiny.toml"), "tiny.toml")
        await until(pilot, lambda: "tiny has no parameters to look at yet" in screen_text(app))
        assert "r on the Train screen (2)" in screen_text(app)


async def test_the_images_are_those_that_the_network_sees(
    make_app: MakeApp, tiny_run: Path
) -> None:
    app = make_app()
    async with opened(app, tiny_run) as pilot:
        for task in range(2):
            text = screen_text(app)
            episodes = sampler_of(tiny_run, "test").batch(task, 1)
            for images in (episodes.support_x[0], episodes.query_x[0]):
                drawn = [braille(image[0].numpy() >= 0.5) for image in images]
                for parts in zip(*drawn, strict=True):
                    assert " " + "          ".join(parts) in text
            await press(pilot, "n", shows=f"test task {task + 1}")


@pytest.mark.usefixtures("place")
@pytest.mark.parametrize("size", [32, 84])
async def test_photographs_are_drawn_by_their_brightness(make_app: MakeApp, size: int) -> None:
    photographs = write_photographs(Path("photographs"))
    data = {"set": "folder", "path": str(photographs), "image_size": size, "rotations": False}
    run = trained_run(Path("runs"), photographs, data=data).path
    app = make_app()
    async with opened(app, run, size=(160, 45)) as pilot:
        text = screen_text(app)
        episode = sampler_of(run, "test").batch(0, 1)
        for images in (episode.support_x[0], episode.query_x[0, ::2]):
            drawn = [draw(image.numpy()).lines for image in images]
            for parts in zip(*drawn, strict=True):
                assert "  ".join(parts) in text
        assert f"brightness as dots, scaled down from {size}x{size}" in text
        assert_table_shows(text, scores_of(run, "test", 0))
        await press(pilot, "n", shows="test task 1")


@pytest.mark.parametrize("split", ["test", "validation", "train"])
async def test_the_scores_are_those_of_the_evaluation(
    make_app: MakeApp, tiny_run: Path, split: str
) -> None:
    app = make_app()
    async with opened(app, tiny_run) as pilot:

        def shown() -> str | None:
            match = re.search(r"(\w+) task 0", screen_text(app))
            return match and match[1]

        while (before := shown()) != split:
            await pilot.press("d")
            await until(pilot, lambda before=before: shown() not in (before, None))
        for task in range(3):
            assert_table_shows(screen_text(app), scores_of(tiny_run, split, task))
            await press(pilot, "n", shows=f"{split} task {task + 1}")


async def test_the_arrows_step_from_before_adaptation_to_the_last_step(
    make_app: MakeApp, tiny_run: Path
) -> None:
    app = make_app()
    async with opened(app, tiny_run) as pilot:
        assert "step 2 / 2" in screen_text(app)
        for key, shown in (
            ("right", "step 2 / 2"),
            ("left", "step 1 / 2"),
            ("h", "before adaptation"),
            ("left", "before adaptation"),
            ("right", "step 1 / 2"),
            ("l", "step 2 / 2"),
        ):
            await press(pilot, key, shows=shown)


async def test_a_click_on_a_column_shows_that_step(make_app: MakeApp, tiny_run: Path) -> None:
    app = make_app()
    async with opened(app, tiny_run) as pilot:
        line = next(line for line in screen_text(app).splitlines() if "[2]" in line)
        await pilot.click("#head", offset=(line.index(" 1 ") + 1, 3))
        await until(pilot, lambda: "step 1 / 2" in screen_text(app))
        await pilot.click("#head", offset=(line.index("before") + 1, 4))
        await until(pilot, lambda: "before adaptation" in screen_text(app))


async def test_each_query_has_its_prediction_after_the_step_that_is_shown(
    make_app: MakeApp, tiny_run: Path
) -> None:
    app = make_app()
    marks = re.compile(r"([✓✗]) (\d)(?:→(\d))? +(\d+\.\d) %")
    async with opened(app, tiny_run) as pilot:
        scores = scores_of(tiny_run, "test", 0).transductive
        for step in (2, 1, 0):
            found = marks.findall(screen_text(app))
            assert [int(label) for _, label, _, _ in found] == [0, 1, 2]
            right = sum(mark == "✓" for mark, *_ in found)
            assert right == round(3 * float(scores.accuracy[0, step]))
            for mark, label, taken_for, percent in found:
                assert (mark == "✓") == (taken_for == "")
                assert taken_for != label
                assert 100 / 3 - 0.1 < float(percent) <= 100
            await pilot.press("left")
            await until(pilot, lambda step=step: f"[{step}]" not in screen_text(app) or step == 0)


async def test_tasks_are_gone_through_and_gone_to_by_number(
    make_app: MakeApp, tiny_run: Path
) -> None:
    app = make_app()
    async with opened(app, tiny_run) as pilot:
        await press(pilot, "n", shows="test task 1 ")
        await press(pilot, "b", "b", shows="test task 0 ")
        await pilot.press("g")
        await until(pilot, lambda: isinstance(app.screen, Ask))
        await pilot.press("end", *["backspace"] * 3, *"3:1")
        await until(pilot, lambda: "iteration:task is for the train split" in screen_text(app))
        await pilot.press("enter")
        assert isinstance(app.screen, Ask)
        await pilot.press(*["backspace"] * 3, *"1234", "enter")
        await until(pilot, lambda: "test task 1,234 " in screen_text(app))
        assert_table_shows(screen_text(app), scores_of(tiny_run, "test", 1234))


async def test_an_episode_of_the_training_is_found_by_iteration_and_place(
    make_app: MakeApp, tiny_run: Path
) -> None:
    app = make_app()
    async with opened(app, tiny_run) as pilot:
        await press(pilot, "d", "d", shows="train task 0: iteration 1, task 1 of 2")
        await pilot.press("g")
        await until(pilot, lambda: isinstance(app.screen, Ask))
        await pilot.press("end", "backspace", *"6:2", "enter")
        await until(pilot, lambda: "train task 11: iteration 6, task 2 of 2" in screen_text(app))
        # The task that the trainer drew: batches of two, the sixth begins with task 10.
        drawn = sampler_of(tiny_run, "train").batch(10, 2).support_x[1]
        assert braille(drawn[0, 0].numpy() >= 0.5)[0] in screen_text(app)


async def test_the_same_episode_is_adapted_again_with_another_alpha(
    make_app: MakeApp, tiny_run: Path
) -> None:
    app = make_app()
    async with opened(app, tiny_run) as pilot:
        first = await final_text(app)
        await pilot.press("a")
        await until(pilot, lambda: isinstance(app.screen, Ask))
        assert app.screen.query_one(Input).value == "0.4"  # as it is now
        await pilot.press("end", *["backspace"] * 8, *"-1")
        await until(pilot, lambda: "a number above 0" in screen_text(app))
        await pilot.press("enter")
        assert isinstance(app.screen, Ask)
        await pilot.press(*["backspace"] * 8, *"0.05", "enter")
        await until(pilot, lambda: "alpha 0.05 (profile 0.4)" in screen_text(app))
        assert_table_shows(screen_text(app), scores_of(tiny_run, "test", 0, alpha=0.05))
        now, before = (table_row(text, "query loss") for text in (screen_text(app), first))
        assert now[0] == before[0]
        assert now[1:] != before[1:]
        await press(pilot, "0", shows="alpha 0.4   2 inner steps")
        assert await final_text(app) == first


@pytest.mark.usefixtures("place")
@pytest.mark.parametrize(
    "changes", [{"algorithm": "meta-sgd"}, {"plus": {"learned_rates": True}}], ids=str
)
async def test_learned_step_sizes_are_changed_by_a_factor(
    make_app: MakeApp, changes: dict[str, Any]
) -> None:
    run = trained_run(Path("runs"), Path("characters"), **changes).path
    app = make_app()
    async with opened(app, run) as pilot:
        assert "learned step sizes   2 inner steps" in screen_text(app)
        assert_table_shows(screen_text(app), scores_of(run, "test", 0))
        before = table_row(screen_text(app), "query loss")
        await pilot.press("a")
        await until(pilot, lambda: "Factor on the learned sizes" in screen_text(app))
        await pilot.press("end", *["backspace"] * 8, *"0.25", "enter")
        await until(pilot, lambda: "learned step sizes x 0.25 " in screen_text(app))
        assert_table_shows(screen_text(app), scores_of(run, "test", 0, factor=0.25))
        assert table_row(screen_text(app), "query loss")[1:] != before[1:]
        await press(pilot, "0", shows="learned step sizes   2 inner steps")


async def test_the_same_episode_is_adapted_with_more_and_with_fewer_steps(
    make_app: MakeApp, tiny_run: Path
) -> None:
    app = make_app()
    async with opened(app, tiny_run) as pilot:
        text = await press(pilot, "plus", "plus", shows="4 inner steps (profile 2)")
        assert_table_shows(text, scores_of(tiny_run, "test", 0, steps=4))
        text = await press(pilot, *["minus"] * 9, shows="1 inner step (profile 2)")
        assert_table_shows(text, scores_of(tiny_run, "test", 0, steps=1))
        await press(pilot, "0", shows="2 inner steps\n")


async def test_many_steps_show_those_around_the_current_one(
    make_app: MakeApp, tiny_run: Path
) -> None:
    app = make_app()
    async with opened(app, tiny_run) as pilot:
        await press(pilot, *["plus"] * 18, shows="20 inner steps")
        text = await press(pilot, *["left"] * 10, shows="step 10 / 20")
        assert "[10]" in text
        loss = scores_of(tiny_run, "test", 0, steps=20).transductive.loss[0].tolist()
        assert table_row(text, "query loss") == pytest.approx(loss[7:13], abs=0.00051)


@pytest.mark.usefixtures("place")
async def test_without_inner_steps_there_is_no_alpha_to_change(make_app: MakeApp) -> None:
    inner = {"steps": 0, "test_steps": 0}
    run = trained_run(
        Path("runs"),
        Path("characters"),
        algorithm="protonet",
        inner=inner,
        evaluation={"steps": (0,), "episodes": 6},
    ).path
    app = make_app()
    async with opened(app, run) as pilot:
        await pilot.press("a")
        assert not isinstance(app.screen, Ask)
        (told,) = (each.message for each in app._notifications)
        assert told.startswith("ProtoNet has no inner steps")


async def test_an_alpha_beyond_all_measure_shows_nan(make_app: MakeApp, tiny_run: Path) -> None:
    app = make_app()
    async with opened(app, tiny_run) as pilot:
        await pilot.press("a")
        await until(pilot, lambda: isinstance(app.screen, Ask))
        await pilot.press("end", *["backspace"] * 8, *"1e39", "enter")
        await until(pilot, lambda: "✗ 0→?      nan" in screen_text(app))
        await press(pilot, "0", shows="alpha 0.4 ")


async def test_the_last_of_many_requests_is_what_is_shown(
    make_app: MakeApp, tiny_run: Path
) -> None:
    app = make_app()
    async with opened(app, tiny_run) as pilot:
        text = await press(pilot, *["n"] * 30, "d", shows="validation task 30 ")
        assert_table_shows(text, scores_of(tiny_run, "validation", 30))


@pytest.mark.parametrize("size", [*SIZES, (1, 1), (59, 40), (100, 15), (120, 36)])
async def test_every_key_works_at_every_size(
    make_app: MakeApp, tiny_run: Path, size: tuple[int, int]
) -> None:
    app = make_app()
    async with opened(app, tiny_run, size) as pilot:
        screen = app.screen
        assert isinstance(screen, EpisodeScreen)
        await until(pilot, lambda: screen._looks.view is not None)
        images = bool(re.search("[⠁-⣿]", screen_text(app)))
        assert images == (size[0] >= 60 and size[1] >= 16)
        if size[0] >= 20:
            await until(pilot, lambda: re.search(r"[✓✗] 0", screen_text(app)))
        for key in ("left", "right", "n", "b", "o", "d", "plus", "minus", "0", "down", "pagedown"):
            await pilot.press(key)
        for key in ("a", "g"):
            await pilot.press(key)
            await until(pilot, lambda: isinstance(app.screen, Ask))
            await pilot.press("escape")
            await until(pilot, lambda: app.screen is screen)
        await until(pilot, lambda: not screen._looks.is_busy)
        await pilot.resize_terminal(*reversed(size))
        await pilot.pause()


async def test_a_five_way_one_shot_episode_is_seen_whole_at_80x24(
    make_app: MakeApp, place: Path
) -> None:
    run = trained_run(
        place / "runs",
        place / "characters",
        task={"way": 5, "shot": 1, "query": 1},
        data={"set": "folder", "path": "characters", "image_size": 28},
    )
    run.release()
    app = make_app()
    async with opened(app, run.path) as pilot:
        await until(pilot, lambda: re.search(r"✓|✗", screen_text(app)))
        text = await final_text(app)
        episodes = sampler_of(run.path, "test").batch(0, 1)
        for images in (episodes.support_x[0], episodes.query_x[0]):
            drawn = [braille(image[0].numpy() >= 0.5) for image in images]
            assert len(drawn) == 5
            assert len(drawn[0]) == 7
            for parts in zip(*drawn, strict=True):
                assert "  ".join(parts) in text
        assert len(re.findall(r"[✓✗] \d(?:→\d)? +\d+\.\d %", text)) == 5


def test_the_screen_is_imported_without_torch() -> None:
    code = (
        "import sys; import mamltui.tui.episode.screen; "
        "sys.exit('torch' in sys.modules or 'numpy' not in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


async def test_a_search_says_how_many_tasks_were_looked_at(
    make_app: MakeApp, tiny_run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    may_go_on = threading.Event()
    adapted = EpisodeInspector.adapted

    def adapted_later(self: EpisodeInspector, request: Request, *others: Any) -> Any:
        assert request.task < 2 * AT_ONCE or may_go_on.wait(SECONDS)
        return adapted(self, request, *others)

    monkeypatch.setattr(EpisodeInspector, "adapted", adapted_later)
    run = tiny_run.rename(tiny_run.with_name("best-20way1shot-20261130-213941-74fb"))
    app = make_app()
    async with opened(app, run) as pilot:
        text = await press(pilot, "c", shows="counting errors: 32 of 100 tasks")
        assert "…74fb   best checkpoint" in text
        may_go_on.set()
        await until(pilot, lambda: "Confusion over 100 tasks" in screen_text(app))
        await pilot.press("escape")
        assert "counting errors" not in screen_text(app)


async def test_what_is_taken_for_what_and_the_worst_tasks_are_listed(
    make_app: MakeApp, tiny_run: Path
) -> None:
    app = make_app()
    async with opened(app, tiny_run) as pilot:
        await press(pilot, "c", shows="Confusion over 100 tasks after 2 steps")
        head = next(line for line in screen_text(app).splitlines() if "wrong %" in line)
        assert "class " in head and "alphabet" not in head
        await pilot.press("escape")
        await press(pilot, "W", shows="Worst of")
        row = next(line for line in screen_text(app).splitlines() if "›  task" in line)
        await press(pilot, "enter", shows=f"test {row.split('›')[1].split('  ')[1]}")
