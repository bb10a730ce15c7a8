"""The k best checkpoints, kept for an ensemble: always the same ones, however often resumed."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from mamltui.events import Checkpointed, Event, Finished, Notice, Step, Validated
from mamltui.profiles import Profile
from mamltui.runs import RunFolder
from mamltui.runs.kept import kept_iterations, load_kept
from mamltui.training import Trainer
from mamltui.training.validation import ValidationScores
from tests.training.small import (
    assert_same_tensors,
    assert_same_training,
    make_profile,
    make_run,
    make_trainer,
    train,
)
from tests.training.test_resume import check_kill_points, kill_points

ACCURACIES = {2: 0.3, 4: 0.5, 6: 0.4, 8: 0.5, 10: 0.2, 12: 0.4}
"""What validation finds, by the meta-iteration: from the best, 4, 8, 6, 12, 2, 10."""

QUICK = ("validation.episodes=2", "meta.batch=1")
TO_KILL = ("validation.keep=2", "validation.interval=1", "meta.iterations=5", *QUICK)


@contextmanager
def pretend() -> Iterator[None]:
    """Validation finds what is written above."""
    validate = Trainer._validate

    def find(trainer: Trainer) -> Iterator[Event]:
        accuracy = ACCURACIES[trainer._state.iteration]
        scores = ValidationScores((0.3, accuracy), (0.1, 0.1), (1.0, accuracy))
        trainer._validator.scores = lambda *_: scores  # type: ignore[method-assign]
        return validate(trainer)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Trainer, "_validate", find)
        yield


@pytest.fixture
def _validations() -> Iterator[None]:
    with pretend():
        yield


pretended = pytest.mark.usefixtures("_validations")


def keeping(keep: int, *more: str) -> Profile:
    return make_profile(f"validation.keep={keep}", "validation.interval=2", *QUICK, *more)


def interrupted(root: Path, profile: Profile, at: type[Event], iteration: int) -> RunFolder:
    run = make_run(root, profile)
    events = make_trainer(run).train()
    while not isinstance(event := next(events), at) or event.iteration != iteration:
        pass
    events.close()  # type: ignore[attr-defined]
    return run


@pytest.fixture(scope="module")
def straight(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    """Keeps three, and was never interrupted; only for reading."""
    run = make_run(tmp_path_factory.mktemp("straight"), keeping(3))
    with pretend():
        train(run)
    return run


@pretended
@pytest.mark.parametrize(
    ("keep", "criterion", "kept"),
    [
        (1, "accuracy", []),
        (3, "accuracy", [4, 6, 8]),
        (4, "accuracy", [4, 6, 8, 12]),
        (3, "loss", [2, 6, 10]),
    ],
)
def test_the_best_by_the_criterion_are_kept_and_of_equals_the_earlier(
    root: Path, keep: int, criterion: str, kept: list[int]
) -> None:
    run = make_run(root, keeping(keep, f"validation.criterion={criterion}"))
    events = train(run)
    assert kept_iterations(run) == kept
    best = run.load_checkpoint("best")
    assert best.iteration == {"accuracy": 4, "loss": 10}[criterion]
    if kept:
        assert [saved.iteration for saved in load_kept(run)] == kept
        assert_same_tensors(run.load_checkpoint(best.iteration), best)
    saved = [event for event in events if isinstance(event, Checkpointed) and event.kind == "top"]
    assert set(kept) <= {event.iteration for event in saved}
    for event in saved:
        assert event.path == f"checkpoints/top-{event.iteration}.safetensors"
    assert not list(run.path.glob("**/*.part"))


@pretended
def test_what_is_kept_changes_no_digit_of_the_training(root: Path, straight: RunFolder) -> None:
    single = make_run(root, keeping(1))
    train(single)
    for kind in ("last", "best"):
        assert_same_tensors(single.load_checkpoint(kind), straight.load_checkpoint(kind))


@pretended
@pytest.mark.parametrize(
    ("at", "iteration"),
    [(Step, 4), (Checkpointed, 6), (Step, 8), (Validated, 8), (Step, 12)],
)
def test_a_resumed_training_keeps_what_an_unbroken_one_keeps(
    root: Path, straight: RunFolder, at: type[Event], iteration: int
) -> None:
    run = interrupted(root, keeping(3), at, iteration)
    assert isinstance(train(run)[-1], Finished)
    assert_same_training(run, straight)


@pretended
def test_one_that_was_not_written_yet_is_made_from_the_last(
    root: Path, straight: RunFolder
) -> None:
    run = interrupted(root, keeping(3), Validated, 6)
    assert run.load_checkpoint("last").best_iteration == 4
    run.checkpoint_path(6).unlink()
    events = make_trainer(run).train()
    next(events)
    assert_same_tensors(run.load_checkpoint(6), run.load_checkpoint("last"))
    for _ in events:
        pass
    assert_same_training(run, straight)


@pretended
def test_one_that_was_not_deleted_yet_is(root: Path, straight: RunFolder) -> None:
    run = interrupted(root, keeping(3), Validated, 8)
    assert kept_iterations(run) == [4, 6, 8]
    run.save_checkpoint(2, run.load_checkpoint(4))
    train(run)
    assert_same_training(run, straight)


@pretended
def test_one_that_was_lost_makes_room(root: Path) -> None:
    run = interrupted(root, keeping(2), Validated, 8)
    run.checkpoint_path(4).unlink()
    train(run)
    assert kept_iterations(run) == [8, 12]


@pretended
@pytest.mark.parametrize(
    ("before", "after", "kept"),
    [(3, 2, [4, 8]), (3, 1, []), (2, 4, [4, 8, 10, 12]), (1, 3, [4, 10, 12])],
)
def test_a_resumed_training_may_keep_more_or_fewer(
    root: Path, before: int, after: int, kept: list[int]
) -> None:
    run = interrupted(root, keeping(before), Validated, 8)
    events = train(run, keeping(after))
    said = [event.message for event in events if isinstance(event, Notice)]
    assert said == [f"resumed with other settings: validation.keep {before} -> {after}"]
    assert kept_iterations(run) == kept
    if kept:
        assert [saved.iteration for saved in load_kept(run)] == kept


@pretended
def test_a_run_that_lost_its_last_checkpoint_goes_on_from_the_latest_it_keeps(
    root: Path, straight: RunFolder
) -> None:
    run = interrupted(root, keeping(3), Step, 10)
    run.checkpoint_path("last").write_bytes(b"torn")
    events = train(run)
    assert events[0].iteration == 8
    (notice,) = [event.message for event in events if isinstance(event, Notice)]
    assert notice.startswith("the last checkpoint is lost (the checkpoint is damaged")
    assert notice.endswith("going on from one kept for an ensemble, of iteration 8")
    assert_same_training(run, straight)


@pretended
def test_a_best_checkpoint_that_is_lost_is_the_one_kept_of_its_iteration(
    root: Path, straight: RunFolder
) -> None:
    run = interrupted(root, keeping(3), Step, 10)
    run.checkpoint_path("best").write_bytes(b"torn")
    train(run)
    assert_same_training(run, straight)


@pytest.mark.skipif(os.name != "posix", reason="processes are killed by POSIX signals")
def test_a_training_killed_at_some_disk_operations_keeps_the_same_in_the_end(root: Path) -> None:
    unbroken = make_run(root, make_profile(*TO_KILL))
    train(unbroken)
    killed = kill_points(root, 5, 31, *TO_KILL)
    assert len(killed) >= 4
    check_kill_points(killed, unbroken)


@pytest.mark.skipif(os.name != "posix", reason="processes are killed by POSIX signals")
@pytest.mark.long
@pytest.mark.timeout(1800)
def test_a_training_killed_at_any_disk_operation_keeps_the_same_in_the_end(root: Path) -> None:
    unbroken = make_run(root, make_profile(*TO_KILL))
    train(unbroken)
    killed = kill_points(root, 1, 1, *TO_KILL)
    assert len(killed) >= 60
    check_kill_points(killed, unbroken)
