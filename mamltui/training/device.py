"""The device that a training runs on."""

from __future__ import annotations

import torch

from mamltui.errors import DeviceError, UsageError


def resolve_device(name: str) -> torch.device:
    """The device called ``auto`` (CUDA if there is one, else the CPU), ``cpu`` or ``cuda``.

    Raises:
        DeviceError: there is no CUDA device.
        UsageError: there is no such name.
    """
    if name not in ("auto", "cpu", "cuda"):
        raise UsageError(f"there is no device {name!r}", hint="Devices: auto, cpu, cuda.")
    if name == "cpu":
        return torch.device("cpu")
    if torch.cuda.is_available():
        return torch.device("cuda")
    if name == "auto":
        return torch.device("cpu")
    if torch.version.cuda is None:
        why = f"torch {torch.__version__} is built without CUDA"
    else:
        why = f"torch {torch.__version__} finds no usable NVIDIA GPU or driver"
    raise DeviceError(f"there is no CUDA device: {why}", hint="Use --device cpu.")


def describe_device(device: torch.device) -> str:
    """The device for people: ``cpu``, or ``cuda`` with the GPU's name."""
    if device.type == "cuda":
        return f"cuda ({torch.cuda.get_device_name(device)})"
    return device.type
