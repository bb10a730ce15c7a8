"""ALFA: each inner step's sizes and decays, generated from where it stands (Baik et al. 2020).

A small network sees the mean of every adapted parameter and of its gradient (their section 3.3) and
gives for each of them a factor on a learned step size and on a learned decay, which every step has
of its own:

    theta' = (1 - b_g b) theta - a_g a grad L.

As in their code, the sizes start as alpha and the decays as 0.0005 alpha. The last layer of the
generator starts such that all factors are 1; theirs starts at random.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from mamltui.maml.parameters import Parameters

DECAY = 5e-4
HIDDEN, HIDDEN_BIAS, OUT, OUT_BIAS = (
    f"rate.generator.{part}" for part in ("hidden", "hidden_bias", "out", "out_bias")
)
SIZES, DECAYS = "rate.sizes", "rate.decays"


def learned_shapes(parameters: int, steps: int) -> dict[str, tuple[int, ...]]:
    """Of what is learned for so many adapted parameters."""
    both = 2 * parameters
    return {
        HIDDEN: (both, both),
        HIDDEN_BIAS: (both,),
        OUT: (both, both),
        OUT_BIAS: (both,),
        SIZES: (steps, parameters),
        DECAYS: (steps, parameters),
    }


def initial_values(parameters: int, steps: int, size: float, seed: int) -> Parameters:
    """Before the first meta-iteration: steps of ``size``, hardly a decay."""
    generator = torch.Generator().manual_seed(seed)
    bound = 1 / math.sqrt(2 * parameters)
    values = {name: torch.zeros(shape) for name, shape in learned_shapes(parameters, steps).items()}
    for name in (HIDDEN, HIDDEN_BIAS):
        values[name].uniform_(-bound, bound, generator=generator)
    values[OUT_BIAS].fill_(1)
    values[SIZES].fill_(size)
    values[DECAYS].fill_(size * DECAY)
    return values


def updated(
    names: Sequence[str],
    values: Parameters,
    gradients: Parameters,
    learned: Parameters,
    step: int,
) -> Parameters:
    """The adapted parameters after an inner step, [tasks, ...]; all that comes in may be shared."""
    at = {name: values[name].expand_as(gradients[name]) for name in names}
    seen = [_mean(gradients[name]) for name in names] + [_mean(at[name]) for name in names]
    hidden = torch.relu(_layer(torch.stack(seen, dim=1), learned[HIDDEN], learned[HIDDEN_BIAS]))
    sizes, decays = _layer(hidden, learned[OUT], learned[OUT_BIAS]).chunk(2, dim=1)
    row = min(step, learned[SIZES].shape[-2] - 1)
    sizes = sizes * learned[SIZES].select(-2, row)
    keeps = 1 - decays * learned[DECAYS].select(-2, row)
    return {
        name: _like(keeps[:, index], at[name]) * at[name]
        - _like(sizes[:, index], at[name]) * gradients[name]
        for index, name in enumerate(names)
    }


def adjoints(
    names: Sequence[str],
    values: Parameters,
    gradients: Parameters,
    learned: Parameters,
    outer: Parameters,
    step: int,
) -> list[Parameters]:
    """Transposed derivatives of :func:`updated` in values, gradients and what is learned."""
    tasks = len(gradients[names[0]])
    parts = [
        {name: values[name].expand_as(gradients[name]) for name in names},
        {name: gradients[name] for name in names},
        {name: learned[name].expand(tasks, *learned[name].shape) for name in learned_shapes(1, 1)},
    ]
    leaves = [{n: v.detach().requires_grad_() for n, v in part.items()} for part in parts]
    with torch.enable_grad():
        moved = updated(names, leaves[0], leaves[1], leaves[2], step)
    flat = [value for part in leaves for value in part.values()]
    derivatives = iter(
        torch.autograd.grad(
            list(moved.values()), flat, [outer[name] for name in names], materialize_grads=True
        )
    )
    return [{name: next(derivatives) for name in part} for part in leaves]


def _mean(value: Tensor) -> Tensor:
    """Of each task: [tasks]. In two stages: a sum to one number depends on the threads."""
    rows = value.reshape(len(value), -1, value.shape[-1])
    return rows.sum(dim=1).sum(dim=1) / rows[0].numel()


def _layer(values: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    return (values.unsqueeze(1) @ weight.mT).squeeze(1) + bias


def _like(scalars: Tensor, value: Tensor) -> Tensor:
    """[tasks] as [tasks, 1, ...]."""
    return scalars.view(-1, *(1,) * (value.dim() - 1))
