"""Ways to compute the derivatives of a network, one a file, and which cases each covers.

``native`` works on tasks side by side with kernels compiled for the processor, ``analytic`` on many
tasks at once with hand-derived second derivatives, ``graph`` records ``analytic`` and the whole
meta-iteration around it as one CUDA graph, and ``autograd`` leaves the derivatives to torch. What
is done with them is in :mod:`mamltui.maml.outer`.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from mamltui.maml.inner import InnerLoop
from mamltui.maml.network import NetworkSpec
from mamltui.maml.parameters import Network
from mamltui.maml.strategies import native

STRATEGIES = ("native", "graph", "analytic", "autograd")


@dataclass(frozen=True)
class Case:
    """What a strategy is asked to work on."""

    network: Network
    inner: InnerLoop
    device: torch.device
    dtype: torch.dtype = torch.float32
    precision: str = "fp32"


def why_not(strategy: str, case: Case) -> str | None:
    """Why ``strategy`` does not cover ``case``, in words for people; None: it does, as ``auto``."""
    if strategy == "native":
        return native.why_not(case)
    if strategy != "autograd" and not isinstance(case.network, NetworkSpec):
        return native.OTHER_NETWORK
    if strategy == "graph" and case.device.type != "cuda":
        return "it runs on CUDA devices only"
    if strategy == "autograd" and case.precision != "fp32":
        return "it has no other precision than fp32"
    if case.precision == "tf32" and case.device.type != "cuda":
        return "only CUDA devices have TF32"
    return None


def must_compile(case: Case) -> bool:
    """Whether ``case`` is one for ``native``, and its kernels have to be compiled first."""
    return why_not("native", case) is None and native.must_compile(case.dtype)


def covering(case: Case) -> list[str]:
    """The strategies that cover ``case``."""
    return [strategy for strategy in STRATEGIES if why_not(strategy, case) is None]
