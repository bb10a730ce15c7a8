"""Reading CIFAR-100's images, after their files were compared with what was published.

The files are pickles, and loading a pickle runs whatever its maker wanted. So nothing is unpickled
but bytes whose MD5 is the one that torchvision publishes: finding other bytes with a given MD5 is
beyond anyone so far. What was compared is what is loaded, from memory: a file that changes in
between changes nothing. The archive is read in memory too, after the same comparison.
"""

from __future__ import annotations

import hashlib
import pickle
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from mamltui.data.bank import ImageBank
from mamltui.data.cache import bank_hash
from mamltui.data.cifar_find import FILES, FOLDER, CifarLocation
from mamltui.data.progress import Progress, silent
from mamltui.errors import DataError
from mamltui.text import visible

ARCHIVE_MD5 = "eb9058c3a382ffc7106e4002c42a8d85"
FILE_MD5 = {
    "train": "16019d7e3df5f24257cddd939b257f8d",
    "test": "f0ef6b0ae62326f3e7ffdfab6717acfc",
    "meta": "7973b15100ade9c7d40fb424638fde48",
}
"""As in torchvision, which is not imported for them: that takes seconds."""
SIZE = 32
"""Pixels a side."""
_LARGEST = 256 * 2**20
"""Bytes; several times what a file of CIFAR-100 has."""
_REPORT_EVERY = 10_000
"""Images between two messages of progress."""

Pixels = NDArray[np.uint8]


def read_cifar(
    location: CifarLocation, *, resize: str, image_size: int, progress: Progress | None = None
) -> ImageBank:
    """Verify and read all images of ``location``; arguments and result as of :func:`load_cifar`.

    Raises:
        DataError: a file cannot be read, or is not the published one.
    """
    say = progress or silent
    say(f"reading CIFAR-100 from {location.source}")
    files = verified_files(location)
    say("CIFAR-100 verified: the MD5 of each file is the published one")
    names = tuple(_unpickled(files["meta"])["fine_label_names"])
    parts = [_unpickled(files.pop(part)) for part in ("train", "test")]
    labels = np.concatenate([part["fine_labels"] for part in parts])
    # Stable: the images of a class stay in the order of the files.
    order = np.argsort(labels, kind="stable")
    pixels = np.concatenate([part["data"] for part in parts])[order]
    pixels = pixels.reshape(-1, 3, SIZE, SIZE)
    if image_size != SIZE:
        pixels = _resized(pixels, resize, image_size, say)
    images = torch.from_numpy(pixels.reshape(len(names), -1, *pixels.shape[1:]))
    return ImageBank("cifar-fs", images, names, bank_hash(images, names), location.source)


def verified_files(location: CifarLocation) -> dict[str, bytes]:
    """The content of each of ``FILES``, which has the published MD5.

    Raises:
        DataError: a file cannot be read, or is not the published one.
    """
    with _faults_reported(location):
        if location.is_archive:
            _check_md5(_md5_of(location.path), ARCHIVE_MD5, location.path, location)
            with tarfile.open(location.path, "r:gz") as archive:
                files = {name: _member(archive, f"{FOLDER}/{name}") for name in FILES}
        else:
            files = {name: _content(location.path / name) for name in FILES}
    for name, content in files.items():
        md5 = hashlib.md5(content, usedforsecurity=False).hexdigest()
        _check_md5(md5, FILE_MD5[name], location.path / name, location)
    return files


def _unpickled(verified: bytes) -> dict[str, Any]:
    """Only for bytes that :func:`verified_files` gave.

    Python 2 wrote them, whose strings are bytes: latin1 takes each byte as it is.
    """
    content: dict[str, Any] = pickle.loads(verified, encoding="latin1")
    return content


def _resized(pixels: Pixels, resize: str, size: int, say: Progress) -> Pixels:
    """[images, 3, size, size] of [images, 3, 32, 32]."""
    sampling = Image.Resampling.LANCZOS if resize == "antialias" else Image.Resampling.NEAREST
    resized = np.empty((len(pixels), 3, size, size), np.uint8)
    for index, image in enumerate(pixels.transpose(0, 2, 3, 1)):
        if index % _REPORT_EVERY == 0:
            say(f"resizing to {size} pixels: {index:,} of {len(pixels):,} images")
        small = Image.fromarray(np.ascontiguousarray(image)).resize((size, size), sampling)
        resized[index] = np.asarray(small).transpose(2, 0, 1)
    return resized


def _md5_of(path: Path) -> str:
    digest = hashlib.md5(usedforsecurity=False)
    with path.open("rb") as file:
        while block := file.read(2**20):
            digest.update(block)
    return digest.hexdigest()


def _content(path: Path) -> bytes:
    """At most a byte more than is allowed: then the MD5 says that it is another file."""
    with path.open("rb") as file:
        return file.read(_LARGEST + 1)


def _member(archive: tarfile.TarFile, name: str) -> bytes:
    file = archive.extractfile(name)
    if file is None:
        raise KeyError(name)
    return file.read(_LARGEST + 1)


def _check_md5(md5: str, published: str, path: Path, location: CifarLocation) -> None:
    if md5 != published:
        raise DataError(
            f"is not the published CIFAR-100 (MD5 {md5} instead of {published})",
            where=visible(str(path)),
            hint=(
                "It was not loaded. Take it away and put the published one there, or run"
                f" `mamltui data fetch cifar-fs` (found through {location.origin})."
            ),
        )


@contextmanager
def _faults_reported(location: CifarLocation) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise DataError(
            f"cannot be read: {error.strerror or error}", where=location.source
        ) from error
    except (tarfile.TarError, EOFError, KeyError) as error:
        raise DataError(
            f"is no whole archive of CIFAR-100 ({visible(str(error))})", where=location.source
        ) from error
