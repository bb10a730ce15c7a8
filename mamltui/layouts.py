"""The networks of other MAML repositories, under the names that their state dicts have.

Each is a module that ``network.module`` may name, so what was trained elsewhere is evaluated,
adapted and trained on as any network of one's own. All normalise with the statistics of the images
at hand, as those repositories do.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from torch import Tensor, nn
from torch.nn import functional


class _Learn2LearnBlock(nn.Module):
    """Convolution, batch normalisation, ReLU, and perhaps max-pooling."""

    def __init__(self, inputs: int, outputs: int, stride: int, max_pool: bool) -> None:
        super().__init__()
        self.normalize = nn.BatchNorm2d(outputs)
        self.conv = nn.Conv2d(inputs, outputs, 3, stride=1 if max_pool else stride, padding=1)
        self.pooled = stride if max_pool else 1

    def forward(self, images: Tensor) -> Tensor:
        hidden = functional.relu(self.normalize(self.conv(images)))
        return functional.max_pool2d(hidden, self.pooled) if self.pooled > 1 else hidden


def _learn2learn_blocks(
    channels: int, hidden: int, layers: int, stride: int, max_pool: bool
) -> list[_Learn2LearnBlock]:
    inputs = [channels, *[hidden] * (layers - 1)]
    return [_Learn2LearnBlock(each, hidden, stride, max_pool) for each in inputs]


class Learn2LearnOmniglotCNN(nn.Module):
    """``learn2learn.vision.models.OmniglotCNN``: strided convolutions, the spatial mean."""

    def __init__(self, way: int, channels: int = 1, hidden: int = 64, layers: int = 4) -> None:
        super().__init__()
        self.base = nn.Sequential(*_learn2learn_blocks(channels, hidden, layers, 2, False))
        # There the base is saved a second time, within a sequence of functions.
        self.features = nn.Sequential(nn.Identity(), self.base)
        self.classifier = nn.Linear(hidden, way)

    def forward(self, images: Tensor) -> Tensor:
        return self.classifier(self.base(images).mean(dim=(2, 3)))  # type: ignore[no-any-return]


class Learn2LearnCNN4(nn.Module):
    """``learn2learn.vision.models.CNN4`` (MiniImagenetCNN): all features of the last module."""

    def __init__(
        self,
        way: int,
        channels: int,
        features: int,
        hidden: int = 64,
        layers: int = 4,
        max_pool: bool = True,
    ) -> None:
        super().__init__()
        stride = 2 * max(1, 4 // layers)
        self.features = nn.Sequential(
            *_learn2learn_blocks(channels, hidden, layers, stride, max_pool)
        )
        self.classifier = nn.Linear(features, way)

    def forward(self, images: Tensor) -> Tensor:
        return self.classifier(self.features(images).flatten(1))  # type: ignore[no-any-return]


class _Learn2LearnLinear(nn.Module):
    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.normalize = nn.BatchNorm1d(outputs, eps=1e-3, track_running_stats=False)
        self.linear = nn.Linear(inputs, outputs)

    def forward(self, values: Tensor) -> Tensor:
        return functional.relu(self.normalize(self.linear(values)))


class Learn2LearnOmniglotFC(nn.Module):
    """``learn2learn.vision.models.OmniglotFC``: fully connected layers."""

    def __init__(self, way: int, inputs: int, sizes: list[int]) -> None:
        super().__init__()
        pairs = zip([inputs, *sizes], sizes, strict=False)
        layers = nn.Sequential(*(_Learn2LearnLinear(*pair) for pair in pairs))
        self.features = nn.Sequential(nn.Flatten(), layers)
        self.classifier = nn.Linear(sizes[-1], way)

    def forward(self, images: Tensor) -> Tensor:
        return self.classifier(self.features(images))  # type: ignore[no-any-return]


class TorchmetaConv(nn.Module):
    """``torchmeta``'s ``MetaConvModel``: max-pooled convolutions, all features."""

    def __init__(
        self, way: int, channels: int, features: int, hidden: int = 64, layers: int = 4
    ) -> None:
        super().__init__()
        inputs = [channels, *[hidden] * (layers - 1)]
        blocks = {f"layer{n}": self._block(each, hidden) for n, each in enumerate(inputs, 1)}
        self.features = nn.Sequential(OrderedDict(blocks))
        self.classifier = nn.Linear(features, way)

    @staticmethod
    def _block(inputs: int, outputs: int) -> nn.Module:
        parts = {
            "conv": nn.Conv2d(inputs, outputs, 3, padding=1),
            "norm": nn.BatchNorm2d(outputs, momentum=1.0, track_running_stats=False),
            "relu": nn.ReLU(),
            "pool": nn.MaxPool2d(2),
        }
        return nn.Sequential(OrderedDict(parts))

    def forward(self, images: Tensor) -> Tensor:
        return self.classifier(self.features(images).flatten(1))  # type: ignore[no-any-return]


class NumberedConv(nn.Module):
    """The ``Learner`` of dragen1860/MAML-Pytorch: parameters in a list, ``vars.0``, ``vars.1``, ...

    Convolution without padding, ReLU, then batch normalisation. Where the last kernel is 2x2, as in
    its Omniglot network, the others have stride 2; else, as in that for miniImageNet, max-pooling
    follows each, the last one of stride 1.
    """

    def __init__(
        self,
        way: int,
        channels: int,
        features: int,
        hidden: int = 64,
        kernels: tuple[int, ...] = (),
    ) -> None:
        super().__init__()
        kernels = tuple(kernels) or (3, 3, 3, 2)
        self.is_strided = kernels[-1] == 2
        self.vars, self.vars_bn = nn.ParameterList(), nn.ParameterList()
        self.norms = nn.ModuleList()
        inputs = channels
        for kernel in kernels:
            conv = nn.Conv2d(inputs, hidden, kernel)
            nn.init.kaiming_normal_(conv.weight)
            nn.init.zeros_(conv.bias)  # type: ignore[arg-type]
            norm = nn.BatchNorm2d(hidden)
            self.vars.extend([conv.weight, conv.bias, norm.weight, norm.bias])
            # They are saved beside the others, though nothing is computed with them.
            running = (norm.running_mean, norm.running_var)
            self.vars_bn.extend(nn.Parameter(value, requires_grad=False) for value in running)  # type: ignore[arg-type]
            self.norms.append(nn.BatchNorm2d(hidden, affine=False))
            inputs = hidden
        head = nn.Linear(features, way)
        self.vars.extend([head.weight, head.bias])

    def forward(self, images: Tensor) -> Tensor:
        hidden, last = images, len(self.norms) - 1
        for index, norm in enumerate(self.norms):
            kernel, bias, scale, shift = self.vars[4 * index : 4 * index + 4]
            stride = 2 if self.is_strided and index < last else 1
            hidden = norm(functional.relu(functional.conv2d(hidden, kernel, bias, stride=stride)))
            hidden = hidden * scale.view(-1, 1, 1) + shift.view(-1, 1, 1)
            if not self.is_strided:
                hidden = functional.max_pool2d(hidden, 2, stride=1 if index == last else 2)
        return functional.linear(hidden.flatten(1), self.vars[-2], self.vars[-1])


@dataclass(frozen=True)
class Layout:
    """What a state dict is of, as its names and shapes tell."""

    origin: str
    """In words."""
    module: str
    """As of ``network.module``; empty: the built-in network."""
    arguments: dict[str, Any]
    way: int
    channels: int | None
    """Of its images; None: it takes any that have as many pixels."""


State = Mapping[str, Tensor]


def recognised(state: State, image_size: int) -> Layout | None:
    """The layout of a state dict for images of this size; None: none of those that are known."""
    layout = next(filter(None, (read(state) for read in _READERS)), None)
    if layout is not None and layout.module.endswith(f":{Learn2LearnCNN4.__name__}"):
        # Names and shapes do not tell max-pooling from strides; how much is left of an image does.
        hidden, layers = layout.arguments["hidden"], layout.arguments["layers"]
        step = 2 * max(1, 4 // layers)
        pooled = image_size
        for _ in range(layers):
            pooled //= step
        max_pool = layout.arguments["features"] == hidden * pooled**2
        layout = replace(layout, arguments={**layout.arguments, "max_pool": max_pool})
    return layout


KNOWN = (
    "learn2learn's OmniglotCNN, CNN4 (MiniImagenetCNN) and OmniglotFC; Torchmeta's MetaConvModel; "
    "the Learner of dragen1860/MAML-Pytorch; mamltui's own"
)


def _built_in(state: State) -> Layout | None:
    if not {"conv1.weight", "norm1.shift", "head.weight"} <= state.keys():
        return None
    channels, way = state["conv1.weight"].shape[2], state["head.weight"].shape[1]
    return Layout("mamltui", "", {}, way, channels)


def _convolutional(
    origin: str, kind: type[nn.Module], first: str, other: Callable[[int], str]
) -> Callable[[State], Layout | None]:
    """Reads networks of so many layers whose convolutions are called so."""

    def read(state: State) -> Layout | None:
        if first not in state or "classifier.weight" not in state or state[first].dim() != 4:
            return None
        layers = 0
        while other(layers) in state:
            layers += 1
        way, features = state["classifier.weight"].shape
        hidden, channels = state[first].shape[:2]
        arguments: dict[str, Any] = {"hidden": hidden, "layers": layers}
        if kind is not Learn2LearnOmniglotCNN:
            arguments["features"] = features
        return Layout(origin, f"{__name__}:{kind.__name__}", arguments, way, channels)

    return read


def _connected(state: State) -> Layout | None:
    sizes, index = list[int](), 0
    while (name := f"features.1.{index}.linear.weight") in state:
        sizes.append(state[name].shape[0])
        index += 1
    if not sizes or "classifier.weight" not in state:
        return None
    inputs = state["features.1.0.linear.weight"].shape[1]
    arguments = {"inputs": inputs, "sizes": sizes}
    way = state["classifier.weight"].shape[0]
    module = f"{__name__}:{Learn2LearnOmniglotFC.__name__}"
    return Layout("learn2learn's OmniglotFC", module, arguments, way, None)


def _numbered(state: State) -> Layout | None:
    count = sum(name.startswith("vars.") for name in state)
    numbered = [state.get(f"vars.{index}") for index in range(count)]
    kernels = [value for value in numbered[:-2:4] if value is not None]
    if count < 6 or count % 4 != 2 or any(each is None for each in numbered):
        return None
    head = numbered[-2]
    if any(each.dim() != 4 for each in kernels) or head is None or head.dim() != 2:
        return None
    hidden, channels = kernels[0].shape[:2]
    arguments = {
        "hidden": hidden,
        "features": head.shape[1],
        "kernels": [each.shape[2] for each in kernels],
    }
    module = f"{__name__}:{NumberedConv.__name__}"
    return Layout("dragen1860/MAML-Pytorch's Learner", module, arguments, head.shape[0], channels)


_READERS: tuple[Callable[[State], Layout | None], ...] = (
    _built_in,
    _convolutional(
        "learn2learn's OmniglotCNN",
        Learn2LearnOmniglotCNN,
        "base.0.conv.weight",
        lambda layer: f"base.{layer}.conv.weight",
    ),
    _convolutional(
        "learn2learn's CNN4",
        Learn2LearnCNN4,
        "features.0.conv.weight",
        lambda layer: f"features.{layer}.conv.weight",
    ),
    _convolutional(
        "Torchmeta's MetaConvModel",
        TorchmetaConv,
        "features.layer1.conv.weight",
        lambda layer: f"features.layer{layer + 1}.conv.weight",
    ),
    _connected,
    _numbered,
)
