"""Downloading CIFAR-100 through torchvision, from a server of the test's own."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

import pytest
from torchvision.datasets import CIFAR100

from mamltui.data.cifar import fetch_cifar, load_cifar
from mamltui.data.cifar_find import ARCHIVE
from mamltui.errors import DataError
from tests.data import miniature_cifar as miniature
from tests.data.serving import Server

FILES = miniature.files()
ARCHIVED = miniature.archive(FILES)


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    server = Server()
    server.files = {ARCHIVE: ARCHIVED}
    miniature.publish(monkeypatch, FILES, ARCHIVED)
    monkeypatch.setattr(CIFAR100, "url", f"{server.address}/{ARCHIVE}")
    monkeypatch.setattr(CIFAR100, "tgz_md5", hashlib.md5(ARCHIVED).hexdigest())
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with server.serving():
        yield server


def load(root: Path | None = None) -> int:
    return load_cifar(root, resize="antialias", image_size=32).classes


def test_a_missing_cifar_is_downloaded_into_the_cache_once_and_not_extracted(
    server: Server, cache_dir: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert load() == 100
    assert sorted(path.name for path in cache_dir.iterdir()) == [ARCHIVE, "packed"]
    asked = len(server.requests)
    assert load() == 100
    assert len(server.requests) == asked
    assert capfd.readouterr() == ("", "")


@pytest.mark.usefixtures("cache_dir")
def test_fetch_replaces_what_is_damaged_in_the_given_folder(server: Server, tmp_path: Path) -> None:
    folder = miniature.write_archive(tmp_path / "data", b"half a file")
    messages: list[str] = []
    assert fetch_cifar(folder, progress=messages.append).path == folder / ARCHIVE
    assert any("downloaded again" in message for message in messages)
    assert (folder / ARCHIVE).read_bytes() == ARCHIVED
    asked = len(server.requests)
    fetch_cifar(folder)
    assert len(server.requests) == asked


def test_a_broken_download_and_a_file_of_other_content_leave_nothing(
    server: Server, cache_dir: Path
) -> None:
    server.cut = 700
    with pytest.raises(DataError, match="downloading it failed"):
        load()
    server.cut = None
    server.files[ARCHIVE] = miniature.archive({**FILES, "meta": b"other"})
    with pytest.raises(DataError, match="downloading it failed"):
        load()
    assert list(cache_dir.iterdir()) == []


def test_without_a_network_the_error_names_folders_and_ways_out(
    tmp_path: Path, cache_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for variable in ("http_proxy", "https_proxy"):
        monkeypatch.setenv(variable, "http://127.0.0.1:9")
    monkeypatch.delenv("no_proxy", raising=False)
    with pytest.raises(DataError) as caught:
        load(tmp_path / "given")
    assert caught.value.exit_code == 3
    assert str(tmp_path / "given") in caught.value.what
    assert str(cache_dir) in caught.value.what
    assert "downloading it failed" in caught.value.what
    assert "--data-dir" in str(caught.value.hint)
    assert list(cache_dir.iterdir()) == []
