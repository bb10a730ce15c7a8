"""A network of the user's own: any ``torch.nn.Module``, as a function of its parameters.

A task sees the module as a pure function (``torch.func.functional_call``), one task after the
other, so whatever torch can differentiate twice is exact. Every parameter that takes a gradient is
adapted and meta-learned; frozen ones and floating-point buffers are constants, which checkpoints
hold too. The module is in training mode, with three changes, so that no task leaves a trace and
every repetition gives the same digits:

- batch normalisation takes the statistics of the images it is given, as MAML's does, or in an
  evaluation those of the support set; it has no running ones (:class:`TaskNorm`);
- dropout is off;
- nothing is written into buffers: a module that does so in other ways is refused.
"""

from __future__ import annotations

import copy
import inspect
import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal, TypeVar

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.dropout import _DropoutNd

from mamltui.maml.parameters import Network, NormStatistics, Parameters, ParameterSpec

Make = Callable[[], nn.Module]
BATCH_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, nn.SyncBatchNorm)
DROPOUTS = (_DropoutNd,)
RESERVED = "rate."
"""What names of learned step sizes begin with."""
ModuleT = TypeVar("ModuleT", bound=nn.Module)


class UnfitModuleError(ValueError):
    """A module that cannot be meta-learned; the text says why, for its author."""


class TaskNorm(nn.Module):
    """Batch normalisation with statistics of one set of images, and nothing kept of them.

    Args:
        like: torch's layer that it stands for, whose parameters it takes over.
    """

    def __init__(self, like: _BatchNorm) -> None:
        super().__init__()
        self.eps = like.eps
        self.weight = like.weight
        self.bias = like.bias
        self.seen: list[NormStatistics] | None = None
        """Where each call leaves what it used."""
        self.given: Iterator[NormStatistics] | None = None
        """To be used in place of the images' own, one a call."""
        self.fixed: NormStatistics | None = None
        """The same for good, for a module that is handed out."""

    def forward(self, images: Tensor) -> Tensor:
        """[examples, channels, ...], of the same shape."""
        shape = (-1, *(1,) * (images.dim() - 2))
        given = self.fixed or (None if self.given is None else next(self.given))
        if given is None:
            over = [0, *range(2, images.dim())]
            mean = images.mean(dim=over)
            variance = (images - mean.view(shape)).square().mean(dim=over)
            given = NormStatistics(mean, variance)
        if self.seen is not None:
            self.seen.append(given)
        scale = torch.rsqrt(given.variance + self.eps)
        scale = scale if self.weight is None else scale * self.weight
        shift = -given.mean * scale
        shift = shift if self.bias is None else shift + self.bias
        return images * scale.view(shape) + shift.view(shape)


@dataclass(frozen=True)
class ModuleNetwork(Network):
    """A module as data; what computes it is there once its class has been imported."""

    way: int
    channels: int
    image_size: int
    module: str
    """``package:Class``."""
    arguments: str
    """Of its constructor, as JSON; without those that are offered."""
    tensors: tuple[tuple[str, ParameterSpec], ...]
    make: Make | None = field(default=None, compare=False, repr=False)
    """Constructs it; None: its class has not been imported."""
    model: nn.Module | None = field(default=None, compare=False, repr=False)
    """One that was constructed, as tasks see it."""

    def __post_init__(self) -> None:
        """Raises ValueError for a network that cannot be."""
        if not self.tensors or min(self.way, self.channels, self.image_size) < 1:
            raise ValueError(f"there is no network {self.module}")

    @classmethod
    def of(
        cls, make: Make, module: str, arguments: str, *, way: int, channels: int, image_size: int
    ) -> ModuleNetwork:
        """Construct it and look at it; its parameters' values do not matter.

        Raises:
            UnfitModuleError: it cannot be meta-learned.
        """
        with seeded(0):
            model = make()
        for name, value in model.named_parameters():
            if isinstance(value, nn.UninitializedParameter):
                raise UnfitModuleError(
                    f"its parameter {name} has no shape yet: lazy layers get theirs from the first "
                    "images, after the meta-learned parameters are made"
                )
        head = _head_of(model, way)
        learned = {name for name, value in model.named_parameters() if value.requires_grad}
        tensors = tuple(
            (name, _spec(tuple(value.shape), "head" if name in head else "kernel", name in learned))
            for name, value in _values_of(model).items()
        )
        if not any(not spec.is_tracked for _, spec in tensors):
            raise UnfitModuleError("it has no parameter that takes a gradient")
        if reserved := [name for name, _ in tensors if name.startswith(RESERVED)]:
            raise UnfitModuleError(
                f"its parameter {reserved[0]} has a name that learned step sizes begin with: "
                f"call its attribute something else than {RESERVED.rstrip('.')}"
            )
        as_seen = as_tasks_see_it(model)
        return cls(way, channels, image_size, module, arguments, tensors, make, as_seen)

    @cached_property
    def parameters(self) -> dict[str, ParameterSpec]:
        return dict(self.tensors)

    @property
    def normalises_by_batch(self) -> bool:
        return any(isinstance(each, TaskNorm) for each in self.computed().modules())

    def adapted(self) -> tuple[str, ...]:
        return self.learned()

    def head_names(self) -> tuple[str, ...]:
        return tuple(name for name, spec in self.tensors if spec.part == "head")

    def computed(self) -> nn.Module:
        """What computes it.

        Raises:
            RuntimeError: its class has not been imported.
        """
        if self.model is None:
            raise RuntimeError(f"{self.module} has not been imported")
        return self.model

    def plain_module(self) -> nn.Module:
        """A new one as its author wrote it, in training mode, but with dropout off."""
        assert self.make is not None
        with seeded(0):
            return _without_dropout(self.make().train())

    def initial_parameters(self, seed: int) -> Parameters:
        """As its constructor makes them with torch's generator seeded."""
        assert self.make is not None
        with seeded(seed):
            values = _values_of(self.make())
        return {name: value.float() for name, value in values.items()}

    def apply(
        self,
        values: Mapping[str, Tensor],
        images: Tensor,
        *,
        statistics: list[NormStatistics] | None = None,
        running: bool = False,  # noqa: ARG002 - it has no running statistics
    ) -> tuple[Tensor, list[NormStatistics]]:
        model = self.computed()
        norms = [each for each in model.modules() if isinstance(each, TaskNorm)]
        whole = {name: value.to(images.device) for name, value in _other_buffers(model).items()}
        dims = {name: len(spec.shape) for name, spec in self.tensors}
        outputs, seen = [], []
        for task, own_images in enumerate(images):
            own = {
                name: value[task] if value.dim() > dims[name] else value
                for name, value in values.items()
                if name in dims
            }
            given = None
            if statistics is not None:
                given = iter([NormStatistics(m[task, 0], v[task, 0]) for m, v in statistics])
            # Of all layers in the order of the calls, for one may be called several times.
            calls: list[NormStatistics] = []
            for norm in norms:
                norm.given, norm.seen = given, calls
            outputs.append(functional_call(model, own | whole, (own_images,)))
            seen.append(calls)
        for norm in norms:
            norm.given, norm.seen = None, None
        return torch.stack(outputs), [
            NormStatistics(*(torch.stack(field).unsqueeze(1) for field in zip(*calls, strict=True)))
            for calls in zip(*seen, strict=True)
        ]

    def floats_an_image(self) -> int:
        return 8 * self.channels * self.image_size**2

    def to_json(self) -> dict[str, object]:
        return {
            "module": self.module,
            "arguments": self.arguments,
            "way": self.way,
            "channels": self.channels,
            "image_size": self.image_size,
            "tensors": {
                name: {"shape": list(spec.shape), "part": spec.part, "constant": spec.is_tracked}
                for name, spec in self.tensors
            },
        }

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> ModuleNetwork:
        """What :meth:`to_json` gave; nothing is imported, so it cannot compute.

        Raises:
            ValueError, TypeError, KeyError: it is something else.
        """
        tensors = tuple(
            (str(name), _as_spec(each)) for name, each in dict(values["tensors"]).items()
        )
        way, channels, image_size = (values[name] for name in ("way", "channels", "image_size"))
        module, arguments = values["module"], values["arguments"]
        if not all(type(number) is int for number in (way, channels, image_size)):
            raise ValueError("there is no network of such numbers")
        if not (isinstance(module, str) and isinstance(arguments, str)):
            raise ValueError("there is no network of such a name")
        return cls(way, channels, image_size, module, arguments, tensors)

    def further_names(self) -> frozenset[str]:
        """Tied parameters under their other names, buffers of integers, batch statistics."""
        return frozenset(self.plain_module().state_dict().keys() - self.parameters.keys())

    def describe(self) -> str:
        """In a few words."""
        size = self.image_size
        given = "" if self.arguments == "{}" else f" with {self.arguments}"
        return (
            f"{self.module}{given} of {len(self.tensors)} tensors, {self.way}-way, "
            f"{self.channels}x{size}x{size} images"
        )

    def handed_out(
        self, parameters: Mapping[str, Tensor], statistics: list[NormStatistics] | None = None
    ) -> nn.Module:
        """A module of its own with these parameters, on the CPU, as tasks see it.

        Batch normalisation takes its input's own statistics, or those given, of one task.
        """
        model = copy.deepcopy(self.computed())
        known = _values_of(model)
        for name, spec in self.tensors:
            with torch.no_grad():
                known[name].copy_(parameters[name].detach().reshape(spec.shape))
        if statistics:
            norms = self._in_order(model)
            if len({*norms}) != len(norms):
                raise UnfitModuleError(
                    f"{self.module} uses a batch normalisation in several places, so it cannot be "
                    "handed out with fixed statistics"
                )
            for norm, (mean, variance) in zip(norms, statistics, strict=True):
                norm.fixed = NormStatistics(mean.reshape(-1).cpu(), variance.reshape(-1).cpu())
        return model

    def _in_order(self, model: nn.Module) -> list[TaskNorm]:
        """Its batch normalisations as they are called."""
        called: list[TaskNorm] = []
        handles = [
            each.register_forward_pre_hook(lambda module, _: called.append(module))
            for each in model.modules()
            if isinstance(each, TaskNorm)
        ]
        with torch.no_grad():
            model(torch.rand(2, self.channels, self.image_size, self.image_size))
        for handle in handles:
            handle.remove()
        return called

    def notices(self) -> list[str]:
        """What a reader has to know of how it is used."""
        notices = []
        model = self.computed()
        norms = sum(isinstance(each, TaskNorm) for each in model.modules())
        dropouts = sum(isinstance(each, DROPOUTS) for each in model.modules())
        if norms:
            notices.append(
                f"{self.module}: its {_counted(norms, 'batch normalisation')} take the statistics "
                "of the images at hand, as in the MAML paper; running ones are neither kept nor "
                "used"
            )
        if dropouts:
            notices.append(
                f"{self.module}: its {_counted(dropouts, 'dropout')} are off: with random masks "
                "no result could be repeated"
            )
        if constants := self.tracked():
            notices.append(
                f"{self.module}: {_counted(len(constants), 'tensor')} without a gradient stay as "
                f"they are: {', '.join(constants[:3])}{', ...' if len(constants) > 3 else ''}"
            )
        return notices


def offered(constructor: Callable[..., object], **offers: int) -> dict[str, int]:
    """Those of ``offers`` that a constructor takes by name."""
    try:
        taken = inspect.signature(constructor).parameters
    except (TypeError, ValueError):
        return {}
    return {name: value for name, value in offers.items() if name in taken}


def as_tasks_see_it(model: nn.Module) -> nn.Module:
    """Itself, changed: in training mode, with :class:`TaskNorm` and without dropout."""
    replaced: dict[int, TaskNorm] = {}

    def norm_for(layer: _BatchNorm) -> TaskNorm:
        return replaced.setdefault(id(layer), TaskNorm(layer))

    for parent in list(model.modules()):
        for name, child in list(parent._modules.items()):  # named_children leaves repetitions out
            if isinstance(child, _BatchNorm) and type(child) in BATCH_NORMS:
                setattr(parent, name, norm_for(child))
    return _without_dropout(model.train())


def _without_dropout(model: ModuleT) -> ModuleT:
    for each in model.modules():
        if isinstance(each, DROPOUTS):
            each.eval()
    return model


def _values_of(model: nn.Module) -> Parameters:
    """Parameters and floating-point buffers by name, but those of batch normalisations."""
    running = {
        f"{name}.{buffer}" if name else buffer
        for name, layer in model.named_modules()
        if type(layer) in BATCH_NORMS
        for buffer, _ in layer.named_buffers(recurse=False)
    }
    values = {name: value.detach() for name, value in model.named_parameters()}
    for name, value in model.named_buffers():
        if name not in running and value.is_floating_point():
            values[name] = value.detach()
    return values


def _spec(
    shape: tuple[int, ...], part: Literal["kernel", "norm", "head"], is_learned: bool
) -> ParameterSpec:
    is_decayed = is_learned and len(shape) > 1
    return ParameterSpec(shape, part, "own", is_tracked=not is_learned, is_decayed=is_decayed)


def _head_of(model: nn.Module, way: int) -> tuple[str, ...]:
    """The parameters of the last layer that has any, where it is linear with an output a class."""
    layers = [
        (name, layer) for name, layer in model.named_modules() if list(layer.parameters(False))
    ]
    name, layer = layers[-1] if layers else ("", None)
    if not isinstance(layer, nn.Linear) or layer.out_features != way:
        return ()
    return tuple(f"{name}.{each}" if name else each for each, _ in layer.named_parameters())


def _other_buffers(model: nn.Module) -> dict[str, Tensor]:
    """Those that are no floating-point numbers."""
    return {name: value for name, value in model.named_buffers() if not value.is_floating_point()}


def _as_spec(values: Mapping[str, Any]) -> ParameterSpec:
    shape, part, constant = values["shape"], values["part"], values["constant"]
    if (
        not isinstance(shape, list)
        or not all(type(size) is int and 0 < size < 2**24 for size in shape)
        or part not in ("kernel", "norm", "head")
        or not isinstance(constant, bool)
        or math.prod(shape) > 2**31
    ):
        raise ValueError("there is no such tensor")
    return _spec(tuple(shape), part, not constant)


def _counted(count: int, noun: str) -> str:
    return f"{count} {noun}{'' if count == 1 else 's'}"


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """torch's generator of the CPU seeded, and after it as it was before."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        yield
