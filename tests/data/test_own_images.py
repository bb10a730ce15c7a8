"""Own images for a trained run: found, and prepared as its data were."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from mamltui.data.own_images import (
    OwnImages,
    Preparation,
    find_query,
    find_support,
    read_own_images,
)
from mamltui.errors import DataError
from mamltui.profiles import Profile
from tests.data.miniature import drawing
from tests.data.picture_files import colour, grey, write

PAPER_DATA = Preparation.of(Profile().data, size=28, channels=1)


def read(place: Path, preparation: Preparation, said: list[str] | None = None) -> OwnImages:
    names, support = find_support(place / "support")
    query = find_query([place / "query"], names)
    told = (said if said is not None else []).append
    return read_own_images(names, support, query, preparation, progress=told)


def test_classes_may_have_unequally_many_images_and_a_single_one(tmp_path: Path) -> None:
    for name, count in (("b", 1), ("a", 3), ("group/c", 2)):
        for number in range(count):
            write(tmp_path / name / f"{number}.png", grey(number))
    names, images = find_support(tmp_path)
    assert names == ("a", "b", "group/c")
    assert [image.label for image in images] == [0, 0, 0, 1, 2, 2]


def test_query_images_are_files_folders_or_class_folders(tmp_path: Path) -> None:
    for name in ("a", "b"):
        write(tmp_path / "query" / name / "1.png", grey(1))
    write(tmp_path / "query" / "loose.png", grey(2))
    write(tmp_path / "one.png", grey(3))
    found = find_query([tmp_path / "one.png", tmp_path / "query"], ["a", "b"])
    labels = {image.file.relative_to(tmp_path).as_posix(): image.label for image in found}
    expected = {"one.png": None, "query/loose.png": None, "query/a/1.png": 0, "query/b/1.png": 1}
    assert labels == expected


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda _: None, "there is no such folder"),
        (lambda at: at.write_text(""), "is not a folder"),
        (lambda at: at.mkdir(), "holds no class folders"),
        (lambda at: write(at / "a" / "1.png", grey(1)), "holds one class folder"),
        (lambda at: [(at / name).mkdir(parents=True) for name in "ab"], "without images: a, b"),
        (lambda at: write(at / "1.png", grey(1)), "holds no class folders"),
    ],
)
def test_a_support_folder_that_is_none_says_why(tmp_path: Path, make: object, words: str) -> None:
    make(tmp_path / "support")  # type: ignore[operator]
    with pytest.raises(DataError) as refused:
        find_support(tmp_path / "support")
    assert words in refused.value.what
    assert refused.value.hint


def test_query_folders_that_are_no_classes_of_the_support_set_are_named(tmp_path: Path) -> None:
    write(tmp_path / "zebra" / "1.png", grey(1))
    with pytest.raises(DataError, match="no classes of the support set: zebra"):
        find_query([tmp_path], ["a", "b"])
    with pytest.raises(DataError, match="there is no such file"):
        find_query([tmp_path / "none.png"], ["a", "b"])
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="holds no images"):
        find_query([tmp_path / "empty"], ["a", "b"])


def test_black_and_white_images_are_scaled_as_the_papers_data_are(tmp_path: Path) -> None:
    for name, number in (("a", 1), ("b", 2)):
        paper = np.where(drawing(number, 60), 255, 0).astype(np.uint8)
        write(tmp_path / "support" / name / "1.png", paper, mode="1")
        write(tmp_path / "query" / name / "1.png", paper, mode="1")
    said: list[str] = []
    images = read(tmp_path, PAPER_DATA, said)
    opened = Image.open(tmp_path / "support" / "b" / "1.png")
    nearest = opened.resize((28, 28), Image.Resampling.NEAREST)
    assert torch.equal(images.support_x[1, 0].bool(), ~torch.from_numpy(np.array(nearest)))
    assert torch.equal(images.query_x, images.support_x)
    assert any("dark ink on bright paper, so inverted" in text for text in said)
    assert any("2 query images are also support images" in text for text in said)


@pytest.mark.parametrize("is_bright", [True, False])
def test_grey_images_become_ink_and_paper_for_a_run_that_has_seen_nothing_else(
    tmp_path: Path, is_bright: bool
) -> None:
    """A photograph of a drawing: large, with shades, its light and dark by no means 255 and 0."""
    ink = np.kron(~drawing(3, 60), np.ones((8, 8))) > 0
    noise = np.random.default_rng(0).normal(0, 8, ink.shape)
    shades = np.clip(np.where(ink == is_bright, 70, 150) + noise, 0, 255).astype(np.uint8)
    for name in ("a", "b"):
        write(tmp_path / "support" / name / "1.png", shades)
        write(tmp_path / "query" / name / "1.png", np.dstack([shades, shades // 2, shades // 3]))
    said: list[str] = []
    images = read(tmp_path, Preparation.of(Profile().data, size=60, channels=1), said)
    expected = torch.from_numpy(~drawing(3, 60))
    for found in (*images.support_x, *images.query_x):
        assert (found[0].bool() == expected).float().mean() > 0.97
        assert set(found.unique().tolist()) == {0.0, 1.0}
    assert any("2 of 4 images are in colour, and were read as grey" in text for text in said)


def test_colour_stays_for_a_run_on_photographs(tmp_path: Path) -> None:
    for name in ("a", "b"):
        write(tmp_path / "support" / name / "1.png", colour(1, 40)[:30])
        write(tmp_path / "query" / name / "1.png", grey(1, 20))
    said: list[str] = []
    data = Profile.model_validate({"data": {"set": "cifar-fs", "image_size": 32}}).data
    images = read(tmp_path, Preparation.of(data, size=32, channels=3), said)
    assert images.support_x.shape == (2, 3, 32, 32)
    resized = Image.fromarray(colour(1, 40)[:30]).resize((32, 32), Image.Resampling.LANCZOS)
    expected = torch.from_numpy(np.array(resized)).permute(2, 0, 1) / 255
    assert torch.allclose(images.support_x[0], expected, atol=1e-6)
    assert torch.equal(images.query_x[0, 0], images.query_x[0, 2])
    assert any("2 of 4 images are not square, and were stretched" in text for text in said)
    assert any("2 of 4 images are smaller than 32 pixels" in text for text in said)


def test_every_unreadable_image_is_named_whichever_set_it_is_in(tmp_path: Path) -> None:
    for name in ("a", "b"):
        write(tmp_path / "support" / name / "1.png", grey(1))
        write(tmp_path / "query" / name / "1.png", grey(1))
    for spoilt in ("support/a/1.png", "query/b/1.png"):
        (tmp_path / spoilt).write_bytes(b"GIF89a")
    with pytest.raises(DataError) as refused:
        read(tmp_path, PAPER_DATA)
    assert "2 images cannot be read" in refused.value.what
    assert "support/a/1.png" in str(refused.value.hint)
    assert "query/b/1.png" in str(refused.value.hint)


def test_an_image_of_one_grey_is_paper(tmp_path: Path) -> None:
    for name in ("a", "b"):
        write(tmp_path / "support" / name / "1.png", grey(1))
    write(tmp_path / "query" / "blank.png", np.full((28, 28), 180, np.uint8))
    assert not read(tmp_path, PAPER_DATA).query_x.any()
