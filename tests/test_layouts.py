"""State dicts of other MAML repositories: recognised, computed alike, and used as runs."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from mamltui.cli import main
from mamltui.data.banks import Banks
from mamltui.errors import UsageError
from mamltui.evaluation import evaluate_run
from mamltui.layouts import recognised
from mamltui.maml.own_network import ModuleNetwork
from mamltui.profiles import load_profile
from mamltui.runs import find_run
from mamltui.training.imported import import_weights
from tests.cli.run_folders import SIZE
from tests.cli.tiny import make_place

Theirs = tuple[dict[str, Tensor], Callable[[Tensor], Tensor]]
"""A state dict as it is saved, and the logits that are computed with it."""


def randomised(module: nn.Module) -> nn.Module:
    for value in module.parameters():
        nn.init.uniform_(value, -0.5, 0.5)
    return module.train()


def their_learn2learn_block(inputs: int, outputs: int, pool: bool) -> nn.Module:
    class Block(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            if pool:
                self.max_pool = nn.MaxPool2d(kernel_size=(2, 2), stride=(2, 2))
            self.normalize = nn.BatchNorm2d(outputs, affine=True)
            self.relu = nn.ReLU()
            stride = (1, 1) if pool else (2, 2)
            self.conv = nn.Conv2d(inputs, outputs, (3, 3), stride=stride, padding=1, bias=True)

        def forward(self, x: Tensor) -> Tensor:
            x = self.relu(self.normalize(self.conv(x)))
            return self.max_pool(x) if pool else x  # type: ignore[no-any-return]

    return Block()


class Lambda(nn.Module):
    def __init__(self, function: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: Tensor) -> Tensor:
        return self.function(x)


def omniglot_cnn(way: int, channels: int, size: int) -> Theirs:
    class OmniglotCNN(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            blocks = [their_learn2learn_block(each, 6, False) for each in (channels, 6, 6, 6)]
            self.base = nn.Sequential(*blocks)
            self.features = nn.Sequential(
                Lambda(lambda x: x.view(-1, channels, size, size)),
                self.base,
                Lambda(lambda x: x.mean(dim=[2, 3])),
                nn.Flatten(),
            )
            self.classifier = nn.Linear(6, way)

        def forward(self, x: Tensor) -> Tensor:
            return self.classifier(self.features(x))  # type: ignore[no-any-return]

    module = randomised(OmniglotCNN())
    wrapped = {f"module.{name}": value for name, value in module.state_dict().items()}
    return {name: value.clone() for name, value in wrapped.items()}, module


def cnn4(way: int, channels: int, size: int, *, pool: bool = True) -> Theirs:
    class CNN4(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.features = nn.Sequential(
                *(their_learn2learn_block(each, 6, pool) for each in (channels, 6, 6))
            )
            with torch.no_grad():
                seen = self.features(torch.rand(2, channels, size, size)).flatten(1).shape[1]
            self.classifier = nn.Linear(seen, way)

        def forward(self, x: Tensor) -> Tensor:
            return self.classifier(self.features(x).flatten(1))  # type: ignore[no-any-return]

    module = randomised(CNN4())
    return {name: value.clone() for name, value in module.state_dict().items()}, module


def strided_cnn4(way: int, channels: int, size: int) -> Theirs:
    return cnn4(way, channels, size, pool=False)


def omniglot_fc(way: int, channels: int, size: int) -> Theirs:
    class LinearBlock(nn.Module):
        def __init__(self, inputs: int, outputs: int) -> None:
            super().__init__()
            self.relu = nn.ReLU()
            self.normalize = nn.BatchNorm1d(
                outputs, momentum=0.999, eps=1e-3, track_running_stats=False
            )
            self.linear = nn.Linear(inputs, outputs)

        def forward(self, x: Tensor) -> Tensor:
            return self.relu(self.normalize(self.linear(x)))  # type: ignore[no-any-return]

    class OmniglotFC(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            pairs = [(channels * size**2, 9), (9, 8), (8, 7)]
            layers = nn.Sequential(*(LinearBlock(*pair) for pair in pairs))
            self.features = nn.Sequential(nn.Flatten(), layers)
            self.classifier = nn.Linear(7, way)

        def forward(self, x: Tensor) -> Tensor:
            return self.classifier(self.features(x))  # type: ignore[no-any-return]

    module = randomised(OmniglotFC())
    return {name: value.clone() for name, value in module.state_dict().items()}, module


def torchmeta(way: int, channels: int, size: int) -> Theirs:
    def block(inputs: int) -> nn.Module:
        norm = nn.BatchNorm2d(5, momentum=1.0, track_running_stats=False)
        conv = nn.Conv2d(inputs, 5, kernel_size=3, stride=1, padding=1, bias=True)
        parts = [("conv", conv), ("norm", norm), ("relu", nn.ReLU()), ("pool", nn.MaxPool2d(2))]
        return nn.Sequential(OrderedDict(parts))

    class MetaConvModel(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            layers = {"layer1": block(channels), "layer2": block(5), "layer3": block(5)}
            self.features = nn.Sequential(OrderedDict(layers))
            self.classifier = nn.Linear(5 * (size // 8) ** 2, way, bias=True)

        def forward(self, x: Tensor) -> Tensor:
            features = self.features(x)
            features = features.view((features.size(0), -1))
            return self.classifier(features)  # type: ignore[no-any-return]

    module = randomised(MetaConvModel())
    return {name: value.clone() for name, value in module.state_dict().items()}, module


def numbered(config: list[tuple[str, list[int]]]) -> Theirs:
    """dragen1860's ``Learner`` of a configuration: a list of layers, in the order of its code."""
    values: list[Tensor] = []
    running: list[Tensor] = []
    for name, numbers in config:
        if name == "conv2d":
            values += [torch.rand(numbers[:4]) - 0.5, torch.rand(numbers[0]) - 0.5]
        elif name == "bn":
            values += [torch.rand(numbers[0]) + 0.5, torch.rand(numbers[0]) - 0.5]
            running += [torch.zeros(numbers[0]), torch.ones(numbers[0])]
        elif name == "linear":
            values += [torch.rand(numbers) - 0.5, torch.rand(numbers[0]) - 0.5]

    def forward(x: Tensor) -> Tensor:
        rest = iter(values)
        for name, numbers in config:
            if name == "conv2d":
                w, b = next(rest), next(rest)
                x = functional.conv2d(x, w, b, stride=numbers[4], padding=numbers[5])
            elif name == "relu":
                x = functional.relu(x)
            elif name == "bn":
                x = functional.batch_norm(x, None, None, next(rest), next(rest), training=True)
            elif name == "max_pool2d":
                x = functional.max_pool2d(x, numbers[0], numbers[1], numbers[2])
            elif name == "flatten":
                x = x.flatten(1)
            else:
                x = functional.linear(x, next(rest), next(rest))
        return x

    state = {f"vars.{place}": value for place, value in enumerate(values)}
    return state | {f"vars_bn.{place}": value for place, value in enumerate(running)}, forward


def numbered_omniglot(way: int, channels: int, size: int) -> Theirs:
    assert size == SIZE
    return numbered(
        [
            ("conv2d", [6, channels, 3, 3, 2, 0]),
            ("relu", []),
            ("bn", [6]),
            ("conv2d", [6, 6, 3, 3, 2, 0]),
            ("relu", []),
            ("bn", [6]),
            ("conv2d", [6, 6, 2, 2, 1, 0]),
            ("relu", []),
            ("bn", [6]),
            ("flatten", []),
            ("linear", [way, 6]),
        ]
    )


def numbered_miniimagenet(way: int, channels: int, size: int) -> Theirs:
    assert size == SIZE
    return numbered(
        [
            ("conv2d", [6, channels, 3, 3, 1, 0]),
            ("relu", []),
            ("bn", [6]),
            ("max_pool2d", [2, 2, 0]),
            ("conv2d", [6, 6, 3, 3, 1, 0]),
            ("relu", []),
            ("bn", [6]),
            ("max_pool2d", [2, 1, 0]),
            ("flatten", []),
            ("linear", [way, 6 * 4]),
        ]
    )


LAYOUTS = {
    omniglot_cnn: "learn2learn's OmniglotCNN",
    cnn4: "learn2learn's CNN4",
    strided_cnn4: "learn2learn's CNN4",
    omniglot_fc: "learn2learn's OmniglotFC",
    torchmeta: "Torchmeta's MetaConvModel",
    numbered_omniglot: "dragen1860/MAML-Pytorch's Learner",
    numbered_miniimagenet: "dragen1860/MAML-Pytorch's Learner",
}


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_place(tmp_path_factory.mktemp("layouts"))


@pytest.mark.parametrize("make", LAYOUTS, ids=lambda make: make.__name__)
def test_a_layout_is_imported_with_the_same_logits_and_evaluated(
    make: Callable[[int, int, int], Theirs], place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(place)
    torch.manual_seed(0)
    state, theirs = make(3, 1, SIZE)
    torch.save({"model_state_dict": state, "epoch": 7}, "theirs.pt")
    said: list[str] = []
    run = import_weights(
        Path("theirs.pt"),
        load_profile("tiny.toml"),
        banks=Banks(),
        device=torch.device("cpu"),
        runs=place / "runs",
        say=said.append,
    )
    assert any(f"of {LAYOUTS[make]}" in words for words in said)
    from mamltui.adapted import Trained

    trained = Trained.load(run)
    network = trained.learner.network
    assert isinstance(network, ModuleNetwork)
    images = torch.rand(2, 6, 1, SIZE, SIZE)
    with torch.no_grad():
        ours, _ = network.apply(trained.parameters, images)
        for task in range(2):
            assert torch.allclose(ours[task], theirs(images[task]), atol=1e-5)
    bank = Banks().bank(run.profile.data)
    evaluation = evaluate_run(run, bank=bank, steps=(0, 2), episodes=4, device=torch.device("cpu"))
    assert evaluation.module.startswith("mamltui.layouts:")
    assert run.info().state == "finished"


def test_our_own_checkpoint_is_imported(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(place)
    assert main(["run", "tiny.toml", "--headless", "--device", "cpu", "--out", "ours"]) == 0
    (own,) = Path("ours").iterdir()
    file = own / "checkpoints" / "best.safetensors"
    assert main(["import", str(file), "--profile", "tiny.toml", "--runs-dir", "again"]) == 0
    (again,) = Path("again").iterdir()
    first, second = (find_run(str(each)).load_checkpoint("best") for each in (own, again))
    assert second.network == first.network
    assert all(torch.equal(value, second.parameters[n]) for n, value in first.parameters.items())


def test_the_command_makes_a_run_that_others_take(
    place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(place)
    torch.save(torchmeta(3, 1, SIZE)[0], "meta.pt")
    options = ["--profile", "tiny.toml", "--runs-dir", "one", "--name", "Theirs"]
    assert main(["import", "meta.pt", *options]) == 0
    printed = capsys.readouterr()
    (folder,) = Path("one").iterdir()
    assert printed.out.strip() == str(folder)
    assert "meta.pt is of Torchmeta's MetaConvModel: 14 tensors, 3 classes" in printed.err
    assert main(["eval", str(folder), "--episodes", "4", "--device", "cpu"]) == 0
    assert "iteration 0" in capsys.readouterr().out
    assert main(["runs", "list", "--runs-dir", "one"]) == 0
    assert "Theirs" in capsys.readouterr().out


def refusal(state: dict[str, Tensor], *overrides: str) -> str:
    torch.save(state, "wrong.pt")
    with pytest.raises(UsageError) as error:
        import_weights(
            Path("wrong.pt"),
            load_profile("tiny.toml", overrides),
            banks=Banks(),
            device=torch.device("cpu"),
            runs=Path("refused"),
        )
    assert not Path("refused").exists()
    return str(error.value)


def test_what_does_not_fit_is_named(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(place)
    assert "of no layout that is known: learn2learn's" in refusal({"a.weight": torch.ones(2, 2)})
    assert "its classifier is for 4 classes" in refusal(omniglot_cnn(4, 1, SIZE)[0])
    state = omniglot_cnn(3, 1, SIZE)[0]
    del state["module.base.2.conv.bias"]
    assert "it lacks base.2.conv.bias" in refusal(state)
    state = torchmeta(3, 1, SIZE)[0]
    state["features.layer2.norm.bias"] = torch.ones(6)
    wrong = refusal(state)
    assert "features.layer2.norm.bias has shape [6] in the file and [5] in the network" in wrong
    larger = refusal(torchmeta(3, 1, 28)[0])
    assert "does not fit the profile's tasks" in larger
    assert "classifier.weight [3, 45]" in larger
    assert "Images are 1x12x12 here" in larger
    colour = refusal(torchmeta(3, 3, SIZE)[0])
    assert "features.layer1.conv.weight has shape [5, 3, 3, 3] in the file" in colour


def test_a_layout_is_recognised_by_names_and_shapes_alone() -> None:
    layout = recognised(numbered_omniglot(3, 1, SIZE)[0], SIZE)
    assert layout is not None
    assert layout.arguments == {"hidden": 6, "features": 6, "kernels": [3, 3, 2]}
    assert recognised({"vars.0": torch.ones(2), "vars.2": torch.ones(2)}, SIZE) is None
