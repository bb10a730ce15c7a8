"""A training outlives its files: what a disk refuses waits in memory, and none of it is lost."""

from __future__ import annotations

import errno
import math
import os
import random
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from mamltui.errors import RunError, StorageError
from mamltui.events import (
    DiskFailing,
    DiskRestored,
    Event,
    Failed,
    Finished,
    Step,
    Validated,
)
from mamltui.profiles import Profile
from mamltui.results import Evaluation, kept_evaluations
from mamltui.runs import RunFolder, backlog
from mamltui.runs.removal import remove
from mamltui.runs.rescue import bring_back
from mamltui.training import Control, Plan, experiment, run_experiment
from mamltui.training.resumable import find_resumable
from tests.training.file_operations import Fault, Operation, watched
from tests.training.small import (
    CPU,
    assert_same_training,
    make_bank,
    make_profile,
    make_run,
    make_trainer,
    train,
    validations,
)

ERRORS = (errno.ENOSPC, errno.EIO, errno.EROFS, errno.EACCES)
LENGTHS = (1, 25, math.inf)
"""Of a fault, in operations."""
KEEPING = ("validation.keep=2", "validation.interval=3")
"""More kinds of operations: several of the best are kept, and put out by better ones."""


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Every write tries again what failed before; other folders are the test's own."""
    for module in (backlog, experiment):
        monkeypatch.setattr(module, "RETRY_SECONDS", 0.0)
    monkeypatch.setenv("MAMLTUI_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setattr("tempfile.gettempdir", lambda: str(tmp_path / "tmp"))


@pytest.fixture(scope="module")
def unbroken_keeping(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    run = make_run(tmp_path_factory.mktemp("keeping"), make_profile(*KEEPING))
    train(run)
    return run


def count_operations(root: Path, profile: Profile) -> int:
    run = make_run(root, profile)
    with watched(run.path, lambda _: None) as operations:
        train(run)
    return len(operations.seen)


def train_with(fault: Fault, run: RunFolder) -> tuple[list[Event], int]:
    """All events, and how many operations failed."""
    failed = 0

    def before(operation: Operation) -> None:
        nonlocal failed
        try:
            fault(operation)
        except OSError:
            failed += 1
            raise

    with watched(run.path, before):
        return train(run), failed


def check_fault(fault: Fault, run: RunFolder, unbroken: RunFolder) -> bool:
    """Whether the fault met an operation; the training must have come to its end all the same."""
    events, failed = train_with(fault, run)
    assert isinstance(events[-1], Finished), fault
    # Where the disk has recovered, another attempt is all it takes.
    assert run.settle(), fault
    run.release()
    assert_same_training(RunFolder(run.path), unbroken)
    assert RunFolder(run.path).info().state == "finished", fault
    assert not [*run.path.rglob("*.part")], fault
    return failed > 0


def test_a_training_outlives_faults_of_its_disk(root: Path, unbroken_keeping: RunFolder) -> None:
    profile = make_profile(*KEEPING)
    count = count_operations(root, profile)
    chosen = random.Random(4)
    met = 0
    for error, length in zip(ERRORS * 2, LENGTHS * 3, strict=False):
        first = chosen.randint(1, count)
        fault = Fault(error, first, first + length - 1)
        met += check_fault(fault, make_run(root, profile), unbroken_keeping)
    assert met >= 6


@pytest.mark.long
@pytest.mark.timeout(7200)
@pytest.mark.parametrize("error", ERRORS, ids=errno.errorcode.get)
def test_a_training_outlives_every_fault_of_its_disk(
    error: int, root: Path, unbroken_keeping: RunFolder
) -> None:
    profile = make_profile(*KEEPING)
    count = count_operations(root, profile)
    met = 0
    for length in LENGTHS:
        for first in range(1, count + 1):
            fault = Fault(error, first, first + length - 1)
            run = make_run(root, profile)
            met += check_fault(fault, run, unbroken_keeping)
            shutil.rmtree(run.path)
    print(f"{errno.errorcode[error]}: {len(LENGTHS) * count} trainings, {met} met a fault")
    assert met > 2 * count


def test_a_trouble_is_told_while_it_lasts_and_when_it_is_over(
    root: Path, unbroken: RunFolder
) -> None:
    run = make_run(root)
    full = Fault(errno.ENOSPC, 0, math.inf)
    is_full = False
    seen = []

    def before(operation: Operation) -> None:
        if is_full:
            full(operation)

    with watched(run.path, before):
        for event in make_trainer(run).train():
            seen.append(event)
            if isinstance(event, Step):
                is_full = 4 <= event.iteration < 10
                if event.iteration > 4:  # also while it waits
                    assert run.load_checkpoint("last").iteration >= 4
    told = [event for event in seen if isinstance(event, DiskFailing | DiskRestored)]
    assert isinstance(told[0], DiskFailing)
    assert "No space left on device" in told[0].reason
    assert any("the checkpoint of iteration 8" in str(event) for event in told)
    assert isinstance(told[-1], DiskRestored)
    assert [type(event) for event in told].count(DiskRestored) == 1
    assert_same_training(RunFolder(run.path), unbroken)
    logged = [record.event for record in run.read_events().records]
    assert [event for event in logged if isinstance(event, DiskFailing | DiskRestored)] == told


def fill(run: RunFolder, iteration: int) -> tuple[list[Event], StorageError]:
    """Train on a disk that is full from ``iteration`` on; what was seen, and what ended it."""
    seen: list[Event] = []

    def before(operation: Operation) -> None:
        if seen and seen[-1].iteration >= iteration:
            Fault(errno.ENOSPC, 0, math.inf)(operation)

    with watched(run.path, before), pytest.raises(StorageError) as caught:
        for event in make_trainer(run).train():
            seen.append(event)
    return seen, caught.value


def test_without_patience_what_was_refused_is_brought_back_by_a_resume(
    root: Path, unbroken: RunFolder
) -> None:
    run = make_run(root, make_profile("run.disk_patience=0"))
    seen, error = fill(run, 6)
    assert error.exit_code == 1
    assert "No space left on device" in error.what
    assert "a resume brings it back" in str(error.hint)
    assert not run.held
    saved = RunFolder(run.path).load_checkpoint("last").iteration
    again = RunFolder(run.path)
    events = train(again, make_profile())
    assert events[0].iteration > saved
    assert any("brought back from" in str(event) for event in events)
    assert isinstance(events[-1], Finished)
    assert_same_training(again, unbroken)
    assert not [*root.parent.rglob("*.tar")]
    assert not any(isinstance(event, Failed) for event in seen)


def test_where_there_is_no_room_at_all_the_last_checkpoint_stands(
    root: Path, unbroken: RunFolder, tmp_path: Path
) -> None:
    run = make_run(root, make_profile("run.disk_patience=0"))
    for name in ("cache", "tmp"):
        (tmp_path / name).write_text("a file in place of a folder")
    _, error = fill(run, 6)
    assert "is lost" in str(error.hint)
    again = RunFolder(run.path)
    train(again, make_profile())
    assert_same_training(again, unbroken)


def test_a_stop_while_the_disk_refuses_loses_nothing(root: Path, unbroken: RunFolder) -> None:
    run, control = make_run(root), Control()
    seen: list[Event] = []

    def before(operation: Operation) -> None:
        if seen and seen[-1].iteration >= 6:
            Fault(errno.EIO, 0, math.inf)(operation)

    with watched(run.path, before), pytest.raises(StorageError, match="Input/output error"):
        for event in make_trainer(run, control=control).train():
            seen.append(event)
            if event.iteration == 8:
                control.stop("enough")
    again = RunFolder(run.path)
    assert train(again)[0].iteration == 8
    assert_same_training(again, unbroken)
    assert validations(again)


def test_what_was_rescued_of_an_earlier_state_is_left_alone(
    root: Path, unbroken: RunFolder
) -> None:
    run = make_run(root, make_profile("run.disk_patience=0"))
    fill(run, 6)
    (rescued,) = root.parent.rglob("*.tar")
    content = rescued.read_bytes()
    again = RunFolder(run.path)
    train(again, make_profile())
    rescued.parent.mkdir(parents=True, exist_ok=True)
    rescued.write_bytes(content)
    more = make_profile("meta.iterations=14")
    assert train(RunFolder(run.path), more)[0].iteration == 12
    assert not rescued.exists()
    assert validations(RunFolder(run.path))[: len(validations(unbroken))] == validations(unbroken)


class Watching:
    """A disk that refuses from the first validation on; and what is told meanwhile."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.evaluations: list[Evaluation] = []
        self.refuses = False

    def show(self, event: Event) -> None:
        self.events.append(event)
        self.refuses = self.refuses or isinstance(event, Validated)

    def evaluating(self, done: int, episodes: int) -> None:
        pass

    def evaluated(self, evaluation: Evaluation) -> None:
        self.evaluations.append(evaluation)

    def before(self, operation: Operation) -> None:
        if self.refuses:
            Fault(errno.EROFS, 0, math.inf)(operation)


def plan_of(root: Path, *overrides: str) -> Plan:
    profile = make_profile("evaluation.episodes=4", "evaluation.steps=0..2", *overrides)
    return Plan.of(profile, make_bank(), CPU, runs=root)


def test_an_experiment_is_evaluated_from_memory_and_waits_for_the_disk(
    root: Path, unbroken: RunFolder
) -> None:
    class Recovering(Watching):
        def show(self, event: Event) -> None:
            super().show(event)
            if self.evaluations and isinstance(event, DiskFailing):
                self.refuses = False

    reader = Recovering()
    with watched(root, reader.before):
        outcome = run_experiment(plan_of(root), reader=reader)
    assert reader.evaluations == [outcome.evaluation]
    assert [event.name for event in reader.events][-3:] == [
        "finished",
        "disk_failing",
        "disk_restored",
    ]
    assert not outcome.run.held
    assert kept_evaluations(outcome.run.evaluation) == reader.evaluations
    assert_same_training(RunFolder(outcome.run.path), unbroken)


def test_an_evaluation_is_told_before_the_disk_is_given_up(root: Path, unbroken: RunFolder) -> None:
    control = Control()

    class Impatient(Watching):
        def show(self, event: Event) -> None:
            super().show(event)
            if self.evaluations:
                control.stop("enough")

    reader = Impatient()
    with watched(root, reader.before), pytest.raises(StorageError, match="Read-only") as caught:
        run_experiment(plan_of(root), control, reader)
    assert len(reader.evaluations) == 1
    assert "a resume brings it back" in str(caught.value.hint)
    (path,) = root.iterdir()
    run = RunFolder(path)
    run.acquire()
    assert "brought back" in str(bring_back(run))
    assert run.info().state == "finished"
    assert_same_training(run, unbroken)


def test_a_run_that_was_trained_in_memory_alone_is_evaluated_by_a_resume(
    root: Path, unbroken: RunFolder
) -> None:
    control = Control()

    class Impatient(Watching):
        def show(self, event: Event) -> None:
            super().show(event)
            if isinstance(event, Finished):
                control.stop("enough")

    reader, more = Impatient(), ("evaluation.episodes=4", "evaluation.steps=0..2")
    with watched(root, reader.before), pytest.raises(StorageError):
        run_experiment(plan_of(root), control, reader)
    assert reader.evaluations == []
    (path,) = root.iterdir()
    assert RunFolder(path).info().state == "interrupted"
    (rescued,) = root.parent.rglob("*.tar")
    before = {each: each.read_bytes() for each in path.rglob("*") if each.is_file()}
    said: list[str] = []
    found = find_resumable(make_profile(*more), (), "auto", root, said.append)
    assert found is not None
    assert found.is_trained
    assert said == [
        f"going on with {path.name}: it is trained, its evaluation is left",
        f"{rescued} is brought back first: iteration 12",
    ]
    assert {each: each.read_bytes() for each in path.rglob("*") if each.is_file()} == before
    plan = Plan.of(found.profile, make_bank(), CPU, run=found.run, runs=root)
    outcome = run_experiment(replace(plan, is_trained=found.is_trained))
    assert kept_evaluations(outcome.run.evaluation) == [outcome.evaluation]
    assert not rescued.exists()
    assert RunFolder(path).info().state == "finished"
    assert_same_training(RunFolder(path), unbroken)
    assert find_resumable(make_profile(*more), (), "auto", root, said.append) is None
    assert "the run is finished" in said[2]


def test_a_plan_says_that_it_goes_on_from_what_was_rescued(root: Path, unbroken: RunFolder) -> None:
    run = make_run(root, make_profile("run.disk_patience=0"))
    fill(run, 6)
    saved = RunFolder(run.path).load_checkpoint("last").iteration
    (rescued,) = root.parent.rglob("*.tar")
    said: list[str] = []
    found = find_resumable(make_profile(), (), "auto", root, said.append)
    assert found is not None and found.iteration is not None
    assert found.iteration > saved
    assert said[0] == f"going on with {run.name}: from iteration {found.iteration}"
    assert f"{rescued} is brought back first: iteration {found.iteration}" in said
    assert train(found.run, found.profile)[0].iteration == found.iteration
    assert_same_training(RunFolder(run.path), unbroken)


def test_what_was_rescued_goes_with_its_run_alone(root: Path) -> None:
    run = make_run(root, make_profile("run.disk_patience=0"))
    fill(run, 6)
    (rescued,) = root.parent.rglob("*.tar")
    namesake = RunFolder(root.parent / "others" / run.name)
    shutil.copytree(run.path, namesake.path)
    namesake.acquire()
    namesake.update(created="2020-01-01T00:00:00Z")
    namesake.release()
    remove(namesake)
    assert rescued.exists()
    remove(RunFolder(run.path))
    assert not run.path.exists()
    assert not rescued.exists()


def test_what_was_rescued_and_is_damaged_is_named(root: Path) -> None:
    run = make_run(root, make_profile("run.disk_patience=0"))
    fill(run, 6)
    (rescued,) = root.parent.rglob("*.tar")
    rescued.write_bytes(rescued.read_bytes()[:700])
    said: list[str] = []
    assert find_resumable(make_profile(), (), "auto", root, said.append) is None
    assert "what was rescued of the run is damaged" in said[0]
    with pytest.raises(RunError, match="damaged") as caught:
        find_resumable(make_profile(), (), run.name, root, said.append)
    assert caught.value.where == str(rescued)


@pytest.mark.parametrize(("minutes", "outlives"), [(9, True), (11, False)])
def test_a_fault_is_outlived_for_as_long_as_the_patience(
    root: Path,
    unbroken: RunFolder,
    minutes: int,
    outlives: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Of ten minutes; a minute passes from one attempt to the next."""
    clock = iter(range(10**6))
    monkeypatch.setattr(backlog.time, "monotonic", lambda: 10.0 * next(clock))
    monkeypatch.setattr(backlog, "RETRY_SECONDS", 60.0)
    run = make_run(root, make_profile("run.disk_patience=10"))
    since: list[float] = []

    def before(operation: Operation) -> None:
        if operation.number < 40:
            return
        since.append(backlog.time.monotonic())
        if since[-1] - since[0] < 60 * minutes:
            raise OSError(errno.EIO, os.strerror(errno.EIO))

    with watched(run.path, before):
        if not outlives:
            with pytest.raises(StorageError, match="Input/output error") as caught:
                train(run)
            assert "has refused for 10 minutes (run.disk_patience" in str(caught.value.hint)
            assert "a resume brings it back" in str(caught.value.hint)
            return
        events = train(run)
        assert isinstance(events[-1], Finished)
        while not run.settle():
            pass
    run.release()
    assert_same_training(RunFolder(run.path), unbroken)
