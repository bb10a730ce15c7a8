"""The same meta-gradient as others compute it: the contenders of the speed table.

All use one network, a module with torch's own convolution and batch norm, whose norm shifts are
learned by the outer loop only, so that every contender does the same work and must give the same
gradient. Those that are not installed are left out. learn2learn's package does not build on today's
Python: of its unpacked source archive, which the environment variable ``LEARN2LEARN`` names, only
``algorithms/maml.py`` and what that imports is loaded.
"""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Callable
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call, grad, vmap
from torch.nn import functional as F  # noqa: N812

from mamltui.maml.allocator import keep_freed_memory
from mamltui.maml.engine import Engine
from mamltui.maml.episode import Episodes
from mamltui.maml.inner import InnerLoop
from mamltui.maml.network import LAYERS, NORM_EPSILON, NetworkSpec
from mamltui.maml.parameters import Parameters
from mamltui.maml.strategies import Case, why_not

Gradient = dict[str, Tensor]
Contender = Callable[[], Gradient]


class Conv4(nn.Module):
    """Conv-4 as a torch module, its parameters those of the engine's network.

    Args:
        shifts_apart: shifts are tensors that are no parameters of the module, for libraries that
            adapt every parameter.
    """

    def __init__(
        self, network: NetworkSpec, parameters: Parameters, *, shifts_apart: bool = False
    ) -> None:
        super().__init__()
        self.pools, self.flattens = network.pooling == "max", network.head == "flatten"
        for layer in range(1, LAYERS + 1):
            kernel = parameters[f"conv{layer}.weight"].permute(3, 2, 0, 1)
            setattr(self, f"conv{layer}", nn.Parameter(kernel.contiguous().clone()))
            shift = parameters[f"norm{layer}.shift"].clone().requires_grad_()
            setattr(self, f"shift{layer}", shift if shifts_apart else nn.Parameter(shift))
        self.head_weight = nn.Parameter(parameters["head.weight"].clone())
        self.head_bias = nn.Parameter(parameters["head.bias"].clone())

    def forward(self, x: Tensor, **_: Any) -> Tensor:
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

    def collect(self) -> Gradient:
        """The gradients that backward left, in the engine's layout; cleared for the next call."""
        found = {}
        for layer in range(1, LAYERS + 1):
            found[f"conv{layer}.weight"] = getattr(self, f"conv{layer}").grad.permute(2, 3, 1, 0)
            found[f"norm{layer}.shift"] = getattr(self, f"shift{layer}").grad
            getattr(self, f"shift{layer}").grad = None
        found |= {"head.weight": self.head_weight.grad, "head.bias": self.head_bias.grad}
        self.zero_grad(set_to_none=True)
        return found


def contenders(
    network: NetworkSpec, inner: InnerLoop, parameters: Parameters, episodes: Episodes
) -> dict[str, Contender]:
    """Every contender that is installed, mamltui first; each call is one meta-gradient.

    One that is not called imports nothing, starts no thread and tells the allocator nothing.
    """
    made: dict[str, Contender] = {}
    device = episodes.support_x.device
    for strategy in ("native", "analytic"):
        if why_not(strategy, Case(network, inner, device)) is None:
            make = partial(_engine, strategy, network, inner, parameters, episodes)
            made[f"mamltui {strategy}"] = _when_called(make)
    module = Conv4(network, parameters).to(device)
    peers = {
        "plain loop": ("torch", _loop),
        "torch.func.vmap": ("torch", _vmap),
        "higher": ("higher", _higher),
        "torchopt": ("torchopt", _torchopt),
        "iteryne": ("iteryne", _iteryne),
    }
    for name, (package, peer) in peers.items():
        if find_spec(package):
            made[name] = partial(peer, module, inner, episodes)
    if find_spec("metalearn"):
        made["parallel-metalearn"] = _when_called(partial(_Metalearn, module, inner, episodes))
    if "LEARN2LEARN" in os.environ:
        apart = Conv4(network, parameters, shifts_apart=True).to(device)
        made["learn2learn"] = _when_called(partial(_Learn2learn, apart, inner, episodes))
    if find_spec("jax") and device.type == "cpu":
        made["JAX"] = _when_called(partial(_Jax, network, inner, parameters, episodes))
    return made


def _when_called(make: Callable[[], Contender]) -> Contender:
    made: list[Contender] = []

    def call() -> Gradient:
        if not made:
            made.append(make())
        return made[0]()

    return call


def _engine(
    strategy: str,
    network: NetworkSpec,
    inner: InnerLoop,
    parameters: Parameters,
    episodes: Episodes,
) -> Contender:
    keep_freed_memory()  # as the commands that train do
    engine = Engine(network, inner, device=episodes.support_x.device, strategy=strategy)
    return lambda: engine.meta_gradient(parameters, episodes).gradient


def _loss(module: Conv4, values: Gradient, x: Tensor, y: Tensor) -> Tensor:
    return F.cross_entropy(functional_call(module, values, (x,)), y)


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
    return module.collect()


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
    return module.collect()


def _higher(module: Conv4, inner: InnerLoop, episodes: Episodes) -> Gradient:
    import higher

    parameters = dict(module.named_parameters())
    optimiser = torch.optim.SGD([parameters[name] for name in module.adapted()], lr=inner.alpha)
    for sx, sy, qx, qy in zip(*episodes, strict=True):
        with higher.innerloop_ctx(module, optimiser, copy_initial_weights=False) as (fast, steps):
            for _ in range(inner.steps):
                steps.step(F.cross_entropy(fast(sx), sy))
            (F.cross_entropy(fast(qx), qy) / episodes.tasks).backward()
    return module.collect()


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
    return module.collect()


def _iteryne(module: Conv4, inner: InnerLoop, episodes: Episodes) -> Gradient:
    import iteryne

    maml = iteryne.MAML(module, inner_lr=inner.alpha, adapt_names=module.adapted())
    for sx, sy, qx, qy in zip(*episodes, strict=True):
        learner = maml.clone()
        for _ in range(inner.steps):
            learner.adapt(F.cross_entropy(learner(sx), sy))
        (F.cross_entropy(learner(qx), qy) / episodes.tasks).backward()
    return module.collect()


class _Learn2learn:
    def __init__(self, module: Conv4, inner: InnerLoop, episodes: Episodes) -> None:
        maml = _from_archive("learn2learn.algorithms.maml").MAML
        self._maml = maml(module, lr=inner.alpha)
        self._module, self._inner, self._episodes = module, inner, episodes

    def __call__(self) -> Gradient:
        for sx, sy, qx, qy in zip(*self._episodes, strict=True):
            learner = self._maml.clone()
            for _ in range(self._inner.steps):
                learner.adapt(F.cross_entropy(learner(sx), sy))
            (F.cross_entropy(learner(qx), qy) / self._episodes.tasks).backward()
        return self._module.collect()


def _from_archive(name: str) -> ModuleType:
    """A module of learn2learn, without what its packages import for other purposes."""
    root = Path(os.environ["LEARN2LEARN"])
    for package in ("learn2learn", "learn2learn.algorithms"):
        folder = root.joinpath(*package.split("."))
        if not folder.is_dir():
            raise SystemExit(f"LEARN2LEARN={root}: there is no {folder}")
        empty = ModuleType(package)
        empty.__path__ = [str(folder)]
        sys.modules.setdefault(package, empty)
    return importlib.import_module(name)


class _Metalearn:
    """parallel-metalearn takes whole steps of an optimizer, which here are of length zero."""

    CHUNK = 8
    """Tasks at once: all of them take gigabytes at 20-way 5-shot."""

    def __init__(self, module: Conv4, inner: InnerLoop, episodes: Episodes) -> None:
        from metalearn.algorithms import MAML
        from metalearn.inner_optimizers.optimizers import InnerSGD
        from metalearn.loss.categorical_accuracy import CategoricalAccuracy
        from metalearn.loss.CEloss import CrossEntropy
        from metalearn.model_wrappers import MAML_Model

        names = [f"backbone.{name}" for name in module.adapted()]
        model = MAML_Model(module, _Head(), fast_weights_names=names)
        steps = InnerSGD(
            model.get_fast_weights(),
            inner_lr=inner.alpha,
            max_inner_steps=inner.steps,
            learn_lr=False,
        )
        for rate in steps.parameters():  # which it keeps in float32
            rate.data = torch.full_like(rate, inner.alpha, dtype=episodes.support_x.dtype)
        self._maml = MAML(
            model=model,
            optimizer=torch.optim.SGD(module.parameters(), lr=0.0),
            inner_optimizer=steps,
            support_loss_fn=CrossEntropy(CategoricalAccuracy()),
            inner_steps=inner.steps,
            chunk_size=self.CHUNK,
            device=episodes.support_x.device,
        )
        self._module = module
        support, query = {"labels": episodes.support_y}, {"labels": episodes.query_y}
        self._batch = episodes.support_x, support, episodes.query_x, query

    def __call__(self) -> Gradient:
        self._maml.step(iter([self._batch]))
        return self._module.collect()


class _Head(nn.Module):
    """Leaves the logits as they are."""

    def forward(self, logits: Tensor, **_: Any) -> Tensor:
        return logits


class _Jax:
    """jit of the mean over ``lax.map``'s tasks; compiled in its first call."""

    def __init__(
        self, network: NetworkSpec, inner: InnerLoop, parameters: Parameters, episodes: Episodes
    ) -> None:
        import jax

        jax.config.update("jax_enable_x64", True)
        jnp, lax = jax.numpy, jax.lax
        adapted = set(network.adapted())

        def logits(theta: Any, x: Any) -> Any:
            for layer in range(1, LAYERS + 1):
                pad = (1, 1) if network.pooling == "max" or x.shape[1] % 2 else (0, 1)
                z = lax.conv_general_dilated(
                    x,
                    theta[f"conv{layer}.weight"],
                    (network.stride(),) * 2,
                    (pad, pad),
                    dimension_numbers=("NHWC", "HWIO", "NHWC"),
                )
                z = z - z.mean(axis=(0, 1, 2))
                z = z * lax.rsqrt((z * z).mean(axis=(0, 1, 2)) + NORM_EPSILON)
                x = jax.nn.relu(z + theta[f"norm{layer}.shift"])
                if network.pooling == "max":
                    half = x.shape[1] // 2
                    x = x[:, : 2 * half, : 2 * half]
                    x = x.reshape(len(x), half, 2, half, 2, -1).max(axis=(2, 4))
            x = x.reshape(len(x), -1) if network.head == "flatten" else x.mean(axis=(1, 2))
            return x @ theta["head.weight"] + theta["head.bias"]

        def loss(theta: Any, x: Any, y: Any) -> Any:
            each = jnp.take_along_axis(jax.nn.log_softmax(logits(theta, x)), y[:, None], axis=1)
            return -each.mean()

        def task_loss(theta: Any, task: Any) -> Any:
            support_x, support_y, query_x, query_y = task
            fast = theta
            for _ in range(inner.steps):
                gradient = jax.grad(loss)(fast, support_x, support_y)
                fast = {
                    name: value - inner.alpha * gradient[name] if name in adapted else value
                    for name, value in fast.items()
                }
            return loss(fast, query_x, query_y)

        def mean_gradient(theta: Any, tasks: Any) -> Any:
            each = lax.map(lambda task: jax.grad(task_loss)(theta, task), tasks)
            return {name: value.mean(axis=0) for name, value in each.items()}

        self._gradient = jax.jit(mean_gradient)
        self._theta = {name: jnp.asarray(value.numpy()) for name, value in parameters.items()}
        images = (episodes.support_x, episodes.query_x)
        support_x, query_x = (jnp.asarray(x.permute(0, 1, 3, 4, 2).numpy()) for x in images)
        labels = (episodes.support_y, episodes.query_y)
        support_y, query_y = (jnp.asarray(y.numpy()) for y in labels)
        self._tasks = support_x, support_y, query_x, query_y

    def __call__(self) -> Gradient:
        found = self._gradient(self._theta, self._tasks)
        return {name: torch.from_numpy(value.__array__().copy()) for name, value in found.items()}
