"""mamltui from Python."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import mamltui
from mamltui.adapted import adapt
from mamltui.errors import DataError
from mamltui.events import Event
from mamltui.maml.module import as_module
from mamltui.maml.network import NetworkSpec, forward
from tests.cli.run_folders import trained_run, write_characters
from tests.cli.tiny import make_place
from tests.data.miniature import drawing
from tests.evaluation.test_adapted import NETWORKS, an_episode, trained

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "python.md"


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """With ``characters`` and a run on them."""
    place = tmp_path_factory.mktemp("api")
    trained_run(place / "runs", write_characters(place / "characters"))
    return place


@pytest.fixture
def run(place: Path) -> mamltui.Run:
    return mamltui.Run.open("small", runs_dir=place / "runs")


def test_the_page_about_it_runs_as_it_stands(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MAMLTUI_REFERENCE_DIR", str(ROOT / "runs" / "reference"))
    for number, name in enumerate("abcde"):
        for part, seeds in (("known", "0"), ("new", "12")):
            (tmp_path / part / name).mkdir(parents=True)
            for seed in seeds:
                paper = drawing(10 * number, 105) & drawing(10 * number + int(seed), 105)
                Image.fromarray(paper).save(tmp_path / part / name / f"{seed}.png")
    blocks = re.findall(r"^```python\n(.*?)^```", PAGE.read_text(encoding="utf-8"), re.M | re.S)
    assert len(blocks) > 5
    names: dict[str, object] = {}
    for block in blocks:
        exec(compile(block, str(PAGE), "exec"), names)
    printed = capsys.readouterr()
    assert "after 3 steps" in printed.out
    assert "20/20 test episodes" in printed.err
    _check_onnx(tmp_path / "adapted.onnx", names["module"])


def _check_onnx(file: Path, module: object) -> None:
    """Another program computes the same from the file."""
    import onnxruntime

    assert isinstance(module, torch.nn.Module)
    session = onnxruntime.InferenceSession(str(file))
    for count in (1, 5):
        images = (torch.rand((count, 1, 28, 28)) < 0.1).float()
        (logits,) = session.run(None, {"images": images.numpy()})
        with torch.no_grad():
            assert np.allclose(logits, module(images).numpy(), atol=1e-4)


def test_importing_changes_nothing_of_the_process() -> None:
    script = """
import logging, os, signal, sys, threading, warnings
import numpy, torch
def state():
    return (
        torch.get_num_threads(), torch.get_num_interop_threads(), torch.get_default_dtype(),
        torch.initial_seed(), torch.is_grad_enabled(), torch.backends.cuda.matmul.fp32_precision,
        dict(os.environ), [signal.getsignal(each) for each in signal.valid_signals()],
        list(warnings.filters), logging.getLogger().handlers, logging.getLogger().level,
        numpy.geterr(), sys.excepthook, sys.stdout, sys.stderr, threading.active_count(),
        os.getcwd(), sys.path[:],
    )
before = state()
import mamltui
mamltui.Run, mamltui.train, mamltui.evaluate
assert state() == before
"""
    subprocess.run([sys.executable, "-c", script], check=True)


def test_the_package_alone_imports_nothing_heavy() -> None:
    script = (
        "import sys, mamltui; dir(mamltui); "
        "assert not {'torch', 'numpy', 'pydantic', 'rich', 'typer'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", script], check=True)


def test_every_name_that_is_offered_is_there_and_in_the_stub() -> None:
    stub = (ROOT / "mamltui" / "__init__.pyi").read_text(encoding="utf-8")
    for name in mamltui.__all__:
        assert getattr(mamltui, name) is not None
        assert re.search(rf"\b{name}\b", stub)
    with pytest.raises(AttributeError, match="no attribute 'trian'"):
        mamltui.trian  # noqa: B018


def test_a_training_gives_events_a_run_and_its_evaluation(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(make_place(tmp_path))
    seen: list[Event] = []
    run = mamltui.train("tiny.toml", events=seen.append, device="cpu", runs_dir=tmp_path / "out")
    assert run.path.parent == tmp_path / "out"
    assert [event.name for event in seen][-1] == "finished"
    assert len(run.metrics()["query_loss"]) == 6
    assert [each["iteration"] for each in run.validations()] == [3, 6]
    evaluation = mamltui.evaluate(run, steps=(0, 2), episodes=4, device="cpu")
    assert evaluation.steps == (0, 2)
    rows = mamltui.table(evaluation)
    assert len(rows) == 4
    assert rows[0]["episodes"] == 4
    assert rows[0]["disjoint"] is False
    assert isinstance(rows[0]["accuracy_percent"], float)


def test_what_events_raises_comes_out_and_the_run_can_be_gone_on_with(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(make_place(tmp_path))

    def stop(event: Event) -> None:
        if event.iteration == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        mamltui.train("tiny.toml", events=stop, device="cpu")
    run = mamltui.train("tiny.toml", device="cpu", resume="auto")
    assert len(list((tmp_path / "runs").iterdir())) == 1
    assert run.info.state == "finished"


@pytest.mark.parametrize("kind", ["files", "pixels", "tensor"])
def test_images_may_be_files_pixels_or_what_the_network_sees(
    place: Path, run: mamltui.Run, kind: str
) -> None:
    files = [place / "characters" / f"class0{number}" / "0.png" for number in range(3)]
    pixels = np.stack([np.array(Image.open(file)) for file in files])
    images = {
        "files": files,
        "pixels": pixels,
        "tensor": torch.from_numpy(255 - pixels)[:, None].float() / 255,
    }[kind]
    adapted = run.adapt(images, [7, ("b", 1), None], steps=2)  # type: ignore[arg-type]
    answers = adapted.predict(images)  # type: ignore[arg-type]
    assert adapted.classes == answers.classes == (7, ("b", 1), None)
    assert answers.accuracy(answers.labels) == 1
    reference = run.adapt(files, "abc", steps=2).predict(files)
    assert np.allclose(answers.probabilities, reference.probabilities, atol=1e-6)
    before = adapted.predict(images, step=0)  # type: ignore[arg-type]
    assert not np.allclose(before.probabilities, answers.probabilities)


def test_images_that_are_none_are_refused(place: Path, run: mamltui.Run) -> None:
    for images in (np.zeros((3, 4)), np.zeros((3, 1, 12, 12), np.int64), "one.png"):
        with pytest.raises(mamltui.MamltuiError):
            run.adapt(images, "abc")  # type: ignore[arg-type]
    with pytest.raises(DataError, match=r"none\.png"):
        run.adapt([place / "none.png"] * 3, "abc")
    with pytest.raises(mamltui.MamltuiError, match="small"):
        mamltui.Run.open("small", runs_dir=place)


FAMILY = NETWORKS | {
    "max pooling, flat, colour": NetworkSpec(
        way=4, channels=3, image_size=13, filters=3, layers=2, pooling="max", head="flatten"
    ),
    "odd sizes": NetworkSpec(way=4, image_size=13, filters=3, layers=3, head="flatten"),
}


@pytest.mark.parametrize("network", FAMILY.values(), ids=FAMILY)
def test_a_module_computes_what_the_network_does(network: NetworkSpec) -> None:
    generator = torch.Generator().manual_seed(0)
    shapes = network.parameter_shapes()
    parameters = {
        name: torch.rand(shape, generator=generator) + ("variance" in name) - 0.5 * ("w" in name)
        for name, shape in shapes.items()
    }
    size = network.image_size
    images = torch.rand((5, network.channels, size, size), generator=generator)
    for running in {False, network.running_steps > 0}:
        module = as_module(network, parameters, step=1, running=running)
        logits, _ = forward(network, parameters, images[None], step=1, running=running)
        with torch.no_grad():
            assert torch.allclose(module(images), logits[0], atol=1e-5)
    state = {name: tuple(value.shape) for name, value in module.state_dict().items()}
    assert state["conv2.weight"] == (network.filters, network.filters, 3, 3)


@pytest.mark.parametrize("network", NETWORKS.values(), ids=NETWORKS)
def test_an_adapted_module_answers_as_the_run_does(network: NetworkSpec) -> None:
    episode = an_episode(4)
    adapted = adapt(trained(network), episode.support_x[0], episode.support_y[0].tolist())
    for transductive in (False, True):
        module = adapted.module(transductive=transductive)
        with torch.no_grad():
            found = module(episode.query_x[0]).double().softmax(dim=1)
        expected = adapted.predict(episode.query_x[0], transductive=transductive)
        assert torch.allclose(found, expected, atol=1e-5)
