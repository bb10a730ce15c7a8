"""What is worked out in the background for the episode screen, and what is typed there."""

from __future__ import annotations

from concurrent.futures import Future
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
import torch

from mamltui.data.banks import Banks
from mamltui.data.load import load_bank
from mamltui.errors import CheckpointError, DataError, RunError
from mamltui.evaluation import evaluate_run
from mamltui.profiles import AugmentSection
from mamltui.runs import RunFolder
from mamltui.tui.episode.inspector import EpisodeInspector, EpisodeView
from mamltui.tui.episode.request import LARGEST_TASK, SPLITS, Request, alpha_problem, read_task
from mamltui.tui.session.training import Training
from tests.cli.run_folders import trained_run, write_characters


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    folder = tmp_path_factory.mktemp("episodes")
    run = trained_run(folder / "runs", write_characters(folder / "characters"))
    run.release()
    return run


def request(run: RunFolder, **changes: Any) -> Request:
    return replace(Request(run, "best", None, "test", 0, 0.4, 3), **changes)


def view(asked: Request) -> EpisodeView:
    found = EpisodeInspector(Banks()).inspect(asked, lambda: False)
    assert found is not None
    return found


def test_a_look_holds_every_image_and_its_probabilities(run: RunFolder) -> None:
    found = view(request(run))
    assert found.iteration == 40
    assert (found.way, found.steps, found.note) == (3, 3, "")
    assert [len(row) for row in found.support.drawn] == [1, 1, 1]
    assert [len(row) for row in found.query.drawn] == [2, 2, 2]
    assert found.support.probabilities.shape == (4, 3, 1, 3)
    assert found.query.probabilities.shape == (4, 3, 2, 3)
    true = np.stack([found.query.probabilities[:, label, :, label] for label in range(3)])
    np.testing.assert_allclose(-np.log(true).mean(axis=(0, 2)), found.query.loss, rtol=1e-5)


def test_test_episodes_are_those_the_run_is_scored_on_and_not_those_it_trains_on(
    tmp_path: Path,
) -> None:
    characters = write_characters(tmp_path / "characters")
    task = {"way": 3, "shot": 1, "query": 2, "test_way": 2, "test_shot": 2}
    run = trained_run(tmp_path / "runs", characters, task=task)
    run.release()
    bank, device = load_bank(run.profile.data), torch.device("cpu")
    evaluation = evaluate_run(run, bank=bank, steps=[1], episodes=2, device=device, seed=7)
    first, second = (view(request(run, task=task, steps=2)) for task in (0, 1))
    assert (first.way, first.support.probabilities.shape) == (2, (3, 2, 2, 2))
    scores = evaluation.accuracies("transductive")
    assert [found.query.accuracy[2] for found in (first, second)] == pytest.approx(scores)
    trained = view(request(run, split="train"))
    assert (trained.way, trained.support.probabilities.shape) == (3, (4, 3, 1, 3))


def test_a_look_at_an_episode_can_be_had_again(run: RunFolder) -> None:
    first, other, again = (view(request(run, task=task)) for task in (5, 6, 5))
    assert first.query.drawn == again.query.drawn != other.query.drawn
    assert np.array_equal(first.query.probabilities, again.query.probabilities)


def test_names_and_turns_are_those_of_the_classes(run: RunFolder) -> None:
    looks = [view(request(run, task=task)) for task in range(8)]
    assert {degrees for found in looks for degrees in found.degrees} == {0, 90, 180, 270}
    bank = Banks().bank(run.profile.data)
    assert all(set(found.class_names) <= set(bank.class_names) for found in looks)


def test_training_episodes_are_shown_augmented_as_in_training_and_no_others(
    run: RunFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = {split: view(request(run, split=split)) for split in SPLITS}
    augment = AugmentSection(angle=30.0, shift=3.0)
    changed = run.profile.model_copy(update={"augment": augment})
    monkeypatch.setattr(RunFolder, "profile", changed)
    found = {split: view(request(run, split=split)) for split in SPLITS}
    for split in SPLITS:
        same = found[split].query.drawn == plain[split].query.drawn
        assert same == (split != "train")
        assert found[split].class_names == plain[split].class_names


def test_a_look_that_nobody_wants_any_more_is_given_up(run: RunFolder) -> None:
    asked = []

    def should_stop() -> bool:
        asked.append(True)
        return len(asked) == 3

    assert EpisodeInspector(Banks()).inspect(request(run, steps=500), should_stop) is None
    assert len(asked) == 3


class Silent:
    """A training that is in the middle of a long meta-step."""

    def __init__(self) -> None:
        self.answer: Future[Any] = Future()

    def snapshot(self) -> Future[Any]:
        return self.answer


def test_a_snapshot_that_nobody_waits_for_any_more_is_cancelled(run: RunFolder) -> None:
    training = Silent()
    asked = request(run, source="live", training=cast("Training", training))
    assert EpisodeInspector(Banks()).inspect(asked, lambda: True) is None
    assert training.answer.cancelled()


def test_there_is_nothing_live_where_nothing_trains(run: RunFolder) -> None:
    with pytest.raises(RunError, match="not training now"):
        view(request(run, source="live"))


def test_a_checkpoint_that_is_not_there_is_told(run: RunFolder, tmp_path: Path) -> None:
    write_characters(tmp_path / "characters")
    other = trained_run(tmp_path / "runs", tmp_path / "characters")
    other.release()
    other.checkpoint_path("best").unlink()
    with pytest.raises(CheckpointError, match="no best checkpoint yet"):
        view(request(other))
    other.update(data=run.info().data.model_copy(update={"split_hash": "0" * 64}))  # type: ignore[union-attr]
    with pytest.raises(DataError, match="other classes in its splits"):
        view(request(other, source="last"))


@pytest.mark.parametrize(
    ("text", "batch", "task"),
    [
        ("0", None, 0),
        (" 17 ", None, 17),
        ("17", 32, 17),
        ("1:1", 32, 0),
        ("1:32", 32, 31),
        ("350 : 4", 32, 349 * 32 + 3),
        (str(LARGEST_TASK), None, LARGEST_TASK),
    ],
)
def test_a_task_is_read_by_its_number_or_its_place(text: str, batch: int | None, task: int) -> None:
    assert read_task(text, batch) == task


@pytest.mark.parametrize(
    ("text", "batch", "problem"),
    [
        ("", None, "a number"),
        ("-1", None, "a number"),
        ("1.5", None, "a number"),
        ("²", None, "a number"),
        ("1:2:3", 32, "a number"),
        ("1:", 32, "a number"),
        ("1:2", None, "train split"),
        ("0:1", 32, "count from 1"),
        ("1:0", 32, "count from 1"),
        ("1:33", 32, "from 1 to 32"),
        (str(LARGEST_TASK + 1), None, "at most"),
        ("9" * 5000, None, "at most"),
        ("999999999999999:1", 32, "at most"),
    ],
)
def test_what_is_no_task_is_told_in_words(text: str, batch: int | None, problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        read_task(text, batch)


@pytest.mark.parametrize("text", ["0.4", "1", "1e-3", " 2 "])
def test_a_step_size_is_any_number_above_zero(text: str) -> None:
    assert alpha_problem(text) == ""


@pytest.mark.parametrize("text", ["", "a", "0", "-1", "nan", "inf", "1e999", "0,4"])
def test_what_is_no_step_size_is_told_in_words(text: str) -> None:
    assert "number" in alpha_problem(text)
