"""A tiny CIFAR-100: its files as Python 2 wrote them, with the 100 classes but 4 images of each."""

from __future__ import annotations

import hashlib
import io
import pickle
import struct
import tarfile
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest

from mamltui.data import cifar, cifar_read
from mamltui.data.cifar_find import ARCHIVE, FOLDER

IMAGES = {"train": 3, "test": 1}
"""Of each class."""
NAMES = """
apple aquarium_fish baby bear beaver bed bee beetle bicycle bottle bowl boy bridge bus butterfly
camel can castle caterpillar cattle chair chimpanzee clock cloud cockroach couch crab crocodile cup
dinosaur dolphin elephant flatfish forest fox girl hamster house kangaroo keyboard lamp lawn_mower
leopard lion lizard lobster man maple_tree motorcycle mountain mouse mushroom oak_tree orange orchid
otter palm_tree pear pickup_truck pine_tree plain plate poppy porcupine possum rabbit raccoon ray
road rocket rose sea seal shark shrew skunk skyscraper snail snake spider squirrel streetcar
sunflower sweet_pepper table tank telephone television tiger tractor train trout tulip turtle
wardrobe whale willow_tree wolf woman worm
""".split()  # noqa: SIM905
"""The fine labels of CIFAR-100 (Krizhevsky 2009)."""


class Python2Pickler(pickle._Pickler):
    """Writes text and bytes as Python 2 wrote its strings: one kind, a byte a character."""

    dispatch: ClassVar[dict[type, Any]] = {**pickle._Pickler.dispatch}

    def save_string(self, value: str | bytes) -> None:
        data = value.encode("latin1") if isinstance(value, str) else value
        self.write(pickle.BINSTRING + struct.pack("<i", len(data)) + data)
        self.memoize(value)

    dispatch[str] = dispatch[bytes] = save_string


def pickled(content: object) -> bytes:
    file = io.BytesIO()
    Python2Pickler(file, protocol=2).dump(content)
    return file.getvalue()


def labels(part: str) -> np.ndarray:
    """[images] in a random order, every class equally often."""
    order = np.random.default_rng(len(part)).permutation(len(NAMES) * IMAGES[part])
    return order % len(NAMES)


def pixels(part: str) -> np.ndarray:
    """[images, 3, 32, 32] uint8: of every class its own colour, and a little noise."""
    of_class = np.random.default_rng(0).integers(0, 200, (len(NAMES), 3, 1, 1))
    noise = np.random.default_rng(ord(part[1])).integers(0, 56, (len(labels(part)), 3, 32, 32))
    return (of_class[labels(part)] + noise).astype(np.uint8)


def files() -> dict[str, bytes]:
    """The files of the folder by their names."""
    parts = {
        part: pickled(
            {
                "data": pixels(part).reshape(-1, 3 * 32 * 32),
                "fine_labels": labels(part).tolist(),
                "coarse_labels": (labels(part) // 5).tolist(),
                "filenames": [f"{NAMES[label]}_s_0.png" for label in labels(part)],
                "batch_label": f"{part}ing batch 1 of 1",
            }
        )
        for part in IMAGES
    }
    meta = {"fine_label_names": NAMES, "coarse_label_names": ["all"]}
    return {**parts, "meta": pickled(meta), "file.txt~": b""}


def archive(contents: dict[str, bytes]) -> bytes:
    """``cifar-100-python.tar.gz``."""
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w:gz") as packed:
        for name, content in contents.items():
            member = tarfile.TarInfo(f"{FOLDER}/{name}")
            member.size = len(content)
            packed.addfile(member, io.BytesIO(content))
    return file.getvalue()


def write_archive(root: Path, content: bytes) -> Path:
    root.mkdir(parents=True, exist_ok=True)
    (root / ARCHIVE).write_bytes(content)
    return root


def write_folder(root: Path, contents: dict[str, bytes]) -> Path:
    (root / FOLDER).mkdir(parents=True, exist_ok=True)
    for name, content in contents.items():
        (root / FOLDER / name).write_bytes(content)
    return root


def publish(monkeypatch: pytest.MonkeyPatch, contents: dict[str, bytes], packed: bytes) -> None:
    """Let the MD5s of these be the published ones."""
    sums = {name: hashlib.md5(contents[name]).hexdigest() for name in cifar_read.FILE_MD5}
    monkeypatch.setattr(cifar_read, "FILE_MD5", sums)
    for module in (cifar, cifar_read):
        monkeypatch.setattr(module, "ARCHIVE_MD5", hashlib.md5(packed).hexdigest())
