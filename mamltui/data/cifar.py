"""CIFAR-FS: the images of CIFAR-100, found or downloaded, verified, packed for the next start."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from mamltui.caching import cache_folder
from mamltui.data.bank import ImageBank
from mamltui.data.cache import is_packed, packed_folder, recall, remember
from mamltui.data.cifar_find import ARCHIVE, CifarLocation, look_in, missing_cifar, search
from mamltui.data.cifar_read import ARCHIVE_MD5, read_cifar, verified_files
from mamltui.data.download import DownloadError, Wanted, download_files
from mamltui.data.progress import Progress, silent
from mamltui.data.roots import roots
from mamltui.errors import DataError
from mamltui.text import visible


def load_cifar(
    data_dir: Path | None = None,
    *,
    resize: str,
    image_size: int,
    download: bool = True,
    progress: Progress | None = None,
) -> ImageBank:
    """CIFAR-FS in memory: [100, 600, 3, size, size], all images of CIFAR-100 by their class.

    Krizhevsky 2009, "Learning multiple layers of features from tiny images". Classes are in the
    order of their names; the 500 images of CIFAR-100's own training part come before the 100 of its
    test part, a division that means nothing here. Values are red, green and blue as they are.

    The first time the images are read, verified and packed in the cache folder; from then on the
    packed ones are taken as long as the source has not changed, or when there is none any more.

    Args:
        data_dir: a folder to look in before the others.
        resize: ``nearest`` or ``antialias`` (Lanczos), when ``image_size`` is not 32.
        image_size: width and height in pixels; 32 leaves the images as they are.
        download: whether a missing CIFAR-100 is downloaded into the cache folder.
        progress: told in words what happens.

    Raises:
        DataError: not found and not to be had, or what was found is not CIFAR-100.
    """
    say = progress or silent
    location, lacks = search(data_dir)
    for lack in lacks if location else ():
        say(f"no CIFAR-100 in {lack}")
    packed = packed_path(resize, image_size)
    if location is None:
        bank = recall(packed, content=ARCHIVE_MD5, fingerprint=None, say=say)
        if bank is not None:
            return bank
        location = _downloaded(lacks, download, progress)
    # Taken before reading, so that a change meanwhile is seen at the next start.
    fingerprint = location.fingerprint()
    bank = recall(packed, content=ARCHIVE_MD5, fingerprint=fingerprint, say=say)
    if bank is None:
        bank = read_cifar(location, resize=resize, image_size=image_size, progress=progress)
        remember(packed, bank, content=ARCHIVE_MD5, fingerprint=fingerprint, say=say)
    return bank


def verify_cifar(data_dir: Path | None = None) -> CifarLocation:
    """Compare the files of CIFAR-100 with what was published, whatever is packed.

    Raises:
        DataError: not found, or what was found is not CIFAR-100.
    """
    location, lacks = search(data_dir)
    if location is None:
        raise missing_cifar(lacks, "there is nothing to verify")
    verified_files(location)
    return location


def fetch_cifar(data_dir: Path | None = None, *, progress: Progress | None = None) -> CifarLocation:
    """Download CIFAR-100 into the first of the folders looked in, unless it is there and whole.

    Raises:
        DataError: it cannot be downloaded.
    """
    origin, target = roots(data_dir)[0]
    location = look_in(origin, target)
    if isinstance(location, CifarLocation):
        try:
            verified_files(location)
            return location
        except DataError as error:
            (progress or silent)(f"{error.where}: {error.what}; it is downloaded again")
    try:
        location = _download(origin, target, progress)
    except DownloadError as error:
        raise DataError(
            f"CIFAR-100 could not be downloaded ({error})",
            where=visible(str(target)),
            hint=f"Try again, or copy {ARCHIVE} there.",
        ) from error
    verified_files(location)
    return location


def packed_variants(location: CifarLocation | None) -> list[str]:
    """The resizings that are packed, such as ``antialias-32``: of ``location``, or of any."""
    fingerprint = location.fingerprint() if location else None
    return [
        path.stem.removeprefix("cifar-fs-")
        for path in sorted(packed_folder().glob("cifar-fs-*.safetensors"))
        if is_packed(path, content=ARCHIVE_MD5, fingerprint=fingerprint)
    ]


def packed_path(resize: str, image_size: int) -> Path:
    """Where the packed images of this resizing are kept."""
    return packed_folder() / f"cifar-fs-{resize}-{image_size}.safetensors"


def _downloaded(lacks: list[str], download: bool, progress: Progress | None) -> CifarLocation:
    if not download:
        raise missing_cifar(lacks, "downloading it was not asked for")
    try:
        return _download("cache folder", cache_folder(), progress)
    except DownloadError as error:
        raise missing_cifar(lacks, f"downloading it failed ({error})") from error


def _download(origin: str, target: Path, progress: Progress | None) -> CifarLocation:
    def archive() -> Iterator[Wanted]:
        from torchvision.datasets import CIFAR100

        yield Wanted(CIFAR100.url, ARCHIVE, CIFAR100.tgz_md5)

    download_files(target, archive, progress)
    return CifarLocation(origin, target / ARCHIVE)
