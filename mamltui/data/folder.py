"""Any folder of class folders as a data set: one folder a class, one image file a drawing."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from mamltui.data.bank import ImageBank
from mamltui.data.cache import bank_hash
from mamltui.data.progress import Progress, silent
from mamltui.errors import DataError
from mamltui.text import visible

SUFFIXES = frozenset(
    {".bmp", ".gif", ".jpeg", ".jpg", ".pbm", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp"}
)
"""Endings of the files that count as images; others in a class folder are passed over."""
_REPORT_EVERY = 2_000
"""Images between two messages of progress."""

Pixels = NDArray[np.uint8]


def load_folder(
    path: Path, *, resize: str, image_size: int, progress: Progress | None = None
) -> ImageBank:
    """The images under ``path``: ``path/class`` or ``path/group/class`` holds those of a class.

    Classes and images are in the order of their names. All classes get as many images as the
    smallest has; of larger ones the first are taken. Hidden files and folders are passed over. An
    image with transparency is laid on white paper, an animation gives its first picture, and an
    image that is not square is stretched.

    The whole set is grey if every image is: then, if most pixels at the images' borders are bright,
    all images are inverted, so that a dark stroke on bright paper becomes 255 on 0. If one image
    has colour the whole set has three channels (red, green, blue), and its values stay as they are.

    Args:
        path: the folder.
        resize: ``nearest`` or ``antialias`` (Lanczos).
        image_size: width and height in pixels.
        progress: told in words what happens.

    Returns:
        Images [classes, drawings, 1 or 3, size, size]; names such as ``class`` or ``group/class``.

    Raises:
        DataError: no classes, a class with fewer than two images, or a file that is no image.
    """
    say = progress or silent
    classes = _class_files(path)
    counts = [len(files) for files in classes.values()]
    drawings = min(counts)
    if max(counts) > drawings:
        unused = sum(counts) - drawings * len(counts)
        say(
            f"the classes of {visible(str(path))} have {drawings} to {max(counts)} images: "
            f"the first {drawings} of each are used, {unused:,} are not"
        )
    chosen = [file for files in classes.values() for file in files[:drawings]]
    images = _read_images(chosen, resize, image_size, say)
    images = images.reshape(len(classes), drawings, *images.shape[1:])
    if images.shape[2] == 1 and _is_paper_bright(images):
        np.subtract(255, images, out=images)
    names = tuple(visible(folder.relative_to(path).as_posix()) for folder in classes)
    pixels = torch.from_numpy(images)
    return ImageBank("folder", pixels, names, bank_hash(pixels, names), visible(str(path)))


def _class_files(path: Path) -> dict[Path, list[Path]]:
    """Of each class folder its image files, both in the order of their names."""
    where = visible(str(path))
    try:
        if not path.is_dir():
            raise DataError(
                "is not a folder" if path.exists() else "there is no such folder",
                where=where,
                hint="data.path names a folder that holds one folder of images for each class.",
            )
        classes = {folder: _images_in(folder) for folder in _class_folders(path)}
    except OSError as error:
        raise DataError(f"cannot be read: {error.strerror or error}", where=where) from error
    if not classes:
        raise DataError(
            "holds no class folders",
            where=where,
            hint=f"Put the images of each class in a folder of its own, e.g. {where}/cat/01.png",
        )
    for folder, files in classes.items():
        if len(files) < 2:
            found = "one image" if files else "no images"
            raise DataError(
                f"the class has {found}; it takes at least two, one to learn from and one to ask",
                where=visible(str(folder)),
                hint=f"Images end in {' '.join(sorted(SUFFIXES))}",
            )
    return classes


def _class_folders(path: Path) -> Iterator[Path]:
    """The folders under ``path`` that hold no other folder, at most two levels down."""
    for folder in _folders_in(path):
        inside = _folders_in(folder)
        if not inside:
            yield folder
        for nested in inside:
            deeper = _folders_in(nested)
            if deeper:
                raise DataError(
                    "lies too deep: classes are folder/class or folder/group/class",
                    where=visible(str(deeper[0])),
                )
            yield nested
        if inside and _images_in(folder):
            raise DataError(
                "holds both images and folders, so it is neither a class nor a group of classes",
                where=visible(str(folder)),
            )


def _folders_in(path: Path) -> list[Path]:
    return [entry for entry in _visible(path) if entry.is_dir()]


def _images_in(path: Path) -> list[Path]:
    # is_file is false for a pipe, which would block.
    images = (entry for entry in _visible(path) if entry.suffix.lower() in SUFFIXES)
    return [entry for entry in images if entry.is_file()]


def _visible(path: Path) -> list[Path]:
    """What lies in a folder, ordered by name on every system alike."""
    entries = (entry for entry in path.iterdir() if not entry.name.startswith((".", "__MACOSX")))
    return sorted(entries, key=lambda entry: entry.name)


def _read_images(files: list[Path], resize: str, size: int, say: Progress) -> Pixels:
    """[images, 1 or 3, size, size] uint8."""
    read: list[Pixels] = []
    with warnings.catch_warnings():
        # Pillow only warns of pictures up to twice the size that it refuses.
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        for index, file in enumerate(files):
            if index % _REPORT_EVERY == 0:
                say(f"reading images: {index:,} of {len(files):,}")
            read.append(_read_image(file, resize, size))
    channels = max(image.shape[0] for image in read)
    images = np.empty((len(read), channels, size, size), np.uint8)
    for index, image in enumerate(read):
        images[index] = image  # a grey image among coloured ones is the same in all three
    return images


def _read_image(file: Path, resize: str, size: int) -> Pixels:
    """[1, size, size] of a grey image, [3, size, size] of a coloured one."""
    sampling = Image.Resampling.LANCZOS if resize == "antialias" else Image.Resampling.NEAREST
    try:
        with Image.open(file) as image:
            small = _eight_bits(image).resize((size, size), sampling)
        pixels = np.array(small, np.uint8)
    except Exception as error:  # Pillow names no base class for what damaged files raise
        raise DataError(
            f"is not a readable image ({visible(str(error))})",
            where=visible(str(file)),
            hint="Repair the file or take it out of the data set.",
        ) from error
    if pixels.ndim == 2:
        return pixels[None]
    if (pixels == pixels[..., :1]).all():
        return np.ascontiguousarray(pixels[None, ..., 0])
    return np.ascontiguousarray(pixels.transpose(2, 0, 1))


def _eight_bits(image: Image.Image) -> Image.Image:
    """``image`` in mode "L" or "RGB", on white paper where it is transparent."""
    if image.mode.startswith("I"):
        # 16-bit grey; Pillow's own conversion would cut everything above 255.
        return Image.fromarray((np.asarray(image).clip(0, 65535) // 256).astype(np.uint8))
    if image.mode == "F":
        raise ValueError("floating-point pixels have no agreed white")
    if image.mode in ("LA", "PA", "RGBA") or "transparency" in image.info:
        drawing = image.convert("RGBA")
        paper = Image.new("RGBA", drawing.size, "white")
        return Image.alpha_composite(paper, drawing).convert("RGB")
    return image.convert("L" if image.mode in ("1", "L") else "RGB")


def _is_paper_bright(images: Pixels) -> bool:
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
