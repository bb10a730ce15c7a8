"""Reading Omniglot's drawings and verifying them against what was published."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from PIL.PngImagePlugin import PngImageFile

from mamltui.data.archive import FileSource, FolderSource, Limits, ZipSource
from mamltui.data.bank import ImageBank
from mamltui.data.cache import bank_hash
from mamltui.data.omniglot_content import OMNIGLOT, Expected, listed
from mamltui.data.omniglot_find import OmniglotLocation
from mamltui.data.progress import Progress, silent
from mamltui.errors import DataError
from mamltui.text import visible

LIMITS = Limits(
    archive_bytes=32 * 2**20, members=40_000, member_bytes=64 * 2**10, total_bytes=64 * 2**20
)
"""Several times what either part of Omniglot needs."""
_REPORT_EVERY = 5_000
"""Drawings between two messages of progress."""


def read_omniglot(
    location: OmniglotLocation,
    *,
    resize: str,
    image_size: int,
    progress: Progress | None = None,
    expected: Expected = OMNIGLOT,
) -> ImageBank:
    """Read and verify every drawing of ``location``; arguments and result as of
    :func:`load_omniglot`.

    Raises:
        DataError: a file is missing, damaged, too much or not as published; the message says which.
    """
    say = progress or silent
    total = len(expected.files) * expected.drawings
    pixels = np.empty((total, image_size * image_size), np.uint8)
    for index, drawing in enumerate(_verified_drawings(location, expected)):
        if index % _REPORT_EVERY == 0:
            say(f"reading Omniglot from {location.source}: {index:,} of {total:,} drawings")
        small = _resized(drawing, resize, image_size)
        pixels[index] = np.frombuffer(small.tobytes(), np.uint8)
    say(f"Omniglot verified: {expected.describe()}, SHA-256 {expected.sha256}")
    np.subtract(255, pixels, out=pixels)  # the files have black strokes on white paper
    shape = (len(expected.files), expected.drawings, 1, image_size, image_size)
    images = torch.from_numpy(pixels).reshape(shape)
    names = tuple(expected.files)
    return ImageBank("omniglot", images, names, bank_hash(images, names), location.source)


def _verified_drawings(location: OmniglotLocation, expected: Expected) -> Iterator[Image.Image]:
    """All drawings in order, mode "1"; raises after the last if the hash is not the published."""
    total = hashlib.sha256()
    parts = {alphabet.path: hashlib.sha256() for alphabet in expected.alphabets}
    with ExitStack() as stack:
        sources: dict[str, FileSource] = {}
        for part_path in location.paths.values():
            source = _opened(part_path, stack)
            sources.update(dict.fromkeys(source.names, source))
        differences = expected.name_differences(sources)
        if differences:
            raise _not_omniglot(location, differences, expected)
        for path, files in expected.files.items():
            part = parts[path.rpartition("/")[0]]
            for file in files:
                name = f"{path}/{file}"
                drawing = _decoded(sources[name].read(name), name, location, expected.size)
                content = name.encode() + b"\n" + drawing.tobytes()
                part.update(content)
                total.update(content)
                yield drawing
    changed = [
        f"the pixels of {alphabet.path} are not the published ones"
        for alphabet in expected.alphabets
        if parts[alphabet.path].hexdigest()[: len(alphabet.digest)] != alphabet.digest
    ]
    if changed or total.hexdigest() != expected.sha256:
        changed.append(f"SHA-256 {total.hexdigest()} instead of {expected.sha256}")
        raise _not_omniglot(location, changed, expected)


def _opened(path: Path, stack: ExitStack) -> FileSource:
    if path.suffix == ".zip":
        return stack.enter_context(ZipSource(path, LIMITS))
    return FolderSource(path, LIMITS)


def _decoded(content: bytes, name: str, location: OmniglotLocation, size: int) -> Image.Image:
    try:
        # As PNG and nothing else. The header holds the size, so a huge picture is refused before
        # its pixels are unpacked.
        image = PngImageFile(io.BytesIO(content))
        if image.size != (size, size):
            fault = f"{name} is {image.width} x {image.height} pixels, not {size} x {size}"
            raise _not_omniglot(location, [fault])
        image.load()
        return image if image.mode == "1" else image.convert("1", dither=Image.Dither.NONE)
    except DataError:
        raise
    except Exception as error:  # Pillow names no base class for what damaged files raise
        fault = f"{name} is not a whole PNG image ({visible(str(error))})"
        raise _not_omniglot(location, [fault]) from error


def _resized(drawing: Image.Image, resize: str, size: int) -> Image.Image:
    if resize == "antialias":
        return drawing.convert("L").resize((size, size), Image.Resampling.LANCZOS)
    return drawing.resize((size, size), Image.Resampling.NEAREST).convert("L")


def _not_omniglot(
    location: OmniglotLocation, differences: list[str], expected: Expected | None = None
) -> DataError:
    whole = f" ({expected.describe()})" if expected else ""
    return DataError(
        f"is not the published Omniglot{whole}: {listed(differences, '; ')}",
        where=visible(str(location.root)),
        hint=(
            "Take these files away and put the published ones there, or run `mamltui data fetch`"
            f" (found through {location.origin})."
        ),
    )
