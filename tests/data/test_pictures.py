"""What becomes of a picture, whatever its kind of file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image, features

from mamltui.data.pictures import read_picture
from tests.data.miniature import drawing
from tests.data.picture_files import colour, grey, load, write


@pytest.mark.parametrize("suffix", ["png", "bmp", "gif", "tif", "webp", "PNG", "pgm"])
def test_formats(tmp_path: Path, suffix: str) -> None:
    for number in range(2):
        write(tmp_path / "a" / f"{number}.png", grey(number))
        image = Image.fromarray(grey(number + 2))
        (tmp_path / "b").mkdir(exist_ok=True)
        options = {"lossless": True} if suffix == "webp" else {}
        image.save(tmp_path / "b" / f"{number}.{suffix}", **options)
    bank = load(tmp_path)
    assert bank.channels == 1
    assert np.array_equal(bank.images[1, 1, 0].numpy(), 255 - grey(3))


def test_jpeg(tmp_path: Path) -> None:
    for name in ("a", "b"):
        for number, suffix in enumerate(("jpg", "jpeg")):
            write(tmp_path / name / f"{number}.{suffix}", grey(number))
    bank = load(tmp_path)
    assert bank.channels == 1
    difference = bank.images[0, 0, 0].int() - torch.from_numpy(255 - grey(0)).int()
    assert difference.abs().float().mean() < 12


def test_one_coloured_image_makes_the_set_coloured_and_values_stay(tmp_path: Path) -> None:
    for name in ("a", "b"):
        for number in range(2):
            write(tmp_path / name / f"{number}.png", grey(number))
    write(tmp_path / "b" / "1.png", colour(7))
    bank = load(tmp_path)
    assert bank.channels == 3
    assert np.array_equal(bank.images[1, 1].numpy(), colour(7).transpose(2, 0, 1))
    for channel in range(3):
        assert np.array_equal(bank.images[0, 0, channel].numpy(), grey(0))


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "LA", "P"])
def test_grey_images_in_a_colour_mode_are_grey(tmp_path: Path, mode: str) -> None:
    for name in ("a", "b"):
        for number in range(2):
            write(tmp_path / name / f"{number}.png", grey(number), mode)
    bank = load(tmp_path)
    assert bank.channels == 1
    assert np.array_equal(bank.images[0, 0, 0].numpy(), 255 - grey(0))


def test_bright_paper_is_inverted_dark_paper_is_not(tmp_path: Path) -> None:
    for number in range(4):
        write(tmp_path / "bright" / "abcd"[number] / "0.png", grey(number))
        write(tmp_path / "bright" / "abcd"[number] / "1.png", grey(number + 9))
        write(tmp_path / "dark" / "abcd"[number] / "0.png", 255 - grey(number))
        write(tmp_path / "dark" / "abcd"[number] / "1.png", 255 - grey(number + 9))
    bright, dark = load(tmp_path / "bright"), load(tmp_path / "dark")
    assert torch.equal(bright.images, dark.images)
    assert bright.content_hash == dark.content_hash
    assert bright.images.float().mean() < 127


def test_inversion_is_decided_for_the_whole_set(tmp_path: Path) -> None:
    for name in ("a", "b"):
        for number in range(3):
            write(tmp_path / name / f"{number}.png", grey(number))
    write(tmp_path / "b" / "2.png", 255 - grey(2))
    bank = load(tmp_path)
    assert np.array_equal(bank.images[1, 2, 0].numpy(), grey(2))
    assert np.array_equal(bank.images[0, 2, 0].numpy(), 255 - grey(2))


def test_one_bit_images_become_0_and_255_with_strokes_bright(tmp_path: Path) -> None:
    for name in ("a", "b"):
        for number in range(2):
            write(tmp_path / name / f"{number}.png", drawing(number))
    bank = load(tmp_path, image_size=105)
    assert np.array_equal(bank.images[0, 1, 0].numpy() == 255, ~drawing(1))
    assert bank.images.unique().tolist() == [0, 255]


def test_transparent_paper_is_white(tmp_path: Path) -> None:
    # Black everywhere; only the opacity shows the stroke, as drawing programs save it.
    for name in ("a", "b"):
        for number in range(2):
            pixels = np.zeros((28, 28, 4), np.uint8)
            pixels[..., 3] = np.where(drawing(number, 60)[:28, :28], 0, 255)
            write(tmp_path / name / f"{number}.png", pixels)
    bank = load(tmp_path)
    assert bank.channels == 1
    assert np.array_equal(bank.images[0, 1, 0].numpy() == 255, ~drawing(1, 60)[:28, :28])


def test_sixteen_bit_greys_keep_their_shades(tmp_path: Path) -> None:
    for name in ("a", "b"):
        for number in range(2):
            write(tmp_path / name / f"{number}.png", grey(number).astype(np.uint16) * 257)
    assert np.array_equal(load(tmp_path).images[0, 1, 0].numpy(), 255 - grey(1))


def test_images_are_resized_as_asked(tmp_path: Path) -> None:
    for name in ("a", "b"):
        for number in range(2):
            write(tmp_path / name / f"{number}.png", grey(number, 60)[:40])
    for resize, sampling in (
        ("nearest", Image.Resampling.NEAREST),
        ("antialias", Image.Resampling.LANCZOS),
    ):
        bank = load(tmp_path, resize=resize, image_size=20)
        small = Image.fromarray(grey(0, 60)[:40]).resize((20, 20), sampling)
        assert np.array_equal(bank.images[0, 0, 0].numpy(), 255 - np.asarray(small))


def test_an_image_is_turned_as_its_exif_data_say(tmp_path: Path) -> None:
    """Each of the eight orientations brings the same picture upright."""
    upright = np.zeros((24, 24), np.uint8)
    upright[2:8, 4:20] = 255
    upright[2:20, 4:8] = 255
    stored = {
        1: upright,
        2: upright[:, ::-1],
        3: upright[::-1, ::-1],
        4: upright[::-1],
        5: upright.T,
        6: np.rot90(upright),
        7: np.rot90(upright.T, 2),
        8: np.rot90(upright, 3),
    }
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        for orientation, pixels in stored.items():
            exif = Image.Exif()
            exif[0x0112] = orientation
            image = Image.fromarray(np.ascontiguousarray(pixels))
            image.save(tmp_path / name / f"{orientation}.png", exif=exif)
    images = load(tmp_path, image_size=24).images[:, :, 0].numpy()
    for image in images[0]:
        assert np.array_equal(image, upright)


@pytest.mark.parametrize("top", [255, 1023, 4095, 16383, 65535])
@pytest.mark.parametrize("kind", [np.uint16, np.int32])
def test_deep_greys_use_as_many_bits_as_the_set_has(tmp_path: Path, top: int, kind: type) -> None:
    """Of 16-bit files with 12-bit values 4095 is white, also in a darker image of the set."""
    suffix = "png" if kind is np.uint16 else "tif"
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        for number in range(3):
            pixels = np.full((24, 24), top, np.int64)
            pixels[8:16, 8:16] = 0
            pixels[18, 4:20] = top // 2
            image = Image.fromarray((pixels // (1 + number // 2)).astype(kind))
            image.save(tmp_path / name / f"{number}.{suffix}")
    messages: list[str] = []
    images = load(tmp_path, image_size=24, progress=messages.append).images[0, :, 0]
    assert [int(image.max()) for image in images] == [255] * 3  # inverted: the stroke
    assert int(images[0].min()) == 0  # white
    assert abs(int(images[2].min()) - 128) <= 1  # half as bright
    assert f"6 images have more than 8 bits; their largest value is {top}" in messages


@pytest.mark.parametrize("top", [1.0, 255.0])
def test_floating_point_up_to_1_or_255(tmp_path: Path, top: float) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        for number in range(2):
            pixels = grey(number).astype(np.float32) / 255 * top
            pixels[0, 0] = top
            Image.fromarray(pixels).save(tmp_path / name / f"{number}.tiff")
    expected = 255 - grey(1)
    expected[0, 0] = 0
    assert np.array_equal(load(tmp_path).images[0, 1, 0].numpy(), expected)


@pytest.mark.parametrize(
    ("suffix", "mode"),
    [
        *(("jfif", "RGB"), ("jpg", "CMYK"), ("png", "P"), ("gif", "P"), ("webp", "RGBA")),
        *(("tif", "CMYK"), *([("avif", "RGB")] if features.check("avif") else [])),
    ],
)
def test_colours_come_through_every_kind_of_file(tmp_path: Path, suffix: str, mode: str) -> None:
    pixels = np.zeros((24, 24, 3), np.uint8)
    pixels[:12] = (250, 10, 20)
    pixels[12:] = (10, 30, 240)
    format_ = "JPEG" if suffix == "jfif" else None
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        for number in range(2):
            image = Image.fromarray(pixels).convert(mode)
            image.save(tmp_path / name / f"{number}.{suffix}", format_, quality=95)
    images = load(tmp_path, image_size=24).images
    assert images.shape == (2, 2, 3, 24, 24)
    for row, colour_ in ((4, (250, 10, 20)), (20, (10, 30, 240))):
        assert (images[1, 1, :, row, 12].int() - torch.tensor(colour_)).abs().max() < 40


@pytest.mark.parametrize("is_bright", [True, False])
@pytest.mark.parametrize("resize", ["nearest", "antialias"])
def test_an_image_is_made_square_as_asked(tmp_path: Path, resize: str, is_bright: bool) -> None:
    """A square of ink in the middle of an image that is three times as wide as high."""
    wide = np.full((20, 60), 255 if is_bright else 0, np.uint8)
    wide[5:15, 25:35] = 0 if is_bright else 255
    write(tmp_path / "a.png", wide)
    found = {
        fit: read_picture(tmp_path / "a.png", resize, 60, fit=fit).pixels[0]
        for fit in ("stretch", "crop", "pad")
    }
    ink = {fit: (pixels > 127) != is_bright for fit, pixels in found.items()}
    extents = {fit: (each.any(1).sum(), each.any(0).sum()) for fit, each in ink.items()}
    assert extents == {"stretch": (30, 10), "crop": (30, 30), "pad": (10, 10)}
    assert not ink["pad"][:20].any()
    assert found["pad"][0, 0] == found["pad"][30, 0]
    tall = tmp_path / "tall.png"
    write(tall, wide.T.copy())
    assert np.array_equal(read_picture(tall, resize, 60, fit="pad").pixels[0], found["pad"].T)
    write(tall, wide[:, 20:40])
    square = [read_picture(tall, resize, 28, fit=fit).pixels for fit in ("stretch", "crop", "pad")]
    assert all(np.array_equal(each, square[0]) for each in square)
