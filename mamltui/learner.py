"""What a profile says of the network and of the inner loop, as the learning code wants it."""

from __future__ import annotations

from mamltui.data.bank import ImageBank
from mamltui.maml.inner import InnerLoop
from mamltui.maml.network import NetworkSpec
from mamltui.profiles import Profile


def network_of(profile: Profile, bank: ImageBank) -> NetworkSpec:
    """The network for tasks of ``profile`` on images of ``bank``."""
    return NetworkSpec(
        way=profile.task.way,
        channels=bank.channels,
        image_size=bank.image_size,
        filters=profile.network.filters,
    )


def inner_loop_of(profile: Profile) -> InnerLoop:
    """The inner loop of the profile's training."""
    return InnerLoop(profile.inner.steps, profile.inner.alpha, profile.inner.loss_scale)
