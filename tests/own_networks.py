"""Networks as users write them, good and bad, for ``network.module = "tests.own_networks:..."``."""

from __future__ import annotations

import abc

import torch
from torch import Tensor, nn
from torch.nn import functional


class Plain(nn.Module):
    """A linear layer on the pixels: the least that can be meta-learned."""

    def __init__(self, way: int, channels: int, image_size: int, width: int = 6) -> None:
        super().__init__()
        self.hidden = nn.Linear(channels * image_size**2, width)
        self.out = nn.Linear(width, way)

    def forward(self, images: Tensor) -> Tensor:
        hidden = torch.tanh(self.hidden(images.flatten(1)))
        return self.out(hidden)  # type: ignore[no-any-return]


class Everything(nn.Module):
    """What networks out there have: norms of several kinds, dropout, a frozen part, a constant
    buffer, an index buffer, tied weights, max-pooling, an in-place ReLU."""

    scale: Tensor
    order: Tensor

    def __init__(self, way: int, channels: int = 1) -> None:
        super().__init__()
        self.stem = nn.Conv2d(channels, 4, 3, padding=1)
        self.norm = nn.BatchNorm2d(4)
        self.relu = nn.ReLU(inplace=True)
        self.again = nn.Conv2d(4, 4, 3, padding=1)
        self.second = nn.Conv2d(4, 4, 3, padding=1)
        self.second.weight = self.again.weight
        self.dropout = nn.Dropout(0.5)
        self.layer_norm = nn.LayerNorm(4)
        self.frozen = nn.Linear(4, 4)
        self.frozen.requires_grad_(False)
        self.head = nn.Linear(4, way)
        self.register_buffer("scale", torch.rand(4) + 0.5)
        self.register_buffer("order", torch.tensor([3, 1, 0, 2]))

    def forward(self, images: Tensor) -> Tensor:
        hidden = self.relu(self.norm(self.stem(images)))
        hidden = functional.max_pool2d(hidden, 2)
        hidden = self.norm(self.second(functional.relu(self.again(hidden))))
        features = self.dropout(hidden.mean(dim=(2, 3)) * self.scale)[:, self.order]
        return self.head(self.frozen(self.layer_norm(features)))  # type: ignore[no-any-return]


class NoHead(Plain):
    """Its last layer with parameters is no linear one."""

    def __init__(self, way: int, channels: int, image_size: int) -> None:
        super().__init__(way, channels, image_size)
        self.scale = nn.LayerNorm(way)

    def forward(self, images: Tensor) -> Tensor:
        return self.scale(super().forward(images))  # type: ignore[no-any-return]


class WrongShape(Plain):
    def forward(self, images: Tensor) -> Tensor:
        return super().forward(images)[:, :-1]


class NotATensor(Plain):
    def forward(self, images: Tensor) -> Tensor:
        return {"logits": super().forward(images)}  # type: ignore[return-value]


class KeepsCount(Plain):
    count: Tensor

    def __init__(self, way: int, channels: int, image_size: int) -> None:
        super().__init__(way, channels, image_size)
        self.register_buffer("count", torch.zeros(()))

    def forward(self, images: Tensor) -> Tensor:
        self.count += 1
        return super().forward(images)


class Random(Plain):
    def forward(self, images: Tensor) -> Tensor:
        return super().forward(functional.dropout(images, 0.5, training=self.training))


class OnceOnly(Plain):
    """Its derivative has none of its own."""

    def forward(self, images: Tensor) -> Tensor:
        return _Once.apply(super().forward(images))  # type: ignore[no-any-return]


class _Once(torch.autograd.Function):
    @staticmethod
    def forward(context: object, values: Tensor) -> Tensor:
        context.save_for_backward(values)  # type: ignore[attr-defined]
        return values.square()

    @staticmethod
    @torch.autograd.function.once_differentiable  # type: ignore[misc]
    def backward(context: object, gradient: Tensor) -> Tensor:
        (values,) = context.saved_tensors  # type: ignore[attr-defined]
        return 2 * values * gradient


class FunctionalNorm(Plain):
    """Batch normalisation that nobody can give other statistics."""

    def forward(self, images: Tensor) -> Tensor:
        return functional.batch_norm(super().forward(images), None, None, training=True)


class Detached(Plain):
    def forward(self, images: Tensor) -> Tensor:
        return super().forward(images).detach()


class Lazy(nn.Module):
    def __init__(self, way: int) -> None:
        super().__init__()
        self.out = nn.LazyLinear(way)

    def forward(self, images: Tensor) -> Tensor:
        return self.out(images.flatten(1))  # type: ignore[no-any-return]


class Wide(Plain):
    """Of images of another size."""

    def forward(self, images: Tensor) -> Tensor:
        return super().forward(images[:, :, :3])


class Fails(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        raise OSError("no such weights")


class Abstract(nn.Module, abc.ABC):
    @abc.abstractmethod
    def width(self) -> int: ...


class Nothing(nn.Module):
    def forward(self, images: Tensor) -> Tensor:
        return images.flatten(1)


class RateNamed(Plain):
    def __init__(self, way: int, channels: int, image_size: int) -> None:
        super().__init__(way, channels, image_size)
        self.rate = nn.Linear(2, 2)


def function(way: int) -> nn.Module:
    return nn.Linear(2, way)


number = 5
