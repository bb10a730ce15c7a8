"""Meta-gradient and scores by kernels compiled for this processor, a task a thread.

The derivation is that of :mod:`~mamltui.maml.strategies.analytic`; ``conv4.cpp`` computes it for
one task on one core, so that every array of the task stays near that core's cache, no patches are
formed and no thread waits for another within a task.
"""

from __future__ import annotations

import ctypes
import os
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from mamltui import compiled
from mamltui.compiled import CompilingStoppedError, NotCompiledError, load_compiled
from mamltui.maml.chunks import Interrupted
from mamltui.maml.episode import Episodes
from mamltui.maml.gradient import MetaGradient
from mamltui.maml.inner import InnerLoop
from mamltui.maml.network import NetworkSpec, Parameters
from mamltui.maml.strategies.packing import Packed, Packing

if TYPE_CHECKING:
    from mamltui.maml.strategies import Case

SOURCE = Path(__file__).with_name("conv4.cpp")
COMPILING = "compiling the kernels for this processor, once"
"""What there is to say before :func:`prepare`."""
SCALARS = {torch.float32: "float", torch.float64: "double"}
WIDTH = 16
"""Filters come in whole vectors of the widest processors."""
PARTS = 32
"""A meta-batch's gradient is the sum of at most so many parts, each of the same tasks whatever the
number of threads, so that the number of threads changes no bit."""

ShouldStop = Callable[[], bool]


def why_not(case: Case) -> str | None:
    """Why this strategy does not cover ``case``; None: it does, or will when it is compiled."""
    if case.device.type != "cpu":
        return "it runs on processors only"
    if case.precision != "fp32":
        return "it has no other precision than fp32"
    if case.dtype not in SCALARS:
        return f"it has no kernels for {case.dtype}"
    if case.network.filters % WIDTH:
        return f"the filters are no multiple of {WIDTH}"
    return compiled.why_unavailable(SOURCE, SCALARS[case.dtype])


def must_compile(dtype: torch.dtype) -> bool:
    """Whether the kernels are not there yet: making them takes some seconds."""
    return compiled.must_compile(SOURCE, SCALARS[dtype])


def prepare(dtype: torch.dtype, should_stop: ShouldStop | None = None) -> None:
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
        *(
            (name, ctypes.c_int)
            for name in (
                "way",
                "channels",
                "image_size",
                "filters",
                "support",
                "query",
                "steps",
                "first_order",
                "running",
                "scaled",
                "norm_rows",
                "rate_rows",
                "by_element",
                "learns_rates",
                "reptile",
            )
        ),
        ("norm_rate", ctypes.c_double),
        ("smoothing", ctypes.c_double),
    ]


class _Learned(ctypes.Structure):
    """``Learned`` of ``conv4.cpp``."""

    _fields_ = [(name, ctypes.c_void_p) for name in Packed._fields]


class Kernels:
    """The compiled kernels of one network, with memory for as many threads as work.

    May be used from several threads at once.
    """

    def __init__(self, network: NetworkSpec) -> None:
        self.network = network
        self._free: dict[tuple[object, ...], list[Tensor]] = {}

    def meta_gradient(
        self,
        inner: InnerLoop,
        parameters: Parameters,
        episodes: Episodes,
        should_stop: ShouldStop | None = None,
    ) -> MetaGradient:
        """Sums over the tasks of the outer gradient, of the query loss and of the accuracy.

        Raises:
            Interrupted: ``should_stop``, asked before each part of the tasks, said so.
        """
        packing = Packing(self.network, inner)
        theta = packing.packed(parameters)
        task, library, data = self._prepared(packing, theta, episodes, inner.steps)
        weights = torch.tensor(inner.weights(), dtype=theta.weights.dtype)
        parts = min(PARTS, episodes.tasks)
        bounds = [episodes.tasks * part // parts for part in range(parts + 1)]
        total = Packed(*(torch.zeros(parts, *each.shape, dtype=each.dtype) for each in theta))
        metrics = torch.zeros(parts, 2, dtype=torch.float64)

        def work(part: int) -> None:
            first, last = bounds[part : part + 2]
            with self._workspace(library, weights.dtype, task, training=True) as workspace:
                library.meta_gradients(
                    ctypes.byref(task),
                    last - first,
                    _pointers(theta),
                    _pointer(weights),
                    *(_pointer(values[first:last]) for values in data),
                    _pointer(workspace),
                    _pointers(Packed(*(each[part] for each in total))),
                    _pointer(metrics[part]),
                )

        _on_threads(work, parts, should_stop)
        gradient = packing.unpacked(Packed(*(each.sum(dim=0) for each in total)))
        loss, accuracy = metrics.sum(dim=0).to(weights.dtype)
        return MetaGradient(gradient, loss, accuracy)

    def score(
        self,
        inner: InnerLoop,
        parameters: Parameters,
        episodes: Episodes,
        steps: int,
        support_statistics: bool,
        should_stop: ShouldStop | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Scores and answers of each task after 0, 1, ..., ``steps`` inner steps.

        Scores are [tasks, 3, 2, steps + 1] float64. The three are the query set with its own
        statistics, the query set with the support set's (zeros unless ``support_statistics``) and
        the support set; the two are mean cross-entropy in nats and the fraction right. Answers are
        [tasks, 2, steps + 1, queries, 2] float32, of the first two of the three: whether each is
        right, and the probability that it was given.

        Raises:
            Interrupted: ``should_stop``, asked before each task, said so.
        """
        packing = Packing(self.network, inner)
        theta = packing.packed(parameters)
        task, library, data = self._prepared(packing, theta, episodes, steps)
        scores = torch.zeros(episodes.tasks, 3, 2, steps + 1, dtype=torch.float64)
        answers = torch.zeros(episodes.tasks, 2, steps + 1, task.query, 2)

        def work(number: int) -> None:
            with self._workspace(library, theta.weights.dtype, task, training=False) as workspace:
                library.scores(
                    ctypes.byref(task),
                    1,
                    _pointers(theta),
                    *(_pointer(values[number]) for values in data),
                    _pointer(workspace),
                    ctypes.c_int(support_statistics),
                    _pointer(scores[number]),
                    _pointer(answers[number]),
                )

        _on_threads(work, episodes.tasks, should_stop)
        return scores, answers

    def _prepared(
        self, packing: Packing, theta: Packed, episodes: Episodes, steps: int
    ) -> tuple[_Task, ctypes.CDLL, list[Tensor]]:
        network, inner = packing.network, packing.inner
        is_reptile = inner.outer == "reptile"
        task = _Task(
            way=network.way,
            channels=network.channels,
            image_size=network.image_size,
            filters=network.filters,
            support=episodes.support_y.shape[1],
            query=episodes.query_y.shape[1],
            steps=steps,
            first_order=inner.first_order,
            running=network.running_steps > 0,
            scaled=network.norm_scale,
            norm_rows=theta.norms.shape[0],
            rate_rows=theta.rates.shape[0],
            by_element=inner.rates == "per-element",
            learns_rates=inner.rates != "fixed",
            reptile=is_reptile,
            norm_rate=inner.step_size(network.way) if is_reptile else 0.0,
            smoothing=inner.label_smoothing,
        )
        library = load_compiled(SOURCE, SCALARS[theta.weights.dtype])
        library.workspace_size.restype = ctypes.c_size_t
        return task, library, [values.contiguous() for values in episodes]

    @contextmanager
    def _workspace(
        self, library: ctypes.CDLL, dtype: torch.dtype, task: _Task, *, training: bool
    ) -> Iterator[Tensor]:
        """Memory for one call, kept for tasks of the same shape.

        The borders in it that must be zero lie elsewhere for others, and are never written.
        """
        kinds = (task.first_order, task.learns_rates, task.reptile)
        shape = (dtype, training, task.support, task.query, task.steps, kinds)
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


def _pointers(learned: Packed) -> Any:
    return ctypes.byref(_Learned(*(tensor.data_ptr() for tensor in learned)))


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
