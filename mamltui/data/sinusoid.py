"""Sine waves to be fitted from a few points: the regression of the MAML paper, section 5.1.

Task t is a wave of an amplitude in [0.1, 5] and a phase in [0, pi], a function of seed, split and t
alone; its points lie at x in [-5, 5], drawn evenly.
"""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from mamltui.data.randomness import random_bits, signed64
from mamltui.maml.episode import Episodes

AMPLITUDES = (0.1, 5.0)
PHASES = (0.0, math.pi)
POINTS = (-5.0, 5.0)
GUESSING = (AMPLITUDES[0] ** 2 + math.prod(AMPLITUDES) + AMPLITUDES[1] ** 2) / 6
"""Mean squared error of answering 0: half the mean of the squared amplitudes, about 4.25."""
_SPLITS = {"train": 1, "test": 2, "validation": 3}
_LARGEST = 2.0**24


@dataclass(frozen=True)
class Waves:
    """All waves there are, where other data sets have a bank of images."""

    name: ClassVar[str] = "sinusoid"
    source: ClassVar[str] = "computed, there is no end of them"
    split: ClassVar[str] = "waves"
    """Name of the rule that parts those of training, validation and test: by their numbers."""

    @property
    def content_hash(self) -> str:
        """SHA-256 of what they are drawn from."""
        text = f"amplitudes {AMPLITUDES}, phases {PHASES}, points {POINTS}, splits {_SPLITS}"
        return hashlib.sha256(text.encode()).hexdigest()


class SinusoidSampler:
    """Draws tasks.

    Args:
        split: ``train``, ``validation`` or ``test``, which have unrelated waves.
        shot: points of the support set.
        query: points of the query set.
    """

    def __init__(self, seed: int, split: str, shot: int, query: int) -> None:
        self.seed, self.split, self.shot, self.query = seed, split, shot, query

    def batch(
        self, first_task: int | Tensor, tasks: int, device: torch.device | str = "cpu"
    ) -> Episodes:
        """Tasks ``first_task``, ...: inputs and targets [tasks, points, 1], float32."""
        first = int(first_task)
        x = self._spread(self._uniform(first, tasks)[:, 2:], POINTS).unsqueeze(-1)
        y = self.wave(first, tasks, x)
        sets = x[:, : self.shot], y[:, : self.shot], x[:, self.shot :], y[:, self.shot :]
        return Episodes(*(each.to(device) for each in sets))

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
