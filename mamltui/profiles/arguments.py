"""Arguments of a constructor as a TOML table: ``{width = 16, kinds = ["a", "b"]}``."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

MOST = 100
LONGEST = 1_000
DEEPEST = 4
ALLOWED_ARGUMENTS = "a table such as {width = 16}, of numbers, texts, booleans and lists of them"


def parse_arguments(value: object) -> tuple[tuple[str, Any], ...]:
    """Names with their values, sorted, lists as tuples; from a table, or what this gave.

    Raises:
        ValueError: it is no such table; the message is one sentence for the user.
    """
    if isinstance(value, tuple) and all(isinstance(each, tuple) for each in value):
        value = dict(value)
    if not isinstance(value, Mapping):
        raise ValueError("this is not a table")
    if len(value) > MOST:
        raise ValueError(f"it has more than {MOST} entries")
    for name in value:
        if not isinstance(name, str) or not name.isidentifier() or len(name) > LONGEST:
            raise ValueError("a name in it is not one that Python's arguments can have")
    return tuple(sorted((name, _plain(each, DEEPEST)) for name, each in value.items()))


def _plain(value: object, depth: int) -> Any:
    if isinstance(value, bool | int):
        return value
    if isinstance(value, float) and math.isfinite(value):
        return value
    if isinstance(value, str) and len(value) <= LONGEST and value.isprintable():
        return value
    if isinstance(value, list | tuple) and depth and len(value) <= LONGEST:
        return tuple(_plain(each, depth - 1) for each in value)
    raise ValueError("a value in it is none of: finite number, short text, boolean, list of them")
