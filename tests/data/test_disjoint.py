"""Episodes without a common image: what they share, how many there are, and what they depend on."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from mamltui.data.bank import ImageBank
from mamltui.data.disjoint import DisjointSampler
from mamltui.data.episodes import EpisodeSampler
from mamltui.errors import UsageError

CLASSES = tuple(range(3, 26))


@pytest.fixture(scope="module")
def bank() -> ImageBank:
    images = torch.arange(30 * 20).view(30, 20, 1, 1, 1).expand(-1, -1, -1, 4, 4) % 256
    names = tuple(f"class{number}" for number in range(30))
    return ImageBank("folder", images.to(torch.uint8).contiguous(), names, "c" * 64, "made up")


def sampler(bank: ImageBank, **changes: Any) -> DisjointSampler:
    settings = {"split": "test", "way": 5, "shot": 1, "query": 2, "rotations": True, "seed": 3}
    return DisjointSampler(bank, CLASSES, **{**settings, **changes})


@pytest.mark.parametrize(
    ("way", "shot", "query"),
    [(5, 1, 2), (2, 1, 1), (20, 5, 5), (23, 1, 9), (22, 3, 2), (5, 10, 10)],
)
def test_no_image_is_used_twice_and_no_class_twice_in_a_task(
    bank: ImageBank, way: int, shot: int, query: int
) -> None:
    disjoint = sampler(bank, way=way, shot=shot, query=query)
    plan = disjoint.plan(0, disjoint.tasks)
    images = plan.class_index[..., None] * bank.drawings + plan.drawing
    assert images.unique().numel() == images.numel()
    assert set(plan.class_index.flatten().tolist()) <= set(CLASSES)
    for task in plan.class_index:
        assert task.unique().numel() == way


def test_there_are_as_many_as_the_images_allow(bank: ImageBank) -> None:
    assert sampler(bank).tasks == 23 * 6 // 5
    assert sampler(bank, way=20, shot=5, query=5).tasks == 23 * 2 // 20
    assert sampler(bank, query=19).tasks == 23 // 5


def test_the_first_are_the_same_however_many_are_asked_for(bank: ImageBank) -> None:
    whole = sampler(bank).plan(0, 27)
    for each, again in zip(whole, sampler(bank).plan(4, 3), strict=True):
        assert torch.equal(each[4:7], again)
    for changed in (sampler(bank, seed=4), sampler(bank, split="train")):
        assert not torch.equal(changed.plan(0, 27).drawing, whole.drawing)


def test_images_are_those_of_the_plan(bank: ImageBank) -> None:
    disjoint = sampler(bank)
    plan, batch = disjoint.plan(2, 3), disjoint.batch(2, 3)
    expected = (plan.class_index[..., None] * bank.drawings + plan.drawing) % 256
    for images, drawings in (
        (batch.support_x, expected[..., :1]),
        (batch.query_x, expected[..., 1:]),
    ):
        assert torch.equal((images[..., 0, 0, 0] * 255).round().long(), drawings.flatten(1))


def test_turns_are_all_four_or_none(bank: ImageBank) -> None:
    assert set(sampler(bank).plan(0, 27).quarter_turns.flatten().tolist()) == {0, 1, 2, 3}
    assert not sampler(bank, rotations=False).plan(0, 27).quarter_turns.any()


def test_more_than_there_are_is_refused_in_words(bank: ImageBank) -> None:
    with pytest.raises(UsageError, match=r"28 episodes without a common image .* images for 27"):
        sampler(bank).batch(26, 2)


def test_they_are_not_the_episodes_drawn_with_replacement(bank: ImageBank) -> None:
    settings = {"split": "test", "way": 5, "shot": 1, "query": 2, "rotations": True, "seed": 3}
    drawn: Any = EpisodeSampler(bank, CLASSES, **settings)  # type: ignore[arg-type]
    assert not torch.equal(drawn.plan(0, 5).class_index, sampler(bank).plan(0, 5).class_index)
