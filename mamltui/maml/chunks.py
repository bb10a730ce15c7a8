"""How many tasks are worked on at once: the bound on memory, and what keeps a CPU's cache warm."""

from __future__ import annotations

import math

import torch

from mamltui.maml.episode import Episodes
from mamltui.maml.network import NetworkSpec
from mamltui.maml.parameters import Network

CPU_CHUNK_BYTES = 12 * 2**20
"""Patches of one layer that stay in a CPU's last-level cache between the passes over them."""
MEMORY_SHARE = 0.5
"""Part of a GPU's free memory that a chunk may fill."""


SCORING_BYTES = 8 * 2**30
"""What a chunk may fill on a GPU where no step is kept."""


class Interrupted(Exception):  # noqa: N818 - asked for, so no error
    """Work was asked to stop before its end, and did: there is no result."""


def patch_bytes(network: NetworkSpec, examples: int, element: int = 4) -> int:
    """Bytes of the largest layer's patches for one task of ``examples`` images."""
    layers = zip(network.inputs(), network.convolved_sizes(), strict=True)
    largest = max(9 * count * size**2 for count, size in layers)
    return largest * examples * element


def task_bytes(network: NetworkSpec, steps: int, examples: int, element: int = 4) -> int:
    """Bytes that one task holds at most: every inner step's patches and activations are kept.

    A layer keeps its patches and four arrays of its output's size a step; the pass at hand needs
    about as much again.
    """
    layers = zip(network.inputs(), network.convolved_sizes(), strict=True)
    per_image = sum(size**2 * (9 * count + 4 * network.filters) for count, size in layers)
    weights = 3 * network.parameter_count()
    return element * ((steps + 2) * (examples * per_image + weights))


def choose_task_chunk(network: Network, steps: int, episodes: Episodes) -> int:
    """Tasks to work on at once: what a CPU's cache or a GPU's free memory holds; at least one.

    ``steps`` is how many inner steps are kept for the way back. Without any, as in an evaluation,
    the chunk does not follow the memory that is free at the moment: other chunks add in another
    order, and an evaluation that is repeated has to give the same digits. Chunks are as equal as
    they can be, so that none is left over small. A module of the user's computes one task after the
    other, and holds no more than one.
    """
    if not isinstance(network, NetworkSpec):
        return equal_chunks(episodes.tasks, network.tasks_at_once)
    tasks, device = episodes.tasks, episodes.support_x.device
    examples = max(episodes.support_y.shape[1], episodes.query_y.shape[1])
    if device.type == "cuda":
        memory = SCORING_BYTES
        if steps:
            memory = int(MEMORY_SHARE * torch.cuda.mem_get_info(device)[0])
        fitting = memory // task_bytes(network, steps, examples)
    else:
        fitting = CPU_CHUNK_BYTES // patch_bytes(network, examples)
    return equal_chunks(tasks, fitting)


def equal_chunks(tasks: int, fitting: int) -> int:
    """Tasks to work on at once, as equal as can be, where so many fit; at least one."""
    chunks = math.ceil(tasks / max(1, min(fitting, tasks)))
    return math.ceil(tasks / chunks)
