"""Sine waves to be fitted from a few points: the regression of the MAML paper, section 5.1.

Task t is a wave of an amplitude in [0.1, 5] and a phase in [0, pi], a function of seed, split and t
alone; its points lie at x in [-5, 5], drawn evenly.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from mamltui.data.randomness import random_bits, signed64
from mamltui.maml.episode import Episodes

AMPLITUDES = (0.1, 5.0)
PHASES = (0.0, math.pi)
POINTS = (-5.0, 5.0)
_SPLITS = {"train": 1, "test": 2}
_LARGEST = 2.0**24


@dataclass(frozen=True)
class SinusoidSampler:
    """Draws tasks.

    Args:
        shot: points of the support set.
        query: points of the query set.
    """

    seed: int
    split: Literal["train", "test"]
    shot: int
    query: int

    def batch(self, first: int, tasks: int) -> Episodes:
        """Tasks ``first``, ``first + 1``, ...: inputs and targets [tasks, points, 1], float32."""
        x = self._spread(self._uniform(first, tasks)[:, 2:], POINTS).unsqueeze(-1)
        y = self.wave(first, tasks, x)
        return Episodes(x[:, : self.shot], y[:, : self.shot], x[:, self.shot :], y[:, self.shot :])

    def wave(self, first: int, tasks: int, x: Tensor) -> Tensor:
        """The tasks' waves at x [tasks, points, 1]."""
        amplitude, phase = self.shapes(first, tasks)
        return amplitude.view(-1, 1, 1) * torch.sin(x + phase.view(-1, 1, 1))

    def shapes(self, first: int, tasks: int) -> tuple[Tensor, Tensor]:
        """Amplitude and phase, [tasks] each: y = amplitude * sin(x + phase)."""
        drawn = self._uniform(first, tasks)
        return self._spread(drawn[:, 0], AMPLITUDES), self._spread(drawn[:, 1], PHASES)

    def _uniform(self, first: int, tasks: int) -> Tensor:
        """[tasks, 2 + points] float32 in [0, 1)."""
        count = 2 + self.shot + self.query
        seed = torch.tensor([signed64(self.seed)])
        key = random_bits(seed, torch.tensor([_SPLITS[self.split]]))
        keys = random_bits(key, torch.arange(first, first + tasks)).unsqueeze(-1)
        bits = random_bits(keys, torch.arange(count))
        return (bits.bitwise_and(2**24 - 1)).to(torch.float32) / _LARGEST

    @staticmethod
    def _spread(unit: Tensor, over: tuple[float, float]) -> Tensor:
        low, high = over
        return low + unit * (high - low)
