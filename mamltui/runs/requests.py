"""Asking a training of another process to pause, go on, stop or save, through its run folder."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Literal, Protocol, get_args

from mamltui.atomic import write_atomically
from mamltui.errors import RunError
from mamltui.runs.files import file_error
from mamltui.runs.folder import RunFolder
from mamltui.untrusted import read_file

Wish = Literal["pause", "resume", "stop", "checkpoint"]
WISHES: tuple[Wish, ...] = get_args(Wish)
FILE = "request"
LARGEST = 100
"""Bytes of a request, which is one word."""
POLL_SECONDS = 0.25


class Steered(Protocol):
    """What obeys, from any thread."""

    def pause(self) -> None: ...
    def resume(self) -> None: ...
    def checkpoint(self) -> None: ...
    def stop(self, reason: str) -> None: ...


def ask(run: RunFolder, wish: Wish) -> None:
    """Ask whoever trains ``run``, here or on another machine that sees the folder.

    It is obeyed after the meta-step at hand; an earlier request that was not yet seen is replaced.

    Raises:
        RunError: nobody trains it, or the folder cannot be written.
    """
    state = run.info().state
    if state not in ("running", "paused"):
        raise RunError(f"nobody trains this run: it is {state}", where=str(run.path))
    path = run.path / FILE
    try:
        write_atomically(path, f"{wish}\n".encode())
    except OSError as error:
        raise file_error(error, path, "write") from error


@contextmanager
def obeyed(run: RunFolder, control: Steered) -> Iterator[None]:
    """While inside, what is asked of ``run`` is passed on to ``control``."""
    path, over = run.path / FILE, threading.Event()
    if path.exists():  # asked of an earlier sitting
        with suppress(OSError):
            path.unlink()

    def follow() -> None:
        while not over.wait(POLL_SECONDS):
            try:
                word = read_file(path, LARGEST).decode("ascii", "replace").strip()
                path.unlink()
            except OSError:
                continue
            if word == "pause":
                control.pause()
            elif word == "resume":
                control.resume()
            elif word == "checkpoint":
                control.checkpoint()
            elif word == "stop":
                control.stop("stopped from another process")

    thread = threading.Thread(target=follow, name="requests", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
