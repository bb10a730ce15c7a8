from __future__ import annotations

import pytest
import torch
from torch import Tensor

from mamltui.data.bank import ImageBank
from mamltui.data.episodes import EpisodeSampler
from mamltui.data.randomness import random_bits
from mamltui.data.splits import split_classes
from mamltui.data.strokes import (
    CONTENT_HASH,
    _Characters,
    _first_distinct,
    _invent,
    strokes_bank,
)


@pytest.fixture(scope="module")
def bank() -> ImageBank:
    return strokes_bank()


def test_there_are_1200_characters_of_20_drawings(bank: ImageBank) -> None:
    assert bank.images.shape == (1200, 20, 1, 28, 28)
    assert bank.images.dtype == torch.uint8
    assert (bank.name, bank.source) == ("strokes", "drawn procedurally, seed 0")
    assert len(set(bank.class_names)) == 1200
    assert (bank.class_names[0], bank.class_names[-1]) == ("stroke-0001", "stroke-1200")


def test_the_images_are_those_published(bank: ImageBank) -> None:
    assert bank.content_hash == CONTENT_HASH


def test_another_seed_is_another_script(bank: ImageBank) -> None:
    other = strokes_bank(seed=1)
    assert other.images.shape == bank.images.shape
    assert other.content_hash != bank.content_hash
    assert (other.images != bank.images).flatten(1).any(1).all()


def test_images_are_black_and_white_with_a_plausible_amount_of_ink(bank: ImageBank) -> None:
    values = torch.bincount(bank.images.flatten(), minlength=256)
    assert values.nonzero().flatten().tolist() == [0, 255]
    ink = (bank.images > 0).double().mean((2, 3, 4))
    assert 0.06 < ink.mean() < 0.1
    assert ink.min() > 0.01
    assert ink.max() < 0.3


def test_no_two_drawings_are_the_same(bank: ImageBank) -> None:
    pictures = {picture.tobytes() for picture in bank.images.flatten(0, 1).numpy()}
    assert len(pictures) == 1200 * 20


def blurred(images: Tensor) -> Tensor:
    """[n, pixels], of length 1."""
    soft = torch.nn.functional.avg_pool2d(images.flatten(0, -4).float(), 4, stride=2, padding=1)
    return torch.nn.functional.normalize(soft.flatten(1), dim=1)


def test_no_two_characters_are_nearly_the_same(bank: ImageBank) -> None:
    middle = blurred(bank.images.float().mean(1))
    likeness = middle @ middle.T
    likeness.fill_diagonal_(0)
    # Real Omniglot, measured alike: 0.993 and 0.742.
    assert likeness.max() < 0.99
    assert likeness.sum() / (1200 * 1199) < 0.7


def test_a_character_that_repeats_or_turns_an_earlier_one_is_left_out() -> None:
    invented = _invent(random_bits(5, torch.arange(200)))
    x, y = invented.knots.unbind(-1)
    turned = invented._replace(knots=torch.stack([-y, x], -1))
    three_times = (torch.cat(fields) for fields in zip(invented, turned, invented, strict=True))
    kept = _first_distinct(_Characters(*three_times))
    assert len(kept) > 150
    assert kept.max() < 200


def test_drawings_of_a_character_resemble_each_other_more_than_others(bank: ImageBank) -> None:
    some = bank.images[:200]
    soft = blurred(some).view(200, 20, -1)
    within = (torch.einsum("cip,cjp->cij", soft, soft).sum((1, 2)) - 20) / (20 * 19)
    first = soft[:, 0]
    between = ((first @ first.T).sum(1) - 1) / 199
    assert within.mean() > between.mean() + 0.15
    assert (within > between).double().mean() > 0.95


def test_a_character_is_the_same_at_another_image_size(bank: ImageBank) -> None:
    small = strokes_bank(image_size=14)
    assert small.images.shape == (1200, 20, 1, 14, 14)
    assert small.content_hash != bank.content_hash
    reduced = torch.nn.functional.avg_pool2d(bank.images[:, :, 0].float(), 2).flatten(2)
    drawn = small.images[:, :, 0].float().flatten(2)
    likeness = torch.nn.functional.cosine_similarity(reduced, drawn, dim=2)
    assert likeness.mean() > 0.8


@pytest.mark.parametrize(("way", "least", "most"), [(5, 0.35, 0.55), (20, 0.15, 0.33)])
def test_the_nearest_neighbour_on_pixels_is_better_than_chance_and_far_from_good(
    bank: ImageBank, way: int, least: float, most: float
) -> None:
    sampler = EpisodeSampler(
        bank,
        split_classes(bank).test,
        split="test",
        way=way,
        shot=1,
        query=1,
        rotations=True,
        seed=0,
    )
    episodes = sampler.batch(0, 600)
    distance = torch.cdist(episodes.query_x.flatten(2), episodes.support_x.flatten(2))
    nearest = episodes.support_y.gather(1, distance.argmin(-1))
    accuracy = (nearest == episodes.query_y).double().mean()
    assert least < accuracy < most
