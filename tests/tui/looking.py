"""The episode screen in tests: opened on a run, read, and compared with what evaluation finds."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from textual.pilot import Pilot

from mamltui.data.episodes import EpisodeSampler
from mamltui.data.load import load_bank
from mamltui.data.splits import split_classes
from mamltui.learner import learner_of
from mamltui.maml.evaluate import Scores, score
from mamltui.runs import RunFolder
from mamltui.tui.app import MamltuiApp
from mamltui.tui.episode.screen import EpisodeScreen
from tests.tui.conftest import screen_text, until

MakeApp = Callable[..., MamltuiApp]


@asynccontextmanager
async def opened(
    app: MamltuiApp, run: Path | None = None, size: tuple[int, int] = (80, 24)
) -> AsyncIterator[Pilot[Any]]:
    """The app on the episode screen, with ``run`` open and its first episode shown."""
    async with app.run_test(size=size) as pilot:
        if run is not None:
            app.session.watch(RunFolder(run))
        app.go("episode")
        await until(pilot, lambda: isinstance(app.screen, EpisodeScreen))
        if run is not None:
            await until(pilot, lambda: "test task 0" in screen_text(app) or size[0] < 40)
        yield pilot


async def press(pilot: Pilot[Any], *keys: str, shows: str) -> str:
    """Press keys, and wait until the screen shows a text; the screen."""
    await pilot.press(*keys)
    await until(pilot, lambda: shows in screen_text(pilot.app))
    return screen_text(pilot.app)


def sampler_of(run: Path, split: str) -> EpisodeSampler:
    profile = RunFolder(run).profile
    bank = load_bank(profile.data)
    return EpisodeSampler(
        bank,
        getattr(split_classes(bank), split),
        split=split,
        way=profile.task.way,
        shot=profile.task.shot,
        query=profile.task.query,
        rotations=profile.data.rotations,
        seed=profile.meta.seed,
    )


def scores_of(
    run: Path,
    split: str,
    task: int,
    *,
    alpha: float | None = None,
    steps: int | None = None,
    factor: float = 1.0,
) -> Scores:
    """What evaluation finds for this task with the best checkpoint, rates times ``factor``."""
    folder = RunFolder(run)
    sampler = sampler_of(run, split)
    learner = learner_of(folder.profile, sampler.bank)
    parameters = {
        name: value * factor if name.startswith("rate.") else value
        for name, value in folder.load_checkpoint("best").parameters.items()
    }
    loop = replace(learner.inner, alpha=alpha or learner.inner.alpha)
    steps = folder.profile.inner.test_steps if steps is None else steps
    return score(learner.network, loop, parameters, sampler.batch(task, 1), steps=steps)


def table_row(text: str, name: str) -> list[float]:
    (line,) = (line for line in text.splitlines() if line.strip().startswith(name))
    return [float(value) for value in line.replace(name, "").split()]


def assert_table_shows(text: str, scores: Scores) -> None:
    accuracy = (100 * scores.transductive.accuracy[0]).tolist()
    assert table_row(text, "query accuracy %") == pytest.approx(accuracy, abs=0.051)
    loss = scores.transductive.loss[0].tolist()
    assert table_row(text, "query loss") == pytest.approx(loss, abs=0.00051)
