"""Runs that are watched by their files."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from mamltui.curves.history import RunHistory
from mamltui.events import Started, Step
from mamltui.runs import RunFolder, find_run
from mamltui.tui.session import following
from mamltui.tui.session.following import Follower, Reader, replay
from tests.a_training import training
from tests.tui.conftest import SECONDS


def wait_until(condition: Callable[[], object]) -> None:
    limit = time.monotonic() + SECONDS
    while not condition():
        assert time.monotonic() < limit, "timed out"
        time.sleep(0.005)


def test_a_replay_holds_all_that_the_files_hold(tiny_run: Path) -> None:
    run, history = find_run(tiny_run), RunHistory()
    replay(run, history)
    assert history.steps(100) == run.read_metrics().records
    assert history.events() == run.read_events().records
    assert history.newest().state == "finished"


def test_a_step_comes_before_the_validation_of_its_iteration(tiny_run: Path) -> None:
    seen: list[tuple[int, str]] = []

    class Noting(RunHistory):
        def add(self, event: object, time: str = "") -> None:  # noqa: ARG002
            seen.append((event.iteration, event.name))  # type: ignore[attr-defined]

    replay(find_run(tiny_run), Noting())
    assert seen.index((3, "step")) < seen.index((3, "validated"))
    assert seen[0] == (0, "started")


def test_a_follower_sees_what_another_writes(tiny_run: Path) -> None:
    follower = Follower(find_run(tiny_run)).start()
    wait_until(lambda: follower.is_loaded)
    before = len(follower.history.curve("query_loss"))
    writer = RunFolder(tiny_run)
    step = next(event for event in training() if isinstance(event, Step))
    writer.append_metrics(step)
    wait_until(lambda: len(follower.history.curve("query_loss")) == before + 1)
    follower.close()


def test_a_run_that_is_cut_back_is_read_again(tiny_run: Path) -> None:
    run = find_run(tiny_run)
    history = RunHistory()
    reader = Reader(run, history)
    while reader.read_on():
        pass
    assert len(history.curve("query_loss")) == 6
    run.cut_back(iteration=4, validated=3)
    while reader.read_on():
        pass
    assert history.curve("query_loss").x.tolist() == [1, 2, 3, 4]


def test_pages_smaller_than_the_files_lose_nothing(tiny_run: Path, monkeypatch: object) -> None:
    run, whole, paged = find_run(tiny_run), RunHistory(), RunHistory()
    replay(run, whole)
    monkeypatch.setattr(following, "PAGE_BYTES", 1500)  # type: ignore[attr-defined]
    replay(run, paged)
    assert paged.steps(100) == whole.steps(100)
    assert len(paged.events()) == len(whole.events())


def test_a_damaged_line_is_told_in_words(tiny_run: Path) -> None:
    (tiny_run / "metrics.jsonl").write_text("nonsense\n")
    follower = Follower(find_run(tiny_run)).start()
    wait_until(lambda: follower.problem)
    assert "metrics.jsonl:1" in follower.problem
    assert follower.traceback == ""


def test_the_info_of_a_followed_run_is_that_of_its_file(tiny_run: Path) -> None:
    follower = Follower(find_run(tiny_run)).start()
    wait_until(lambda: follower.info)
    assert follower.info is not None
    assert follower.info.state == "finished"
    first = follower.history.events
    wait_until(lambda: first() and isinstance(first()[0].event, Started))
    follower.close()
