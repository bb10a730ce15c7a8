"""A network of one's own, as an example: ``network.module = "mamltui.examples:SmallResNet"``."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional


class Block(nn.Module):
    """Two convolutions around which the input is added (He, Zhang, Ren and Sun 2016, figure 2).

    Args:
        inputs: channels of the input.
        outputs: channels of the output, whose height and width are half the input's.
    """

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride=2, padding=1, bias=False)
        self.norm1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1, bias=False)
        self.norm2 = nn.BatchNorm2d(outputs)
        self.shortcut = nn.Conv2d(inputs, outputs, 1, stride=2, bias=False)

    def forward(self, images: Tensor) -> Tensor:
        """[images, inputs, height, width] -> [images, outputs, height / 2, width / 2]."""
        hidden = functional.relu(self.norm1(self.conv1(images)))
        hidden = self.norm2(self.conv2(hidden)) + self.shortcut(images)
        return functional.relu(hidden)


class SmallResNet(nn.Module):
    """Three residual blocks, the spatial mean, and a linear head.

    Args:
        way: classes of a task, which mamltui offers by name.
        channels: of the images, likewise: 1 of drawings, 3 of photographs.
        width: channels of the first block; the others have two and four times as many.
    """

    def __init__(self, way: int, channels: int = 1, width: int = 16) -> None:
        super().__init__()
        self.blocks = nn.Sequential(
            Block(channels, width), Block(width, 2 * width), Block(2 * width, 4 * width)
        )
        self.head = nn.Linear(4 * width, way)

    def forward(self, images: Tensor) -> Tensor:
        """Logits [images, way] of images [images, channels, height, width]."""
        features: Tensor = self.blocks(images).mean(dim=(2, 3))
        logits: Tensor = self.head(features)
        return logits
