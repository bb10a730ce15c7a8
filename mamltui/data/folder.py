"""Any folder of class folders as a data set: one folder a class, one image file a drawing."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import numpy as np
import torch

from mamltui.data.bank import ImageBank
from mamltui.data.cache import bank_hash, file_fingerprint, packed_folder, recall, remember
from mamltui.data.class_folders import (
    NAMED,
    ImageClass,
    find_classes,
    inside,
    listed,
    without_files,
)
from mamltui.data.pictures import Picture, Pixels, UnreadableError, read_picture
from mamltui.data.progress import Progress, silent
from mamltui.errors import DataError
from mamltui.text import visible

PACKED_FROM = 500
"""Images; fewer are read as quickly as they are unpacked."""
_SAID_FROM = 100
"""Images whose reading takes long enough to be said."""
_REPORT_EVERY = 2_000
"""Images between two messages of progress."""


def load_folder(
    path: Path,
    *,
    resize: str,
    image_size: int,
    fit: str = "stretch",
    leave_out: bool = False,
    progress: Progress | None = None,
) -> ImageBank:
    """The images under ``path``: ``path/class`` or ``path/group/class`` holds those of a class.

    Classes and images are in the order of their names. All classes get as many images as the
    smallest has; of larger ones the first are taken. Hidden files and folders, and what systems
    leave behind, are passed over. Links that stay inside ``path`` are followed. Each image is
    turned as its EXIF data say and laid on white paper where it is transparent; an animation gives
    its first picture; one that is not square is made so as ``fit`` says.

    Groups called ``train``, ``val`` and ``test`` are the parts of a split; if they hold the same
    classes, as sets for plain classification do, the images of a class are put together.

    The whole set is grey if every image is: then, if most pixels at the images' borders are bright,
    all images are inverted, so that a dark stroke on bright paper becomes 255 on 0. If one image
    has colour the whole set has three channels (red, green, blue), and its values stay as they are.

    Args:
        path: the folder.
        resize: ``nearest`` or ``antialias`` (Lanczos).
        image_size: width and height in pixels.
        fit: ``stretch``, ``crop`` or ``pad``, as of
            :func:`~mamltui.data.pictures.read_picture`.
        leave_out: whether images that cannot be read are named and left out.
        progress: told in words what happens, and what in the set may not be as it was meant.

    Returns:
        Images [classes, drawings, 1 or 3, size, size]; names such as ``class`` or ``group/class``.

    Raises:
        DataError: no classes, classes of fewer than two images, or files that are no images: all of
            them are named.
    """
    say = progress or silent
    classes = find_classes(path, say)
    names = tuple(visible(each.name) for each in classes)
    source = visible(str(path))
    every_file = [_name_in(path, file) for each in classes for file in each.files]
    settings = (resize, str(image_size), fit, str(leave_out), "with files")
    identity = "\0".join((str(path.resolve()), *settings, *names))
    key = sha256(identity.encode("utf-8", "surrogatepass")).hexdigest()
    packed = packed_folder() / f"folder-{key[:16]}.safetensors"
    chosen, drawings = _chosen(path, classes, say)
    listed_files = [file for each in classes for file in each.files] if leave_out else chosen
    fingerprint = file_fingerprint(listed_files) if len(chosen) >= PACKED_FROM else ""
    if fingerprint:
        bank = recall(packed, content=key, fingerprint=fingerprint, say=say)
        if bank is not None:
            return _with_unused(bank, every_file)
    while True:
        try:
            images = _read_images(path, chosen, resize, image_size, fit, say)
            break
        except _UnreadableFilesError as error:
            if not leave_out:
                way_on = 'data.unreadable = "leave-out" goes on without what cannot be read.'
                error.hint = f"{error.hint}\n{way_on}" if error.hint else way_on
                raise
            say(f"left out: {error.what.removesuffix(' cannot be read')}, for they cannot be read")
            for line in (error.hint or "").splitlines()[:-1]:
                say(f"  {line}")
            classes = without_files(path, classes, error.files)
            chosen, drawings = _chosen(path, classes, say)
    images = images.reshape(len(classes), drawings, *images.shape[1:])
    _tell_twins(path, chosen, images, say)
    if images.shape[2] == 1 and is_paper_bright(images):
        np.subtract(255, images, out=images)
    pixels = torch.from_numpy(images)
    files = tuple(_name_in(path, file) for file in chosen)
    bank = ImageBank("folder", pixels, names, bank_hash(pixels, names), source, files)
    if fingerprint:
        remember(packed, bank, content=key, fingerprint=fingerprint, say=say)
    return _with_unused(bank, every_file)


def _name_in(root: Path, file: Path) -> str:
    """``class/file`` alike on every system, and without what a terminal would obey."""
    return visible(unicodedata.normalize("NFC", file.relative_to(root).as_posix()))


def _with_unused(bank: ImageBank, every_file: Sequence[str]) -> ImageBank:
    used = set(bank.files)
    return replace(bank, unused_files=tuple(name for name in every_file if name not in used))


def _chosen(path: Path, classes: Sequence[ImageClass], say: Progress) -> tuple[list[Path], int]:
    """The files to read, as many of each class, and how many these are."""
    counts = {each.name: len(each.files) for each in classes}
    drawings = min(counts.values())
    if max(counts.values()) > drawings:
        smallest = [name for name, count in counts.items() if count == drawings]
        unused = sum(counts.values()) - drawings * len(counts)
        say(
            f"the classes of {visible(str(path))} have {drawings} to {max(counts.values())} "
            f"images: the first {drawings} of each are used, {unused:,} are not, because of "
            f"{listed(smallest)}"
        )
    return [file for each in classes for file in each.files[:drawings]], drawings


def _read_images(
    root: Path, files: list[Path], resize: str, size: int, fit: str, say: Progress
) -> Pixels:
    """[images, 1 or 3, size, size] uint8."""
    pictures = read_pictures(root, files, resize, size, say, fit=fit)
    coloured = [index for index, each in enumerate(pictures) if each.pixels.shape[0] == 3]
    if coloured and len(coloured) <= len(pictures) // 10:
        named = listed([inside(root, files[index]) for index in coloured])
        say(f"all images are read in colour because of {named}; the others are grey")
    images = np.empty((len(pictures), 3 if coloured else 1, size, size), np.uint8)
    for index, each in enumerate(pictures):
        images[index] = each.pixels  # a grey image among coloured ones is the same in all three
    return images


def read_pictures(
    root: Path | None,
    files: Sequence[Path],
    resize: str,
    size: int,
    say: Progress,
    *,
    fit: str = "stretch",
) -> list[Picture]:
    """One picture a file; those of more than 8 bits are brought to 8 all alike.

    Args:
        root: the folder that all files are in, by which they are named; None: there is none.

    Raises:
        DataError: files that cannot be read; all of them are named.
    """
    pictures: list[Picture] = []
    unreadable: list[tuple[Path, str]] = []
    deep: dict[int, float] = {}

    def add(file: Path, peak: float | None = None) -> Picture | None:
        try:
            return read_picture(file, resize, size, fit=fit, peak=peak)
        except UnreadableError as error:
            unreadable.append((file, str(error)))
            return None

    for index, file in enumerate(files):
        if len(files) >= _SAID_FROM and index % _REPORT_EVERY == 0:
            say(f"reading images: {index:,} of {len(files):,}")
        picture = add(file)
        if picture is not None:
            if picture.peak is not None:
                deep[len(pictures)] = picture.peak
            pictures.append(picture)
    if not unreadable and deep:
        # How many of their bits are used is decided for all alike.
        peak = max(deep.values())
        for index, own in deep.items():
            again = pictures[index] if own == peak else add(files[index], peak)
            pictures[index] = again or pictures[index]
        say(f"{len(deep):,} images have more than 8 bits; their largest value is {peak:g}")
    if unreadable:
        raise _unreadable(root, unreadable)
    return pictures


class _UnreadableFilesError(DataError):
    """Images that cannot be read; all of them are named."""

    files: frozenset[Path] = frozenset()


def _unreadable(root: Path | None, files: list[tuple[Path, str]]) -> _UnreadableFilesError:
    error = _unreadable_error(root, files)
    error.files = frozenset(file for file, _ in files)
    return error


def _unreadable_error(root: Path | None, files: list[tuple[Path, str]]) -> _UnreadableFilesError:
    hint = "Repair the files or take them out of the data set."
    if len(files) == 1:
        file, fault = files[0]
        repair = fault.startswith("is not")
        return _UnreadableFilesError(
            visible(fault),
            where=visible(str(file)),
            hint="Repair the file or take it out of the data set." if repair else None,
        )
    lines = [f"{inside(root, file)}: {visible(fault)}" for file, fault in files[:NAMED]]
    if len(files) > NAMED:
        more = listed([inside(root, file) for file, _ in files[NAMED:]], 1000)
        lines.append(f"and {len(files) - NAMED:,} more: {more}")
    return _UnreadableFilesError(
        f"{len(files):,} images cannot be read",
        where=None if root is None else visible(str(root)),
        hint="\n".join([*lines, hint]),
    )


def _tell_twins(root: Path, files: list[Path], images: Pixels, say: Progress) -> None:
    """Say which images of a class are the same: a query would show what was learned from."""
    twins = []
    drawings = images.shape[1]
    for number, drawn in enumerate(images):
        seen: dict[bytes, int] = {}
        for index, image in enumerate(drawn):
            first = seen.setdefault(image.tobytes(), index)
            if first != index:
                pair = (files[number * drawings + which] for which in (index, first))
                twins.append(" = ".join(inside(root, file) for file in pair))
    if twins:
        say(
            f"{len(twins):,} images are identical to another one of their class, so that a query "
            f"can be the image that was learned from: {listed(twins)}"
        )


def is_paper_bright(images: Pixels) -> bool:
    """Whether most pixels at the borders of all images are nearer to white than to black."""
    border = np.concatenate(
        [
            images[..., 0, :].ravel(),
            images[..., -1, :].ravel(),
            images[..., :, 0].ravel(),
            images[..., :, -1].ravel(),
        ]
    )
    return bool((border > 127).mean() > 0.5)
