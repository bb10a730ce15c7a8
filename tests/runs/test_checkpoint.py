"""Checkpoints: exact, whole, and checked when they are read."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load, save
from torch import Tensor

from mamltui.errors import CheckpointError, RunError
from mamltui.maml.inner import InnerLoop
from mamltui.maml.learner import Learner
from mamltui.maml.network import NetworkSpec
from mamltui.runs import Checkpoint, RunFolder, load_checkpoint
from mamltui.runs.checkpoint import checkpoint_bytes
from mamltui.runs.files import write_whole
from tests.runs.conftest import NETWORK, make_checkpoint

LEARNER = Learner(NETWORK, InnerLoop(1, 0.4))

Metadata = dict[str, Any]
Tensors = dict[str, Tensor]


@pytest.fixture
def path(tmp_path: Path, checkpoint: Checkpoint) -> Path:
    path = tmp_path / "last.safetensors"
    write_whole(path, checkpoint_bytes(checkpoint, about={"run": "a-run"}))
    return path


def rewrite(path: Path, change: Callable[[Tensors, Metadata], None]) -> None:
    """Change the content of a checkpoint, in a whole safetensors file."""
    content = path.read_bytes()
    header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
    metadata = json.loads(header["__metadata__"]["mamltui"])
    tensors = load(content)
    change(tensors, metadata)
    path.write_bytes(save(tensors, {"mamltui": json.dumps(metadata)}))


def assert_same(first: Checkpoint, second: Checkpoint) -> None:
    blank: dict[str, Any] = {"parameters": {}, "adam": None}
    assert replace(first, **blank) == replace(second, **blank)
    assert first.adam.step == second.adam.step
    for ours, theirs in (
        (first.parameters, second.parameters),
        (first.adam.exp_avg, second.adam.exp_avg),
        (first.adam.exp_avg_sq, second.adam.exp_avg_sq),
    ):
        assert list(ours) == list(theirs)
        for name, value in ours.items():
            assert torch.equal(value, theirs[name]), name


def test_a_checkpoint_comes_back_as_it_was(path: Path, checkpoint: Checkpoint) -> None:
    assert_same(load_checkpoint(path, expect=LEARNER), checkpoint)


def test_a_checkpoint_before_the_first_validation_has_no_best(path: Path) -> None:
    early = replace(make_checkpoint(), best_iteration=None, best_accuracy=None, best_loss=None)
    write_whole(path, checkpoint_bytes(early, about={}))
    assert_same(load_checkpoint(path), early)


def test_a_strided_tensor_is_stored_by_its_values(path: Path, checkpoint: Checkpoint) -> None:
    weight = checkpoint.parameters["conv2.weight"]
    strided = weight.permute(3, 2, 1, 0).contiguous().permute(3, 2, 1, 0)
    assert not strided.is_contiguous()
    parameters = {**checkpoint.parameters, "conv2.weight": strided}
    write_whole(path, checkpoint_bytes(replace(checkpoint, parameters=parameters), about={}))
    assert_same(load_checkpoint(path), checkpoint)


def test_the_file_says_where_it_comes_from(path: Path) -> None:
    content = path.read_bytes()
    header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
    assert json.loads(header["__metadata__"]["mamltui"])["about"] == {"run": "a-run"}


def test_a_checkpoint_torn_anywhere_is_refused(path: Path) -> None:
    content = path.read_bytes()
    header = 8 + int.from_bytes(content[:8], "little")
    for length in (0, 1, 7, 8, 9, header - 1, header, header + 1, len(content) - 1):
        path.write_bytes(content[:length])
        with pytest.raises(CheckpointError, match="damaged") as caught:
            load_checkpoint(path)
        assert caught.value.where == str(path)
    path.write_bytes(content + b"\0")
    with pytest.raises(CheckpointError, match="damaged"):
        load_checkpoint(path)


@pytest.mark.parametrize(
    "content",
    [
        b"nonsense",
        b"\x80\x04\x95" * 100,
        b"PK\x03\x04" + bytes(2000),
        bytes(4096),
        b"\xff" * 64,
        save({"a": torch.zeros(2)}),
        save({"a": torch.zeros(2)}, {"mamltui": "nonsense"}),
        save({"a": torch.zeros(2)}, {"mamltui": "[]"}),
        save({"a": torch.zeros(2)}, {"mamltui": "[" * 100_000}),
        save({"a": torch.zeros(2)}, {"mamltui": "{}"}),
        save({"a": torch.zeros(2)}, {"other": "{}"}),
    ],
    ids=["text", "pickle", "zip", "zeros", "ones", "foreign", *(f"metadata{i}" for i in range(5))],
)
def test_what_is_no_checkpoint_is_refused(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match="not one of mamltui's"):
        load_checkpoint(path)


def _nan(tensors: Tensors, _: Metadata) -> None:
    tensors["parameters/head.bias"][0] = float("nan")


def _infinite_moment(tensors: Tensors, _: Metadata) -> None:
    tensors["adam/exp_avg_sq/norm1.shift"][0] = float("inf")


def _without(key: str) -> Callable[[Tensors, Metadata], None]:
    def change(tensors: Tensors, metadata: Metadata) -> None:
        (tensors if "/" in key else metadata).pop(key)

    return change


def _shorter(tensors: Tensors, _: Metadata) -> None:
    tensors["parameters/head.bias"] = torch.zeros(4)


def _double(tensors: Tensors, _: Metadata) -> None:
    tensors["parameters/head.bias"] = torch.zeros(5, dtype=torch.float64)


def _more(tensors: Tensors, _: Metadata) -> None:
    tensors["parameters/conv5.weight"] = torch.zeros(1)


NETWORK_VALUES = {"way": 5, "channels": 1, "image_size": 8, "filters": 4}


def _with(**values: object) -> Callable[[Tensors, Metadata], None]:
    return lambda _, metadata: metadata.update(values)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (_nan, "parameters/head.bias has values that are not finite"),
        (_infinite_moment, "adam/exp_avg_sq/norm1.shift has values that are not finite"),
        (_without("parameters/conv3.weight"), "parameters/conv3.weight' is missing"),
        (_without("adam/exp_avg/head.bias"), "adam/exp_avg/head.bias' is missing"),
        (_shorter, r"head.bias is torch.float32 \[4\], not torch.float32 \[5\]"),
        (_double, r"head.bias is torch.float64 \[5\]"),
        (_more, "conv5.weight belongs to no parameter"),
        (_without("iteration"), "iteration is missing"),
        (_without("network"), "network is missing"),
        (_with(iteration=-1), "iteration is -1"),
        (_with(iteration="40"), "iteration is '40'"),
        (_with(adam_step=1.5), "adam_step is 1.5"),
        (_with(elapsed=None), "elapsed is None"),
        (_with(best_iteration=None), "best validation"),
        (_with(best_accuracy="high"), "best_accuracy is 'high'"),
        (_with(kept=[{"iteration": 20, "accuracy": 0.5}]), "loss"),
        (_with(kept=[{"iteration": 20, "accuracy": "high", "loss": 1.0}]), "accuracy"),
        (_with(kept=[20]), "kept.0 is 20"),
        (_with(network=[5, 1, 8, 4]), "network is this"),
        (_with(network={"way": 5, "depth": 4}), "depth"),
        (_with(network={"way": 5, "channels": 1, "image_size": 8, "filters": 0}), "no network"),
        (_with(network={"way": 5, "channels": 1, "image_size": 8, "filters": "4"}), "no network"),
        (_with(network={**NETWORK_VALUES, "filters": 10**9}), "filters 1000000000"),
        (_with(network={**NETWORK_VALUES, "filters": 10**400}), "filters 1000"),
        (_with(network={**NETWORK_VALUES, "norm_steps": True}), "norm_steps True"),
        (_with(network={**NETWORK_VALUES, "prototypes": "no"}), "prototypes 'no'"),
        (_with(iteration=10**400), "iteration is an integer of many digits"),
        (_with(validated=41), "validated is 41, beyond 40"),
        (_with(best_iteration=41), "best_iteration is 41, beyond 40"),
        (_with(best_accuracy=1.5), "best_accuracy is 1.5"),
        (_with(best_loss=-1.0), "best_loss is -1.0"),
        (_with(best_loss=float("nan")), "NaN is not JSON"),
        (_with(elapsed=float("inf")), "Infinity is not JSON"),
        (_with(elapsed=-1), "elapsed is -1"),
        (_with(elapsed=1e300), "elapsed is 1e"),
        (_with(kept=[{"iteration": 41, "accuracy": 0.5, "loss": 1.0}]), "kept is 41, beyond 40"),
        (_with(shapes={"rate.a": [-1]}), "shapes.rate.a.0 is -1"),
        (_with(shapes={"rate.a": [[[[1]]]]}), "shapes.rate.a.0 is this"),
        (_with(format=2), "format 2 of another version"),
    ],
)
def test_a_damaged_checkpoint_is_refused_by_its_damage(
    path: Path, change: Callable[[Tensors, Metadata], None], message: str
) -> None:
    rewrite(path, change)
    with pytest.raises(CheckpointError, match=message):
        load_checkpoint(path)


def test_a_checkpoint_of_an_earlier_version_kept_none(path: Path, checkpoint: Checkpoint) -> None:
    rewrite(path, _without("kept"))
    assert_same(load_checkpoint(path), replace(checkpoint, kept=()))


def test_a_checkpoint_of_another_network_is_refused_with_both_named(path: Path) -> None:
    wanted = Learner(NetworkSpec(way=20, channels=3, image_size=28, filters=64), LEARNER.inner)
    with pytest.raises(CheckpointError) as caught:
        load_checkpoint(path, expect=wanted)
    assert "4 filters, 5-way, 1x8x8 images, not Conv-4 with 64 filters, 20-way, 3x28x28" in str(
        caught.value
    )


def test_a_missing_checkpoint_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="no such checkpoint"):
        load_checkpoint(tmp_path / "last.safetensors")
    with pytest.raises(CheckpointError, match="cannot read"):
        load_checkpoint(tmp_path)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="a full disk is had from /dev/full")
def test_a_checkpoint_that_cannot_be_written_leaves_the_earlier_one(
    run: RunFolder, checkpoint: Checkpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    run.save_checkpoint("last", checkpoint)
    path = run.checkpoint_path("last")
    monkeypatch.setattr("secrets.token_hex", lambda _: "part")
    path.with_name(f".last.safetensors.{os.getpid()}-part.part").symlink_to("/dev/full")
    with pytest.raises(RunError, match="No space left"):
        run.save_checkpoint("last", make_checkpoint(50))
    assert_same(run.load_checkpoint("last"), checkpoint)


def test_a_run_folder_keeps_last_and_best_apart(run: RunFolder) -> None:
    run.save_checkpoint("best", make_checkpoint(30))
    (event,) = run.take_arrived()
    run.save_checkpoint("last", make_checkpoint(40))
    assert (event.kind, event.iteration) == ("best", 30)
    assert (run.path / event.path).is_file()
    assert run.load_checkpoint("best").iteration == 30
    assert run.load_checkpoint("last", expect=LEARNER).iteration == 40
