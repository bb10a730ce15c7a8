"""All images of a data set, packed in one tensor."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # who only names the images need not wait for torch
    from torch import Tensor


@dataclass(frozen=True)
class ImageBank:
    """A data set in memory: every class has the same number of drawings."""

    name: str
    """``omniglot``, ``strokes``, ``cifar-fs`` or ``folder``."""
    images: Tensor
    """[classes, drawings, channels, size, size] uint8.

    Grey: 255 = stroke, 0 = paper. Of three channels: red, green and blue as in the files.
    """
    class_names: tuple[str, ...]
    """One name a class, in the order of ``images``."""
    content_hash: str
    """SHA-256 over the images and names: two banks with the same hash hold the same data."""
    source: str
    """Where the images were found, for people."""
    files: tuple[str, ...] = ()
    """Of a folder the file of each image, class by class, as seen from the folder; else empty."""
    unused_files: tuple[str, ...] = ()
    """Of a folder the other images, because of a smaller class or since they cannot be read."""

    @property
    def classes(self) -> int:
        return self.images.shape[0]

    @property
    def drawings(self) -> int:
        return self.images.shape[1]

    @property
    def channels(self) -> int:
        return self.images.shape[2]

    @property
    def image_size(self) -> int:
        return self.images.shape[3]

    def is_binary(self) -> bool:
        """Whether there is only ink (255) and paper (0), no grey; looks at all images."""
        return bool(((self.images == 0) | (self.images == 255)).all())
