"""Work beside the event loop, in threads that never keep the app from leaving."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Generic, TypeVar

from textual.app import App
from textual.message_pump import MessagePump

Request = TypeVar("Request")
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


class Newest(Generic[Request, Result]):
    """Has requests worked on in the background, one at a time; of those that wait, the newest.

    Args:
        owner: of the app, when there are requests.
        work: done in a thread.
        done: called in the app's own thread; if another request waits, work on it has begun.
        failed: the same, with what ``work`` raised.

    Attributes:
        request: the newest, also when the work on it is over; None: none is of interest.
        is_busy: something is worked on.
    """

    def __init__(
        self,
        owner: MessagePump,
        work: Callable[[Request], Result],
        done: Callable[[Request, Result], object],
        failed: Callable[[Request, Exception], object],
    ) -> None:
        self._owner, self._work, self._done, self._failed = owner, work, done, failed
        self.request: Request | None = None
        self.is_busy = False

    def ask(self, request: Request) -> None:
        """Work on this one, as soon as what is worked on is over."""
        self.request = request
        if not self.is_busy:
            self._begin(request)

    def forget(self) -> None:
        """Have nothing worked on after what is worked on now."""
        self.request = None

    def _begin(self, request: Request) -> None:
        def done(result: Result) -> None:
            self._go_on(request)
            self._done(request, result)

        def failed(error: Exception) -> None:
            self._go_on(request)
            self._failed(request, error)

        self.is_busy = True
        in_background(self._owner.app, lambda: self._work(request), done, failed)

    def _go_on(self, request: Request) -> None:
        self.is_busy = False
        if self.request is not None and self.request is not request:
            self._begin(self.request)


def _tell(app: App[object], receive: Callable[[Result], object], value: Result) -> None:
    if not app.is_running:
        return  # call_from_thread would make a coroutine that no event loop is left to run
    with suppress(RuntimeError):  # the app has left meanwhile
        app.call_from_thread(receive, value)
