"""The same meta-gradient as others compute it: the contenders of the speed table.

All use one network, a module with torch's own convolution and batch norm, whose norm shifts are
learned by the outer loop only, so that every contender does the same work and must give the same
gradient.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.func import functional_call, grad, vmap
from torch.nn import functional as F  # noqa: N812

from mamltui.maml.engine import Engine
from mamltui.maml.episode import Episodes
from mamltui.maml.inner import InnerLoop
from mamltui.maml.network import LAYERS, NORM_EPSILON, NetworkSpec, Parameters
from mamltui.maml.strategies import Case, why_not

Gradient = dict[str, Tensor]
Contender = Callable[[], Gradient]


class Conv4(nn.Module):
    """Conv-4 as a torch module, its parameters those of the engine's network."""

    def __init__(self, network: NetworkSpec, parameters: Parameters) -> None:
        super().__init__()
        self.pools, self.flattens = network.pooling == "max", network.head == "flatten"
        for layer in range(1, LAYERS + 1):
            kernel = parameters[f"conv{layer}.weight"].permute(3, 2, 0, 1)
            setattr(self, f"conv{layer}", nn.Parameter(kernel.contiguous().clone()))
            setattr(self, f"shift{layer}", nn.Parameter(parameters[f"norm{layer}.shift"].clone()))
        self.head_weight = nn.Parameter(parameters["head.weight"].clone())
        self.head_bias = nn.Parameter(parameters["head.bias"].clone())

    def forward(self, x: Tensor) -> Tensor:
        for layer in range(1, LAYERS + 1):
            kernel, shift = getattr(self, f"conv{layer}"), getattr(self, f"shift{layer}")
            if self.pools:
                x = F.conv2d(x, kernel, padding=1)
            else:
                before = x.shape[-1] % 2
                x = F.conv2d(F.pad(x, (before, 1, before, 1)), kernel, stride=2)
            x = F.relu(F.batch_norm(x, None, None, None, shift, True, eps=NORM_EPSILON))
            if self.pools:
                x = F.max_pool2d(x, 2)
        # Features in the engine's order, positions before channels.
        x = x.permute(0, 2, 3, 1).flatten(1) if self.flattens else x.mean(dim=(2, 3))
        return x @ self.head_weight + self.head_bias

    def adapted(self) -> list[str]:
        return [name for name, _ in self.named_parameters() if not name.startswith("shift")]


def contenders(
    network: NetworkSpec, inner: InnerLoop, parameters: Parameters, episodes: Episodes
) -> dict[str, Contender]:
    """Every contender that is installed, mamltui first; each call is one meta-gradient."""
    made: dict[str, Contender] = {}
    device = episodes.support_x.device
    for strategy in ("native", "analytic"):
        if why_not(strategy, Case(network, inner, device)) is None:
            made[f"mamltui {strategy}"] = _ours(strategy, network, inner, parameters, episodes)
    module = Conv4(network, parameters).to(episodes.support_x.device)
    made["plain loop"] = lambda: _loop(module, inner, episodes)
    made["torch.func.vmap"] = lambda: _vmap(module, inner, episodes)
    try:
        import higher  # noqa: F401

        made["higher"] = lambda: _higher(module, inner, episodes)
    except ImportError:
        pass
    try:
        import torchopt  # noqa: F401

        made["torchopt"] = lambda: _torchopt(module, inner, episodes)
    except ImportError:
        pass
    return made


def _ours(
    strategy: str,
    network: NetworkSpec,
    inner: InnerLoop,
    parameters: Parameters,
    episodes: Episodes,
) -> Contender:
    """The engine is made at the first call: it tells the allocator what to keep, for all."""
    made: list[Engine] = []

    def call() -> Gradient:
        if not made:
            device = episodes.support_x.device
            made.append(Engine(network, inner, device=device, strategy=strategy))
        return made[0].meta_gradient(parameters, episodes).gradient

    return call


def _loss(module: Conv4, values: Gradient, x: Tensor, y: Tensor) -> Tensor:
    return F.cross_entropy(functional_call(module, values, (x,)), y)


def _collect(module: Conv4) -> Gradient:
    """The gradients that backward left, in the layout of the engine; cleared for the next call."""
    found = {name: p.grad for name, p in module.named_parameters()}
    module.zero_grad(set_to_none=True)
    return _in_engine_layout({name: value for name, value in found.items() if value is not None})


def _in_engine_layout(found: Gradient) -> Gradient:
    gradient = {}
    for layer in range(1, LAYERS + 1):
        gradient[f"conv{layer}.weight"] = found[f"conv{layer}"].permute(2, 3, 1, 0)
        gradient[f"norm{layer}.shift"] = found[f"shift{layer}"]
    return gradient | {"head.weight": found["head_weight"], "head.bias": found["head_bias"]}


def _loop(module: Conv4, inner: InnerLoop, episodes: Episodes) -> Gradient:
    names = module.adapted()
    for sx, sy, qx, qy in zip(*episodes, strict=True):
        fast = dict(module.named_parameters())
        for _ in range(inner.steps):
            loss = _loss(module, fast, sx, sy)
            gradients = torch.autograd.grad(loss, [fast[n] for n in names], create_graph=True)
            steps = zip(names, gradients, strict=True)
            fast = fast | {n: fast[n] - inner.alpha * g for n, g in steps}
        (_loss(module, fast, qx, qy) / episodes.tasks).backward()
    return _collect(module)


def _vmap(module: Conv4, inner: InnerLoop, episodes: Episodes) -> Gradient:
    names = set(module.adapted())

    def task_loss(theta: Gradient, sx: Tensor, sy: Tensor, qx: Tensor, qy: Tensor) -> Tensor:
        fast = theta
        for _ in range(inner.steps):
            gradient = grad(lambda values: _loss(module, values, sx, sy))(fast)
            fast = {n: v - inner.alpha * gradient[n] if n in names else v for n, v in fast.items()}
        return _loss(module, fast, qx, qy)

    theta = dict(module.named_parameters())
    vmap(task_loss, in_dims=(None, 0, 0, 0, 0))(theta, *episodes).mean().backward()
    return _collect(module)


def _higher(module: Conv4, inner: InnerLoop, episodes: Episodes) -> Gradient:
    import higher

    parameters = dict(module.named_parameters())
    optimiser = torch.optim.SGD([parameters[name] for name in module.adapted()], lr=inner.alpha)
    for sx, sy, qx, qy in zip(*episodes, strict=True):
        with higher.innerloop_ctx(module, optimiser, copy_initial_weights=False) as (fast, steps):
            for _ in range(inner.steps):
                steps.step(F.cross_entropy(fast(sx), sy))
            (F.cross_entropy(fast(qx), qy) / episodes.tasks).backward()
    return _collect(module)


def _torchopt(module: Conv4, inner: InnerLoop, episodes: Episodes) -> Gradient:
    import torchopt

    names = module.adapted()
    parameters = dict(module.named_parameters())
    for sx, sy, qx, qy in zip(*episodes, strict=True):
        optimiser = torchopt.FuncOptimizer(torchopt.sgd(lr=inner.alpha))
        fast = tuple(parameters[name] for name in names)
        for _ in range(inner.steps):
            values = parameters | dict(zip(names, fast, strict=True))
            fast = optimiser.step(_loss(module, values, sx, sy), fast)
        values = parameters | dict(zip(names, fast, strict=True))
        (_loss(module, values, qx, qy) / episodes.tasks).backward()
    return _collect(module)
