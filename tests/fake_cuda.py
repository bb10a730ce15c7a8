"""CUDA's code path without a GPU: torch's fake tensors have a device and a shape and no values.

What only a GPU can show, its arithmetic, is not seen here. What a captured graph must not do is:
wait for a value, copy between processor and GPU, or mix tensors of both.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

CUDA = torch.device("cuda:0")
needs_cuda = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
"""Marks what only a GPU can show."""
WAITS = ("_local_scalar_dense", "item", "nonzero", "equal", "is_nonzero", "masked_select", "unique")


@contextmanager
def fake_cuda() -> Iterator[None]:
    """Tensors made or moved inside are fake; real ones may come in."""
    with FakeTensorMode(allow_non_fake_inputs=True):
        yield


class Launches(TorchDispatchMode):
    """Collects what is launched on the fake GPU; raises where a capture would fail."""

    def __init__(self) -> None:
        super().__init__()
        self.names: list[str] = []

    def __torch_dispatch__(
        self, function: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        # torch has no fake of this one, which works in place and returns nothing.
        is_faked = function is not torch.ops.aten._fused_adam_.tensor_lr
        found = function(*args, **(kwargs or {})) if is_faked else None
        tensors = [leaf for leaf in tree_leaves((args, kwargs, found)) if isinstance(leaf, Tensor)]
        devices = {str(tensor.device) for tensor in tensors}
        name = function.overloadpacket.__name__
        assert name not in WAITS, f"{function} waits for the device"
        assert devices <= {str(CUDA)}, f"{function} is at work on {sorted(devices)}"
        if tensors and not function.is_view and name not in ("new_empty", "empty", "device"):
            self.names.append(str(function))
            self.launched(str(function))
        return found

    def launched(self, name: str) -> None:
        """For subclasses: told after each."""
