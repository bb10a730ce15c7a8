"""Places to run commands in."""

from __future__ import annotations

from pathlib import Path

import pytest

from mamltui.cli import main
from tests.cli.tiny import RUN, copy_place, make_place


@pytest.fixture(scope="session")
def _place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_place(tmp_path_factory.mktemp("place"))


@pytest.fixture(scope="session")
def _trained_place(_place: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """With a run of four of the six iterations, finished, as ``--set meta.iterations=4`` asked."""
    place = copy_place(_place, tmp_path_factory.mktemp("trained"))
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(place)
        assert main([*RUN, "--set", "meta.iterations=4", "--format", "none"]) == 0
    return place


@pytest.fixture
def place(_place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, with a profile ``tiny.toml`` and its images."""
    monkeypatch.chdir(copy_place(_place, tmp_path))
    return tmp_path


@pytest.fixture
def trained_place(_trained_place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """As ``place``, with a run in ``runs`` that has done four of the profile's six iterations."""
    monkeypatch.chdir(copy_place(_trained_place, tmp_path))
    return tmp_path
