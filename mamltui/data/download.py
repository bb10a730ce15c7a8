"""Downloading the files of a data set through torchvision; they appear whole or not at all."""

from __future__ import annotations

import http.client
import io
import socket
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager, redirect_stderr
from pathlib import Path
from typing import NamedTuple

from mamltui.atomic import part_folder, sweep
from mamltui.data.progress import Progress

_TIMEOUT = 20.0
"""Seconds without a byte after which the network counts as gone."""


EARLIER_PARTS = ".download-*"
"""What earlier versions called the folder that a download is made in."""


class DownloadError(Exception):
    """A download that did not succeed; the text says why."""


class Wanted(NamedTuple):
    """A file to download."""

    address: str
    name: str
    """What it is called in the folder that it goes to."""
    md5: str


def download_files(
    target: Path, wanted: Callable[[], Iterable[Wanted]], progress: Progress | None = None
) -> None:
    """Download files into the folder ``target``; they appear there whole or not at all.

    They are kept as they come: nothing from the network is ever extracted. With ``progress``,
    torchvision shows its own bar on stderr.

    Args:
        target: made when missing.
        wanted: asks torchvision for addresses and MD5s, which may fail as downloading may.
        progress: told in words what happens.

    Raises:
        DownloadError: no network, a file of the wrong content, or a folder that cannot be written.
    """
    with ExitStack() as stack:
        try:
            target.mkdir(parents=True, exist_ok=True)
            sweep(target, EARLIER_PARTS)
            beside = stack.enter_context(part_folder(target / "download"))
        except OSError as error:
            raise DownloadError(f"{target} cannot be written: {error.strerror or error}") from error
        if progress is None:
            stack.enter_context(redirect_stderr(io.StringIO()))
        try:
            from torchvision.datasets.utils import download_url

            stack.enter_context(_socket_timeout(_TIMEOUT))
            names = []
            for address, name, md5 in wanted():
                if progress is not None:
                    progress(f"downloading {address} into {target}")
                download_url(address, beside, name, md5=md5)
                names.append(name)
            for name in names:
                (beside / name).replace(target / name)
        except (OSError, RuntimeError, ValueError, ImportError, http.client.HTTPException) as error:
            raise DownloadError(str(error) or type(error).__name__) from error


@contextmanager
def _socket_timeout(seconds: float) -> Iterator[None]:
    """torchvision passes no timeout on, and the sockets' own default is to wait for ever."""
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(seconds)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)
