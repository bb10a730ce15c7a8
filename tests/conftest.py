"""What all tests share: a cache folder of their own, and real Omniglot where there is one."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from mamltui.events import Event
from tests.a_training import training

if os.environ.get("PYTEST_XDIST_WORKER"):
    # Before torch is imported: workers side by side, each with threads for all cores, would wait
    # for each other more than they compute.
    os.environ.setdefault("OMP_NUM_THREADS", "1")

OMNIGLOT_VARIABLE = "MAMLTUI_TEST_OMNIGLOT"


@pytest.fixture(scope="session", autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Keep tests, and the commands that they start, off the user's cache and data folders.

    There are no reference runs but those that a test names.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MAMLTUI_CACHE_DIR", str(tmp_path_factory.mktemp("cache")))
        patch.setenv("MAMLTUI_REFERENCE_DIR", str(tmp_path_factory.mktemp("reference")))
        patch.delenv("MAMLTUI_DATA_DIR", raising=False)
        yield


@pytest.fixture
def cache_dir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache folder for this test alone; it does not exist yet."""
    folder = tmp_path / "own-cache"
    monkeypatch.setenv("MAMLTUI_CACHE_DIR", str(folder))
    return folder


@pytest.fixture(scope="session")
def omniglot_dir() -> Path:
    """The folder with real Omniglot, from the environment variable MAMLTUI_TEST_OMNIGLOT."""
    folder = os.environ.get(OMNIGLOT_VARIABLE)
    if folder:
        return Path(folder).absolute()
    reason = f"{OMNIGLOT_VARIABLE} does not name a folder with Omniglot"
    if os.environ.get("CI"):
        pytest.fail(reason)
    pytest.skip(reason)


@pytest.fixture
def events() -> list[Event]:
    """What a training says from its start to its end."""
    return list(training())
