"""Downloading Omniglot through torchvision, which knows the address and the MD5 of both zips."""

from __future__ import annotations

import http.client
import io
import shutil
import socket
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, redirect_stderr
from pathlib import Path

from mamltui.data.progress import Progress

_TIMEOUT = 20.0
"""Seconds without a byte after which the network counts as gone."""


class DownloadError(Exception):
    """A download that did not succeed; the text says why."""


def download_omniglot(
    target: Path, *, folders: Sequence[str], progress: Progress | None = None
) -> dict[str, Path]:
    """Download the zips of ``folders`` into ``target``; they appear there whole or not at all.

    The zips are kept as they are: they are read in memory, so nothing from the network is ever
    extracted. With ``progress``, torchvision shows its own bar on stderr.

    Returns:
        The zip of each of ``folders``.

    Raises:
        DownloadError: no network, a file of the wrong content, or a folder that cannot be written.
    """
    with ExitStack() as stack:
        try:
            target.mkdir(parents=True, exist_ok=True)
            beside = Path(tempfile.mkdtemp(prefix=".omniglot-", dir=target))
        except OSError as error:
            raise DownloadError(f"{target} cannot be written: {error.strerror or error}") from error
        stack.callback(shutil.rmtree, beside, ignore_errors=True)
        if progress is None:
            stack.enter_context(redirect_stderr(io.StringIO()))
        try:
            from torchvision.datasets import Omniglot
            from torchvision.datasets.utils import download_url

            stack.enter_context(_socket_timeout(_TIMEOUT))
            for folder in folders:
                address = f"{Omniglot.download_url_prefix}/{folder}.zip"
                if progress is not None:
                    progress(f"downloading {address} into {target}")
                download_url(address, beside, f"{folder}.zip", md5=Omniglot.zips_md5[folder])
            places = {folder: target / f"{folder}.zip" for folder in folders}
            for place in places.values():
                (beside / place.name).replace(place)
        except (OSError, RuntimeError, ValueError, ImportError, http.client.HTTPException) as error:
            raise DownloadError(str(error) or type(error).__name__) from error
    return places


@contextmanager
def _socket_timeout(seconds: float) -> Iterator[None]:
    """torchvision passes no timeout on, and the sockets' own default is to wait for ever."""
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(seconds)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)
