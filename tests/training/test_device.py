"""The device that a training runs on."""

from __future__ import annotations

import pytest
import torch

from mamltui.errors import DeviceError, ExitCode, UsageError
from mamltui.training import resolve_device


def without_cuda(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)


def test_the_cpu_is_always_there() -> None:
    assert resolve_device("cpu") == torch.device("cpu")


def test_auto_is_the_cpu_where_there_is_no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    without_cuda(monkeypatch)
    assert resolve_device("auto") == torch.device("cpu")


def test_auto_is_the_gpu_where_there_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert resolve_device("auto") == resolve_device("cuda") == torch.device("cuda")


@pytest.mark.parametrize(("built", "why"), [(None, "without CUDA"), ("13.2", "no usable NVIDIA")])
def test_a_gpu_that_is_not_there_is_refused_with_the_reason(
    monkeypatch: pytest.MonkeyPatch, built: str | None, why: str
) -> None:
    without_cuda(monkeypatch)
    monkeypatch.setattr(torch.version, "cuda", built)
    with pytest.raises(DeviceError, match=why) as caught:
        resolve_device("cuda")
    assert caught.value.exit_code == ExitCode.UNAVAILABLE
    assert caught.value.hint == "Use --device cpu."


@pytest.mark.parametrize("name", ["", "gpu", "cuda:1", "CPU"])
def test_an_unknown_device_is_refused(name: str) -> None:
    with pytest.raises(UsageError, match="there is no device"):
        resolve_device(name)
