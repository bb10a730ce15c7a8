"""Checkpoints: one safetensors file each, metadata as JSON in its header. Loading runs no code."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from mamltui.errors import CheckpointError
from mamltui.maml.learner import Learner
from mamltui.maml.network import NetworkSpec
from mamltui.runs.files import write_whole
from mamltui.runs.state import Best

FORMAT = 1
_KEY = "mamltui"
_GROUPS = ("parameters", "adam/exp_avg", "adam/exp_avg_sq")


@dataclass(frozen=True)
class AdamState:
    """The state of ``torch.optim.Adam``, by parameter name."""

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
    network: NetworkSpec
    """Whose parameters they are; learned inner rates are among them under names of their own."""
    validated: int = 0
    """The last validation's iteration; 0: none yet."""
    best_iteration: int | None = None
    """None before the first validation, as the two below."""
    best_accuracy: float | None = None
    best_loss: float | None = None
    kept: tuple[Best, ...] = ()
    """Of the checkpoints kept for an ensemble, the best first."""
    elapsed: float = 0.0
    """Seconds of training."""


def save_checkpoint(checkpoint: Checkpoint, path: Path, *, about: dict[str, str]) -> None:
    """Write the whole checkpoint or leave ``path`` as it was.

    Args:
        about: where the checkpoint comes from, for whoever meets the file alone.

    Raises:
        RunError: the file cannot be written.
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
        "network": asdict(checkpoint.network),
        "shapes": {name: list(value.shape) for name, value in checkpoint.parameters.items()},
        "adam_step": adam.step,
        "validated": checkpoint.validated,
        "best_iteration": checkpoint.best_iteration,
        "best_accuracy": checkpoint.best_accuracy,
        "best_loss": checkpoint.best_loss,
        "kept": [best.model_dump() for best in checkpoint.kept],
        "elapsed": checkpoint.elapsed,
        "about": about,
    }
    write_whole(path, save(tensors, {_KEY: json.dumps(metadata)}))


def load_checkpoint(path: Path, expect: Learner | None = None) -> Checkpoint:
    """Read and check a checkpoint.

    Args:
        expect: the network, with what its inner loop learns, that the checkpoint must be of.

    Raises:
        CheckpointError: missing, damaged, not a checkpoint, or of something else.
    """
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        raise CheckpointError("there is no such checkpoint", where=str(path)) from None
    except OSError as error:
        reason = error.strerror or str(error)
        raise CheckpointError(f"cannot read the checkpoint: {reason}", where=str(path)) from error
    try:
        checkpoint = _read(content)
    except (SafetensorError, ValueError, TypeError, KeyError, RecursionError) as error:
        raise CheckpointError(
            f"the checkpoint is damaged, or not one of mamltui's: {_reason(error)}",
            where=str(path),
            hint="The run's other checkpoint may be whole; see its folder checkpoints/.",
        ) from error
    if expect is not None:
        _check(checkpoint, expect, path)
    return checkpoint


def describe(network: NetworkSpec) -> str:
    """A network in a few words."""
    size = network.image_size
    plain = NetworkSpec(network.way, network.channels, size, network.filters)
    others = [
        f"{field.name} {getattr(network, field.name)}"
        for field in fields(network)
        if getattr(network, field.name) != getattr(plain, field.name)
    ]
    words = (
        f"Conv-4 with {network.filters} filters, {network.way}-way, "
        f"{network.channels}x{size}x{size} images"
    )
    return ", ".join([words, *others])


def _check(checkpoint: Checkpoint, expect: Learner, path: Path) -> None:
    if checkpoint.network != expect.network:
        raise CheckpointError(
            f"the checkpoint is of another network: {describe(checkpoint.network)}, "
            f"not {describe(expect.network)}",
            where=str(path),
        )
    found = {name: tuple(value.shape) for name, value in checkpoint.parameters.items()}
    wanted = expect.shapes()
    if found != wanted:
        name = next(iter(sorted(found.items() ^ wanted.items())))[0]
        raise CheckpointError(
            f"the checkpoint is of another inner loop: {name} is {_shape(found.get(name))} there "
            f"and {_shape(wanted.get(name))} here",
            where=str(path),
        )


def _shape(shape: tuple[int, ...] | None) -> str:
    return "not learned" if shape is None else f"learned as {list(shape)}"


def _reason(error: Exception) -> str:
    return f"{error} is missing" if isinstance(error, KeyError) else str(error)


def _read(content: bytes) -> Checkpoint:
    tensors = load(content)  # refuses a torn file and lengths that do not fit
    header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
    metadata = json.loads(header.get("__metadata__", {})[_KEY])
    if metadata["format"] != FORMAT:
        raise ValueError(f"format {metadata['format']} of another version, not {FORMAT}")
    network = NetworkSpec(**metadata["network"])
    for key in ("iteration", "adam_step", "validated"):
        if not _is_count(metadata[key]):
            raise ValueError(f"{key} is {metadata[key]!r}")
    best = [metadata[f"best_{key}"] for key in ("iteration", "accuracy", "loss")]
    if best != [None] * 3 and not (_is_count(best[0]) and all(map(_is_number, best[1:]))):
        raise ValueError(f"the best validation is {best}")
    if not _is_number(metadata["elapsed"]):
        raise ValueError(f"elapsed is {metadata['elapsed']!r}")
    shapes = network.parameter_shapes() | _shapes(metadata.get("shapes", {}))
    parameters, exp_avg, exp_avg_sq = (_group(tensors, group, shapes) for group in _GROUPS)
    if tensors:
        raise ValueError(f"tensor {next(iter(tensors))} belongs to no parameter")
    return Checkpoint(
        iteration=metadata["iteration"],
        parameters=parameters,
        adam=AdamState(metadata["adam_step"], exp_avg, exp_avg_sq),
        network=network,
        validated=metadata["validated"],
        best_iteration=best[0],
        best_accuracy=best[1],
        best_loss=best[2],
        # Checkpoints of earlier versions say nothing of it.
        kept=tuple(Best(**values) for values in metadata.get("kept", [])),
        elapsed=float(metadata["elapsed"]),
    )


def _shapes(named: dict[str, list[int]]) -> dict[str, tuple[int, ...]]:
    return {name: tuple(shape) for name, shape in named.items() if name.startswith("rate.")}


def _group(
    tensors: dict[str, Tensor], group: str, shapes: dict[str, tuple[int, ...]]
) -> dict[str, Tensor]:
    """Take a group's tensors out of ``tensors``."""
    taken = {}
    for name, shape in shapes.items():
        key = f"{group}/{name}"
        tensor = tensors.pop(key)
        if tensor.dtype != torch.float32 or tuple(tensor.shape) != shape:
            found = f"{tensor.dtype} {list(tensor.shape)}"
            raise ValueError(f"tensor {key} is {found}, not torch.float32 {list(shape)}")
        if not bool(tensor.isfinite().all()):
            raise ValueError(f"tensor {key} has values that are not finite")
        # torch's own memory is aligned, a slice of the file is not, and products may differ in it.
        taken[name] = tensor.clone()
    return taken


def _is_count(value: Any) -> bool:
    return type(value) is int and value >= 0


def _is_number(value: Any) -> bool:
    return type(value) in (int, float)
