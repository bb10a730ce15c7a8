"""``torchrun ... -m mamltui run``: the processes of one training, and which of them speaks."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from mamltui.errors import ExitCode, UsageError
from mamltui.signals import stop_signals

if TYPE_CHECKING:  # torch takes seconds to import
    from mamltui.maml.ranks import Ranks


def is_distributed() -> bool:
    """Whether this process was started as one of several, by ``torchrun`` or in its manner."""
    return "RANK" in os.environ and _number("WORLD_SIZE") > 1


def is_helper() -> bool:
    """Whether it is not the one that speaks for all, that of rank 0."""
    return is_distributed() and _number("RANK") > 0


def is_restarted() -> bool:
    """Whether ``torchrun --max-restarts`` started all processes anew, after one of them failed."""
    return _number("TORCHELASTIC_RESTART_COUNT") > 0


def help_out() -> int:
    """Do the part of a helper, without a word; the exit code.

    Raises:
        RanksError: the process of rank 0 is gone.
    """
    from mamltui.maml.ranks import Ranks, UnfitRanksError
    from mamltui.maml.shared_engine import help_out

    received: list[str] = []
    with stop_signals(lambda by: received.append(by.name), insisting=False):
        try:
            ranks = Ranks()
        except UnfitRanksError as error:  # rank 0 says it
            return error.exit_code
        help_out(ranks, received)
        ranks.leave()
    return 128 + signal.Signals[received[0]] if received else ExitCode.DONE


@contextmanager
def helped() -> Iterator[Ranks | None]:
    """All processes of this training, seen from that of rank 0; None: it is alone.

    The helpers end with it.

    Raises:
        UnfitRanksError: they cannot reach each other, or do not go together.
    """
    if not is_distributed():
        yield None
        return
    from mamltui.maml.ranks import Ranks
    from mamltui.maml.shared_engine import end_helpers

    ranks = Ranks()
    try:
        yield ranks
    finally:
        end_helpers(ranks)


def _number(variable: str) -> int:
    value = os.environ.get(variable) or "0"
    if not value.isdecimal():
        raise UsageError("a number is needed", where=f"{variable}={value}")
    return int(value)
