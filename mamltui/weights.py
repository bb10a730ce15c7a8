"""Weights from a file: a state dict in safetensors or torch's format. Loading runs no code."""

from __future__ import annotations

import hashlib
import pickle
import warnings
from collections.abc import Iterable, Mapping
from io import BytesIO
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load as load_safetensors
from torch import Tensor

from mamltui.errors import UsageError
from mamltui.maml.parameters import Network, Parameters
from mamltui.text import shortened
from mamltui.untrusted import read_file

LARGEST = 2**33
"""Bytes."""
MOST_LISTED = 3
WRAPPERS = ("state_dict", "model_state_dict", "model", "network", "net", "weights")
"""Keys under which training scripts save a state dict beside other things."""
PREFIXES = ("module.", "parameters/")
"""Of torch's DataParallel and learn2learn's MAML, and of mamltui's own checkpoints."""
STATISTICS = ("running_mean", "running_var", "num_batches_tracked")
"""Of batch normalisations, which take the statistics of the images at hand here."""


def read_state_dict(path: Path) -> tuple[dict[str, Tensor], str]:
    """The tensors of a file by name, and its SHA-256.

    Raises:
        UsageError: it cannot be read, or holds no state dict.
    """
    try:
        content = read_file(path, LARGEST)
    except OSError as error:
        raise UsageError(
            f"the weights cannot be read: {error.strerror or error}", where=str(path)
        ) from error
    digest = hashlib.sha256(content).hexdigest()
    try:
        values: object = load_safetensors(content)
    except SafetensorError:
        values = _unpickled(content, path)
    for _ in range(2):
        for wrapper in WRAPPERS:
            if isinstance(values, Mapping) and isinstance(values.get(wrapper), Mapping):
                values = values[wrapper]
    tensors = {
        str(name): value.detach().cpu()
        for name, value in (values.items() if isinstance(values, Mapping) else ())
        if isinstance(value, Tensor)
    }
    if isinstance(values, Mapping) and any(name.startswith("parameters/") for name in tensors):
        tensors = {name: value for name, value in tensors.items() if not name.startswith("adam/")}
    for prefix in PREFIXES:
        if tensors and all(name.startswith(prefix) for name in tensors):
            tensors = {name.removeprefix(prefix): value for name, value in tensors.items()}
    if not tensors:
        raise UsageError(
            "it holds no state dict: no tensors by name",
            where=str(path),
            hint="Write one with torch.save(module.state_dict(), FILE), or with safetensors.",
        )
    return tensors, digest


def fitted(state: Mapping[str, Tensor], network: Network, path: Path) -> Parameters:
    """The network's parameters, float32, from a state dict that has them under the same names.

    Statistics of batch normalisations may be there and are left out.

    Raises:
        UsageError: a tensor is missing, left over, of another shape or not finite.
    """
    wanted = network.parameter_shapes()
    further = network.further_names()
    missing = [name for name in wanted if name not in state]
    left = [
        name
        for name in state
        if name not in wanted
        and name not in further
        and not name.endswith(STATISTICS)
        and not name.startswith("rate.")
    ]
    if missing or left:
        parts = [
            *([f"it lacks {_listed(missing)}"] if missing else []),
            *([f"it holds {_listed(left)}, which the network has not"] if left else []),
        ]
        raise UsageError(
            f"the weights are not of {network.describe()}: {'; '.join(parts)}", where=str(path)
        )
    for name, shape in wanted.items():
        there = tuple(state[name].shape)
        if there != shape:
            raise UsageError(
                f"the weights are not of {network.describe()}: {shortened(name)} has shape "
                f"{list(there)} in the file and {list(shape)} in the network",
                where=str(path),
            )
        if state[name].is_complex() or not bool(state[name].isfinite().all()):
            raise UsageError(
                f"{shortened(name)} has values that are no finite real numbers", where=str(path)
            )
    return {name: state[name].float().clone() for name in wanted}


def _unpickled(content: bytes, path: Path) -> object:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return torch.load(BytesIO(content), map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, ValueError, EOFError, KeyError) as error:
        is_code = "weights_only" in str(error) or "Unsupported" in str(error)
        raise UsageError(
            "it holds more than tensors, and loading that would run code of whoever made it"
            if is_code
            else "it is neither a safetensors file nor one of torch.save",
            where=str(path),
            hint="Save the state dict alone: torch.save(module.state_dict(), FILE)."
            if is_code
            else None,
        ) from error


def _listed(names: Iterable[str]) -> str:
    first, *others = names
    shown = [shortened(name) for name in (first, *others[: MOST_LISTED - 1])]
    more = len(others) + 1 - len(shown)
    return ", ".join(shown) + (f" and {more} more" if more else "")
