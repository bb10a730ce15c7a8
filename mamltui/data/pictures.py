"""One image file of any kind, as 8-bit grey or colour of the size that is asked for."""

from __future__ import annotations

import ctypes
import logging
import warnings
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, _imaging

from mamltui.untrusted import open_regular

SUFFIXES = frozenset(
    {
        *(".apng", ".avif", ".bmp", ".dib", ".gif", ".j2k", ".jfif", ".jp2", ".jpe", ".jpeg"),
        *(".jpg", ".mpo", ".pbm", ".pgm", ".png", ".pnm", ".ppm", ".qoi", ".tga", ".tif"),
        *(".tiff", ".webp"),
    }
)
"""Endings of the files that count as images."""
FOREIGN = frozenset(
    {
        *(".arw", ".cr2", ".cr3", ".dng", ".eps", ".exr", ".hdr", ".heic", ".heif", ".jxl"),
        *(".nef", ".npy", ".orf", ".pdf", ".psd", ".raw", ".rw2", ".svg", ".xcf"),
    }
)
"""Endings of images that cannot be read here, which is said: nobody expects half a class to go."""
FORMATS = (
    *("AVIF", "BMP", "DIB", "GIF", "JPEG", "JPEG2000", "MPO", "PNG", "PPM", "QOI", "TGA"),
    *("TIFF", "WEBP"),
)
"""What a file may be, whatever its ending: of the other decoders one calls another program."""
MOST_PIXELS = 178_956_970
"""Of a picture, decoded; Pillow itself refuses more."""
LARGEST = 2**30
"""Bytes of a file."""

Pixels = NDArray[np.uint8]

logging.getLogger("PIL").addHandler(logging.NullHandler())  # decoders speak of the files' contents


class UnreadableError(Exception):
    """An image that cannot be read; the text says why and what to do."""


class Picture(NamedTuple):
    """What was read of a file."""

    pixels: Pixels
    """[1, size, size] of a grey image, [3, size, size] of a coloured one."""
    peak: float | None
    """The largest value of an image of more than 8 bits, which says how many were used; None of
    others."""
    original: tuple[int, int]
    """Width and height in the file, upright."""


def read_picture(
    file: Path, resize: str, size: int, *, fit: str = "stretch", peak: float | None = None
) -> Picture:
    """An image as its maker saw it: turned as its EXIF data say, on white paper, 8 bits a channel.

    Args:
        resize: ``nearest`` or ``antialias`` (Lanczos); ``ink``: nearest for images of two colours,
            antialias for others.
        size: width and height in pixels.
        fit: what makes it square: ``stretch``, ``crop`` (its middle), or ``pad`` (margins, white
            or black as most of its border is).
        peak: the largest value among all images of more than 8 bits, once it is known: integers up
            to 255, 1,023, 4,095, 16,383 or 65,535 and floating-point numbers up to 1 or 255 are
            brought to 0 .. 255.

    Raises:
        UnreadableError: the file is damaged, too large, or of no kind that is read.
    """
    try:
        # What a decoder warns of is either read or an error here; warnings name no file.
        with open_regular(file) as (opened, status), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            if status.st_size > LARGEST:
                raise UnreadableError(f"has {status.st_size:,} bytes, more than {LARGEST:,}")
            with Image.open(opened, formats=_formats()) as image:
                if image.width * image.height > MOST_PIXELS:
                    raise _too_large(image.width * image.height)
                upright = ImageOps.exif_transpose(image)
                deep = upright.mode.startswith("I") or upright.mode == "F"
                own = _peak(upright) if deep else None
                flat = _from_deep(upright, own if peak is None else peak) if deep else upright
                whole = _eight_bits(flat)
                small = _scaled(whole, resize, size, fit)
        pixels = np.array(small, np.uint8)
    except UnreadableError:
        raise
    except Image.DecompressionBombError as error:
        raise _too_large(None) from error
    except OSError as error:
        if error.errno is not None:
            raise UnreadableError(f"cannot be read: {error.strerror or error}") from error
        raise _damaged(error) from error
    except Exception as error:  # Pillow names no base class for what damaged files raise
        raise _damaged(error) from error
    return Picture(_channels_first(pixels), own, whole.size)


def picture_of(pixels: Pixels, resize: str, size: int, *, fit: str = "stretch") -> Picture:
    """The same of pixels in memory: [height, width] or [height, width, 3] uint8."""
    image = Image.fromarray(pixels)
    small = _scaled(image, resize, size, fit)
    return Picture(_channels_first(np.array(small, np.uint8)), None, image.size)


def _channels_first(pixels: Pixels) -> Pixels:
    """[1 or 3, height, width]; grey if all channels are the same."""
    if pixels.ndim == 2:
        return pixels[None]
    if (pixels == pixels[..., :1]).all():
        return np.ascontiguousarray(pixels[None, ..., 0])
    return np.ascontiguousarray(pixels.transpose(2, 0, 1))


def _scaled(image: Image.Image, resize: str, size: int, fit: str) -> Image.Image:
    sampling, (width, height) = _sampling(image, resize), image.size
    shorter, longer = min(width, height), max(width, height)
    if fit == "crop":
        left, top = (width - shorter) // 2, (height - shorter) // 2
        box = (left, top, left + shorter, top + shorter)
        return image.resize((size, size), sampling, box=box)
    if fit == "pad" and shorter != longer:
        # Scaled first: a strip of a million pixels is not to become a square of as many.
        inner = (max(1, round(size * width / longer)), max(1, round(size * height / longer)))
        paper = Image.new(image.mode, (size, size), "white" if _is_bright(image) else "black")
        paper.paste(image.resize(inner, sampling), ((size - inner[0]) // 2, (size - inner[1]) // 2))
        return paper
    return image.resize((size, size), sampling)


def _is_bright(image: Image.Image) -> bool:
    """Whether most of the border is nearer to white than to black."""
    grey = np.asarray(image.convert("L"))
    border = np.concatenate([grey[0], grey[-1], grey[:, 0], grey[:, -1]])
    return bool((border > 127).mean() > 0.5)


def _sampling(image: Image.Image, resize: str) -> Image.Resampling:
    if resize == "antialias" or (resize == "ink" and image.getcolors(2) is None):
        return Image.Resampling.LANCZOS
    return Image.Resampling.NEAREST


@cache
def _formats() -> list[str]:
    Image.init()
    _silence_libtiff()
    return [name for name in FORMATS if name in Image.OPEN]


def _silence_libtiff() -> None:
    """libtiff writes what it finds in a damaged file to the terminal itself, past Python.

    Where its handlers cannot be reached it goes on doing so.
    """
    with suppress(OSError, AttributeError):
        library = ctypes.CDLL(_imaging.__file__)
        for name in ("TIFFSetErrorHandler", "TIFFSetWarningHandler"):
            function = getattr(library, name)
            function.argtypes, function.restype = [ctypes.c_void_p], ctypes.c_void_p
            function(None)


def _damaged(error: Exception) -> UnreadableError:
    reason = str(error) or type(error).__name__
    if "cannot identify" in reason:
        reason = "no kind of image that is read"
    return UnreadableError(f"is not a readable image ({reason})")


def _too_large(pixels: int | None) -> UnreadableError:
    size = "more" if pixels is None else f"{pixels:,} pixels, more"
    return UnreadableError(f"has {size} than the {MOST_PIXELS:,} pixels allowed: scale it down")


def _peak(image: Image.Image) -> float:
    values = np.asarray(image)
    if not np.isfinite(values).all() or values.min() < 0:
        raise UnreadableError("has values that are negative or not numbers: convert it to 8 bits")
    return float(values.max())


def _from_deep(image: Image.Image, peak: float | None) -> Image.Image:
    """Grey of 0 .. 255 from 16 or 32 bits, integers or floating-point."""
    values: NDArray[Any] = np.asarray(image)
    peak = peak or 0.0
    if image.mode == "F":
        if peak > 255:
            raise UnreadableError(
                f"has floating-point values up to {peak:g}, and what is white among them is not "
                "agreed: convert it to 0 .. 1 or to 8 bits"
            )
        return Image.fromarray((values * (255.0 if peak <= 1 else 1.0) + 0.5).astype(np.uint8))
    bits = next((bits for bits in (8, 10, 12, 14, 16) if peak < 2**bits), None)
    if bits is None:
        raise UnreadableError(
            f"has integers up to {peak:,.0f}, more than 16 bits hold: convert it to 8 bits"
        )
    return Image.fromarray((values >> (bits - 8)).astype(np.uint8))


def _eight_bits(image: Image.Image) -> Image.Image:
    """``image`` in mode "L" or "RGB", on white paper where it is transparent."""
    if image.mode in ("LA", "La", "PA", "RGBA", "RGBa") or "transparency" in image.info:
        drawing = image.convert("RGBA")
        paper = Image.new("RGBA", drawing.size, "white")
        return Image.alpha_composite(paper, drawing).convert("RGB")
    return image.convert("L" if image.mode in ("1", "L") else "RGB")
