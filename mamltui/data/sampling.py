"""What tasks are drawn from, images or waves, and who draws them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, TypeAlias

import torch
from torch import Tensor

from mamltui.data.bank import ImageBank
from mamltui.data.episodes import EpisodeSampler, SplitName
from mamltui.data.sinusoid import SinusoidSampler, Waves
from mamltui.data.splits import ClassSplit
from mamltui.errors import UsageError
from mamltui.maml.episode import Episodes

if TYPE_CHECKING:
    from mamltui.profiles import Profile

DataSource: TypeAlias = ImageBank | Waves


class Sampler(Protocol):
    """Draws tasks of one split: number t is a function of seed, split and t alone."""

    seed: int

    def batch(
        self, first_task: int | Tensor, tasks: int, device: torch.device | str = "cpu"
    ) -> Episodes:
        """Tasks ``first_task .. first_task + tasks - 1``."""


def sampler_of(
    profile: Profile,
    source: DataSource,
    classes: ClassSplit,
    split: SplitName,
    *,
    seed: int | None = None,
    augmented: bool = False,
) -> Sampler:
    """The tasks of ``profile`` from ``split``.

    Args:
        seed: of the tasks; None: the profile's.
        augmented: change drawings as ``[augment]`` says, which is for training alone.

    Raises:
        UsageError: the split has too few classes or the classes too few drawings.
    """
    if isinstance(source, Waves):
        task = profile.task
        seed = profile.meta.seed if seed is None else seed
        return SinusoidSampler(seed, split, task.shot, task.query)
    return EpisodeSampler.of(profile, source, classes, split, seed=seed, augmented=augmented)


def images_of(source: DataSource, what: str) -> ImageBank:
    """``source``, where it is of images.

    Args:
        what: needs images, for the message.

    Raises:
        UsageError: it is of waves.
    """
    if isinstance(source, Waves):
        raise UsageError(
            f"{what} is of images, and this run fits sine waves",
            hint="Take a run or profile whose data.set is another than sinusoid.",
        )
    return source
