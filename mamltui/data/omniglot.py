"""Omniglot: found or downloaded, verified by its content, packed for the next start."""

from __future__ import annotations

from pathlib import Path

from mamltui.caching import cache_folder
from mamltui.data.bank import ImageBank
from mamltui.data.cache import is_packed, packed_folder, recall, remember
from mamltui.data.download import DownloadError
from mamltui.data.omniglot_content import OMNIGLOT, Expected
from mamltui.data.omniglot_find import (
    OmniglotLocation,
    find_omniglot,
    look_in,
    missing_omniglot,
    search,
)
from mamltui.data.omniglot_read import read_omniglot
from mamltui.data.progress import Progress, silent
from mamltui.data.roots import roots
from mamltui.errors import DataError
from mamltui.text import visible

__all__ = [
    "OmniglotLocation",
    "fetch_omniglot",
    "find_omniglot",
    "load_omniglot",
    "packed_path",
    "packed_variants",
    "verify_omniglot",
]


def load_omniglot(
    data_dir: Path | None = None,
    *,
    resize: str,
    image_size: int,
    download: bool = True,
    progress: Progress | None = None,
    expected: Expected = OMNIGLOT,
) -> ImageBank:
    """Omniglot in memory: [1623, 20, 1, size, size], the background alphabets' characters first.

    The first time the drawings are read, verified and packed in the cache folder; from then on the
    packed images are taken as long as the source has not changed, or when there is none any more.
    Class names are the characters' paths, such as ``images_background/Greek/character01``.

    Args:
        data_dir: a folder to look in before the others.
        resize: ``nearest``: pixels stay 0 or 255, as in Finn, Abbeel and Levine (2017), whose code
            resized the 1-bit images by Pillow's nearest neighbour; ``antialias``: grey, Lanczos.
        image_size: width and height in pixels.
        download: whether a missing Omniglot is downloaded into the cache folder.
        progress: told in words what happens.
        expected: the files that must be there.

    Raises:
        DataError: not found and not to be had, or what was found is not Omniglot.
    """
    say = progress or silent
    location, lacks = search(data_dir, expected=expected)
    for lack in lacks if location else ():
        say(f"no Omniglot in {lack}")
    packed = packed_path(resize, image_size, expected)
    if location is None:
        bank = recall(packed, content=expected.sha256, fingerprint=None, say=say)
        if bank is not None:
            return bank
        location = _downloaded(lacks, download, expected, progress)
    # Taken before reading, so that a change meanwhile is seen at the next start.
    fingerprint = location.fingerprint()
    bank = recall(packed, content=expected.sha256, fingerprint=fingerprint, say=say)
    if bank is None:
        bank = read_omniglot(
            location, resize=resize, image_size=image_size, progress=progress, expected=expected
        )
        remember(packed, bank, content=expected.sha256, fingerprint=fingerprint, say=say)
    return bank


def verify_omniglot(
    data_dir: Path | None = None,
    *,
    progress: Progress | None = None,
    expected: Expected = OMNIGLOT,
) -> OmniglotLocation:
    """Read Omniglot from its source, whatever is packed, and compare it with what was published.

    Raises:
        DataError: not found, or what was found is not Omniglot.
    """
    location, lacks = search(data_dir, expected=expected)
    if location is None:
        raise missing_omniglot(lacks, "there is nothing to verify")
    _verify(location, expected, progress)
    return location


def fetch_omniglot(
    data_dir: Path | None = None,
    *,
    progress: Progress | None = None,
    expected: Expected = OMNIGLOT,
) -> OmniglotLocation:
    """Download Omniglot into the first of the folders looked in, unless it is there, and verify it.

    Raises:
        DataError: it cannot be downloaded.
    """
    from mamltui.data.omniglot_download import download_omniglot

    origin, target = roots(data_dir)[0]
    location = look_in(origin, target, expected=expected)
    if isinstance(location, OmniglotLocation):
        try:
            _verify(location, expected, progress)
            return location
        except DataError as error:
            (progress or silent)(f"{error.where}: {error.what}; it is downloaded again")
    try:
        paths = download_omniglot(target, folders=expected.folders, progress=progress)
    except DownloadError as error:
        raise DataError(
            f"Omniglot could not be downloaded ({error})",
            where=visible(str(target)),
            hint="Try again, or copy images_background.zip and images_evaluation.zip there.",
        ) from error
    location = OmniglotLocation(origin, target, paths)
    _verify(location, expected, progress)
    return location


def packed_variants(
    location: OmniglotLocation | None, *, expected: Expected = OMNIGLOT
) -> list[str]:
    """The resizings that are packed, such as ``nearest-28``: of ``location``, or of any source."""
    fingerprint = location.fingerprint() if location else None
    stem = _packed_stem(expected)
    return [
        path.stem.removeprefix(f"{stem}-")
        for path in sorted(packed_folder().glob(f"{stem}-*.safetensors"))
        if is_packed(path, content=expected.sha256, fingerprint=fingerprint)
    ]


def packed_path(resize: str, image_size: int, expected: Expected = OMNIGLOT) -> Path:
    """Where the packed images of this resizing are kept, named by what they were made from."""
    return packed_folder() / f"{_packed_stem(expected)}-{resize}-{image_size}.safetensors"


def _packed_stem(expected: Expected) -> str:
    return f"omniglot-{expected.sha256[:16]}"


def _verify(location: OmniglotLocation, expected: Expected, progress: Progress | None) -> None:
    """Read everything, and keep what comes out: the images that the paper uses."""
    fingerprint = location.fingerprint()
    bank = read_omniglot(
        location, resize="nearest", image_size=28, progress=progress, expected=expected
    )
    packed = packed_path("nearest", 28, expected)
    say = progress or silent
    remember(packed, bank, content=expected.sha256, fingerprint=fingerprint, say=say)


def _downloaded(
    lacks: list[str], download: bool, expected: Expected, progress: Progress | None
) -> OmniglotLocation:
    if not download:
        raise missing_omniglot(lacks, "downloading it was not asked for")
    from mamltui.data.omniglot_download import download_omniglot

    target = cache_folder()
    try:
        paths = download_omniglot(target, folders=expected.folders, progress=progress)
    except DownloadError as error:
        raise missing_omniglot(lacks, f"downloading it failed ({error})") from error
    return OmniglotLocation("cache folder", target, paths)
