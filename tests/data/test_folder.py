"""Any folder of class folders as a data set."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from mamltui.data.bank import ImageBank
from mamltui.data.folder import load_folder
from mamltui.errors import DataError
from tests.data.miniature import drawing
from tests.data.test_archive import png_header


def write(path: Path, pixels: np.ndarray, mode: str | None = None) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.fromarray(pixels)
    (image.convert(mode) if mode else image).save(path)


def grey(seed: int, size: int = 28) -> np.ndarray:
    """Dark strokes on bright paper, with noise so that no two are alike."""
    noise = np.random.default_rng(seed).integers(0, 30, (size, size))
    paper = drawing(seed, 60)[:size, :size]
    return np.where(paper, 255 - noise, noise).astype(np.uint8)


def colour(seed: int, size: int = 28) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (size, size, 3), np.uint8)


def load(path: Path, **more: object) -> ImageBank:
    options: dict[str, object] = {"resize": "nearest", "image_size": 28}
    return load_folder(path, **{**options, **more})  # type: ignore[arg-type]


def test_classes_and_images_are_in_the_order_of_their_names(tmp_path: Path) -> None:
    for name in ("zebra", "ant", "cat"):
        for number in (3, 1, 2):
            write(tmp_path / name / f"{number}.png", grey(hash_of(name) + number))
    bank = load(tmp_path)
    assert bank.name == "folder"
    assert bank.class_names == ("ant", "cat", "zebra")
    assert bank.images.shape == (3, 3, 1, 28, 28)
    assert bank.images.dtype == torch.uint8
    assert str(tmp_path) in bank.source
    expected = 255 - grey(hash_of("cat") + 2)
    assert np.array_equal(bank.images[1, 1, 0].numpy(), expected)


def hash_of(name: str) -> int:
    return sum(name.encode()) * 10


def test_groups_of_classes_may_be_one_level_deeper_and_mixed(tmp_path: Path) -> None:
    for name in ("greek/alpha", "greek/beta", "latin/a", "alone"):
        for number in range(2):
            write(tmp_path / name / f"{number}.png", grey(number))
    assert load(tmp_path).class_names == ("alone", "greek/alpha", "greek/beta", "latin/a")


def test_the_smallest_class_decides_how_many_images_are_used_and_that_is_said(
    tmp_path: Path,
) -> None:
    for name, count in (("a", 5), ("b", 3), ("c", 4)):
        for number in range(count):
            write(tmp_path / name / f"{number}.png", grey(number))
    messages: list[str] = []
    bank = load(tmp_path, progress=messages.append)
    assert bank.drawings == 3
    assert np.array_equal(bank.images[0, 2, 0].numpy(), 255 - grey(2))
    assert any("3 to 5 images: the first 3 of each are used, 3 are not" in m for m in messages)


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


def test_hidden_files_leftovers_and_other_files_are_passed_over(tmp_path: Path) -> None:
    for name in ("a", "b"):
        for number in range(2):
            write(tmp_path / name / f"{number}.png", grey(number))
    (tmp_path / "README.txt").write_text("about")
    (tmp_path / "a" / "notes.txt").write_text("about")
    (tmp_path / "a" / "._0.png").write_bytes(b"resource fork")
    (tmp_path / "a" / ".hidden").mkdir()
    (tmp_path / ".git").mkdir()
    (tmp_path / "__MACOSX").mkdir()
    bank = load(tmp_path)
    assert (bank.classes, bank.drawings) == (2, 2)


def test_odd_names_are_data(tmp_path: Path) -> None:
    names = ["[bold]red[/bold]", "a\x1b[2Jb", "line\nbreak", "x" * 200, "é ü 字", "$(rm)"]
    for name in names:
        for number in range(2):
            write(tmp_path / name / f"{number}.png", grey(number))
    not_utf8 = Path(os.fsdecode(os.fsencode(tmp_path) + b"/not-utf8-\xff"))
    for number in range(2):
        write(not_utf8 / f"{number}.png", grey(number))
    found = load(tmp_path).class_names
    assert "[bold]red[/bold]" in found
    assert "a\\x1b[2Jb" in found
    assert "line\\nbreak" in found
    assert "not-utf8-\\udcff" in found
    assert len(found) == 7
    assert all(name.isprintable() for name in found)


def test_the_hash_changes_with_pixels_and_names(tmp_path: Path) -> None:
    for name in ("a", "b"):
        for number in range(2):
            write(tmp_path / name / f"{number}.png", grey(number))
    first = load(tmp_path).content_hash
    assert load(tmp_path).content_hash == first
    (tmp_path / "b").rename(tmp_path / "c")
    second = load(tmp_path).content_hash
    write(tmp_path / "c" / "1.png", grey(5))
    assert len({first, second, load(tmp_path).content_hash}) == 3


def two_images(folder: Path) -> None:
    write(folder / "0.png", grey(0))
    write(folder / "1.png", grey(1))


def case_missing(path: Path) -> str:
    path.rmdir()
    return "there is no such folder"


def case_a_file(path: Path) -> str:
    path.rmdir()
    path.write_text("x")
    return "is not a folder"


def case_nothing(_: Path) -> str:
    return "holds no class folders"


def case_images_without_classes(path: Path) -> str:
    two_images(path)
    return "holds no class folders"


def case_empty_class(path: Path) -> str:
    two_images(path / "a")
    (path / "b").mkdir()
    return f"{path}/b: the class has no images"


def case_empty_group_member(path: Path) -> str:
    two_images(path / "g" / "a")
    (path / "g" / "b").mkdir()
    return f"{path}/g/b: the class has no images"


def case_one_image(path: Path) -> str:
    two_images(path / "a")
    write(path / "b" / "0.png", grey(0))
    return f"{path}/b: the class has one image"


def case_too_deep(path: Path) -> str:
    two_images(path / "x" / "y" / "z")
    return f"{path}/x/y/z: lies too deep"


def case_both(path: Path) -> str:
    two_images(path / "a")
    two_images(path / "a" / "b")
    return f"{path}/a: holds both images and folders"


def case_text_as_image(path: Path) -> str:
    two_images(path / "a")
    (path / "a" / "1.png").write_text("not an image")
    return f"{path}/a/1.png: is not a readable image"


def case_cut_off_image(path: Path) -> str:
    two_images(path / "a")
    file = path / "a" / "1.png"
    file.write_bytes(file.read_bytes()[:200])
    return f"{path}/a/1.png: is not a readable image"


def case_empty_image(path: Path) -> str:
    two_images(path / "a")
    (path / "a" / "1.png").write_bytes(b"")
    return f"{path}/a/1.png: is not a readable image"


def case_huge_image(path: Path) -> str:
    two_images(path / "a")
    (path / "a" / "1.png").write_bytes(png_header(10_000, 10_000))
    return f"{path}/a/1.png: is not a readable image (Image size (100000000 pixels) exceeds limit"


def case_larger_image(path: Path) -> str:
    two_images(path / "a")
    (path / "a" / "1.png").write_bytes(png_header(60_000, 60_000))
    return f"{path}/a/1.png: is not a readable image"


def case_pipe(path: Path) -> str:
    write(path / "a" / "0.png", grey(0))
    os.mkfifo(path / "a" / "1.png")
    return f"{path}/a: the class has one image"


CASES = [case for name, case in sorted(globals().items()) if name.startswith("case_")]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.__name__)
def test_a_folder_that_is_no_data_set_says_why_and_where(tmp_path: Path, case: object) -> None:
    path = tmp_path / "set"
    path.mkdir()
    message = case(path)  # type: ignore[operator]
    with pytest.raises(DataError) as caught:
        load(path)
    assert message in str(caught.value)
    assert str(path) in str(caught.value)
    assert caught.value.exit_code == 3
