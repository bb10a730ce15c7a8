"""Episodes that share no image: the sampling without replacement of Lafargue et al. 2024.

Episodes drawn independently show the same test images again and again, so their interval says how
well they measure these images. Of episodes without a common image each is a sample of its own, and
their interval is one of the data (arXiv 2409.02850).
"""

from __future__ import annotations

from functools import cached_property

import torch
from torch import Tensor

from mamltui.data.episodes import EpisodePlan, EpisodeSampler
from mamltui.data.randomness import random_bits, random_order
from mamltui.errors import UsageError

_STREAM = 2**48
"""Random numbers from here on are not used by tasks drawn with replacement."""


class DisjointSampler(EpisodeSampler):
    """As ``EpisodeSampler``, but no drawing is in two tasks; there are ``tasks`` of them.

    Each class gives shot + query of its drawings at a time, as often as it has so many left; every
    round takes the classes in another random order. The tasks depend on the seed, the split and
    shot + query, and the first tasks are the same however many are asked for.
    """

    @property
    def tasks(self) -> int:
        """As many as can be made."""
        return len(self._table.class_index)

    def plan(
        self, first_task: int | Tensor, tasks: int, device: torch.device | str = "cpu"
    ) -> EpisodePlan:
        """As of ``EpisodeSampler``.

        Raises:
            UsageError: there are not so many.
        """
        last = int(first_task) + tasks
        if last > self.tasks:
            raise UsageError(
                f"{last:,} episodes without a common image were asked for, the {self.split} split "
                f"of {self.bank.name} has images for {self.tasks:,}",
                hint="Ask for fewer, or leave the number out for all there are.",
            )
        return EpisodePlan(*(each[int(first_task) : last].to(device) for each in self._table))

    @cached_property
    def _table(self) -> EpisodePlan:
        classes, size = len(self.classes), self.shot + self.query
        rounds = self.bank.drawings // size
        drawing_bits = self._bits(0, classes * self.bank.drawings).view(classes, -1)
        drawings = random_order(drawing_bits, rounds * size).view(classes, rounds, size)
        class_bits = self._bits(1, rounds * classes).view(rounds, classes)
        order: list[tuple[int, int]] = []
        """Class and round, in the order in which tasks take them."""
        for round_number, classes_in_order in enumerate(random_order(class_bits).tolist()):
            begun = {of for of, _ in order[len(order) - len(order) % self.way :]}
            # A task that two rounds share meets no class twice: those it has come last.
            classes_in_order.sort(key=begun.__contains__)
            order += [(of, round_number) for of in classes_in_order]
        tasks = len(order) // self.way
        chosen = torch.tensor(order[: tasks * self.way]).view(tasks, self.way, 2)
        position, number = chosen.unbind(dim=-1)
        turns = self._bits(2, tasks * self.way).view(tasks, self.way) >> 62
        return EpisodePlan(
            torch.tensor(self.classes)[position],
            drawings[position, number],
            turns.bitwise_and_(3) if self.rotations else torch.zeros_like(position),
        )

    def _bits(self, stream: int, count: int) -> Tensor:
        """[count] int64."""
        return random_bits(self._split_key, torch.arange(count) + (stream + 1) * _STREAM)
