from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from mamltui.data.bank import ImageBank
from mamltui.data.episodes import EpisodeSampler
from mamltui.data.randomness import random_bits, random_order
from mamltui.errors import UsageError
from tests.fake_cuda import CUDA, Launches, fake_cuda

CLASSES, DRAWINGS, SIZE = 30, 8, 6


def make_bank(classes: int = CLASSES, drawings: int = DRAWINGS, channels: int = 1) -> ImageBank:
    """Every drawing is another random picture, so that a picture names its drawing."""
    images = torch.randint(
        256,
        (classes, drawings, channels, SIZE, SIZE),
        generator=torch.Generator().manual_seed(1),
        dtype=torch.uint8,
    )
    return ImageBank("folder", images, tuple(f"class-{i:03d}" for i in range(classes)), "", "test")


def make_sampler(**changed: object) -> EpisodeSampler:
    arguments = {
        "bank": make_bank(),
        "classes": range(CLASSES),
        "split": "train",
        "way": 5,
        "shot": 1,
        "query": 2,
        "rotations": True,
        "seed": 0,
    } | changed
    return EpisodeSampler(**arguments)  # type: ignore[arg-type]


def chi_square_excess(counts: Tensor, degrees: int) -> float:
    """How many standard deviations the chi-square of ``counts`` lies above that of even counts."""
    expected = counts.sum().item() / counts.numel()
    chi_square = ((counts - expected) ** 2 / expected).sum().item()
    return (chi_square - degrees) / math.sqrt(2 * degrees)


def test_random_bits_are_the_published_outputs_of_splitmix64() -> None:
    bits = random_bits(1234567, torch.arange(5))
    assert [value % 2**64 for value in bits.tolist()] == [
        6457827717110365317,
        3203168211198807973,
        9817491932198370423,
        4593380528125082431,
        16408922859458223821,
    ]


def test_every_order_of_four_things_is_equally_likely() -> None:
    orders = random_order(random_bits(torch.arange(12000)[:, None], torch.arange(4)))
    code = (orders * torch.tensor([64, 16, 4, 1])).sum(1)
    _, counts = code.unique(return_counts=True)
    assert counts.numel() == 24
    assert chi_square_excess(counts, 23) < 4


def test_equal_bits_still_give_an_order_without_repetition() -> None:
    orders = random_order(torch.zeros(3, 20, dtype=torch.int64), 7)
    assert all(len(set(order)) == 7 for order in orders.tolist())


@pytest.mark.parametrize("split", ["train", "validation", "test"])
def test_a_task_does_not_depend_on_the_batch_it_comes_in(split: str) -> None:
    whole = make_sampler(split=split).batch(100, 12)
    in_parts = make_sampler(split=split)
    late, early = in_parts.batch(107, 5), in_parts.batch(100, 7)
    for field in range(4):
        assert torch.equal(whole[field], torch.cat([early[field], late[field]]))


@pytest.mark.parametrize("first", [0, 7, 2**40])
def test_the_first_tasks_number_may_be_a_tensor(first: int) -> None:
    sampler = make_sampler()
    number = torch.tensor(first)
    for tasks in (1, 6):
        by_int, by_tensor = sampler.batch(first, tasks), sampler.batch(number, tasks)
        assert all(torch.equal(a, b) for a, b in zip(by_int, by_tensor, strict=True))
        assert by_int.support_y.stride() == by_tensor.support_y.stride()
    assert number.item() == first


def test_sampling_on_a_gpu_waits_for_nothing() -> None:
    sampler = make_sampler()
    with fake_cuda():
        number = torch.tensor(3, device=CUDA)
        sampler.tables(CUDA)
        with Launches() as launches:
            episodes = sampler.batch(number, 4, CUDA)
    assert episodes.support_x.device == CUDA
    assert 10 < len(launches.names) < 60


def test_a_task_does_not_depend_on_torchs_generator_or_threads() -> None:
    threads = torch.get_num_threads()
    torch.manual_seed(1)
    before = make_sampler().batch(3, 4)
    try:
        torch.set_num_threads(1)
        torch.manual_seed(2)
        after = make_sampler().batch(3, 4)
    finally:
        torch.set_num_threads(threads)
    assert all(torch.equal(a, b) for a, b in zip(before, after, strict=True))


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_a_task_is_the_same_on_the_gpu() -> None:
    sampler = make_sampler(way=20, shot=3, query=5)
    here, there = sampler.batch(5, 16), sampler.batch(5, 16, device="cuda")
    assert there.support_x.is_cuda
    assert all(torch.equal(a, b.cpu()) for a, b in zip(here, there, strict=True))


@pytest.mark.parametrize(
    ("seed", "split", "task", "class_index", "drawing", "quarter_turns"),
    [
        (
            0,
            "train",
            0,
            [23, 5, 2, 17, 20],
            [[1, 6, 2], [1, 4, 3], [7, 4, 5], [6, 7, 3], [6, 0, 2]],
            [3, 2, 2, 0, 0],
        ),
        (
            0,
            "train",
            1919999,
            [2, 3, 21, 11, 0],
            [[0, 7, 3], [7, 5, 1], [0, 6, 1], [6, 2, 4], [0, 1, 3]],
            [3, 2, 2, 3, 0],
        ),
        (
            0,
            "validation",
            0,
            [15, 28, 7, 20, 24],
            [[3, 6, 7], [3, 0, 4], [1, 5, 6], [3, 1, 4], [6, 2, 5]],
            [2, 3, 2, 0, 0],
        ),
        (
            0,
            "test",
            599,
            [24, 1, 7, 26, 25],
            [[6, 5, 4], [7, 6, 1], [7, 0, 2], [6, 4, 2], [7, 6, 3]],
            [2, 0, 0, 2, 0],
        ),
        (
            7,
            "train",
            0,
            [11, 13, 1, 27, 28],
            [[3, 7, 5], [3, 7, 5], [3, 1, 2], [4, 7, 6], [6, 0, 4]],
            [0, 0, 0, 3, 2],
        ),
        (
            -1,
            "test",
            1099511627776,
            [12, 2, 0, 7, 8],
            [[1, 4, 2], [1, 7, 5], [2, 7, 0], [3, 4, 5], [5, 6, 3]],
            [2, 2, 0, 1, 2],
        ),
    ],
)
def test_tasks_stay_those_of_earlier_versions(
    seed: int,
    split: str,
    task: int,
    class_index: list[int],
    drawing: list[list[int]],
    quarter_turns: list[int],
) -> None:
    plan = make_sampler(seed=seed, split=split).plan(task, 1)
    assert plan.class_index.tolist() == [class_index]
    assert plan.drawing.tolist() == [drawing]
    assert plan.quarter_turns.tolist() == [quarter_turns]


def test_seeds_splits_and_tasks_give_different_tasks() -> None:
    plans = [
        make_sampler(seed=seed, split=split).plan(first, 1).class_index
        for seed in (0, 1, -1, 2**64 - 2)
        for split in ("train", "validation", "test")
        for first in (0, 1, 2**40)
    ]
    assert len({tuple(plan.flatten().tolist()) for plan in plans}) == len(plans)


def test_the_classes_of_a_task_are_distinct_and_of_the_split() -> None:
    classes = list(range(1, CLASSES, 2))
    chosen = make_sampler(classes=classes, way=15).plan(0, 200).class_index
    assert all(sorted(task) == classes for task in chosen.tolist())
    five = make_sampler(classes=classes, way=5).plan(0, 200).class_index
    assert all(len(set(task)) == 5 for task in five.tolist())
    assert set(five.flatten().tolist()) == set(classes)


def test_support_and_query_never_share_a_drawing() -> None:
    drawing = make_sampler(shot=3, query=5).plan(0, 300).drawing.flatten(0, 1)
    assert drawing.shape == (300 * 5, 8)
    assert all(sorted(row) == list(range(DRAWINGS)) for row in drawing.tolist())
    fewer = make_sampler(shot=2, query=3).plan(0, 300).drawing.flatten(0, 1)
    assert all(len(set(row)) == 5 for row in fewer.tolist())


def test_every_class_carries_every_label_equally_often() -> None:
    tasks, way = 20000, 5
    chosen = make_sampler(way=way).plan(0, tasks).class_index
    counts = torch.zeros(way, CLASSES, dtype=torch.int64)
    for label in range(way):
        counts[label] = torch.bincount(chosen[:, label], minlength=CLASSES)
        assert chi_square_excess(counts[label], CLASSES - 1) < 4
    assert chi_square_excess(counts, way * (CLASSES - 1)) < 4


def test_the_order_of_the_labels_is_even_within_a_pair_of_classes() -> None:
    chosen = make_sampler(classes=[4, 9], way=2).plan(0, 10000).class_index
    assert (chosen[:, 0] == 4).double().mean().item() == pytest.approx(0.5, abs=0.02)


def test_every_drawing_is_support_and_query_equally_often() -> None:
    drawing = make_sampler(shot=1, query=1).plan(0, 5000).drawing.flatten(0, 1)
    for place in range(2):
        counts = torch.bincount(drawing[:, place], minlength=DRAWINGS)
        assert chi_square_excess(counts, DRAWINGS - 1) < 4


def test_quarter_turns_are_even_and_independent_of_the_label() -> None:
    turns = make_sampler().plan(0, 5000).quarter_turns
    for label in range(5):
        assert chi_square_excess(torch.bincount(turns[:, label], minlength=4), 3) < 4
    pair = torch.bincount(turns[:, 0] * 4 + turns[:, 1], minlength=16)
    assert chi_square_excess(pair, 15) < 4


@pytest.mark.parametrize("channels", [1, 3])
def test_images_are_the_planned_drawings_turned_as_torch_turns_them(channels: int) -> None:
    bank = make_bank(channels=channels)
    sampler = make_sampler(bank=bank, shot=2, query=3)
    plan, episodes = sampler.plan(7, 6), sampler.batch(7, 6)
    for task in range(6):
        for label in range(5):
            drawings = bank.images[plan.class_index[task, label], plan.drawing[task, label]]
            turns = int(plan.quarter_turns[task, label])
            expected = torch.rot90(drawings, turns, (-2, -1)).float() * (1 / 255)
            support = episodes.support_x[task, label * 2 : label * 2 + 2]
            query = episodes.query_x[task, label * 3 : label * 3 + 3]
            assert torch.equal(torch.cat([support, query]), expected)


def test_without_rotations_images_are_upright() -> None:
    bank = make_bank()
    sampler = make_sampler(bank=bank, rotations=False)
    plan = sampler.plan(0, 4)
    assert not plan.quarter_turns.any()
    support = bank.images[plan.class_index, plan.drawing[..., 0]].float() * (1 / 255)
    assert torch.equal(sampler.batch(0, 4).support_x, support)


def test_rotations_change_neither_classes_nor_drawings() -> None:
    with_turns, upright = (make_sampler(rotations=choice).plan(0, 50) for choice in (True, False))
    assert torch.equal(with_turns.class_index, upright.class_index)
    assert torch.equal(with_turns.drawing, upright.drawing)


def test_labels_are_the_position_of_the_class() -> None:
    episodes = make_sampler(way=3, shot=2, query=1).batch(0, 4)
    assert episodes.support_y.tolist() == [[0, 0, 1, 1, 2, 2]] * 4
    assert episodes.query_y.tolist() == [[0, 1, 2]] * 4
    assert episodes.support_x.shape == (4, 6, 1, SIZE, SIZE)
    assert episodes.query_x.shape == (4, 3, 1, SIZE, SIZE)


@pytest.mark.parametrize(
    "dtype", [torch.float32, torch.float64, torch.float16, torch.bfloat16], ids=str
)
def test_full_ink_is_exactly_one_and_paper_zero(dtype: torch.dtype) -> None:
    images = torch.zeros(3, 2, 1, 4, 4, dtype=torch.uint8)
    images[..., 1:3] = 255
    bank = ImageBank("folder", images, ("a", "b", "c"), "", "test")
    episodes = make_sampler(bank=bank, classes=range(3), way=3, query=1).batch(0, 5, dtype=dtype)
    assert episodes.support_x.dtype == dtype
    assert set(episodes.support_x.flatten().tolist()) == {0.0, 1.0}


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"way": CLASSES + 1}, f"the train split of folder has {CLASSES}"),
        ({"classes": [3, 4]}, "needs 5 classes, the train split of folder has 2"),
        ({"shot": 5, "query": 4}, "shot 5 + query 4 = 9 drawings a class, folder has 8"),
        ({"shot": 0}, "0-shot"),
        ({"split": "training"}, "no split 'training'"),
    ],
)
def test_impossible_tasks_are_refused_in_words(changed: dict[str, object], said: str) -> None:
    with pytest.raises(UsageError) as refused:
        make_sampler(**changed)
    assert said in refused.value.what
    assert refused.value.hint


def test_a_class_cannot_be_in_a_split_twice() -> None:
    with pytest.raises(ValueError, match="distinct"):
        make_sampler(classes=[1, 2, 3, 4, 5, 5])
