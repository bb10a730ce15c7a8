"""Is the meta-gradient right on this machine, with this torch?

Every strategy of the engine is compared with Algorithm 2 as :mod:`mamltui.maml.maml` has it, in
float64, that itself with finite differences, and one known fault is looked for:
``torch.func.vmap`` over torch's batch norm in training mode gives a right loss and a wrong second
derivative where the norm's scale is adapted, that is, differs from task to task. The engine does
not use it, but vectorised MAML code that adapts every parameter does.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.func import functional_call
from torch.nn import functional
from torch.overrides import TorchFunctionMode

from mamltui.maml.engine import Engine
from mamltui.maml.episode import Episodes
from mamltui.maml.inner import InnerLoop
from mamltui.maml.maml import L, Model, conv_net, meta_gradient
from mamltui.maml.mlp import MlpNetwork
from mamltui.maml.network import LAYERS, NetworkSpec, relu
from mamltui.maml.own_network import ModuleNetwork
from mamltui.maml.parameters import Network, Parameters
from mamltui.maml.strategies import Case, covering, must_compile, native

ALPHA = 0.4
FLOAT64_TOLERANCE = 1e-10
FLOAT32_TOLERANCE = 1e-4
DIFFERENCES_TOLERANCE = 1e-6
VMAP_TOLERANCE = 1e-8
WIDTHS = (1e-4, 1e-5, 1e-3)
"""Of differences: how curved a network is decides which is the best, and none agrees by chance."""


@dataclass(frozen=True)
class Check:
    """One comparison: norm of the difference over norm of what it is compared with."""

    name: str
    relative_difference: float
    tolerance: float

    @property
    def passed(self) -> bool:
        return self.relative_difference <= self.tolerance


@dataclass(frozen=True)
class VerifyReport:
    """What was compared, and what it means."""

    checks: tuple[Check, ...]
    vmap: Check | None
    """Batch norm under vmap: a finding about torch, not about the engine; None: not looked for."""
    subject: str = ""
    """The network, where it is not the usual one."""

    @property
    def trusted(self) -> bool:
        return all(check.passed for check in self.checks)

    @property
    def sentence(self) -> str:
        if self.trusted:
            return (
                f"Second-order gradients {self.subject}can be trusted here: every strategy agrees "
                "with the paper's algorithm in float64, and that with finite differences."
            )
        failed = ", ".join(check.name for check in self.checks if not check.passed)
        return f"Second-order gradients {self.subject}can NOT be trusted here: {failed} is off."

    @property
    def vmap_sentence(self) -> str:
        if self.vmap is None:
            return ""
        off = f"{self.vmap.relative_difference:.1e}"
        if self.vmap.passed:
            return (
                f"torch {torch.__version__}: batch norm with an adapted scale has the right second "
                f"derivative under torch.func.vmap (meta-gradient off by {off})."
            )
        return (
            f"torch {torch.__version__}: batch norm with an adapted scale has a WRONG second "
            f"derivative under torch.func.vmap (meta-gradient off by {off}, loss right). mamltui "
            "does not use it; code that does is silently inexact."
        )


def run_verification(
    device: torch.device,
    say: Callable[[str], None] = lambda _: None,
    network: Network | None = None,
) -> VerifyReport:
    """Compare on ``device``; takes a few seconds.

    Args:
        say: told in words what takes time.
        network: whose gradient is compared; None: that of a small Conv-4, and what torch makes of
            batch norm under vmap is looked at too.
    """
    subject = network or NetworkSpec(way=5, filters=16)
    parameters, episodes = _problem(subject, tasks=3, shot=1, query=2)
    parameters = {name: value.to(device) for name, value in parameters.items()}
    episodes = episodes.to(device)
    checks = _compared(subject, parameters, episodes, device, say)
    checks.append(
        Check(
            "Algorithm 2 against finite differences",
            _finite_difference_error(subject, parameters, episodes),
            DIFFERENCES_TOLERANCE,
        )
    )
    if network is not None:
        return VerifyReport(tuple(checks), None, f"of {network.describe()} ")
    assert isinstance(subject, NetworkSpec)
    finding = _vmap_finding(subject, parameters, episodes)
    return VerifyReport(tuple(checks), finding)


def _compared(
    network: Network,
    parameters: Parameters,
    episodes: Episodes,
    device: torch.device,
    say: Callable[[str], None],
) -> list[Check]:
    """Every strategy that covers the network with Algorithm 2, for one and three inner steps."""
    checks = []
    _compile(Case(network, InnerLoop(1, ALPHA), device), say)
    for steps in (1, 3):
        expected, _ = plain_gradient(network, parameters, episodes, steps)
        inner = InnerLoop(steps, ALPHA)
        for strategy in covering(Case(network, inner, device)):
            engine = Engine(network, inner, device=device, strategy=strategy)
            exact = engine.meta_gradient(parameters, episodes).gradient
            plural = "s" if steps > 1 else ""
            name = f"{strategy}, {steps} inner step{plural}"
            checks.append(
                Check(f"{name}, float64", relative_difference(exact, expected), FLOAT64_TOLERANCE)
            )
            single = {name: value.float() for name, value in parameters.items()}
            rounded = engine.meta_gradient(single, _single(episodes)).gradient
            checks.append(
                Check(f"{name}, float32", relative_difference(rounded, expected), FLOAT32_TOLERANCE)
            )
    return checks


def _vmap_finding(network: NetworkSpec, parameters: Parameters, episodes: Episodes) -> Check:
    scaled = parameters | {
        f"norm{layer}.scale": 1 + parameters[f"norm{layer}.shift"].flip(0)
        for layer in range(1, LAYERS + 1)
    }
    adapted = [name for name in scaled if not name.endswith("shift")]
    expected, _ = plain_gradient(network, scaled, episodes, 1, adapted=adapted)
    vmapped = _vmapped_gradient(network, scaled, episodes, adapted)
    return Check("batch norm under vmap", relative_difference(vmapped, expected), VMAP_TOLERANCE)


def _single(episodes: Episodes) -> Episodes:
    return Episodes(*(each.float() if each.is_floating_point() else each for each in episodes))


def relative_difference(actual: Parameters, expected: Parameters) -> float:
    """Norm of the difference over norm of the expected, all tensors as one vector."""

    def flat(values: Parameters) -> Tensor:
        return torch.cat([values[name].double().flatten() for name in expected])

    return float((flat(actual) - flat(expected)).norm() / flat(expected).norm())


def _problem(network: Network, *, tasks: int, shot: int, query: int) -> tuple[Parameters, Episodes]:
    """float64 parameters away from their initial zeros, and random binary images."""
    generator = torch.Generator().manual_seed(0)

    def noise(*shape: int) -> Tensor:
        return torch.randn(shape, generator=generator, dtype=torch.float64)

    parameters = {
        name: value.double() + (0.1 * noise(*value.shape) if name not in network.tracked() else 0)
        for name, value in network.initial_parameters(0).items()
    }
    size, way = network.image_size, network.way
    if network.is_regression:
        inputs, outputs = network.channels, network.way
        return parameters, Episodes(
            noise(tasks, 5, inputs),
            noise(tasks, 5, outputs),
            noise(tasks, 4, inputs),
            noise(tasks, 4, outputs),
        )

    def examples(count: int) -> tuple[Tensor, Tensor]:
        images = (noise(tasks, way * count, network.channels, size, size) > 1).double()
        return images, torch.arange(way).repeat_interleave(count).repeat(tasks, 1)

    return parameters, Episodes(*examples(shot), *examples(query))


def plain_function(network: Network, *, smooth: bool = False) -> Model:
    """``f`` of Algorithm 2, by torch's own layers: of a module, the module as it was written.

    Args:
        smooth: with softplus in place of ReLU, and the mean in place of the maximum of windows.
    """
    if isinstance(network, NetworkSpec):
        return partial(conv_net, network, activation=functional.softplus if smooth else relu)
    if isinstance(network, MlpNetwork):
        return partial(_layers, functional.softplus if smooth else relu)
    assert isinstance(network, ModuleNetwork)
    module = network.plain_module()

    def f(theta: Parameters, x: Tensor) -> Tensor:
        buffers = {name: value.to(x.device).clone() for name, value in module.named_buffers()}
        real = {
            name: value.to(x.dtype) for name, value in buffers.items() if value.is_floating_point()
        }
        with _Smoothed() if smooth else nullcontext():
            logits: Tensor = functional_call(module, buffers | real | theta, (x,))
        return logits

    return f


def _layers(activation: Callable[[Tensor], Tensor], theta: Parameters, x: Tensor) -> Tensor:
    """Fully connected layers by torch's own function."""
    last = len(theta) // 2
    for layer in range(1, last + 1):
        x = functional.linear(x, theta[f"layer{layer}.weight"].T, theta[f"layer{layer}.bias"])
        x = activation(x) if layer < last else x
    return x


class _Smoothed(TorchFunctionMode):
    """Functions with kinks become smooth ones of about the same values."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func in _RELUS:
            return functional.softplus(args[0])
        if func in _POOLINGS:
            asked = dict(kwargs or {})
            names = ("kernel_size", "stride", "padding")
            given = dict(zip(names, args[1:], strict=False)) | asked
            arguments = {name: given[name] for name in names if given.get(name) is not None}
            return functional.avg_pool2d(args[0], **arguments)
        return func(*args, **(kwargs or {}))


_RELUS = (
    functional.relu,
    functional.relu_,
    torch.relu,
    torch.relu_,
    Tensor.relu,
    Tensor.relu_,
)
_POOLINGS = (functional.max_pool2d, torch.max_pool2d)


def plain_gradient(
    network: Network,
    parameters: Parameters,
    episodes: Episodes,
    steps: int,
    *,
    adapted: Sequence[str] | None = None,
    smooth: bool = False,
) -> tuple[Parameters, float]:
    """Meta-gradient and query loss by Algorithm 2 as it stands in the paper.

    Args:
        adapted: what the inner loop changes; None: what it does in training.
        smooth: as of :func:`plain_function`.
    """
    constants = {name: parameters[name] for name in network.tracked()}
    learned = {name: value for name, value in parameters.items() if name not in constants}
    plain = plain_function(network, smooth=smooth)

    def f(theta: Parameters, x: Tensor) -> Tensor:
        return plain({**constants, **theta}, x)

    tasks = [((sx, sy), (qx, qy)) for sx, sy, qx, qy in zip(*episodes, strict=True)]
    if adapted is None:
        adapted = network.adapted()
    return meta_gradient(f, learned, tasks, alpha=ALPHA, adapted=adapted, steps=steps)


def _compile(case: Case, say: Callable[[str], None]) -> None:
    """Make the kernels of both precisions, where they are not there yet."""
    missing = [dtype for dtype in native.SCALARS if must_compile(replace(case, dtype=dtype))]
    if missing:
        say(native.COMPILING)
    for dtype in missing:
        native.prepare(dtype)


def _finite_difference_error(network: Network, parameters: Parameters, episodes: Episodes) -> float:
    """Relative error of the plain gradient's slope in a random direction, one inner step.

    The activation is smooth here: with ReLU the inner gradient jumps, so the meta-objective has no
    derivative where it does, and differences diverge as the step shrinks.
    """

    def at(values: Parameters) -> tuple[Parameters, float]:
        return plain_gradient(network, parameters | values, episodes, 1, smooth=True)

    gradient, _ = at(parameters)
    generator = torch.Generator().manual_seed(1)
    direction = {
        name: torch.randn(value.shape, generator=generator, dtype=value.dtype).to(value.device)
        for name, value in parameters.items()
        if name in gradient
    }
    slope = sum(float((gradient[name] * direction[name]).sum()) for name in direction)

    def loss_at(offset: float) -> float:
        _, loss = at({name: parameters[name] + offset * each for name, each in direction.items()})
        return loss

    error = math.inf
    for h in WIDTHS:
        change = loss_at(-2 * h) - 8 * loss_at(-h) + 8 * loss_at(h) - loss_at(2 * h)
        error = min(error, abs(change / (12 * h) - slope) / abs(slope))
        if error <= DIFFERENCES_TOLERANCE:
            break
    return error


def _vmapped_gradient(
    network: NetworkSpec, parameters: Parameters, episodes: Episodes, adapted: Sequence[str]
) -> Parameters:
    """Meta-gradient of one inner step by ``torch.func``, vectorised over tasks by vmap."""
    f = partial(conv_net, network)

    def support_loss(fast: Parameters, images: Tensor, labels: Tensor) -> Tensor:
        return L(f, fast, (images, labels))

    def adapted_loss(
        theta: Parameters, support_x: Tensor, support_y: Tensor, query_x: Tensor, query_y: Tensor
    ) -> Tensor:
        gradient: Parameters = torch.func.grad(support_loss)(theta, support_x, support_y)
        fast = {
            name: value - ALPHA * gradient[name] if name in adapted else value
            for name, value in theta.items()
        }
        return L(f, fast, (query_x, query_y))

    def mean_loss(theta: Parameters) -> Tensor:
        per_task: Callable[..., Tensor] = torch.func.vmap(adapted_loss, (None, 0, 0, 0, 0))
        return per_task(theta, *episodes).mean()

    gradient: Parameters = torch.func.grad(mean_loss)(parameters)
    return gradient
