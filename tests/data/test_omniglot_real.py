"""The published data set itself, where MAMLTUI_TEST_OMNIGLOT names it."""

from __future__ import annotations

import hashlib
import io
import time
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mamltui.data.bank import ImageBank
from mamltui.data.omniglot import load_omniglot
from mamltui.data.omniglot_content import OMNIGLOT

NEAREST_28 = "286799c894d49a1c8326036dacb3a88c2b5911de9d2b5635637a885ff3b7a7ab"


@pytest.fixture(scope="module")
def bank(omniglot_dir: Path) -> ImageBank:
    return load_omniglot(omniglot_dir, resize="nearest", image_size=28, download=False)


def test_the_published_omniglot_is_verified_and_gives_the_papers_images(bank: ImageBank) -> None:
    assert bank.images.shape == (1623, 20, 1, 28, 28)
    assert ((bank.images == 0) | (bank.images == 255)).all()
    assert 0.05 < bank.images.float().mean() / 255 < 0.12  # strokes are the smaller part
    assert bank.class_names[0] == "images_background/Alphabet_of_the_Magi/character01"
    assert bank.class_names[964] == "images_evaluation/Angelic/character01"
    assert bank.content_hash == NEAREST_28


def test_a_second_start_takes_well_under_a_second(bank: ImageBank, omniglot_dir: Path) -> None:
    start = time.process_time()  # what others use of the machine does not count
    again = load_omniglot(omniglot_dir, resize="nearest", image_size=28, download=False)
    assert time.process_time() - start < 0.8
    assert again.content_hash == bank.content_hash


def test_images_are_the_files_sampled_at_pixel_centres(bank: ImageBank, omniglot_dir: Path) -> None:
    places = ((np.arange(28) + 0.5) * 105 / 28).astype(int)
    for part in ("images_background", "images_evaluation"):
        with zipfile.ZipFile(omniglot_dir / f"{part}.zip") as archive:
            for name in archive.namelist()[::997]:
                if not name.endswith(".png"):
                    continue
                stroke = ~np.asarray(Image.open(io.BytesIO(archive.read(name))).convert("1"))
                folder, _, file = name.rpartition("/")
                drawing = int(file.removesuffix(".png").split("_")[1]) - 1
                image = bank.images[bank.class_names.index(folder), drawing, 0].numpy()
                assert np.array_equal(image == 255, stroke[np.ix_(places, places)]), name


def test_an_alphabets_hash_follows_the_documented_rule(omniglot_dir: Path) -> None:
    alphabet = next(a for a in OMNIGLOT.alphabets if a.name == "Tibetan")
    digest = hashlib.sha256()
    with zipfile.ZipFile(omniglot_dir / "images_evaluation.zip") as archive:
        for name in sorted(n for n in archive.namelist() if f"/{alphabet.name}/c" in n):
            if not name.endswith(".png"):
                continue
            grey = np.asarray(Image.open(io.BytesIO(archive.read(name))).convert("L"))
            rows = np.packbits(grey == 255, axis=1)
            assert rows.shape == (105, 14)
            digest.update(f"{name}\n".encode() + rows.tobytes())
    assert digest.hexdigest().startswith(alphabet.digest)
