"""Images of one's own for a run that is trained: found, read and brought to what it has seen."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from torch import Tensor

from mamltui.data.class_folders import class_folders, entries, image_class, inside, listed
from mamltui.data.folder import is_paper_bright, read_pictures
from mamltui.data.pictures import SUFFIXES, Pixels
from mamltui.data.progress import Progress, silent
from mamltui.errors import DataError
from mamltui.text import visible

if TYPE_CHECKING:
    from mamltui.profiles import DataSection

MOST_IMAGES = 100_000
"""Support and query images together; more would not be a few shots any more."""


class OwnImage(NamedTuple):
    """A file, and the class that its folder says it is of."""

    file: Path
    label: int | None
    """Place among the class names; None: nobody has said."""


class OwnImages(NamedTuple):
    """Support and query images as a run's network sees its own data."""

    class_names: tuple[str, ...]
    support: tuple[OwnImage, ...]
    """In the order of the classes."""
    query: tuple[OwnImage, ...]
    support_x: Tensor
    """[images, channels, size, size] float32 in 0 .. 1; ink is 1."""
    query_x: Tensor
    """The same of the query."""


@dataclass(frozen=True)
class Preparation:
    """How pictures become what a run was trained on."""

    size: int
    """Height and width in pixels."""
    channels: int
    resize: str
    """As of :func:`~mamltui.data.pictures.read_picture`."""
    is_binary: bool
    """Ink and paper alone."""
    fit: str = "stretch"
    """As of :func:`~mamltui.data.pictures.read_picture`."""

    @classmethod
    def of(cls, data: DataSection, *, size: int, channels: int) -> Preparation:
        """As the images of ``data`` are for a network of this size and so many channels."""
        is_binary = data.set == "strokes" or (data.set == "omniglot" and data.resize == "nearest")
        # The images of CIFAR-FS are small from the start: whatever is large was averaged.
        resize = "ink" if is_binary else "antialias" if data.set == "cifar-fs" else data.resize
        return cls(size, channels, resize, is_binary, data.fit)

    def apply(self, pictures: Sequence[Pixels], *, inverted: bool) -> Tensor:
        """[images, channels, size, size] float32 in 0 .. 1 of pictures [1 or 3, size, size]."""
        prepared = np.empty((len(pictures), self.channels, self.size, self.size), np.uint8)
        for index, picture in enumerate(pictures):
            pixels = picture if self.channels == 3 else _grey(picture)
            if self.is_binary:
                pixels = np.where(pixels > _threshold(pixels), np.uint8(255), np.uint8(0))
            prepared[index] = 255 - pixels if inverted else pixels
        return torch.from_numpy(prepared).float().mul_(1 / 255)

    def is_inverted(self, pictures: Sequence[Pixels]) -> bool:
        """Whether the paper of these pictures is bright, and so has to become 0."""
        if self.channels == 3:
            return False
        return is_paper_bright(np.stack([_grey(picture) for picture in pictures]))

    def words(self, *, inverted: bool) -> str:
        """What is done, for people."""
        size = f"{self.size} x {self.size} pixels"
        if self.channels == 3:
            return f"{size}, in colour"
        shades = "black and white" if self.is_binary else "grey"
        paper = "dark ink on bright paper, so inverted" if inverted else "bright ink on dark paper"
        return f"{size}, {shades}, {paper}"


def find_support(path: Path) -> tuple[tuple[str, ...], tuple[OwnImage, ...]]:
    """The class names, in order, and the images of ``path/class`` or ``path/group/class``.

    Raises:
        DataError: no such folder, fewer than two classes, or one without images.
    """
    shown = visible(str(path))
    where = f"--support {shown}"
    hint = f"Put a few images of each class in a folder of its own, e.g. {shown}/cat/1.png"
    try:
        if not path.is_dir():
            fault = "is not a folder" if path.exists() else "there is no such folder"
            raise DataError(fault, where=where, hint=hint)
        classes = [image_class(path, folder) for folder in class_folders(path, path)]
    except OSError as error:
        raise DataError(f"cannot be read: {error.strerror or error}", where=where) from error
    empty = [
        visible(each.name) + (" (only images that cannot be read here)" if each.foreign else "")
        for each in classes
        if not each.files
    ]
    if empty:
        hint = f"Images end in {' '.join(sorted(SUFFIXES))}"
        raise DataError(f"classes without images: {listed(empty)}", where=where, hint=hint)
    if len(classes) < 2:
        holds = "one class folder" if classes else "no class folders"
        raise DataError(f"holds {holds}, and a choice needs at least two", where=where, hint=hint)
    classes.sort(key=lambda each: each.name.split("/"))
    images = [OwnImage(file, label) for label, each in enumerate(classes) for file in each.files]
    return tuple(each.name for each in classes), tuple(images)


def find_query(paths: Sequence[Path], class_names: Sequence[str]) -> tuple[OwnImage, ...]:
    """Files as they are named; of folders the images in them, and those of class folders.

    Raises:
        DataError: nothing there, or class folders that the support set does not have.
    """
    images: list[OwnImage] = []
    for path in paths:
        where = f"--query {visible(str(path))}"
        try:
            if path.is_dir():
                images += _in_folder(path, class_names, where)
            elif path.exists():
                images.append(OwnImage(path, None))
            else:
                raise DataError("there is no such file or folder", where=where)
        except OSError as error:
            raise DataError(f"cannot be read: {error.strerror or error}", where=where) from error
    return tuple(images)


def _in_folder(path: Path, class_names: Sequence[str], where: str) -> list[OwnImage]:
    own = image_class(path, path)
    labels = {name: label for label, name in enumerate(class_names)}
    images = [OwnImage(file, None) for file in own.files]
    unknown = []
    if any(entry.is_dir() for entry in entries(path, path)):
        classes = [image_class(path, folder) for folder in class_folders(path, path)]
        unknown = [each.name for each in classes if each.files and each.name not in labels]
        for each in sorted(classes, key=lambda each: labels.get(each.name, -1)):
            images += [OwnImage(file, labels.get(each.name)) for file in each.files]
    if unknown:
        raise DataError(
            f"no classes of the support set: {listed(sorted(unknown))}",
            where=where,
            hint=f"Its classes are {listed(list(class_names))}. Give the files themselves if what "
            "they show is not known.",
        )
    if not images:
        hint = f"Images end in {' '.join(sorted(SUFFIXES))}"
        raise DataError("holds no images", where=where, hint=hint)
    return images


def read_own_images(
    class_names: Sequence[str],
    support: Sequence[OwnImage],
    query: Sequence[OwnImage],
    preparation: Preparation,
    *,
    progress: Progress | None = None,
) -> OwnImages:
    """Read what was found. Whether images are inverted is decided by the support set, for all.

    Args:
        progress: told in words what was done to the images.

    Raises:
        DataError: files that cannot be read, all of them named; or too many.
    """
    say = progress or silent
    images = [*support, *query]
    if len(images) > MOST_IMAGES:
        raise DataError(f"{len(images):,} images are more than the {MOST_IMAGES:,} allowed")
    files = [image.file for image in images]
    read = read_pictures(
        None, files, preparation.resize, preparation.size, say, fit=preparation.fit
    )
    pictures = [picture.pixels for picture in read]
    shown = pictures[: len(support)]
    inverted = preparation.is_inverted(shown)
    size = preparation.size
    say(f"prepared as the run's images were: {preparation.words(inverted=inverted)}")
    stretched = sum(width != height for width, height in (each.original for each in read))
    if stretched:
        done = {"stretch": "stretched", "crop": "cropped", "pad": "padded"}[preparation.fit]
        say(f"{stretched:,} of {len(read):,} images are not square, and were {done}")
    small = sum(max(each.original) < size for each in read)
    if small:
        say(f"{small:,} of {len(read):,} images are smaller than {size} pixels, and were enlarged")
    if preparation.channels == 1:
        coloured = sum(len(picture) == 3 for picture in pictures)
        if coloured:
            say(f"{coloured:,} of {len(read):,} images are in colour, and were read as grey")
    support_x = preparation.apply(shown, inverted=inverted)
    query_x = preparation.apply(pictures[len(support) :], inverted=inverted)
    _tell_doubles(support, query, support_x, query_x, say)
    return OwnImages(tuple(class_names), tuple(support), tuple(query), support_x, query_x)


def shots(images: Sequence[OwnImage]) -> str:
    """How many images a class has, such as ``1`` or ``1 to 4``."""
    counts = Counter(image.label for image in images).values()
    return f"{min(counts)}" if min(counts) == max(counts) else f"{min(counts)} to {max(counts)}"


def _tell_doubles(
    support: Sequence[OwnImage],
    query: Sequence[OwnImage],
    support_x: Tensor,
    query_x: Tensor,
    say: Progress,
) -> None:
    known = {
        pixels.tobytes(): image for pixels, image in zip(support_x.numpy(), support, strict=True)
    }
    twins = []
    for pixels, image in zip(query_x.numpy(), query, strict=True):
        twin = known.get(pixels.tobytes())
        if twin is not None:
            twins.append(f"{inside(None, image.file)} = {inside(None, twin.file)}")
    if twins:
        say(f"{len(twins):,} query images are also support images: {listed(twins, 3)}")


def _grey(picture: Pixels) -> Pixels:
    """[1, size, size] of [1 or 3, size, size], by ITU-R BT.601 as Pillow does."""
    if len(picture) == 1:
        return picture
    weights = np.array([299, 587, 114], np.uint32)[:, None, None]
    grey: Pixels = ((picture * weights).sum(axis=0, keepdims=True) / 1000 + 0.5).astype(np.uint8)
    return grey


def _threshold(pixels: Pixels) -> int:
    """The grey that parts dark from light best (Otsu 1979); of a single grey, 127."""
    counts = np.bincount(pixels.ravel(), minlength=256).astype(np.float64)
    below = counts.cumsum()
    sums = (counts * np.arange(256)).cumsum()
    inner = (below > 0) & (below < below[-1])
    if not inner.any():
        return 127
    dark, light = below[inner], below[-1] - below[inner]
    apart = sums[inner] / dark - (sums[-1] - sums[inner]) / light
    return int(np.flatnonzero(inner)[(dark * light * apart**2).argmax()])
