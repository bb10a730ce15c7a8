"""Downloading Omniglot through torchvision, from a server of the test's own."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

import pytest
from torchvision.datasets import Omniglot

from mamltui.data.omniglot import fetch_omniglot, find_omniglot, load_omniglot
from mamltui.errors import DataError
from tests.data import miniature
from tests.data.serving import Server

EXPECTED = miniature.expected()


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    server = Server()
    zips = miniature.write_zips(tmp_path / "served", miniature.files())
    server.files = {path.name: path.read_bytes() for path in zips.iterdir()}
    sums = {
        name.removesuffix(".zip"): hashlib.md5(content).hexdigest()
        for name, content in server.files.items()
    }
    monkeypatch.setattr(Omniglot, "download_url_prefix", server.address)
    monkeypatch.setattr(Omniglot, "zips_md5", sums)
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with server.serving():
        yield server


def load(progress: list[str] | None = None, download: bool = True) -> int:
    bank = load_omniglot(
        None,
        resize="nearest",
        image_size=28,
        download=download,
        expected=EXPECTED,
        progress=None if progress is None else progress.append,
    )
    return bank.classes


def left_in(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*"))


@pytest.mark.usefixtures("server")
def test_a_missing_omniglot_is_downloaded_into_the_cache_and_said(
    cache_dir: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    messages: list[str] = []
    assert load(messages) == 5
    assert any("downloading http://127.0.0.1" in message for message in messages)
    assert {"images_background.zip", "images_evaluation.zip"} < set(left_in(cache_dir))
    assert not [name for name in left_in(cache_dir) if name.startswith(".")]
    output = capfd.readouterr()
    assert output.out == ""
    assert "100" in output.err


@pytest.mark.usefixtures("cache_dir")
def test_it_is_downloaded_once(server: Server) -> None:
    load()
    asked = len(server.requests)
    load()
    assert len(server.requests) == asked


@pytest.mark.usefixtures("server", "cache_dir")
def test_without_progress_nothing_is_printed(capfd: pytest.CaptureFixture[str]) -> None:
    load()
    assert capfd.readouterr() == ("", "")


@pytest.mark.usefixtures("cache_dir")
def test_not_asked_for_it_is_not_downloaded(server: Server) -> None:
    with pytest.raises(DataError, match="not asked for"):
        load(download=False)
    assert server.requests == []


def test_a_broken_download_leaves_nothing(server: Server, cache_dir: Path) -> None:
    server.cut = 700
    with pytest.raises(DataError, match="downloading it failed"):
        load()
    assert left_in(cache_dir) == []


def test_a_second_file_that_is_refused_leaves_nothing_of_the_first(
    server: Server, cache_dir: Path
) -> None:
    server.files.pop("images_evaluation.zip")
    with pytest.raises(DataError, match="404"):
        load()
    assert left_in(cache_dir) == []


def test_a_file_of_the_wrong_content_is_not_kept(server: Server, cache_dir: Path) -> None:
    server.files["images_background.zip"] = server.files["images_evaluation.zip"]
    with pytest.raises(DataError, match="downloading it failed"):
        load()
    assert left_in(cache_dir) == []


def test_an_interrupted_download_leaves_nothing(
    server: Server, cache_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import torchvision.datasets.utils as utils

    real = utils.download_url

    def interrupted(url: str, *rest: object, **more: object) -> None:
        if "evaluation" in url:
            raise KeyboardInterrupt
        real(url, *rest, **more)

    monkeypatch.setattr(utils, "download_url", interrupted)
    with pytest.raises(KeyboardInterrupt):
        load()
    assert server.requests
    assert left_in(cache_dir) == []


def test_without_a_network_the_error_names_folders_and_ways_out(
    tmp_path: Path, cache_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for variable in ("http_proxy", "https_proxy"):
        monkeypatch.setenv(variable, "http://127.0.0.1:9")
    monkeypatch.delenv("no_proxy", raising=False)
    with pytest.raises(DataError) as caught:
        load_omniglot(tmp_path / "given", resize="nearest", image_size=28)
    assert caught.value.exit_code == 3
    assert str(tmp_path / "given") in caught.value.what
    assert str(cache_dir) in caught.value.what
    assert "downloading it failed" in caught.value.what
    assert "--data-dir" in str(caught.value.hint)
    assert 'data.set="strokes"' in str(caught.value.hint)
    assert left_in(cache_dir) == []


@pytest.mark.usefixtures("server")
def test_a_cache_that_cannot_be_written_is_an_error_for_people(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    blocked = tmp_path / "blocked"
    blocked.write_text("a file")
    monkeypatch.setenv("MAMLTUI_CACHE_DIR", str(blocked))
    with pytest.raises(DataError, match="cannot be written"):
        load()


@pytest.mark.usefixtures("cache_dir")
def test_fetch_downloads_into_the_given_folder_and_only_once(
    server: Server, tmp_path: Path
) -> None:
    folder = tmp_path / "deep" / "data"
    found = fetch_omniglot(folder, expected=EXPECTED)
    assert found.root == folder
    assert left_in(folder) == ["images_background.zip", "images_evaluation.zip"]
    asked = len(server.requests)
    fetch_omniglot(folder, expected=EXPECTED)
    assert len(server.requests) == asked


@pytest.mark.usefixtures("cache_dir", "server")
def test_fetch_goes_where_the_variable_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MAMLTUI_DATA_DIR", str(tmp_path / "named"))
    fetch_omniglot(expected=EXPECTED)
    found = find_omniglot(expected=EXPECTED)
    assert found is not None
    assert found.root == tmp_path / "named"


@pytest.mark.usefixtures("cache_dir", "server")
@pytest.mark.parametrize("below", ["", "omniglot-py"])
def test_fetch_replaces_what_is_damaged(tmp_path: Path, below: str) -> None:
    folder = tmp_path / "data"
    zips = miniature.write_zips(folder / below, miniature.files())
    (zips / "images_background.zip").write_bytes(b"half a file")
    messages: list[str] = []
    found = fetch_omniglot(folder, expected=EXPECTED, progress=messages.append)
    assert any("downloaded again" in message for message in messages)
    assert set(found.paths) == {"images_background", "images_evaluation"}
    bank = load_omniglot(folder, resize="nearest", image_size=28, expected=EXPECTED)
    assert bank.classes == 5
