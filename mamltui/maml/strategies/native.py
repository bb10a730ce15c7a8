"""Derivatives by kernels compiled for this processor, a task on each core.

The derivation is that of :mod:`~mamltui.maml.strategies.analytic`; ``kernels.cpp`` computes it for
one task on one core at a time, so that no patches are formed, what a layer works on stays near that
core's cache, and no thread waits for another within a task. Which thread works on a task changes no
bit of what it gives.
"""

from __future__ import annotations

import ctypes
import mmap
from collections import defaultdict
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from mamltui import compiled
from mamltui.compiled import CompilingStoppedError, NotCompiledError, load_compiled
from mamltui.maml.chunks import WORKERS, Interrupted, equal_chunks
from mamltui.maml.episode import Episodes
from mamltui.maml.network import MOST_LAYERS, NetworkSpec
from mamltui.maml.parameters import STATISTICS, Network, NormStatistics, Parameters

if TYPE_CHECKING:
    from collections.abc import Callable

    from mamltui.maml.strategies import Case

SOURCE = Path(__file__).with_name("kernels.cpp")
COMPILING = "compiling the kernels for this processor, once"
"""What there is to say before :func:`prepare`."""
SCALARS = {torch.float32: "float", torch.float64: "double"}
LEAST_FILTERS = 16
"""Fewer leave the vectors of a processor half empty."""
TASKS = 8
"""Of a chunk, or one a thread if that is more: enough that Python's part of the work is small."""
MEMORY = 2**29
"""Bytes that more tasks of a chunk than threads may take."""
HUGE_PAGE = 2**21
"""Bytes."""
OTHER_NETWORK = "it is of the built-in convolutions alone; other networks take autograd"


def why_not(case: Case) -> str | None:
    """Why this strategy does not cover ``case``; None: it does, or will when it is compiled."""
    return why_unfit(case) or why_missing(case.dtype)


def why_missing(dtype: torch.dtype) -> str | None:
    """Why there are no kernels on this machine, and none can be compiled; else None."""
    return compiled.why_unavailable(SOURCE, SCALARS[dtype])


def why_unfit(case: Case) -> str | None:
    """Why the kernels are not for ``case``, on any machine; None: they are."""
    if case.device.type != "cpu":
        return "it runs on processors only"
    if case.precision != "fp32":
        return "it has no other precision than fp32"
    if case.dtype not in SCALARS:
        return f"it has no kernels for {case.dtype}"
    if not isinstance(case.network, NetworkSpec):
        return OTHER_NETWORK
    if case.network.filters < LEAST_FILTERS:
        return f"fewer than {LEAST_FILTERS} filters leave the processor's vectors half empty"
    return None


def must_compile(dtype: torch.dtype) -> bool:
    """Whether the kernels are not there yet: making them takes some seconds."""
    return compiled.must_compile(SOURCE, SCALARS[dtype])


def prepare(dtype: torch.dtype, should_stop: Callable[[], bool] | None = None) -> None:
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


class _Block(ctypes.Structure):
    """``Block`` of ``kernels.cpp``, with its ``Description``."""

    _fields_ = [
        *(
            (name, ctypes.c_int)
            for name in (
                "way",
                "channels",
                "image_size",
                "filters",
                "layers",
                "pooled",
                "normalisation",
                "flat",
                "examples",
                "tasks",
                "threads",
                "keeps",
            )
        ),
        *(
            (name, ctypes.c_void_p)
            for name in ("images", "forward", "backward", "tangent", "scratch")
        ),
    ]


_KINDS = ("images", "forward", "backward", "tangent", "scratch")
_FIELDS = ("conv{}.weight", "norm{}.shift", "norm{}.scale", "norm{}.mean", "norm{}.variance")
_PLACES = {
    name.format(layer + 1): 2 * (kind * MOST_LAYERS + layer)
    for kind, name in enumerate(_FIELDS)
    for layer in range(MOST_LAYERS)
} | {
    name: 2 * (len(_FIELDS) * MOST_LAYERS + index)
    for index, name in enumerate(("head.weight", "head.bias"))
}
"""Where ``Parameters`` of ``kernels.cpp`` has the address of a tensor; its stride comes next."""
_Addresses = ctypes.c_size_t * (2 * (len(_FIELDS) * MOST_LAYERS + 2))


@dataclass(frozen=True)
class _Layout:
    """What is known of a network and a number of examples before there are any."""

    block: _Block
    shapes: dict[str, tuple[int, ...]]
    """Of every parameter after some number of inner steps, and of running statistics."""
    scalars: dict[str, int]
    """Of each kind of memory, for one task."""


@lru_cache(maxsize=64)
def _layout(network: NetworkSpec, examples: int, dtype: torch.dtype) -> _Layout:
    block = _Block(
        way=network.way,
        channels=network.channels,
        image_size=network.image_size,
        filters=network.filters,
        layers=network.layers,
        pooled=network.pooling == "max",
        normalisation=("none", "batch", "layer").index(network.normalisation),
        flat=network.head == "flatten",
        examples=examples,
    )
    sizes = (ctypes.c_size_t * len(_KINDS))()
    load_compiled(SOURCE, SCALARS[dtype]).sizes(ctypes.byref(block), sizes)
    tracked = {
        f"norm{layer + 1}.{name}": (network.filters,)
        for layer in range(network.layers)
        for name in STATISTICS
    }
    return _Layout(block, network.value_shapes() | tracked, dict(zip(_KINDS, sizes, strict=True)))


class Kernels:
    """The compiled kernels, and the memory they work in, which is used again.

    A :data:`~mamltui.maml.outer.Backend`. May be used from several threads at once.
    """

    def __init__(self) -> None:
        self._free: dict[tuple[object, ...], list[Tensor]] = defaultdict(list)

    def __call__(self, network: Network, images: Tensor) -> Native:
        assert isinstance(network, NetworkSpec)
        return Native(self, network, images)

    def tasks_at_once(self, network: Network, steps: int, episodes: Episodes) -> int:
        """``TASKS``, rounded up to a task for each thread; fewer where ``MEMORY`` holds fewer.

        Where the steps are kept there are chunks side by side, which share the threads.
        """
        assert isinstance(network, NetworkSpec)
        support, query = (
            _layout(network, images.shape[1], images.dtype).scalars
            for images in (episodes.support_x, episodes.query_x)
        )
        tapes = (steps + 1) * (support["forward"] + support["backward"]) + support["tangent"]
        images = support["images"] + query["images"]
        task = episodes.support_x.element_size() * (tapes + query["forward"] + images)
        threads = torch.get_num_threads()
        workers = WORKERS if steps and threads > 1 else 1
        threads = -(-threads // workers)
        wanted = threads * -(-TASKS // threads)
        fitting = max(threads, min(wanted, MEMORY // max(1, task)))
        return equal_chunks(-(-episodes.tasks // workers), fitting)

    def room(self, key: tuple[object, ...], count: int, scalars: int, like: Tensor) -> _Room:
        """Memory for ``count`` tasks of the same shape, zeroed when it was first taken.

        The borders in it that must be zero lie elsewhere for others, and are never written.
        """
        free = self._free[key]
        try:
            tensor = free.pop()
        except IndexError:
            tensor = like.new_zeros(0)
        if tensor.numel() < count * scalars:
            tensor = _zeros(count * scalars, like)
        return _Room(tensor, free)


def _zeros(count: int, like: Tensor) -> Tensor:
    """On huge pages, where the system has them: looking up small ones takes time."""
    size = count * like.element_size()
    if size < HUGE_PAGE or not hasattr(mmap, "MADV_HUGEPAGE"):
        return like.new_zeros(count)
    try:
        memory = mmap.mmap(-1, size + HUGE_PAGE, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        memory.madvise(mmap.MADV_HUGEPAGE)
    except OSError:  # no such pages, or no memory, and then torch's error is the one that is known
        return like.new_zeros(count)
    whole = torch.frombuffer(memory, dtype=torch.uint8)
    first = -whole.data_ptr() % HUGE_PAGE
    return whole[first : first + size].view(like.dtype)


class _Room:
    """Memory that goes back where it came from when it is no longer used."""

    def __init__(self, tensor: Tensor, free: list[Tensor]) -> None:
        self._tensor, self._free = tensor, free
        self.address = tensor.data_ptr()

    def __del__(self) -> None:
        self._free.append(self._tensor)


@dataclass
class _Tape:
    values: _Pointers
    is_fixed: bool
    logits: Tensor
    statistics: list[NormStatistics]
    forward: _Room
    backward: _Room | None = None
    tangent: _Room | None = None
    g_logits: Tensor = field(init=False)
    direction: _Pointers = field(init=False)


class Native:
    """:class:`~mamltui.maml.outer.Derivatives` of any :class:`NetworkSpec`."""

    def __init__(self, kernels: Kernels, network: NetworkSpec, images: Tensor) -> None:
        """Raises TypeError or ValueError for images that the kernels cannot read."""
        if images.dtype not in SCALARS or images.device.type != "cpu":
            raise TypeError(f"no kernels for images of {images.dtype} on {images.device}")
        size = network.image_size
        if images.dim() != 5 or images.shape[2:] != (network.channels, size, size):
            raise ValueError(f"images {list(images.shape)} are not those of {network}")
        self._kernels, self._network = kernels, network
        self._like = images.new_empty(0)
        self._tasks, self._examples = images.shape[:2]
        self._library: Any = load_compiled(SOURCE, SCALARS[images.dtype])
        layout = _layout(network, self._examples, images.dtype)
        self._shapes, self._scalars = layout.shapes, layout.scalars
        self._block = _Block.from_buffer_copy(layout.block)
        self._block.tasks, self._block.threads = self._tasks, torch.get_num_threads()
        if self._tasks:
            self._images = self._room("images", self._tasks)
            self._block.images = self._images.address
            images = images.contiguous()
            self._library.see(ctypes.byref(self._block), ctypes.c_void_p(images.data_ptr()))

    def forward(
        self,
        values: Parameters,
        *,
        running: bool = False,
        statistics: list[NormStatistics] | None = None,
    ) -> _Tape:
        network = self._network
        is_fixed = statistics is not None or (running and network.running_steps > 0)
        given = values
        if statistics is not None:
            given = {
                f"norm{layer}.{name}": value.squeeze(-2)
                for layer, each in enumerate(statistics, 1)
                for name, value in zip(STATISTICS, each, strict=True)
            }
        logits = self._logits(values)
        seen = self._like.new_empty(0)
        if network.normalisation == "batch":
            seen = seen.new_empty(self._tasks, network.layers, 2, 1, network.filters)
        here = _Pointers(self, values)
        tape = _Tape(here, is_fixed, logits, [], self._room("forward", self._tasks))
        if seen.numel():
            tape.statistics = [NormStatistics(*layer.unbind(1)) for layer in seen.unbind(1)]
        self._call(
            "forward",
            tape,
            here,
            _Pointers(self, given) if is_fixed else None,
            logits,
            seen if seen.numel() else None,
        )
        return tape

    def backward(self, tape: _Tape, g_logits: Tensor, *, keep: bool = False) -> Parameters:
        tape.g_logits = g_logits.contiguous()
        count = self._tasks if keep else self._block.threads
        tape.backward = self._room("backward" if keep else "scratch backward", count)
        gradient = self._gradient(tape)
        fixed = ctypes.c_int(tape.is_fixed)
        pointers = _Pointers(self, gradient)
        self._call("backward", tape, tape.values, fixed, tape.g_logits, pointers, keeps=keep)
        if not keep:
            tape.backward = None
        return gradient

    def tangent(self, tape: _Tape, direction: Parameters) -> Tensor:
        tape.direction = _Pointers(self, direction)
        tape.tangent = self._room("tangent", self._tasks)
        d_logits = torch.empty_like(tape.logits)
        self._call("tangent", tape, tape.values, tape.direction, d_logits, keeps=True)
        return d_logits

    def tangent_backward(self, tape: _Tape, dg_logits: Tensor) -> Parameters:
        result = self._gradient(tape)
        sources = tape.values, tape.direction, tape.g_logits, dg_logits.contiguous()
        self._call("tangent_backward", tape, *sources, _Pointers(self, result), keeps=True)
        tape.tangent = None
        return result

    def _room(self, kind: str, count: int) -> _Room:
        key = (self._network, self._examples, kind, self._like.dtype)
        return self._kernels.room(key, count, self._scalars[kind.split()[-1]], self._like)

    def _logits(self, values: Parameters) -> Tensor:
        network = self._network
        width = network.way if "head.weight" in values else network.features()
        return self._like.new_empty(self._tasks, self._examples, width)

    def _gradient(self, tape: _Tape) -> Parameters:
        """Room for the gradient of what the pass read, but for running statistics."""
        return {
            name: self._like.new_empty(self._tasks, *self._shapes[name])
            for name in tape.values.names
            if name in self._shapes and not name.endswith(STATISTICS)
        }

    def _call(self, function: str, tape: _Tape, *arguments: Any, keeps: bool = False) -> None:
        scratch = self._room("scratch", self._block.threads)
        block = _Block.from_buffer_copy(self._block)
        block.keeps = keeps
        block.forward, block.scratch = tape.forward.address, scratch.address
        block.backward = tape.backward and tape.backward.address
        block.tangent = tape.tangent and tape.tangent.address
        passed = [
            ctypes.c_void_p(each.data_ptr()) if isinstance(each, Tensor) else each
            for each in arguments
        ]
        passed = [each.addresses if isinstance(each, _Pointers) else each for each in passed]
        getattr(self._library, function)(ctypes.byref(block), *passed)


class _Pointers:
    """``Parameters`` of ``kernels.cpp``; keeps what it points to.

    Raises:
        TypeError: a tensor is not of the images' type.
        ValueError: a tensor is not of the parameter's shape, with or without tasks in front.
    """

    def __init__(self, of: Native, values: Parameters) -> None:
        self.addresses = _Addresses()
        self.names = list(values)
        self._tensors = []
        tasks, like = of._tasks, of._like
        for name, value in values.items():
            shape = of._shapes.get(name)
            if shape is None:
                continue
            if value.dtype != like.dtype or value.device != like.device:
                raise TypeError(f"{name} is {value.dtype} on {value.device}, not {like.dtype}")
            if value.shape not in (shape, (tasks, *shape)):
                raise ValueError(f"{name} is {list(value.shape)}, not {list(shape)} or its like")
            stride = 0
            if value.dim() > len(shape):
                if value.stride(0) == 0:  # expanded: one for all tasks
                    value = value[0]
                else:
                    stride = value.numel() // tasks
            value = value.contiguous()
            self._tensors.append(value)
            index = _PLACES[name]
            self.addresses[index] = value.data_ptr()
            self.addresses[index + 1] = stride
