"""Tasks in chunks, one after another or side by side.

A chunk is what is worked on at once: its size bounds the memory and keeps a CPU's cache warm.
"""

from __future__ import annotations

import math
import os
import threading
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from functools import lru_cache
from typing import TypeVar

import torch

from mamltui.maml.episode import Episodes
from mamltui.maml.network import NetworkSpec
from mamltui.maml.parameters import Network

Result = TypeVar("Result")

WORKERS = 2
"""Chunks that may be worked on side by side: Python has its part of one while another computes."""
CPU_CHUNK_BYTES = 12 * 2**20
"""Patches of one layer that stay in a CPU's last-level cache between the passes over them."""
MEMORY_SHARE = 0.5
"""Part of a GPU's free memory that a chunk may fill."""


SCORING_BYTES = 8 * 2**30
"""What a chunk may fill on a GPU where no step is kept."""


class Interrupted(Exception):  # noqa: N818 - asked for, so no error
    """Work was asked to stop before its end, and did: there is no result."""


def each_chunk(
    chunks: Sequence[Episodes],
    work: Callable[[Episodes], Result],
    use: Callable[[Episodes, Result], None],
    *,
    workers: int = 1,
    should_stop: Callable[[], bool] | None = None,
) -> None:
    """``use``, in order and in this thread, of each chunk and what ``work`` makes of it.

    Args:
        workers: 1: ``work`` is done in this thread. :data:`WORKERS`: in so many others, which
            share torch's threads, where it has more than one.
        should_stop: asked before each chunk.

    Raises:
        Interrupted: ``should_stop`` said so.
    """
    pending: deque[tuple[Episodes, Future[Result]]] = deque()
    threads = torch.get_num_threads()
    executor = None
    if min(workers, threads, len(chunks)) > 1:
        executor = _workers(os.getpid(), threads)

    def use_next() -> None:
        chunk, result = pending.popleft()
        use(chunk, result.result())

    try:
        for chunk in chunks:
            if should_stop is not None and should_stop():
                raise Interrupted
            if executor is None:
                use(chunk, work(chunk))
                continue
            pending.append((chunk, executor.submit(work, chunk)))
            if len(pending) > workers:
                use_next()
        while pending:
            use_next()
    finally:
        for _, result in pending:
            result.cancel()
        wait([result for _, result in pending])


@lru_cache(maxsize=1)
def _workers(process: int, threads: int) -> ThreadPoolExecutor:  # noqa: ARG001
    """Threads of ``process``, for a fork has none of its parent's, which share torch's among them.

    So torch starts and wakes no more than there are, which would wait on cores that others work on.
    """
    executor, started = ThreadPoolExecutor(WORKERS), threading.Barrier(WORKERS + 1)

    def start() -> None:
        torch.set_num_threads(-(-threads // WORKERS))
        torch.get_num_threads()  # a new thread takes the number over when it is first asked for
        started.wait()

    for _ in range(WORKERS):
        executor.submit(start)
    started.wait()
    torch.set_num_threads(threads)  # for threads to come, which the workers have set too
    return executor


def patch_bytes(network: NetworkSpec, examples: int, element: int = 4) -> int:
    """Bytes of the largest layer's patches for one task of ``examples`` images."""
    layers = zip(network.inputs(), network.convolved_sizes(), strict=True)
    largest = max(9 * count * size**2 for count, size in layers)
    return largest * examples * element


def task_bytes(network: NetworkSpec, steps: int, examples: int, element: int = 4) -> int:
    """Bytes that one task holds at most: every inner step's patches and activations are kept.

    A layer keeps its patches and four arrays of its output's size a step; the pass at hand needs
    about as much again.
    """
    layers = zip(network.inputs(), network.convolved_sizes(), strict=True)
    per_image = sum(size**2 * (9 * count + 4 * network.filters) for count, size in layers)
    weights = 3 * network.parameter_count()
    return element * ((steps + 2) * (examples * per_image + weights))


def choose_task_chunk(network: Network, steps: int, episodes: Episodes) -> int:
    """Tasks to work on at once: what a CPU's cache or a GPU's free memory holds; at least one.

    ``steps`` is how many inner steps are kept for the way back. Without any, as in an evaluation,
    the chunk does not follow the memory that is free at the moment: other chunks add in another
    order, and an evaluation that is repeated has to give the same digits. Chunks are as equal as
    they can be, so that none is left over small. A module of the user's computes one task after the
    other, and holds no more than one.
    """
    if not isinstance(network, NetworkSpec):
        return equal_chunks(episodes.tasks, network.tasks_at_once)
    tasks, device = episodes.tasks, episodes.support_x.device
    examples = max(episodes.support_y.shape[1], episodes.query_y.shape[1])
    if device.type == "cuda":
        memory = SCORING_BYTES
        if steps:
            memory = int(MEMORY_SHARE * torch.cuda.mem_get_info(device)[0])
        fitting = memory // task_bytes(network, steps, examples)
    else:
        fitting = CPU_CHUNK_BYTES // patch_bytes(network, examples)
    return equal_chunks(tasks, fitting)


def equal_chunks(tasks: int, fitting: int) -> int:
    """Tasks to work on at once, as equal as can be, where so many fit; at least one."""
    chunks = math.ceil(tasks / max(1, min(fitting, tasks)))
    return math.ceil(tasks / chunks)
