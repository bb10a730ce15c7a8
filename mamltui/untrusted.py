"""Files that nobody has vouched for: read within bounds, and checked against a model.

A run folder, a cache or a result may come from another machine, a broken disk or a stranger. So
whatever reads a file that was not read in this process before goes through here:
:func:`read_file` opens nothing but a regular file of a size that is asked first, and
:func:`checked` lets nothing through but what its model allows: every number finite and within its
range, every text of a length, at any depth.
"""

from __future__ import annotations

import errno
import json
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Annotated, Any, BinaryIO, NoReturn, TypeVar, cast

from pydantic import Field, TypeAdapter, ValidationError

from mamltui.text import shortened

T = TypeVar("T")

MOST_ITERATIONS = 100_000_000
"""No training is longer."""
_FINITE = {"strict": True, "allow_inf_nan": False}

Count = Annotated[int, Field(strict=True, ge=0, le=2**63 - 1)]
Iteration = Annotated[int, Field(strict=True, ge=0, le=MOST_ITERATIONS)]
Fraction = Annotated[float, Field(**_FINITE, ge=0, le=1 + 1e-6)]
"""Of correct answers, with room for rounding."""
Amount = Annotated[float, Field(**_FINITE, ge=0, le=3.5e38)]
"""What single precision can hold: a loss, a norm, a rate."""
Seconds = Annotated[float, Field(**_FINITE, ge=0, le=1e11)]
Text = Annotated[str, Field(strict=True, max_length=100_000)]
Flag = Annotated[bool, Field(strict=True)]
PerStep = Annotated[tuple[T, ...], Field(max_length=1001)]
"""A value after 0, 1, ... inner steps."""


@contextmanager
def open_regular(path: Path) -> Iterator[tuple[BinaryIO, os.stat_result]]:
    """``path`` open for reading, and what the system says of it.

    Raises:
        OSError: it is missing, not readable, or not a regular file: a pipe would block, a device
            never end. A link counts as what it points to.
    """
    regular(path.stat())  # opening a device can already do something
    descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | _BINARY)
    with os.fdopen(descriptor, "rb") as file:
        yield file, regular(os.fstat(descriptor))


def regular(status: os.stat_result) -> os.stat_result:
    """``status``, if it is a regular file's.

    Raises:
        OSError: it is another's.
    """
    if stat.S_ISDIR(status.st_mode):
        raise OSError(errno.EISDIR, os.strerror(errno.EISDIR))
    if not stat.S_ISREG(status.st_mode):
        raise OSError(errno.EINVAL, "Not a regular file")
    return status


def read_file(path: Path, most: int) -> bytes:
    """The content of a regular file of at most ``most`` bytes.

    Raises:
        OSError: as :func:`open_regular`, or it is larger, which is asked before it is read.
    """
    with open_regular(path) as (file, status):
        content = b""
        if status.st_size <= most:
            # Python makes room for all that is asked for before it reads.
            content = file.read(status.st_size + 1)
        if len(content) > status.st_size:  # it has grown
            content += file.read(most + 1 - len(content))
    if max(status.st_size, len(content)) > most:
        raise OSError(errno.EFBIG, f"larger than {most:,} bytes")
    return content


def parse_json(content: bytes | str) -> Any:
    """JSON without the numbers that Python alone reads in it.

    Raises:
        ValueError: it is none, too deep, not UTF-8, or holds NaN or Infinity.
    """
    try:
        return json.loads(content, parse_constant=_not_json)
    except RecursionError as error:
        raise ValueError("nested too deeply") from error


def checked(kind: type[T], values: object) -> T:
    """A dataclass, model or type made of plain values; keys that it does not have are left out.

    Raises:
        ValueError: a value is missing or not allowed; the message is one line and names the first.
    """
    try:
        return cast(T, _adapter(cast(Any, kind)).validate_python(values))
    except ValidationError as error:
        raise ValueError(first_fault(error)) from error


def checked_json(kind: type[T], content: bytes) -> T:
    """The same from JSON.

    Raises:
        ValueError: it is none, or as :func:`checked`.
    """
    try:
        return cast(T, _adapter(cast(Any, kind)).validate_json(content))
    except ValidationError as error:
        raise ValueError(first_fault(error)) from error


def first_fault(error: ValidationError) -> str:
    """The first thing wrong, in one line that prints."""
    first = error.errors(include_url=False)[0]
    key = shortened(".".join(map(str, first["loc"])))
    if first["type"] == "missing":
        return f"{key} is missing"
    reason = str(first.get("ctx", {}).get("error") or first["msg"])
    if not key:
        return shortened(reason, 200)
    value = first["input"]
    shown = "this"
    if value is None or isinstance(value, bool | float | str):
        shown = repr(value[:40] if isinstance(value, str) else value)
    elif isinstance(value, int):
        shown = str(value) if abs(value) < 10**18 else "an integer of many digits"
    return f"{key} is {shortened(shown)}: {shortened(reason, 200)}"


@cache
def _adapter(kind: Any) -> TypeAdapter[Any]:
    return TypeAdapter(kind)


def _not_json(word: str) -> NoReturn:
    raise ValueError(f"{word} is not JSON")


_BINARY = getattr(os, "O_BINARY", 0) | getattr(os, "O_CLOEXEC", 0)
