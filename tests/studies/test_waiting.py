"""Trainings that wait for each other."""

from __future__ import annotations

from pathlib import Path

import pytest

from mamltui.commands import CommonOptions
from mamltui.errors import ExitCode, RunError, UsageError
from mamltui.profiles import Profile, load_profile
from mamltui.runs import RunFolder
from mamltui.runs.lock import Lock
from mamltui.studies import waiting as module
from mamltui.studies.executors.executor import Assignment
from mamltui.studies.waiting import TrainingQueue, work


class FakeJob:
    """Ends at once."""

    def __init__(self, code: int) -> None:
        self._code = code

    def poll(self) -> int:
        return self._code

    def stop(self, *, at_once: bool = False) -> None:
        raise AssertionError(f"it is over, {at_once}")


class FakeExecutor:
    """Trains nothing: makes the run that a worker would have made, or fails."""

    taken: list[str]
    root: Path

    def __init__(self, workers: int, threads: int) -> None:
        assert (workers, threads > 0) == (1, True)

    def start(self, assignment: Assignment, log: Path) -> FakeJob:
        profile = load_profile(str(assignment.profile))
        FakeExecutor.taken.append(profile.name)
        if profile.name == "bad":
            log.write_text("loading\nmamltui: no data\n")
            return FakeJob(3)
        run = RunFolder.create(profile, FakeExecutor.root)
        if profile.name != "stopped":
            run.update(state="finished", iteration=profile.meta.iterations)
        run.release()
        return FakeJob(ExitCode.DONE)


@pytest.fixture
def queue(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> TrainingQueue:
    FakeExecutor.taken, FakeExecutor.root = [], tmp_path
    monkeypatch.setattr(module, "LocalExecutor", FakeExecutor)
    return TrainingQueue(tmp_path)


def profile(name: str, seed: int) -> Profile:
    return load_profile("quickstart", [f"name={name}", f"meta.seed={seed}"])


def names(queue: TrainingQueue) -> str:
    return " ".join(f"{each.name}:{each.state}" for each in TrainingQueue(queue.root).read())


def test_an_empty_queue_has_nothing_to_do(queue: TrainingQueue, tmp_path: Path) -> None:
    assert queue.read() == () and not queue.is_worked_on
    assert work(queue, CommonOptions(tmp_path)) == ExitCode.DONE


def test_the_order_is_that_of_adding_and_can_be_changed(queue: TrainingQueue) -> None:
    a, b = queue.add(profile("a", 1)), queue.add(profile("b", 2))
    c = queue.add(profile("c", 3), "the third", first=True)
    assert names(queue) == "the third:waiting a:waiting b:waiting"
    queue.move(b.id, -1)
    queue.move(c.id, -1)
    assert names(queue) == "the third:waiting b:waiting a:waiting"
    queue.move(c.id, 1)
    queue.remove(a.id)
    assert names(queue) == "b:waiting the third:waiting"
    assert queue.profile(b).meta.seed == 2
    with pytest.raises(UsageError, match="no training"):
        queue.remove(a.id)


def test_what_waits_is_trained_in_turn_and_what_fails_stops_nothing(queue: TrainingQueue) -> None:
    for seed, name in enumerate(("a", "bad", "stopped", "b")):
        queue.add(profile(name, seed), "called so" if name == "b" else "")
    assert work(queue, CommonOptions(queue.root)) == ExitCode.DONE
    assert FakeExecutor.taken == ["a", "bad", "stopped", "b"]
    assert names(queue) == "a:done bad:failed stopped:stopped called so:done"
    bad, last = queue.read()[1], queue.read()[3]
    assert bad.why == "mamltui: no data"
    found = queue.run_of(last)
    assert found is not None and found[1].title == "called so"
    assert work(queue, CommonOptions(queue.root)) == ExitCode.DONE
    queue.again(bad.id)
    work(queue, CommonOptions(queue.root))
    assert FakeExecutor.taken == ["a", "bad", "stopped", "b", "bad"]


def test_what_a_killed_process_was_at_waits_again(queue: TrainingQueue) -> None:
    a = queue.add(profile("a", 1))
    queue.note(a.id, "running")
    assert names(queue) == "a:waiting"
    lock = Lock(queue.folder / "lock")
    assert lock.acquire()
    assert queue.is_worked_on and names(queue) == "a:running"
    with pytest.raises(UsageError, match="being trained"):
        queue.remove(a.id)
    with pytest.raises(UsageError, match="another process"):
        work(queue, CommonOptions(queue.root))
    lock.release()
    work(queue, CommonOptions(queue.root))
    assert names(queue) == "a:done"


def test_what_waits_has_no_run_of_a_twin_but_the_one_it_goes_on_with(queue: TrainingQueue) -> None:
    waiting = queue.add(profile("twin", 1))
    run = RunFolder.create(profile("twin", 1), queue.root)
    run.update(iteration=40)
    assert run.info().state == "running" and queue.run_of(waiting) is None
    run.release()
    assert run.info().state == "interrupted"
    interrupted = queue.run_of(waiting)
    assert interrupted is not None and interrupted[1].iteration == 40
    run.update(state="finished")
    assert queue.run_of(waiting) is None
    queue.note(waiting.id, "done")
    assert queue.run_of(queue.read()[0]) is not None


def test_a_damaged_queue_is_told(queue: TrainingQueue) -> None:
    queue.add(profile("a", 1))
    (queue.folder / "order.json").write_text('[{"id": 3}]')
    with pytest.raises(RunError, match="the queue is damaged"):
        queue.read()
