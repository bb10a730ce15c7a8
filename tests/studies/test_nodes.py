"""Nodes of a cluster: whether they are fit, and files on their way to them and back."""

from __future__ import annotations

from pathlib import Path

import pytest

from mamltui.data.load import load_bank
from mamltui.identity import Identity
from mamltui.studies.executors import carrying
from mamltui.studies.executors.carrying import Stamps, pack, unpack
from mamltui.studies.executors.node import Arrival, Origin, arrive, examine
from mamltui.studies.executors.ray import _different_images


def origin(folder: Path, node_dir: Path | None = None, **identity: str) -> Origin:
    """Of a queue on this machine, but for what of its ``identity`` differs."""
    (folder / "shared.txt").write_text("mark")
    mine = Identity.here()._replace(**identity)
    return Origin(mine, folder / "shared.txt", "mark", folder, node_dir)


@pytest.mark.parametrize(
    ("field", "beginning"),
    [
        ("code", "mamltui 1.2 on "),
        ("torch", "torch 1.2 on "),
        ("python", "Python 1.2 on "),
    ],
)
def test_a_node_with_another_version_is_not_fit(tmp_path: Path, field: str, beginning: str) -> None:
    arrival = arrive(origin(tmp_path, **{field: "1.2"}))
    assert arrival.problem is not None
    assert arrival.problem.startswith(beginning) and ", but " in arrival.problem
    assert examine(origin(tmp_path, **{field: "1.2"}), ["no profile"], None) == (arrival, {})


def test_a_node_shares_the_folder_if_it_reads_there_what_the_queue_wrote(tmp_path: Path) -> None:
    queue = origin(tmp_path)
    assert arrive(queue) == Arrival(queue.identity.host, True, None)
    queue.mark.write_text("of another folder under the same path")
    assert arrive(queue) == Arrival(queue.identity.host, False, None)
    queue.mark.unlink()
    assert not arrive(queue).shares
    assert not arrive(origin(tmp_path, node_dir=tmp_path)).shares


def test_a_folder_of_the_node_that_cannot_be_written_to_is_told(tmp_path: Path) -> None:
    missing = tmp_path / "missing"
    arrival = arrive(origin(tmp_path, node_dir=missing))
    assert arrival.problem == f"{missing} on {arrival.host} is no folder that can be written to"


def test_images_that_are_not_on_a_node_are_told_before_the_training(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("mamltui.data.banks.load_bank", load_bank)  # the real one
    profile = '[data]\nset = "folder"\npath = "no-images"'
    arrival, hashes = examine(origin(tmp_path), [profile], None)
    assert arrival.problem is not None and "no-images" in arrival.problem
    assert hashes == {}


def test_a_network_whose_code_is_not_on_a_node_is_told_before_the_training(tmp_path: Path) -> None:
    profile = 'data.split = "proportional"\nnetwork.module = "no_such_package:Network"'
    arrival, hashes = examine(origin(tmp_path), [profile], None)
    assert arrival.problem is not None and "no_such_package" in arrival.problem
    assert hashes == {}


def test_nodes_with_different_images_are_named() -> None:
    reports = {
        node: (Arrival(node, True, None), {"a": "same", "b": f"{node} has this one"})
        for node in ("n1", "n2")
    }
    (problem,) = _different_images(["a", "b"], reports)
    assert "n1 has n1 has this" in problem and "n2 has n2 has this" in problem


def test_what_was_sent_is_sent_again_only_if_it_has_changed(tmp_path: Path) -> None:
    source, target = tmp_path / "source", tmp_path / "target"
    unpack(source, {"runs/r/run.json": b"1", "runs/r/metrics.jsonl": b"1\n", "log": b""})
    for name in ("lock", "request", ".run.json.1-00000000.part"):
        (source / "runs" / "r" / name).write_text("stays")
    sent: Stamps = {}
    first = pack(source, sent)
    assert first is not None and set(first.changed) == set(first.names)
    unpack(target, first.changed)
    assert first.names == {"runs/r/run.json", "runs/r/metrics.jsonl", "log"}
    (source / "runs" / "r" / "metrics.jsonl").write_bytes(b"1\n2\n")
    (source / "log").unlink()
    second = pack(source, sent)
    assert second is not None
    assert second.changed == {"runs/r/metrics.jsonl": b"1\n2\n"}
    assert second.names == {"runs/r/run.json", "runs/r/metrics.jsonl"}
    again = pack(source, sent)
    assert again is not None and again.changed == {}


def test_a_folder_is_sent_as_it_was_at_one_moment_or_not_at_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    metrics = tmp_path / "metrics.jsonl"
    metrics.write_bytes(b"")
    stamps, reads = carrying._stamps, [0]

    def busy(folder: Path) -> object:
        reads[0] += 1
        if reads[0] < limit:
            metrics.write_bytes(b"x" * reads[0])
        return stamps(folder)

    monkeypatch.setattr(carrying, "_stamps", busy)
    limit = 6
    snapshot = pack(tmp_path, {})
    assert snapshot is not None and snapshot.changed == {"metrics.jsonl": b"x" * 5}
    limit, reads[0] = 10_000, 0
    assert pack(tmp_path, {}) is None


@pytest.mark.parametrize("name", ["../outside", "/outside", "runs/../../outside"])
def test_nothing_is_written_outside_the_folder(tmp_path: Path, name: str) -> None:
    with pytest.raises(ValueError, match="leads out of the folder"):
        unpack(tmp_path / "folder", {name: b""})
    assert not (tmp_path / "outside").exists()
