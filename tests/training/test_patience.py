"""Early stopping: a training ends when validation has found nothing better for long enough."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from mamltui.errors import RunError
from mamltui.events import Checkpointed, Event, Finished, Notice, Step, Validated
from mamltui.profiles import Profile, ValidationSection
from mamltui.training import Trainer
from mamltui.training.resumable import find_resumable
from mamltui.training.validation import ValidationScores
from tests.training.small import assert_same_training, make_profile, make_run, make_trainer, train

ACCURACIES = {2: 0.3, 4: 0.5, 6: 0.5, 8: 0.4, 10: 0.6, 12: 0.1, 14: 0.6, 16: 0.2}
"""What validation finds, by the meta-iteration: the best of the first four is at 4."""
SAID = "stopped early: 2 validations without a better accuracy than at iteration 4"


@pytest.fixture(autouse=True)
def _validations(monkeypatch: pytest.MonkeyPatch) -> None:
    validate = Trainer._validate

    def find(trainer: Trainer) -> Iterator[Event]:
        accuracy = ACCURACIES[trainer._state.iteration]
        scores = ValidationScores((0.3, accuracy), (0.1, 0.1), (1.0, 1 - accuracy))
        trainer._validator.scores = lambda *_: scores  # type: ignore[method-assign]
        return validate(trainer)

    monkeypatch.setattr(Trainer, "_validate", find)


def patient(patience: int, *more: str) -> Profile:
    return make_profile(f"validation.patience={patience}", "validation.interval=2", *more)


def said(events: list[Event]) -> list[str]:
    return [event.message for event in events if isinstance(event, Notice)]


def test_a_training_without_a_better_validation_finishes_early_and_says_why(root: Path) -> None:
    run = make_run(root, patient(2))
    events = train(run)
    *_, notice, end = events
    assert notice == Notice(8, SAID)
    assert isinstance(end, Finished)
    assert (end.iteration, end.best_iteration, end.best_accuracy) == (8, 4, 0.5)
    assert max(event.iteration for event in events) == 8
    info = run.info()
    assert (info.state, info.iteration, info.iterations, info.error) == ("finished", 8, 12, None)
    assert (run.load_checkpoint("last").iteration, run.load_checkpoint("best").iteration) == (8, 4)
    assert [record.event for record in run.read_events().records[-2:]] == [notice, end]
    assert not run.held


@pytest.mark.parametrize(("patience", "iteration"), [(0, 12), (1, 6), (2, 8), (3, 12), (4, 12)])
def test_a_training_ends_after_as_many_validations_as_it_has_patience(
    root: Path, patience: int, iteration: int
) -> None:
    events = train(make_run(root, patient(patience)))
    assert isinstance(events[-1], Finished)
    assert events[-1].iteration == iteration
    assert len(said(events)) == (iteration < 12)


def test_the_loss_may_decide_as_well(root: Path) -> None:
    events = train(make_run(root, patient(1, "validation.criterion=loss")))
    assert said(events) == ["stopped early: 1 validation without a better loss than at iteration 4"]


def test_a_run_out_of_patience_is_finished_and_left_as_it_is(root: Path) -> None:
    run = make_run(root, patient(2))
    train(run)
    before = {path: path.read_bytes() for path in run.path.rglob("*") if path.is_file()}
    for profile in (patient(2), patient(1), patient(2, "meta.iterations=16")):
        with pytest.raises(RunError, match="stopped early at iteration 8") as caught:
            train(run, profile)
        assert "no validation since iteration 4 was better" in caught.value.what
        assert "--set validation.patience=" in str(caught.value.hint)
    assert {path: path.read_bytes() for path in before} == before
    assert not run.held


@pytest.mark.parametrize("more", [0, 3])
def test_with_more_patience_it_goes_on_as_if_it_had_had_it(root: Path, more: int) -> None:
    run, straight = make_run(root, patient(2)), make_run(root, patient(more))
    train(run)
    events = train(run, patient(more))
    assert said(events) == [f"resumed with other settings: validation.patience 2 -> {more}"]
    assert run.info().state == "finished"
    train(straight)
    assert_same_training(run, straight)


@pytest.mark.parametrize(
    ("at", "iteration"), [(Step, 6), (Step, 8), (Validated, 8), (Checkpointed, 8), (Notice, 8)]
)
def test_an_interrupted_training_ends_early_as_an_unbroken_one(
    root: Path, at: type[Event], iteration: int
) -> None:
    straight, run = make_run(root, patient(2)), make_run(root, patient(2))
    train(straight)
    events = make_trainer(run).train()
    while not isinstance(event := next(events), at) or event.iteration != iteration:
        pass
    events.close()  # type: ignore[attr-defined]
    assert run.info().state == "interrupted"
    again = train(run)
    assert said(again) == [SAID]
    assert isinstance(again[-1], Finished)
    assert run.info().state == "finished"
    assert_same_training(run, straight)


def test_a_run_that_stopped_early_is_found_for_more_patience_alone(root: Path) -> None:
    run = make_run(root, patient(2))
    train(run)
    for more in ((), ("meta.iterations=16",)):
        found = find_resumable(patient(2, *more), more, "auto", root, lambda _: None)
        assert found is not None
        assert found.is_trained
    for patience in (0, 3):
        change = f"validation.patience={patience}"
        found = find_resumable(patient(2, change), [change], "auto", root, lambda _: None)
        assert found is not None
        assert not found.is_trained


@pytest.mark.parametrize(
    ("patience", "validated", "best", "out"),
    [
        (0, 10_000, 1, False),
        (3, 40, 20, False),
        (3, 49, 20, False),
        (3, 50, 20, True),
        (3, 60, 20, True),
    ],
)
def test_patience_is_counted_in_intervals_since_the_best(
    patience: int, validated: int, best: int, out: bool
) -> None:
    section = ValidationSection(patience=patience, interval=10)
    assert section.is_out_of_patience(validated, best) is out
