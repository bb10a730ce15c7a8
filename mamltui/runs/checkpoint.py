"""Checkpoints: one safetensors file each, metadata as JSON in its header. Loading runs no code."""

from __future__ import annotations

import hashlib
import json
import math
from dataclasses import dataclass, field, fields
from io import BytesIO
from pathlib import Path
from typing import Any, BinaryIO

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from mamltui.errors import CheckpointError
from mamltui.maml.learner import Learner
from mamltui.maml.mlp import MlpNetwork
from mamltui.maml.network import NetworkSpec
from mamltui.maml.own_network import ModuleNetwork
from mamltui.maml.parameters import Network
from mamltui.runs.state import Best
from mamltui.text import shortened
from mamltui.untrusted import (
    Amount,
    Count,
    Fraction,
    Iteration,
    Seconds,
    Text,
    checked,
    open_regular,
    parse_json,
)

FORMAT = 1
_KEY = "mamltui"
LARGEST_HEADER = 2**24
"""Bytes; a header names a few hundred tensors."""
LARGEST = 2**33
"""Bytes of a whole checkpoint; the largest network that a profile allows has fewer."""
LARGEST_SIZE = 10_000
"""Of any number in the shape of a network."""
_GROUPS = ("parameters", "adam/exp_avg", "adam/exp_avg_sq")


@dataclass(frozen=True)
class AdamState:
    """The state of ``torch.optim.Adam``, by parameter name; a slim copy of a run has no tensors."""

    step: int
    exp_avg: dict[str, Tensor]
    exp_avg_sq: dict[str, Tensor]


@dataclass(frozen=True)
class Checkpoint:
    """All that an exact resume needs, on the CPU."""

    iteration: int
    """Meta-iterations done."""
    parameters: dict[str, Tensor]
    """float32."""
    adam: AdamState
    network: Network
    """Whose parameters they are; learned inner rates are among them under names of their own."""
    validated: int = 0
    """The last validation's iteration; 0: none yet."""
    best_iteration: int | None = None
    """None before the first validation, as the two below."""
    best_accuracy: float | None = None
    """None of a regression, too."""
    best_loss: float | None = None
    kept: tuple[Best, ...] = ()
    """Of the checkpoints kept for an ensemble, the best first."""
    elapsed: float = 0.0
    """Seconds of training."""
    processor_seconds: float | None = None
    """The processors' in that time; None: they were not counted."""
    is_hashed: bool = field(default=False, compare=False)
    """It was read from a file that has a hash of its tensors, which agreed."""


def checkpoint_bytes(checkpoint: Checkpoint, *, about: dict[str, str]) -> bytes:
    """The content of a checkpoint's file.

    Args:
        about: where the checkpoint comes from, for whoever meets the file alone.
    """
    adam = checkpoint.adam
    groups = zip(_GROUPS, (checkpoint.parameters, adam.exp_avg, adam.exp_avg_sq), strict=True)
    tensors = {
        f"{group}/{name}": tensor.detach().cpu().contiguous()
        for group, named in groups
        for name, tensor in named.items()
    }
    metadata = {
        "format": FORMAT,
        "iteration": checkpoint.iteration,
        "network": checkpoint.network.to_json(),
        "shapes": {name: list(value.shape) for name, value in checkpoint.parameters.items()},
        "adam_step": adam.step,
        "optimizer": bool(adam.exp_avg),
        "validated": checkpoint.validated,
        "best_iteration": checkpoint.best_iteration,
        "best_accuracy": checkpoint.best_accuracy,
        "best_loss": checkpoint.best_loss,
        "kept": [best.model_dump() for best in checkpoint.kept],
        "elapsed": checkpoint.elapsed,
        "processor_seconds": checkpoint.processor_seconds,
        "sha256": _hash(tensors),
        "about": about,
    }
    return save(tensors, {_KEY: json.dumps(metadata)})


def load_checkpoint(
    path: Path, expect: Learner | None = None, *, waiting: bytes | None = None
) -> Checkpoint:
    """Read and check a checkpoint.

    Args:
        expect: the network, with what its inner loop learns, that the checkpoint must be of.
        waiting: the content that is still to be written to ``path``, which is read in its place.

    Raises:
        CheckpointError: missing, damaged, not a checkpoint, or of something else.
    """
    try:
        if waiting is not None:
            checkpoint = _read(BytesIO(waiting), len(waiting))
        else:
            with open_regular(path) as (file, status):
                checkpoint = _read(file, status.st_size)
    except FileNotFoundError:
        raise CheckpointError("there is no such checkpoint", where=str(path)) from None
    except OSError as error:
        reason = error.strerror or str(error)
        raise CheckpointError(f"cannot read the checkpoint: {reason}", where=str(path)) from error
    except (SafetensorError, ValueError, TypeError, KeyError) as error:
        raise CheckpointError(
            f"the checkpoint is damaged, or not one of mamltui's: {_reason(error)}",
            where=str(path),
            hint="The run's other checkpoint may be whole; see its folder checkpoints/.",
        ) from error
    if expect is not None:
        _check(checkpoint, expect, path)
    return checkpoint


def _check(checkpoint: Checkpoint, expect: Learner, path: Path) -> None:
    if checkpoint.network != expect.network:
        raise CheckpointError(
            f"the checkpoint is of another network: {checkpoint.network.describe()}, not "
            + expect.network.describe()
            + _first_difference(checkpoint.network, expect.network),
            where=str(path),
        )
    shapes = {name: tuple(value.shape) for name, value in checkpoint.parameters.items()}
    wanted = expect.shapes()
    if shapes != wanted:
        name = next(iter(sorted(shapes.items() ^ wanted.items())))[0]
        raise CheckpointError(
            f"the checkpoint is of another inner loop: {name} is {_shape(shapes.get(name))} there "
            f"and {_shape(wanted.get(name))} here",
            where=str(path),
        )


def _first_difference(there: Network, here: Network) -> str:
    """The first tensor that is not the same, where there is one."""
    known, wanted = there.parameter_shapes(), here.parameter_shapes()
    differing = [name for name in (known | wanted) if known.get(name) != wanted.get(name)]
    if not differing:
        return ""
    name = differing[0]
    shapes = (known.get(name), wanted.get(name))
    has, needs = ("not there" if shape is None else str(list(shape)) for shape in shapes)
    return f" ({shortened(name)}: {has} in the checkpoint, {needs} in yours)"


def _shape(shape: tuple[int, ...] | None) -> str:
    return "not learned" if shape is None else f"learned as {list(shape)}"


def _reason(error: Exception) -> str:
    return f"{error} is missing" if isinstance(error, KeyError) else str(error)


@dataclass(frozen=True)
class _Metadata:
    """What the header says beside the tensors; Adam's and the best validation's are flat there."""

    format: Count
    iteration: Iteration
    network: dict[str, Any]
    adam_step: Count
    validated: Iteration
    best_iteration: Iteration | None
    best_accuracy: Fraction | None
    best_loss: Amount | None
    elapsed: Seconds
    # Checkpoints of earlier versions say nothing of these.
    processor_seconds: Seconds | None = None
    kept: tuple[Best, ...] = ()
    shapes: dict[Text, tuple[Count, ...]] = field(default_factory=dict)
    optimizer: bool = True
    """Whether Adam's tensors are there: a slim copy of a run does without."""
    sha256: Text | None = None

    def __post_init__(self) -> None:
        best = (self.best_iteration, self.best_loss)
        if None in best and (*best, self.best_accuracy) != (None, None, None):
            raise ValueError(f"the best validation is {(*best, self.best_accuracy)}")
        for name, iteration, last in (
            ("validated", self.validated, self.iteration),
            ("best_iteration", self.best_iteration or 0, self.validated),
            *(("kept", each.iteration, self.validated) for each in self.kept),
        ):
            if iteration > last:
                raise ValueError(f"{name} is {iteration}, beyond {last}")


def _read(file: BinaryIO, size: int) -> Checkpoint:
    """The header first: it says how large the rest may be."""
    start = file.read(8)
    length = int.from_bytes(start, "little")
    if len(start) < 8 or length > min(size - 8, LARGEST_HEADER):
        raise ValueError("it is torn, or no safetensors file")
    header = file.read(length)
    named = checked(dict[str, Any], parse_json(header)).get("__metadata__")
    values = parse_json(checked(dict[str, str], named or {})[_KEY])
    if isinstance(values, dict) and values.get("format") != FORMAT:
        raise ValueError(f"format {values.get('format')!r:.40} of another version, not {FORMAT}")
    metadata = checked(_Metadata, values)
    network = _network(metadata.network)
    shapes = network.parameter_shapes() | {
        name: shape for name, shape in metadata.shapes.items() if name.startswith("rate.")
    }
    wanted = 4 * len(_GROUPS) * sum(map(math.prod, shapes.values()))
    if size > min(8 + length + 2 * wanted + LARGEST_HEADER, LARGEST):
        raise ValueError(f"it has {size:,} bytes, and its network {wanted:,}")
    tensors = load(start + header + file.read())  # refuses lengths that do not fit
    whole = dict(tensors)
    parameters, exp_avg, exp_avg_sq = (
        _group(tensors, group, shapes if metadata.optimizer or group == _GROUPS[0] else {})
        for group in _GROUPS
    )
    if tensors:
        raise ValueError(f"tensor {shortened(next(iter(tensors)))} belongs to no parameter")
    # The last of the checks: the others name the tensor.
    if metadata.sha256 is not None and metadata.sha256 != _hash(whole):
        raise ValueError("its tensors are not those of its hash")
    return Checkpoint(
        iteration=metadata.iteration,
        parameters=parameters,
        adam=AdamState(metadata.adam_step, exp_avg, exp_avg_sq),
        network=network,
        validated=metadata.validated,
        best_iteration=metadata.best_iteration,
        best_accuracy=metadata.best_accuracy,
        best_loss=metadata.best_loss,
        kept=metadata.kept,
        elapsed=metadata.elapsed,
        processor_seconds=metadata.processor_seconds,
        is_hashed=metadata.sha256 is not None,
    )


def _hash(tensors: dict[str, Tensor]) -> str:
    """SHA-256 of the names and values of the tensors, on the CPU."""
    digest = hashlib.sha256()
    for name in sorted(tensors):
        digest.update(name.encode())
        digest.update(tensors[name].contiguous().reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def _network(values: dict[str, Any]) -> Network:
    """A network whose numbers are of the size that profiles allow; nothing is imported for it."""
    if "module" in values:
        return ModuleNetwork.from_json(values)
    if "kind" in values:
        return MlpNetwork.from_json(values, LARGEST_SIZE)
    for known in fields(NetworkSpec):
        value = values.get(known.name)
        kind = {"int": int, "bool": bool, "str": str}[str(known.type)]
        if known.name not in values:
            continue
        if type(value) is not kind or (isinstance(value, int) and not 0 <= value <= LARGEST_SIZE):
            raise ValueError(f"there is no network with {known.name} {value!r:.40}")
    return NetworkSpec(**values)


def _group(
    tensors: dict[str, Tensor], group: str, shapes: dict[str, tuple[int, ...]]
) -> dict[str, Tensor]:
    """Take a group's tensors out of ``tensors``."""
    taken = {}
    for name, shape in shapes.items():
        key = f"{group}/{name}"
        tensor = tensors.pop(key)
        if tensor.dtype != torch.float32 or tuple(tensor.shape) != shape:
            actual = f"{tensor.dtype} {list(tensor.shape)}"
            raise ValueError(f"tensor {key} is {actual}, not torch.float32 {list(shape)}")
        if not bool(tensor.isfinite().all()):
            raise ValueError(f"tensor {key} has values that are not finite")
        # torch's own memory is aligned, a slice of the file is not, and products may differ in it.
        taken[name] = tensor.clone()
    return taken
