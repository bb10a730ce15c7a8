"""Meta-gradient and scores by kernels compiled for this processor, a task a thread.

The derivation is that of :mod:`~mamltui.maml.strategies.analytic`; ``conv4.cpp`` computes it for
one task on one core, so that every array of the task stays near that core's cache, no patches are
formed and no thread waits for another within a task.
"""

from __future__ import annotations

import ctypes
import math
import os
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from mamltui import compiled
from mamltui.compiled import CompilingStoppedError, NotCompiledError, load_compiled
from mamltui.maml.chunks import Interrupted
from mamltui.maml.episode import Episodes
from mamltui.maml.gradient import MetaGradient
from mamltui.maml.inner import InnerLoop
from mamltui.maml.network import NetworkSpec, Parameters

if TYPE_CHECKING:
    from mamltui.maml.strategies import Case

SOURCE = Path(__file__).with_name("conv4.cpp")
SCALARS = {torch.float32: "float", torch.float64: "double"}
WIDTH = 16
"""Filters come in whole vectors of the widest processors."""
PARTS = 32
"""A meta-batch's gradient is the sum of at most so many parts, each of the same tasks whatever the
number of threads, so that the number of threads changes no bit."""

ShouldStop = Callable[[], bool]


def why_not(case: Case) -> str | None:
    """Why this strategy does not cover ``case``; None: it does."""
    if case.device.type != "cpu":
        return "it runs on processors only"
    if case.precision != "fp32":
        return "it has no other precision than fp32"
    if case.dtype not in SCALARS:
        return f"it has no kernels for {case.dtype}"
    if case.network.filters % WIDTH:
        return f"the filters are no multiple of {WIDTH}"
    try:
        load_compiled(SOURCE, SCALARS[case.dtype])
    except NotCompiledError as error:
        return str(error)
    return None


def must_compile(dtype: torch.dtype = torch.float32) -> bool:
    """Whether the kernels are not there yet: making them takes some seconds."""
    return compiled.must_compile(SOURCE, SCALARS[dtype])


def prepare(dtype: torch.dtype, should_stop: ShouldStop) -> None:
    """Compile the kernels if they are not there; :func:`why_not` says what became of it.

    Raises:
        Interrupted: ``should_stop`` said so.
    """
    try:
        load_compiled(SOURCE, SCALARS[dtype], should_stop)
    except NotCompiledError:
        pass
    except CompilingStoppedError:
        raise Interrupted from None


class _Task(ctypes.Structure):
    """``Task`` of ``conv4.cpp``."""

    _fields_ = [
        ("way", ctypes.c_int),
        ("channels", ctypes.c_int),
        ("image_size", ctypes.c_int),
        ("filters", ctypes.c_int),
        ("support", ctypes.c_int),
        ("query", ctypes.c_int),
        ("steps", ctypes.c_int),
        ("first_order", ctypes.c_int),
    ]


class Kernels:
    """The compiled kernels of one network and inner loop, with memory for as many threads as work.

    May be used from several threads at once.
    """

    def __init__(self, network: NetworkSpec, inner: InnerLoop) -> None:
        self.network = network
        self.inner = inner
        self._free: dict[tuple[object, ...], list[Tensor]] = {}

    def meta_gradient(
        self,
        parameters: Parameters,
        episodes: Episodes,
        should_stop: ShouldStop | None = None,
    ) -> MetaGradient:
        """Sums over the tasks of the query loss's gradient, of the loss and of the accuracy.

        Raises:
            Interrupted: ``should_stop``, asked before each part of the tasks, said so.
        """
        theta, task, library, data = self._prepared(parameters, episodes, self.inner.steps)
        parts = min(PARTS, episodes.tasks)
        bounds = [episodes.tasks * part // parts for part in range(parts + 1)]
        gradient = torch.zeros(parts, theta.numel(), dtype=theta.dtype)
        metrics = torch.zeros(parts, 2, dtype=torch.float64)

        def work(part: int) -> None:
            first, last = bounds[part : part + 2]
            with self._workspace(library, theta.dtype, task, training=True) as workspace:
                library.meta_gradients(
                    ctypes.byref(task),
                    last - first,
                    _pointer(theta),
                    ctypes.c_double(self.inner.step_size(self.network.way)),
                    *(_pointer(values[first:last]) for values in data),
                    _pointer(workspace),
                    _pointer(gradient[part]),
                    _pointer(metrics[part]),
                )

        _on_threads(work, parts, should_stop)
        loss, accuracy = metrics.sum(dim=0).to(theta.dtype)
        return MetaGradient(self._named(gradient.sum(dim=0)), loss, accuracy)

    def score(
        self,
        parameters: Parameters,
        episodes: Episodes,
        steps: int,
        support_statistics: bool,
        should_stop: ShouldStop | None = None,
    ) -> Tensor:
        """[tasks, 3, 2, steps + 1] float64, of each task after 0, 1, ..., ``steps`` inner steps.

        The three are the query set with its own statistics, the query set with the support set's
        (zeros unless ``support_statistics``) and the support set; the two are mean cross-entropy
        in nats and the fraction right.

        Raises:
            Interrupted: ``should_stop``, asked before each task, said so.
        """
        theta, task, library, data = self._prepared(parameters, episodes, steps)
        scores = torch.zeros(episodes.tasks, 3, 2, steps + 1, dtype=torch.float64)

        def work(number: int) -> None:
            with self._workspace(library, theta.dtype, task, training=False) as workspace:
                library.scores(
                    ctypes.byref(task),
                    1,
                    _pointer(theta),
                    ctypes.c_double(self.inner.step_size(self.network.way)),
                    *(_pointer(values[number]) for values in data),
                    _pointer(workspace),
                    ctypes.c_int(support_statistics),
                    _pointer(scores[number]),
                )

        _on_threads(work, episodes.tasks, should_stop)
        return scores

    def _prepared(
        self, parameters: Parameters, episodes: Episodes, steps: int
    ) -> tuple[Tensor, _Task, ctypes.CDLL, list[Tensor]]:
        network = self.network
        theta = torch.cat([parameters[name].reshape(-1) for name in network.parameter_shapes()])
        task = _Task(
            network.way,
            network.channels,
            network.image_size,
            network.filters,
            episodes.support_y.shape[1],
            episodes.query_y.shape[1],
            steps,
            self.inner.first_order,
        )
        library = load_compiled(SOURCE, SCALARS[theta.dtype])
        library.workspace_size.restype = ctypes.c_size_t
        return theta, task, library, [values.contiguous() for values in episodes]

    def _named(self, flat: Tensor) -> Parameters:
        shapes = self.network.parameter_shapes()
        pieces = torch.split(flat, [math.prod(shape) for shape in shapes.values()])
        return {name: piece.view(shapes[name]) for name, piece in zip(shapes, pieces, strict=True)}

    @contextmanager
    def _workspace(
        self, library: ctypes.CDLL, dtype: torch.dtype, task: _Task, *, training: bool
    ) -> Iterator[Tensor]:
        """Memory for one call, kept for tasks of the same shape.

        The borders in it that must be zero lie elsewhere for others, and are never written.
        """
        shape = (dtype, training, task.support, task.query, task.steps)
        free = self._free.setdefault(shape, [])
        try:
            workspace = free.pop()
        except IndexError:
            size = library.workspace_size(ctypes.byref(task), training)
            workspace = torch.zeros(size, dtype=dtype)
        try:
            yield workspace
        finally:
            free.append(workspace)


def _pointer(tensor: Tensor) -> ctypes.c_void_p:
    return ctypes.c_void_p(tensor.data_ptr())


def _on_threads(
    work: Callable[[int], None], parts: int, should_stop: ShouldStop | None = None
) -> None:
    """``work`` on each part, as many at once as torch has threads; the caller is one of them."""
    number = iter(range(parts))
    lock = threading.Lock()
    stopped = False

    def go_on() -> None:
        nonlocal stopped
        while True:
            with lock:
                stopped = stopped or (should_stop is not None and should_stop())
                part = None if stopped else next(number, None)
            if part is None:
                return
            work(part)

    threads = min(torch.get_num_threads(), parts)
    others = [_pool().submit(go_on) for _ in range(threads - 1)]
    try:
        go_on()
    finally:
        with lock:
            number = iter(())  # after an interrupt, the others end with the part at hand
        for other in others:
            if not other.cancel():  # it waits its turn no longer: there is nothing left
                other.result()
    if stopped:
        raise Interrupted


@lru_cache(maxsize=1)
def _pool() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(max(1, (os.cpu_count() or 1) - 1), thread_name_prefix="kernels")
