"""One thread, for runs that are equal to the last bit; and a training that nothing interrupted."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from mamltui.runs import RunFolder
from tests.training.small import make_run, train


@pytest.fixture(scope="session", autouse=True)
def _one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "runs"


@pytest.fixture
def run(root: Path) -> RunFolder:
    return make_run(root)


@pytest.fixture(scope="session")
def unbroken(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    """A run of ``small`` from beginning to end; only for reading."""
    run = make_run(tmp_path_factory.mktemp("unbroken"))
    train(run)
    return run
