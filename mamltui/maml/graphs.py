"""CUDA graphs: work of many small kernels that is recorded once and then launched as one.

Launched one by one, a GPU waits for the processor most of the time. What is recorded must not wait
for the device, depend on its values in Python, or take memory that the next replay does not find
again; numbers that change from replay to replay are put where the graph reads them.
https://docs.pytorch.org/docs/stable/notes/cuda.html#cuda-graphs
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TypeVar

import torch

from mamltui.maml.inner import InnerLoop
from mamltui.maml.memory import memory_of

WARM_UPS = 3
"""Calls before the recording: libraries set themselves up in their first ones."""

Key = TypeVar("Key")


def record(
    works: Mapping[Key, Callable[[], object]], device: torch.device
) -> dict[Key, torch.cuda.CUDAGraph]:
    """A graph of each of ``works``, which share their memory: no two of them run at once.

    The warm-up is on the stream that is recorded from: some libraries keep a workspace for each.

    Raises:
        RuntimeError: it failed; :func:`ran_out_of_memory` tells whether for want of memory.
    """
    current = torch.cuda.current_stream(device)
    aside = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
    graphs = {key: torch.cuda.CUDAGraph() for key in works}
    pool = torch.cuda.graph_pool_handle()
    aside.wait_stream(current)
    try:
        for key, graph in graphs.items():
            with torch.cuda.stream(aside):
                for _ in range(WARM_UPS):
                    works[key]()
            # thread_local: what other threads ask of the GPU meanwhile is no error of this one.
            with torch.cuda.graph(
                graph, pool=pool, stream=aside, capture_error_mode="thread_local"
            ):
                works[key]()
    finally:
        torch.cuda.set_stream(current)  # a recording that fails leaves its own
        current.wait_stream(aside)
    return graphs


def kind_of(inner: InnerLoop) -> InnerLoop:
    """Which graph ``inner`` needs: of its weights it holds only which of them are zero."""
    return replace(inner, query_weights=tuple(float(weight > 0) for weight in inner.query_weights))


def ran_out_of_memory(error: BaseException | None) -> bool:
    """Also where that broke a recording, which then ends with an error of its own."""
    while error is not None:
        if memory_of(error) is not None:
            return True
        error = error.__context__
    return False
