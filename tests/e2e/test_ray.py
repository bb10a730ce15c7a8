"""Studies on Ray: clusters of several nodes on this machine, one of which dies."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from mamltui.cli import main
from mamltui.errors import ExecutorError, UsageError
from mamltui.runs import RunFolder
from mamltui.studies.executors import ray as module
from mamltui.studies.executors.executor import Wanted
from mamltui.studies.executors.ray import RayExecutor
from mamltui.studies.queue import Queue
from mamltui.studies.standing import Standing
from tests.e2e.ray_cluster import add_node, cluster, expect_no_process
from tests.e2e.studies import STUDY, ancestors, make_study, results, work
from tests.studies.small import Here
from tests.training.small import assert_same_training


@pytest.fixture(scope="module")
def nodes() -> Iterator[Any]:
    with cluster() as made:
        yield made


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a study, to type commands in."""
    return make_study(tmp_path, monkeypatch)


@pytest.fixture(scope="module")
def local(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    """The study's run as the queue of this machine makes it."""
    with pytest.MonkeyPatch.context() as patch:
        folder = make_study(tmp_path_factory.mktemp("local"), patch)
        (standing,) = work(Here(), folder / "runs", lambda *_: None, [])
    assert standing.state == "done" and standing.run is not None
    return standing.run


def ensure_nodes(made: Any, count: int) -> None:
    """See to it that there are so many nodes besides the head."""
    for _ in range(count - len(made.worker_nodes)):
        add_node(made)
    made.wait_for_nodes()


@pytest.mark.parametrize(
    "shared",
    [
        pytest.param(True, id="shared folder", marks=pytest.mark.long),
        pytest.param(False, id="carried by Ray"),
    ],
)
def test_a_node_that_dies_loses_nothing_and_changes_no_bit(
    nodes: Any, folder: Path, local: RunFolder, monkeypatch: pytest.MonkeyPatch, shared: bool
) -> None:
    monkeypatch.setattr(module, "CARRY_SECONDS", 0.0)
    ensure_nodes(nodes, 2)
    killed: list[int] = []

    def watch(_: Queue, standings: list[Standing]) -> None:
        (standing,) = standings
        if killed or standing.iteration < 10 or standing.info is None:
            return
        assert standing.state == "running"
        above = ancestors(standing.info.pid)
        for node in list(nodes.worker_nodes):
            if node.all_processes["raylet"][0].process.pid in above:
                nodes.remove_node(node, allow_graceful=False)
                killed.append(standing.iteration)
                expect_no_process(pid=standing.info.pid)

    node_dir = folder / "node"
    node_dir.mkdir()
    told: list[str] = []
    wanted = Wanted(1, 1, address=nodes.address, node_dir=None if shared else node_dir)
    (standing,) = work(RayExecutor(wanted), folder / "runs", watch, told)
    assert len(killed) == 1
    (notice,) = told
    assert re.fullmatch(r"tiny-seed0: .* is gone; it is gone on with", notice)
    assert standing.state == "done" and standing.run is not None
    assert {path.name for path in (folder / "runs").iterdir()} == {standing.run.name, "studies"}
    assert_same_training(standing.run, local)
    assert results(standing.run) == results(local)


def test_nodes_that_could_not_train_the_study_are_named_before_anything_is_trained(
    nodes: Any, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    study = STUDY.replace("[set]", '[set]\ndata.path = "~/characters"')
    (folder / "study.toml").write_text(study)
    (tmp_path / "sitecustomize.py").write_text("import mamltui; mamltui.__version__ = '99.0'")
    ensure_nodes(nodes, 1)
    other = add_node(nodes, PYTHONPATH=os.pathsep.join([str(tmp_path), *sys.path]))
    nodes.wait_for_nodes()
    arguments = ["study", "run", "study.toml", "--on", "ray", "--address", nodes.address, "-q"]
    try:
        assert main(arguments) == 3
    finally:
        nodes.remove_node(other, allow_graceful=False)
    errors = capsys.readouterr().err
    assert "not all nodes could train this study" in errors
    assert re.search(r"mamltui 0\S+ \(files .*\) on .*, but 99\.0 \(files ", errors)
    assert "characters: there is no such folder" in errors
    assert list((folder / "runs").iterdir()) == [folder / "runs" / "studies"]


def test_a_study_runs_on_a_cluster_that_is_started_for_it_and_ended(
    folder: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    arguments = [
        "study",
        "run",
        "study.toml",
        "--on",
        "ray",
        "--iterations",
        "3",
        "--device",
        "cpu",
    ]
    assert main(arguments) == 0
    assert "tiny-seed0  done" in capfd.readouterr().out
    expect_no_process(str(folder))


def test_what_no_node_has_is_told_at_once(nodes: Any) -> None:
    ensure_nodes(nodes, 1)
    with pytest.raises(UsageError, match="no node has what a training needs, 64 cores"):
        RayExecutor(Wanted(threads=64, address=nodes.address))
    with pytest.raises(UsageError, match=r"1 core and 0\.5 GPU"):
        RayExecutor(Wanted(gpu_share=0.5, address=nodes.address))


def test_a_cluster_of_other_versions_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(**_: object) -> None:
        raise RuntimeError("Version mismatch: The cluster was started with:\n    Python: 3.9.1")

    monkeypatch.setattr("ray.init", refuse)
    with pytest.raises(ExecutorError, match=r"the cluster has other versions: .* Python: 3\.9\.1"):
        RayExecutor(Wanted(address="auto"))


@pytest.mark.parametrize(
    ("address", "code", "message"),
    [
        ("127.0.0.1:1", 3, "--address 127.0.0.1:1: nothing answers there"),
        ("no-such-host.invalid:6379", 3, "nothing answers there"),
        ("somewhere", 2, "this is no address of a Ray cluster"),
        ("127.0.0.1:99999", 2, "this is no address of a Ray cluster"),
    ],
)
@pytest.mark.usefixtures("folder")
def test_an_address_without_a_cluster_is_told_at_once(
    address: str, code: int, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["study", "run", "study.toml", "--on", "ray", "--address", address]) == code
    assert message in capsys.readouterr().err
    assert not Path("runs").exists()


def test_without_ray_the_command_to_install_it_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(ExecutorError, match=r"Ray is not installed\npip install 'mamltui\[ray\]'"):
        RayExecutor(Wanted())
