"""The screens of a run that fits sine waves: errors where others have accuracies, and the curve."""

from __future__ import annotations

from pathlib import Path

import pytest

from mamltui import api
from mamltui.data.sinusoid import SinusoidSampler
from mamltui.learner import learner_of
from mamltui.profiles import load_profile
from mamltui.runs import RunFolder
from mamltui.tui.episode.screen import EpisodeScreen
from mamltui.waves import fit_wave
from tests.tui.conftest import SIZES, screen_text, until
from tests.tui.looking import MakeApp, opened, press

SMALL = (
    *("meta.iterations=12", "meta.batch=3", "validation.interval=5", "validation.episodes=8"),
    *("evaluation.episodes=20", "run.log_interval=2", "run.checkpoint_interval=4"),
)


@pytest.fixture(scope="module")
def waves(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that is trained and tested; only for reading."""
    root = tmp_path_factory.mktemp("waves") / "runs"
    profile = load_profile("sinusoid-5shot", [*SMALL, "inner.test_steps=2"])
    return api.train(profile, device="cpu", runs_dir=root).path


@pytest.mark.usefixtures("place")
@pytest.mark.parametrize("size", SIZES[1:])
async def test_an_episode_is_a_wave_with_its_points_and_curves(
    make_app: MakeApp, waves: Path, size: tuple[int, int]
) -> None:
    run = RunFolder(waves)
    learner = learner_of(run.profile, api.Banks().bank(run.profile.data))
    parameters = run.load_checkpoint("best", learner).parameters
    sampler = SinusoidSampler(0, "test", 5, 5)
    app = make_app()
    async with opened(app, waves, size=size) as pilot:
        for task in range(2):
            fit = fit_wave(learner, parameters, sampler, task, steps=2)
            words = f"{fit.amplitude:.2f} sin(x + {fit.phase:.2f})"
            await until(pilot, lambda words=words: words in screen_text(app))
            after = f"after 2 steps: squared error {fit.error(2):.3f}"
            await until(pilot, lambda after=after: after in screen_text(app))
            text = screen_text(app)
            assert f"before any step: {fit.error(0):.3f}" in text
            assert text.count("o") > 10 and any("⠁" <= char <= "⣿" for char in text)
            await pilot.press("n")


@pytest.mark.usefixtures("place")
async def test_a_tiny_terminal_says_how_well_the_wave_is_fitted(
    make_app: MakeApp, waves: Path
) -> None:
    app = make_app()
    async with opened(app, waves, size=SIZES[0]) as pilot:
        await until(pilot, lambda: "step 2 / 2" in screen_text(app))
        assert isinstance(app.screen, EpisodeScreen)


@pytest.mark.usefixtures("place")
async def test_keys_change_the_step_the_split_and_the_steps_of_a_wave(
    make_app: MakeApp, waves: Path
) -> None:
    app = make_app()
    async with app.run_test(size=(80, 24), notifications=True) as pilot:
        app.session.watch(RunFolder(waves))
        app.go("episode")
        await until(pilot, lambda: "after 2 steps" in screen_text(app))
        await press(pilot, "left", shows="after 1 step: squared error")
        text = await press(pilot, "left", shows="before adaptation")
        await until(pilot, lambda: "after" not in screen_text(app))
        assert "[before]" in text
        await press(pilot, "plus", shows="3 inner steps (profile 2)")
        await press(pilot, "d", shows="validation task 0")
        await press(pilot, "d", shows="iteration 1, task 1 of 3")
        foot = screen_text(app).splitlines()[-1]
        assert "Step" in foot and "tab" not in foot and "Error" not in foot
        for count, key in enumerate(("tab", "w", "W", "c"), 1):
            await pilot.press(key)
            await until(pilot, lambda count=count: screen_text(app).count("no images") == count)


@pytest.mark.usefixtures("place")
@pytest.mark.parametrize("size", SIZES)
async def test_the_other_screens_tell_errors(
    make_app: MakeApp, waves: Path, size: tuple[int, int]
) -> None:
    app = make_app()
    run = RunFolder(waves)
    test = api.evaluate(api.Run(run), device="cpu").headline().score
    async with app.run_test(size=size) as pilot:
        app.session.watch(run)
        app.go("train")
        await until(pilot, lambda: "5-shot sinusoid" in screen_text(app) or size[0] < 40)
        if size[0] < 80:
            return
        await until(pilot, lambda: "mean squared error" in screen_text(app))
        await until(pilot, lambda: test.metric.number(test.value) in screen_text(app))
        text = screen_text(app)
        assert "error" in text and "accuracy" not in text and "%" not in text.split("100.0 %")[0]
        for _ in range(4):
            await pilot.press("m")
            await until(pilot, lambda: "accuracy" not in screen_text(app))
