"""The episode sampler: task number t of a split is a pure function of (seed, split, t).

Nothing is drawn from a stateful generator. Every choice is a hash of its own coordinates, so a task
is the same on every device, in every batch, in any order, after a resume and under any version of
torch.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal, NamedTuple

import torch
from torch import Tensor

from mamltui.data.augmentation import augmented, gaussian
from mamltui.data.bank import ImageBank
from mamltui.data.randomness import random_bits, random_order, signed64
from mamltui.errors import UsageError
from mamltui.maml.episode import Episodes

if TYPE_CHECKING:
    from typing_extensions import Self

    from mamltui.data.splits import ClassSplit
    from mamltui.profiles import AugmentSection, Profile

SplitName = Literal["train", "validation", "test"]
SPLIT_NUMBERS = {"train": 0, "validation": 1, "test": 2}
FIRST_AUGMENTED = 2**32
"""Random numbers of a task from here on are keys of its drawings: beyond all that ``plan`` uses."""


class EpisodePlan(NamedTuple):
    """What the tasks of a batch are made of; position in ``way`` is the label."""

    class_index: Tensor
    """[tasks, way] int64, index into the bank's classes."""
    drawing: Tensor
    """[tasks, way, shot + query] int64; the first ``shot`` are the support set."""
    quarter_turns: Tensor
    """[tasks, way] int64 in 0 .. 3, counter-clockwise as ``torch.rot90``."""


class Tables(NamedTuple):
    """What the sampler looks up, on the device it last worked on."""

    drawings: Tensor
    """[classes * drawings, pixels] uint8: the whole bank."""
    classes: Tensor
    """[classes of the split] int64, index into the bank's classes."""
    counter: Tensor
    """[classes of the split + way * drawings + way] int64: a task's random numbers, 0, 1, 2 ..."""
    turned_pixel: Tensor
    """[4, pixels] int64: where each pixel of a turned image comes from."""
    smoothing: Tensor | None
    """[size, size] float64: the Gaussian of elastic augmentation; None: there is none."""


class EpisodeSampler:
    """Draws N-way K-shot tasks from the classes of one split.

    Args:
        bank: the images.
        classes: the split's classes, distinct indices into ``bank``.
        split: "train", "validation" or "test"; splits of one seed have unrelated tasks.
        way: classes a task.
        shot: support drawings a class.
        query: query drawings a class.
        rotations: turn each class of a task by 0, 90, 180 or 270 degrees, all its drawings alike.
            A character never meets its own rotation: the classes of a task are distinct characters.
        seed: any integer.
        augmentation: every drawing, support and query alike, is changed at random by itself, after
            its class was turned; None or all off: it is not. Images of a bank that is ink and
            paper alone stay so. The tasks are otherwise the same.

    Raises:
        UsageError: the split has too few classes or the classes too few drawings.
    """

    def __init__(
        self,
        bank: ImageBank,
        classes: Sequence[int],
        *,
        split: str,
        way: int,
        shot: int,
        query: int,
        rotations: bool,
        seed: int,
        augmentation: AugmentSection | None = None,
    ) -> None:
        if split not in SPLIT_NUMBERS:
            raise UsageError(
                f"there is no split {split!r}", hint=f"Splits: {', '.join(SPLIT_NUMBERS)}."
            )
        if min(way, shot, query) < 1:
            raise UsageError(
                f"{way}-way {shot}-shot with {query} query drawings is no task",
                hint="way, shot and query are at least 1.",
            )
        if len(set(classes)) != len(classes):
            raise ValueError("the classes of a split must be distinct")
        if way > len(classes):
            raise UsageError(
                f"a {way}-way task needs {way} classes, the {split} split of {bank.name} has "
                f"{len(classes)}",
                hint="Lower task.way, or choose a split or data set with more classes.",
            )
        if shot + query > bank.drawings:
            raise UsageError(
                f"shot {shot} + query {query} = {shot + query} drawings a class, {bank.name} has "
                f"{bank.drawings}",
                hint="Lower task.shot or task.query: support and query never share a drawing.",
            )
        self.bank = bank
        self.classes = tuple(classes)
        self.split = split
        self.way = way
        self.shot = shot
        self.query = query
        self.rotations = rotations
        self.seed = seed
        self.augmentation = augmentation if augmentation and augmentation.is_on else None
        self._is_binary = self.augmentation is not None and bank.is_binary()
        split_number = torch.tensor(SPLIT_NUMBERS[split])
        self._split_key = int(random_bits(signed64(seed), split_number))
        self._tables: Tables | None = None

    @classmethod
    def of(
        cls,
        profile: Profile,
        bank: ImageBank,
        classes: ClassSplit,
        split: SplitName,
        *,
        seed: int | None = None,
        augmented: bool = False,
    ) -> Self:
        """The tasks of ``profile`` from the classes of ``split``.

        Args:
            seed: of the tasks; None: the profile's.
            augmented: change the drawings as ``[augment]`` says, which is for training alone.

        Raises:
            UsageError: the split has too few classes or the classes too few drawings.
        """
        return cls(
            bank,
            getattr(classes, split),
            split=split,
            way=profile.task.way,
            shot=profile.task.shot,
            query=profile.task.query,
            rotations=profile.data.rotations,
            seed=profile.meta.seed if seed is None else seed,
            augmentation=profile.augment if augmented else None,
        )

    def plan(
        self, first_task: int | Tensor, tasks: int, device: torch.device | str = "cpu"
    ) -> EpisodePlan:
        """Tasks ``first_task .. first_task + tasks - 1``, without their images.

        Args:
            first_task: an int, or int64 [] on ``device``, which is not waited for: so it can change
                from one replay of a captured graph to the next.
        """
        task_key = self._task_key(first_task, tasks, device)
        tables = self.tables(task_key.device)
        bits = random_bits(task_key[:, None], tables.counter)
        sizes = [len(self.classes), self.way * self.bank.drawings, self.way]
        class_bits, drawing_bits, turn_bits = torch.split(bits, sizes, dim=1)
        class_index = tables.classes[random_order(class_bits, self.way)]
        drawing_bits = drawing_bits.reshape(tasks, self.way, self.bank.drawings)
        drawing = random_order(drawing_bits, self.shot + self.query)
        if self.rotations:
            quarter_turns = (turn_bits >> 62).bitwise_and_(3)
        else:
            quarter_turns = torch.zeros_like(class_index)
        return EpisodePlan(class_index, drawing, quarter_turns)

    def batch(
        self,
        first_task: int | Tensor,
        tasks: int,
        device: torch.device | str = "cpu",
        dtype: torch.dtype = torch.float32,
    ) -> Episodes:
        """Tasks ``first_task .. first_task + tasks - 1``, as of ``plan``, gathered on ``device``.

        The bank moves to ``device`` on the first call and stays there while the device is the same.
        """
        plan = self.plan(first_task, tasks, device)
        tables = self.tables(device)
        row = plan.class_index[..., None] * self.bank.drawings + plan.drawing
        images = tables.drawings.index_select(0, row.flatten()).view(*row.shape, -1)
        if self.rotations:
            source = tables.turned_pixel.index_select(0, plan.quarter_turns.flatten())
            source = source.view(tasks, self.way, 1, -1).expand_as(images)
            images = images.gather(-1, source)
        images = images.view(*row.shape, *self.bank.images.shape[2:])
        if self.augmentation is not None:
            assert tables.smoothing is not None
            image_number = torch.arange(row[0].numel(), device=device).view(row.shape[1:])
            task_key = self._task_key(first_task, tasks, device)
            key = random_bits(task_key[:, None, None], image_number + FIRST_AUGMENTED)
            images = augmented(
                images, key, self.augmentation, tables.smoothing, binary=self._is_binary
            )
        support, query = torch.split(images, [self.shot, self.query], dim=2)
        label = torch.arange(self.way, device=device)[:, None]
        return Episodes(
            support_x=_intensity(support.flatten(1, 2), dtype),
            support_y=label.expand(-1, self.shot).flatten().repeat(tasks, 1),
            query_x=_intensity(query.flatten(1, 2), dtype),
            query_y=label.expand(-1, self.query).flatten().repeat(tasks, 1),
        )

    def tables(self, device: torch.device | str) -> Tables:
        """What episodes are made from on ``device``; a captured graph must keep hold of it."""
        # torch.device("cuda") names the current device without its index: ask a tensor instead.
        tables = self._tables
        wanted = torch.device(device)
        if tables is not None:
            here = tables.classes.device
            if here.type == wanted.type and wanted.index in (None, here.index):
                return tables
        pixel = torch.arange(self.bank.images[0, 0].numel()).view(self.bank.images.shape[2:])
        turns = [torch.rot90(pixel, turn, (-2, -1)).flatten() for turn in range(4)]
        self._tables = Tables(
            drawings=self.bank.images.flatten(2).flatten(0, 1).to(wanted),
            classes=torch.tensor(self.classes).to(wanted),
            counter=torch.arange(
                len(self.classes) + self.way * self.bank.drawings + self.way, device=wanted
            ),
            turned_pixel=torch.stack(turns).to(wanted),
            smoothing=None
            if self.augmentation is None
            else gaussian(self.bank.image_size, self.augmentation.smoothness).to(wanted),
        )
        return self._tables

    def _task_key(self, first_task: int | Tensor, tasks: int, device: torch.device | str) -> Tensor:
        """[tasks] int64, from which all random numbers of each task come."""
        number = torch.arange(tasks, device=device) + first_task
        return random_bits(self._split_key, number)


def _intensity(pixels: Tensor, dtype: torch.dtype) -> Tensor:
    """0 .. 255 as 0 .. 1.

    Multiplied, not divided: CUDA divides by a scalar through its reciprocal and the CPU does not.
    255 * (1 / 255) is exactly 1 in all of torch's floating-point types.
    """
    return pixels.to(dtype).mul_(1 / 255)
