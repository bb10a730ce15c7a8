"""Drawings changed at random: by known transformations, by drawn ones, and within tasks."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from mamltui.data.augmentation import (
    Transformations,
    augmented,
    gaussian,
    random_transformations,
    transformed,
)
from mamltui.data.bank import ImageBank
from mamltui.data.episodes import EpisodeSampler
from mamltui.data.randomness import random_bits
from mamltui.profiles import AugmentSection, InvalidProfileError, parse_profile
from tests.fake_cuda import CUDA, Launches, fake_cuda

ALL = AugmentSection(angle=10.0, shift=1.0, scale=0.1, shear=10.0, elastic=1.0)
EACH = [
    AugmentSection(angle=15.0),
    AugmentSection(shift=2.0),
    AugmentSection(scale=0.2),
    AugmentSection(shear=15.0),
    AugmentSection(elastic=1.0),
    ALL,
]
SIZE = 28


def pictures(n: int, size: int = SIZE, channels: int = 1, *, binary: bool = True) -> Tensor:
    generator = torch.Generator().manual_seed(3)
    images = torch.randint(256, (n, channels, size, size), generator=generator, dtype=torch.uint8)
    return (images > 170).to(torch.uint8) * 255 if binary else images


def exactly(**changes: float | tuple[float, float]) -> Transformations:
    """One transformation, of nothing but ``changes``."""
    values: dict[str, float | tuple[float, float]] = {
        "scale": 1.0,
        "shear": 0.0,
        "angle": 0.0,
        "shift": (0.0, 0.0),
    }
    values |= changes
    return Transformations(
        **{name: torch.tensor([value]).double() for name, value in values.items()}
    )


def moved(image: Tensor, right: int, down: int) -> Tensor:
    """By whole pixels, with paper where nothing comes from."""
    size = image.shape[-1]
    padded = torch.nn.functional.pad(image, (size, size, size, size))
    rolled = padded.roll((down, right), (-2, -1))
    return rolled[..., size : 2 * size, size : 2 * size]


def slanted(image: Tensor) -> Tensor:
    """Each row by as many pixels to the right as it is below the centre."""
    below = [number - image.shape[-2] // 2 for number in range(image.shape[-2])]
    rows = [moved(image, by, 0)[..., number, :] for number, by in enumerate(below)]
    return torch.stack(rows, dim=-2)


def make_bank(channels: int = 1, *, binary: bool = True, same: bool = False) -> ImageBank:
    images = pictures(12 * 4, channels=channels, binary=binary)
    if same:
        images = images[:1].repeat(len(images), 1, 1, 1)
    names = tuple(f"class {number}" for number in range(12))
    return ImageBank("folder", images.unflatten(0, (12, 4)), names, "", "test")


def make_sampler(
    augmentation: AugmentSection | None = ALL, bank: ImageBank | None = None, **changed: int
) -> EpisodeSampler:
    sizes = {"way": 5, "shot": 1, "query": 2} | changed
    return EpisodeSampler(
        bank or make_bank(),
        range(12),
        split="train",
        rotations=True,
        seed=0,
        augmentation=augmentation,
        **sizes,
    )


@pytest.mark.parametrize("binary", [True, False])
def test_nothing_asked_for_changes_nothing(binary: bool) -> None:
    images = pictures(1, binary=binary)
    assert torch.equal(transformed(images, exactly(), binary=binary), images)


@pytest.mark.parametrize("size", [8, 9])
@pytest.mark.parametrize(
    ("by", "expected"),
    [
        (exactly(angle=90), lambda image: image.rot90(1, (-2, -1))),
        (exactly(angle=-90), lambda image: image.rot90(3, (-2, -1))),
        (exactly(angle=180), lambda image: image.rot90(2, (-2, -1))),
        (exactly(shift=(2, 0)), lambda image: moved(image, 2, 0)),
        (exactly(shift=(-1, 3)), lambda image: moved(image, -1, 3)),
        (exactly(angle=90, shift=(2, 1)), lambda image: moved(image.rot90(1, (-2, -1)), 2, 1)),
    ],
    ids=["90", "-90", "180", "right", "left and down", "turned, then moved"],
)
def test_turns_and_shifts_by_whole_pixels_are_exact(
    size: int, by: Transformations, expected: Callable[[Tensor], Tensor]
) -> None:
    image = pictures(1, size, binary=False)
    assert torch.equal(transformed(image, by, binary=False), expected(image))


def test_shear_slants_upright_lines_and_leaves_level_ones() -> None:
    image = pictures(1, 9, binary=False)
    assert torch.equal(transformed(image, exactly(shear=45), binary=False), slanted(image))


def test_scale_is_about_the_centre() -> None:
    image = pictures(1, 9, binary=False)
    grown = transformed(image, exactly(scale=3), binary=False)
    assert torch.equal(grown[..., 1::3, 1::3], image[..., 3:6, 3:6])
    shrunk = transformed(image, exactly(scale=0.5), binary=False)
    assert torch.equal(shrunk[..., 2:7, 2:7], image[..., ::2, ::2])
    assert shrunk.count_nonzero() == shrunk[..., 2:7, 2:7].count_nonzero()


def test_a_displacement_says_where_each_pixel_is_taken_from() -> None:
    image = pictures(1, 8, binary=False)
    displacement = torch.zeros(1, 2, 8, 8, dtype=torch.float64)
    displacement[:, 0, :4] = 2  # the upper half, from the right
    displacement[:, 1, 4:] = -1  # the lower half, from above
    found = transformed(image, exactly()._replace(displacement=displacement), binary=False)
    assert torch.equal(found[..., :4, :], moved(image, -2, 0)[..., :4, :])
    assert torch.equal(found[..., 4:, :], moved(image, 0, 1)[..., 4:, :])


def test_between_pixels_is_their_weighted_mean() -> None:
    image = torch.tensor([[0, 255, 100], [0, 0, 30], [8, 0, 0]], dtype=torch.uint8)[None, None]
    half = exactly(shift=(0.5, 0))
    # 127.5 and 177.5 go up, to 128 and 178.
    assert transformed(image, half, binary=False)[0, 0].tolist() == [
        [0, 128, 178],
        [0, 0, 15],
        [4, 4, 0],
    ]
    ink = (image > 50).to(torch.uint8) * 255
    assert transformed(ink, half, binary=True)[0, 0, 0].tolist() == [0, 255, 255]
    less = exactly(shift=(0.25, 0.5))
    assert not transformed(ink, less, binary=True)[0, 0, 2].any()


def keys(n: int) -> Tensor:
    return random_bits(7, torch.arange(n))


def test_transformations_fill_their_range_evenly() -> None:
    found = random_transformations(keys(4000), ALL, gaussian(8, 2.0))
    for values, middle, largest in [
        (found.scale, 1, 0.1),
        (found.shear, 0, 10),
        (found.angle, 0, 10),
        (found.shift[:, 0], 0, 1),
        (found.shift[:, 1], 0, 1),
    ]:
        parts = (values - middle) / largest
        assert -1 <= parts.min() < -0.99
        assert 0.99 < parts.max() < 1
        assert parts.mean().item() == pytest.approx(0, abs=0.05)
        assert parts.std().item() == pytest.approx(1 / math.sqrt(3), rel=0.03)
    together = torch.stack([found.scale, found.shear, found.angle, *found.shift.T])
    assert (together.corrcoef() - torch.eye(5)).abs().max() < 0.08


@pytest.mark.parametrize(("size", "smoothness"), [(28, 3.0), (28, 4.0), (29, 1.0)])
def test_a_displacement_has_its_length_and_its_smoothness(size: int, smoothness: float) -> None:
    augment = AugmentSection(elastic=1.5, smoothness=smoothness)
    field = random_transformations(keys(300), augment, gaussian(size, smoothness)).displacement
    assert field is not None
    assert field.shape == (300, 2, size, size)
    length = field.square().sum(dim=1)
    assert length.mean().sqrt().item() == pytest.approx(1.5, rel=0.03)
    # No place moves more than another, neither in the middle nor at the edges.
    assert length.mean(dim=0).sqrt().amin() > 1.2
    assert length.mean(dim=0).sqrt().amax() < 1.8
    # White noise under a Gaussian: correlation exp(-distance^2 / (4 sigma^2)).
    variance = field.square().mean()
    for distance in (1, 2, 5):
        expected = math.exp(-(distance**2) / (4 * smoothness**2))
        for axis in (-2, -1):
            product = field * field.roll(distance, axis)
            assert (product.mean() / variance).item() == pytest.approx(expected, abs=0.04)
    # The two directions are independent.
    assert (field[:, 0] * field[:, 1]).mean().abs() / variance < 0.05


@pytest.mark.parametrize("augment", EACH, ids=str)
def test_every_drawing_is_changed_in_its_own_way(augment: AugmentSection) -> None:
    bank = make_bank(binary=False, same=True)
    sampler = make_sampler(augment, bank)
    upright = make_sampler(None, bank).batch(0, 8)
    for images, before in zip(sampler.batch(0, 8)[::2], upright[::2], strict=True):
        drawings = images.flatten(0, 1).flatten(1)
        assert len(drawings.unique(dim=0)) > 0.95 * len(drawings)
        assert not (images == before).flatten(2).all(dim=-1).all()
    every = torch.cat(sampler.batch(0, 8)[::2], dim=1).flatten(0, 1).flatten(1)
    assert len(every.unique(dim=0)) > 0.95 * len(every)


def test_tasks_are_the_same_but_for_their_images() -> None:
    plain, changed = make_sampler(None), make_sampler()
    for a, b in zip(plain.plan(5, 20), changed.plan(5, 20), strict=True):
        assert torch.equal(a, b)
    before, after = plain.batch(5, 20), changed.batch(5, 20)
    for a, b in ((before.support_x, after.support_x), (before.query_x, after.query_x)):
        assert a.shape == b.shape
        assert a.dtype == b.dtype
        assert not torch.equal(a, b)
        assert b.mean().item() == pytest.approx(a.mean().item(), rel=0.2)
    assert torch.equal(before.support_y, after.support_y)
    assert torch.equal(before.query_y, after.query_y)


def test_images_are_those_of_the_class_turned_and_then_augmented() -> None:
    """A turn by 90 degrees after a shift to the right would be a shift upwards."""
    bank = make_bank(same=True)
    bank.images.zero_()[..., 10:20, 4:24] = 255
    sampler = make_sampler(AugmentSection(shift=3.0), bank)
    turned = sampler.plan(0, 30).quarter_turns[:, :, None] % 2 == 1
    ink = sampler.batch(0, 30).query_x.unflatten(1, (5, 2))[:, :, :, 0]
    height = (ink.sum(dim=-1) > 0).sum(dim=-1)
    assert ((height > 15) == turned).all()


@pytest.mark.parametrize("augment", [None, AugmentSection(), AugmentSection(smoothness=2.0)])
def test_all_off_batches_are_to_the_bit_those_without(augment: AugmentSection | None) -> None:
    off = make_sampler(augment)
    assert off.augmentation is None
    for a, b in zip(off.batch(3, 4), make_sampler(None).batch(3, 4), strict=True):
        assert torch.equal(a, b)


@pytest.mark.parametrize("augment", EACH, ids=str)
def test_a_task_has_the_same_drawings_in_any_batch(augment: AugmentSection) -> None:
    whole = make_sampler(augment).batch(100, 9)
    parts = make_sampler(augment)
    late, early = parts.batch(torch.tensor(107), 2), parts.batch(100, 7)
    for field in range(4):
        assert torch.equal(whole[field], torch.cat([early[field], late[field]]))


def test_a_task_has_the_same_drawings_with_more_threads() -> None:
    threads = torch.get_num_threads()
    found = []
    try:
        for count in (1, 2):
            torch.set_num_threads(count)
            found.append(make_sampler().batch(3, 16))
    finally:
        torch.set_num_threads(threads)
    assert all(torch.equal(a, b) for a, b in zip(*found, strict=True))


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.parametrize("binary", [True, False])
def test_a_task_has_the_same_drawings_on_the_gpu(binary: bool) -> None:
    sampler = make_sampler(bank=make_bank(binary=binary))
    here, there = sampler.batch(5, 64), sampler.batch(5, 64, device="cuda")
    assert there.support_x.is_cuda
    assert all(torch.equal(a, b.cpu()) for a, b in zip(here, there, strict=True))


@pytest.mark.parametrize(
    ("binary", "digest"),
    [(True, "25bf6e021a1b3435"), (False, "cb126ba58d97192b")],
)
def test_drawings_stay_those_of_earlier_versions(binary: bool, digest: str) -> None:
    images = augmented(
        pictures(12, 20, binary=binary), keys(12), ALL, gaussian(20, 4.0), binary=binary
    )
    assert hashlib.sha256(images.numpy().tobytes()).hexdigest()[:16] == digest


@pytest.mark.parametrize("augment", EACH, ids=str)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
def test_ink_and_paper_stay_ink_and_paper(augment: AugmentSection, dtype: torch.dtype) -> None:
    episodes = make_sampler(augment).batch(0, 4, dtype=dtype)
    assert set(episodes.support_x.flatten().tolist()) == {0.0, 1.0}
    assert set(episodes.query_x.flatten().tolist()) == {0.0, 1.0}


def test_greys_stay_greys() -> None:
    values = make_sampler(bank=make_bank(binary=False)).batch(0, 4).query_x.unique()
    assert len(values) > 200
    assert values.min() == 0
    assert values.max() <= 1


@pytest.mark.parametrize("binary", [True, False])
def test_the_channels_of_an_image_move_together(binary: bool) -> None:
    colours = pictures(6, channels=3, binary=binary)
    smoothing = gaussian(SIZE, ALL.smoothness)
    found = augmented(colours, keys(6), ALL, smoothing, binary=binary)
    assert found.shape == colours.shape
    for channel in range(3):
        alone = augmented(colours[:, channel, None], keys(6), ALL, smoothing, binary=binary)
        assert torch.equal(found[:, channel, None], alone)
    assert make_sampler(bank=make_bank(3)).batch(0, 2).query_x.shape == (2, 10, 3, SIZE, SIZE)


def test_augmenting_on_a_gpu_waits_for_nothing() -> None:
    sampler = make_sampler()
    with fake_cuda():
        number = torch.tensor(3, device=CUDA)
        sampler.tables(CUDA)
        with Launches() as launches:
            episodes = sampler.batch(number, 4, CUDA)
    assert episodes.support_x.device == CUDA
    assert sum("grid_sampler" in name for name in launches.names) == 1
    assert len(launches.names) < 160


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("angle = 181", "allowed: a finite number from 0 to 180"),
        ("angle = -1", "allowed: a finite number from 0 to 180"),
        ("scale = 1", "allowed: a finite number from 0 to 0.9"),
        ("shear = 90", "allowed: a finite number from 0 to 60"),
        ("smoothness = 0", "allowed: a finite number above 0, at most 256"),
        ("elastic = nan", "nan is not allowed"),
        ("shift = 15", "15 pixels move drawings off images of 28"),
        ("elastic = 14.5", "allowed here: up to 14"),
    ],
)
def test_bad_values_are_refused_in_words(line: str, said: str) -> None:
    with pytest.raises(InvalidProfileError) as caught:
        parse_profile(f"[augment]\n{line}\n", "x.toml")
    assert f"x.toml:2: augment.{line.split()[0]}" in str(caught.value)
    assert said in str(caught.value)
