"""Memory that runs out: telling it from other errors, doing with less, and saying what helps."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

import torch

from mamltui.errors import DeviceError

Result = TypeVar("Result")

_OF_GPU = (
    "CUDA error: out of memory",
    "CUBLAS_STATUS_ALLOC_FAILED",
    "CUDNN_STATUS_ALLOC_FAILED",
    "CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED",
)
"""What the libraries below torch say, which torch passes on as errors of no kind of their own."""
_OF_MACHINE = "DefaultCPUAllocator"


def memory_of(error: BaseException) -> str | None:
    """Whose memory ran out: the ``GPU``'s or the ``machine``'s; None: it is another error."""
    words = str(error)
    if isinstance(error, torch.OutOfMemoryError) or any(each in words for each in _OF_GPU):
        return "GPU"
    if isinstance(error, MemoryError) or _OF_MACHINE in words:
        return "machine"
    return None


def memory_error(error: BaseException, remedy: str) -> DeviceError | None:
    """The error for people, if it is memory that ran out.

    Args:
        remedy: what helps beside ending other programs, as the second half of a sentence.
    """
    owner = memory_of(error)
    if owner is None:
        return None
    used = "the GPU" if owner == "GPU" else "its memory"
    return DeviceError(
        f"the {owner} is out of memory", hint=f"End what else uses {used}, or {remedy}."
    )


@contextmanager
def memory_explained(remedy: str) -> Iterator[None]:
    """Inside, memory that runs out is a :func:`memory_error`.

    Raises:
        DeviceError: memory ran out.
    """
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        explained = memory_error(error, remedy)
        if explained is None:
            raise
        raise explained from error


def halving(
    work: Callable[[int], Result], size: int, say: Callable[[str], None], *, of: str = "tasks"
) -> tuple[Result, int]:
    """``work`` with as much at once as memory allows, found out the hard way; and how much it was.

    Args:
        size: what to begin with.
        say: told in words of each halving.
        of: what there is ``size`` of.

    Raises:
        RuntimeError, MemoryError: not even one fits.
    """
    while True:
        try:
            return work(size), size
        except (RuntimeError, MemoryError) as error:
            owner = memory_of(error)
            if owner is None or size <= 1:
                raise
        say(f"out of memory with {size} {of} at once: from here on {size // 2}")
        size //= 2
        if owner == "GPU" and torch.cuda.is_initialized():  # type: ignore[no-untyped-call]
            torch.cuda.empty_cache()
