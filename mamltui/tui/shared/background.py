"""Work beside the event loop, in threads that never keep the app from leaving."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import suppress
from typing import TypeVar

from textual.app import App

Result = TypeVar("Result")


def in_background(
    app: App[object],
    work: Callable[[], Result],
    done: Callable[[Result], object],
    failed: Callable[[Exception], object],
) -> None:
    """Do ``work`` in a thread; ``done`` or ``failed`` is then called in the app's own.

    Textual's thread workers are waited for when the app leaves; these are not.
    """

    def run() -> None:
        try:
            result = work()
        except Exception as error:
            _tell(app, failed, error)
        else:
            _tell(app, done, result)

    threading.Thread(target=run, name="background", daemon=True).start()


def _tell(app: App[object], receive: Callable[[Result], object], value: Result) -> None:
    if not app.is_running:
        return  # call_from_thread would make a coroutine that no event loop is left to run
    with suppress(RuntimeError):  # the app has left meanwhile
        app.call_from_thread(receive, value)
