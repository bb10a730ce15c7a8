"""Downloading Omniglot from where torchvision says that it is."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from mamltui.data.download import Wanted, download_files
from mamltui.data.progress import Progress


def download_omniglot(
    target: Path, *, folders: Sequence[str], progress: Progress | None = None
) -> dict[str, Path]:
    """Download the zips of ``folders`` into ``target``, as :func:`download_files` does.

    Returns:
        The zip of each of ``folders``.

    Raises:
        DownloadError: no network, a file of the wrong content, or a folder that cannot be written.
    """

    def zips() -> Iterator[Wanted]:
        from torchvision.datasets import Omniglot

        for folder in folders:
            address = f"{Omniglot.download_url_prefix}/{folder}.zip"
            yield Wanted(address, f"{folder}.zip", Omniglot.zips_md5[folder])

    download_files(target, zips, progress)
    return {folder: target / f"{folder}.zip" for folder in folders}
