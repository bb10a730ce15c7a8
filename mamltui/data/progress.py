"""How the data layer says what it is doing."""

from __future__ import annotations

from collections.abc import Callable

Progress = Callable[[str], None]
"""Takes one message for people, without a newline."""


def silent(message: str) -> None:
    """For when no one listens."""
