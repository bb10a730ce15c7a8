"""The trial of strategies, with a clock that only their work moves."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import pytest
import torch

from mamltui.maml.calibration import PATIENCE, REPEATS, Shape, Trial, calibrate, random_episodes
from mamltui.maml.chunks import Interrupted
from mamltui.maml.engine import Engine
from mamltui.maml.episode import Episodes
from mamltui.maml.inner import InnerLoop
from mamltui.maml.network import NetworkSpec
from mamltui.maml.parameters import Parameters
from mamltui.maml.strategies import Case

CPU = torch.device("cpu")
SHAPE = Shape(tasks=32, support=5, query=75)
"""So many images that a chunk holds a task or two."""
Seconds = Callable[[str, int], float]
"""Of a task, by strategy and tasks at once."""


class Work:
    """Stands for all engines' meta-gradients, which take the seconds that they are told to."""

    def __init__(self, seconds: Seconds) -> None:
        self.seconds = seconds
        self.now = 1000.0
        self.begun: Counter[tuple[str, int]] = Counter()

    def meta_gradient(
        self,
        engine: Engine,
        parameters: Parameters,  # noqa: ARG002
        episodes: Episodes,
        *,
        should_stop: Callable[[], bool],
    ) -> None:
        self.begun[engine.strategy, engine.task_chunk] += 1
        for chunk in episodes.chunks(engine.task_chunk or 1):
            if should_stop():
                raise Interrupted
            self.now += chunk.tasks * self.seconds(engine.strategy, engine.task_chunk)


def tried(
    monkeypatch: pytest.MonkeyPatch, seconds: Seconds, filters: int = 64, shape: Shape = SHAPE
) -> tuple[list[Trial], Work]:
    work = Work(seconds)
    monkeypatch.setattr(Engine, "meta_gradient", lambda *a, **o: work.meta_gradient(*a, **o))
    case = Case(network=NetworkSpec(5, filters=filters), inner=InnerLoop(1, 0.4), device=CPU)
    return calibrate(case, shape, clock=lambda: work.now), work


@pytest.fixture(autouse=True)
def eight_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that there are several sizes of a chunk to try."""
    monkeypatch.setattr(torch, "get_num_threads", lambda: 8)


@pytest.mark.parametrize("fastest", ["native", "analytic"])
def test_the_fastest_comes_first_with_the_seconds_of_one_task(
    monkeypatch: pytest.MonkeyPatch, fastest: str
) -> None:
    trials, _ = tried(monkeypatch, lambda strategy, _: 0.5 if strategy == fastest else 0.75)
    assert trials[0].strategy == fastest
    found = [trial.seconds for trial in trials]
    assert found == pytest.approx([0.5 if t.strategy == fastest else 0.75 for t in trials])
    assert found == sorted(found)


def test_the_fastest_chunk_of_a_strategy_comes_before_its_others(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    chunks = {trial.task_chunk for trial in tried(monkeypatch, lambda *_: 1.0)[0]} - {0}
    assert len(chunks) > 1
    for best in chunks:
        trials, _ = tried(monkeypatch, lambda _, chunk, best=best: 1.0 if chunk == best else 1.5)
        assert (trials[0].strategy, trials[0].task_chunk) == ("analytic", best)
        assert {trial.task_chunk for trial in trials} == {0, *chunks}


def test_of_the_repeats_the_best_counts_and_the_first_time_does_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    takes = iter([0.1, 9.0, 2.0, 3.0])
    now: dict[str, float] = {}

    def seconds(strategy: str, _: int) -> float:
        return now[strategy] if strategy == "native" else 4.0

    work = Work(seconds)

    def meta_gradient(engine: Engine, *arguments: object, **options: object) -> None:
        if engine.strategy == "native":
            now["native"] = next(takes)
        work.meta_gradient(engine, *arguments, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(Engine, "meta_gradient", meta_gradient)
    case = Case(network=NetworkSpec(5), inner=InnerLoop(1, 0.4), device=CPU)
    trials = calibrate(case, SHAPE, clock=lambda: work.now)
    assert REPEATS == 3
    assert trials[0] == Trial("native", 0, pytest.approx(2.0))


def test_who_is_three_times_slower_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    assert PATIENCE == 3
    trials, work = tried(monkeypatch, lambda strategy, _: 1.0 if strategy == "native" else 100.0)
    assert trials[0] == Trial("native", 0, pytest.approx(1.0))
    assert {trial.seconds for trial in trials[1:]} == {None}
    assert all(count == 2 for (name, _), count in work.begun.items() if name == "analytic")


def test_who_is_a_little_slower_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    trials, work = tried(monkeypatch, lambda strategy, _: 1.0 if strategy == "native" else 2.9)
    assert None not in {trial.seconds for trial in trials}
    assert set(work.begun.values()) == {1 + REPEATS}


def test_who_does_all_tasks_at_once_is_not_tried_again_after_being_late(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """There is no pause in its work to leave at."""
    one = Shape(tasks=1, support=5, query=5)
    trials, work = tried(
        monkeypatch, lambda strategy, _: 1.0 if strategy == "native" else 100.0, shape=one
    )
    assert trials[0].strategy == "native"
    assert work.begun["analytic", 1] == 2


@pytest.mark.parametrize("busy", range(8))
def test_a_busy_moment_of_the_machine_does_not_decide(
    monkeypatch: pytest.MonkeyPatch, busy: int
) -> None:
    """Whichever of the meta-gradients takes ten times as long, native is faster by a third."""
    calls = 0

    def meta_gradient(engine: Engine, *arguments: object, **options: object) -> None:
        nonlocal calls
        calls += 1
        slow = 10.0 if calls - 1 in (busy, busy + 1) else 1.0
        work.seconds = lambda strategy, _: slow * (1.0 if strategy == "native" else 1.5)
        work.meta_gradient(engine, *arguments, **options)  # type: ignore[arg-type]

    work = Work(lambda *_: 1.0)
    monkeypatch.setattr(Engine, "meta_gradient", meta_gradient)
    case = Case(network=NetworkSpec(5), inner=InnerLoop(1, 0.4), device=CPU)
    trials = calibrate(case, SHAPE, clock=lambda: work.now)
    assert trials[0] == Trial("native", 0, pytest.approx(1.0))


def test_of_equals_the_same_one_is_taken_whatever_the_last_digits(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for native in (0.98, 1.02):
        trials, _ = tried(monkeypatch, lambda s, _, n=native: n if s == "native" else 1.0)
        assert trials[0].strategy == "native"


def test_a_stop_ends_the_trial_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    work = Work(lambda *_: 1.0)
    monkeypatch.setattr(Engine, "meta_gradient", lambda *a, **o: work.meta_gradient(*a, **o))
    case = Case(network=NetworkSpec(5), inner=InnerLoop(1, 0.4), device=CPU)

    def is_third_begun() -> bool:
        return work.begun.total() == 3

    with pytest.raises(Interrupted):
        calibrate(case, SHAPE, should_stop=is_third_begun, clock=lambda: work.now)
    assert work.begun.total() == 3


def test_only_strategies_that_cover_the_case_are_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    trials, work = tried(monkeypatch, lambda *_: 1.0, filters=6)
    assert {trial.strategy for trial in trials} == {name for name, _ in work.begun} == {"analytic"}


def test_autograd_is_not_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    trials, _ = tried(monkeypatch, lambda *_: 1.0)
    assert {trial.strategy for trial in trials} == {"native", "analytic"}


def test_a_trial_has_the_shape_of_the_meta_batch_but_few_tasks(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    seen: list[Episodes] = []

    def look(engine: Engine, parameters: Parameters, episodes: Episodes, **_: object) -> None:  # noqa: ARG001
        seen.append(episodes)

    monkeypatch.setattr(Engine, "meta_gradient", look)
    case = Case(network=NetworkSpec(5, 3, 20), inner=InnerLoop(1, 0.4), device=CPU)
    calibrate(case, Shape(tasks=1000, support=5, query=75))
    for episodes in seen:
        assert episodes.support_x.shape == (16, 5, 3, 20, 20)
        assert episodes.query_x.shape == (16, 75, 3, 20, 20)
        assert episodes.query_y.shape == (16, 75)


def test_the_images_of_a_trial_are_always_the_same_noise() -> None:
    first, second = (random_episodes(NetworkSpec(3), SHAPE, CPU) for _ in range(2))
    for ours, theirs in zip(first, second, strict=True):
        assert torch.equal(ours, theirs)
    assert first.support_x.unique().tolist() == [0, 1]
    assert first.query_y.unique().tolist() == [0, 1, 2]
