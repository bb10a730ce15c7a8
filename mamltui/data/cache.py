"""Image banks packed in the user's cache folder, for a quick second start."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from mamltui.atomic import sweep, write_atomically
from mamltui.caching import cache_folder
from mamltui.data.bank import ImageBank
from mamltui.data.progress import Progress
from mamltui.text import visible
from mamltui.untrusted import Count, Flag, Text, checked, parse_json

_FORMAT = "1"
_HEADER = "mamltui"


class StaleCacheError(ValueError):
    """A packed bank is torn, of another format or made from another source; the text says which."""


def packed_folder() -> Path:
    """Where packed banks are kept."""
    return cache_folder() / "packed"


def bank_hash(images: Tensor, class_names: tuple[str, ...]) -> str:
    """SHA-256 of shape, names and pixels: two banks with the same hash hold the same data.

    Args:
        images: [classes, drawings, channels, size, size] uint8.
        class_names: one a class.
    """
    digest = hashlib.sha256(json.dumps([list(images.shape), class_names]).encode())
    digest.update(images.contiguous().numpy().data)
    return digest.hexdigest()


def file_fingerprint(paths: Iterable[Path]) -> str:
    """SHA-256 of paths, sizes and times of the last change: a quick way to see that one changed.

    Raises:
        OSError: one of them cannot be looked at.
    """
    digest = hashlib.sha256()
    for path in paths:
        status = path.stat()
        line = f"{path.absolute()} {status.st_size} {status.st_mtime_ns}\n"
        digest.update(line.encode(errors="surrogateescape"))
    return digest.hexdigest()


def recall(path: Path, *, content: str, fingerprint: str | None, say: Progress) -> ImageBank | None:
    """:func:`load_packed`, where a file that does not hold what is wanted is as good as none."""
    try:
        return load_packed(path, content=content, fingerprint=fingerprint)
    except StaleCacheError as error:
        say(f"the packed images {visible(str(path))} are made anew: {error}")
        return None


def remember(path: Path, bank: ImageBank, *, content: str, fingerprint: str, say: Progress) -> None:
    """:func:`store_packed`, where a cache folder that cannot be written only costs time."""
    try:
        store_packed(path, bank, content=content, fingerprint=fingerprint)
    except OSError as error:
        say(
            f"the cache folder {visible(str(path.parent))} cannot be written "
            f"({error.strerror or error}): {bank.name} will be read anew at the next start"
        )


def store_packed(path: Path, bank: ImageBank, *, content: str, fingerprint: str) -> None:
    """Write ``bank`` at ``path``, one bit a pixel when it is all 0 and 255; whole or not at all.

    Args:
        path: the file; its folder is made when missing.
        bank: what to keep.
        content: what the bank was made from, e.g. a published hash.
        fingerprint: which files it was read from and when they last changed.

    Raises:
        OSError: the folder cannot be written.
    """
    pixels = bank.images.contiguous().numpy()
    # Class by class: the first grey one decides, and no second set of all images is made.
    binary = all(bool(((drawings == 0) | (drawings == 255)).all()) for drawings in pixels)
    header = {
        "format": _FORMAT,
        "content": content,
        "fingerprint": fingerprint,
        "name": bank.name,
        "source": bank.source,
        "content_hash": bank.content_hash,
        "class_names": bank.class_names,
        "shape": list(bank.images.shape),
        "binary": binary,
        "files": bank.files,
    }
    packed = torch.from_numpy(np.packbits(pixels.reshape(-1) > 0)) if binary else bank.images
    path.parent.mkdir(parents=True, exist_ok=True)
    sweep(path.parent)
    write_atomically(path, save({"images": packed.contiguous()}, {_HEADER: json.dumps(header)}))


def load_packed(path: Path, *, content: str, fingerprint: str | None) -> ImageBank | None:
    """The bank kept at ``path``, checked against its own hash; None when there is no such file.

    Args:
        path: the file that :func:`store_packed` wrote.
        content: what the bank must have been made from.
        fingerprint: the source it must have been read from; None accepts any.

    Raises:
        StaleCacheError: the file is torn, of another format, or of another content or source.
    """
    try:
        if not path.is_file():
            return None
        with safe_open(path, framework="pt") as file:
            header = _checked_header(file.metadata(), content, fingerprint)
            images = file.get_tensor("images")
        shape, pixels = list(header.shape), math.prod(header.shape)
        if images.dtype != torch.uint8 or len(header.class_names) != shape[0]:
            raise StaleCacheError("they are damaged")
        if header.binary and images.shape == (-(-pixels // 8),):
            bits = np.unpackbits(images.numpy(), count=pixels)
            images = torch.from_numpy(bits * np.uint8(255)).reshape(shape)
        if (
            list(images.shape) != shape
            or bank_hash(images, header.class_names) != header.content_hash
        ):
            raise StaleCacheError("they are damaged")
        bank = ImageBank(
            name=header.name,
            images=images,
            class_names=header.class_names,
            content_hash=header.content_hash,
            source=header.source,
            files=header.files,
        )
    except StaleCacheError:
        raise
    except (SafetensorError, OSError, KeyError, TypeError, ValueError, RuntimeError) as error:
        raise StaleCacheError("the file is torn or unreadable") from error
    return bank


def is_packed(path: Path, *, content: str, fingerprint: str | None) -> bool:
    """Whether the file at ``path`` says that it is what :func:`load_packed` would want."""
    try:
        if not path.is_file():  # a pipe would block
            return False
        with safe_open(path, framework="pt") as file:
            _checked_header(file.metadata(), content, fingerprint)
    except (SafetensorError, OSError, KeyError, TypeError, ValueError):
        return False
    return True


@dataclass(frozen=True)
class _Header:
    """What a packed file says of its images."""

    format: Text
    content: Text
    fingerprint: Text
    name: Text
    source: Text
    content_hash: Text
    class_names: tuple[Text, ...]
    shape: tuple[Count, Count, Count, Count, Count]
    binary: Flag
    files: tuple[Text, ...] = ()


def _checked_header(
    metadata: dict[str, str] | None, content: str, fingerprint: str | None
) -> _Header:
    header = checked(_Header, parse_json((metadata or {})[_HEADER]))
    if header.format != _FORMAT or header.content != content:
        raise StaleCacheError("they are of another version")
    if fingerprint not in (None, header.fingerprint):
        raise StaleCacheError("their source has changed, or is another")
    return header
