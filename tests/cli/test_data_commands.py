"""``mamltui data status | fetch | verify`` as a user types them."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from mamltui.cli import main
from mamltui.data.cifar import load_cifar
from mamltui.data.omniglot_content import OMNIGLOT_SHA256
from tests.data import miniature, miniature_cifar

Captured = pytest.CaptureFixture[str]


def test_status_without_omniglot_says_where_it_looked(
    tmp_path: Path, cache_dir: Path, capsys: Captured
) -> None:
    assert main(["data", "status", "--data-dir", str(tmp_path / "nowhere")]) == 0
    output = capsys.readouterr()
    lines = output.out.splitlines()
    names = ["strokes", "omniglot", "cifar-fs", "folder", "cache"]
    assert [line.split()[0] for line in lines] == names
    assert lines[1].split()[1] == "missing"
    assert lines[2].split()[1] == "missing"
    assert lines[4] == f"cache     {cache_dir}"
    assert f"--data-dir: {tmp_path}/nowhere: there is no such folder" in output.err
    assert not cache_dir.exists()


@pytest.mark.usefixtures("cache_dir")
def test_status_names_the_place_that_is_found_but_not_read(
    tmp_path: Path, capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = miniature.write_zips(tmp_path / "zips", miniature.files())
    monkeypatch.setenv("MAMLTUI_DATA_DIR", str(root))
    assert main(["data", "status"]) == 0
    output = capsys.readouterr()
    omniglot = output.out.splitlines()[1]
    assert omniglot.split()[1] == "found"
    assert f"{root} (zip files), through MAMLTUI_DATA_DIR" in omniglot
    assert "not read yet" in omniglot
    assert output.err == ""


@pytest.mark.usefixtures("cache_dir")
def test_verify_of_something_else_ends_with_3_and_says_what_is_wrong(
    tmp_path: Path, capsys: Captured
) -> None:
    root = miniature.write_zips(tmp_path / "zips", miniature.files())
    assert main(["data", "verify", "--data-dir", str(root)]) == 3
    output = capsys.readouterr()
    assert output.out == ""
    assert "is not the published Omniglot (964 + 659 characters x 20 drawings of" in output.err
    assert "the alphabet images_background/Alphabet_of_the_Magi is missing" in output.err
    assert "Traceback" not in output.err


@pytest.mark.usefixtures("cache_dir")
def test_verify_of_nothing_ends_with_3(tmp_path: Path, capsys: Captured) -> None:
    assert main(["data", "verify", "--data-dir", str(tmp_path)]) == 3
    output = capsys.readouterr()
    assert "there is nothing to verify" in output.err
    assert "has no images_background and no images_evaluation" in output.err


def test_fetch_without_a_network_ends_with_3_and_leaves_nothing(
    tmp_path: Path, cache_dir: Path, capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    for variable in ("http_proxy", "https_proxy"):
        monkeypatch.setenv(variable, "http://127.0.0.1:9")
    monkeypatch.delenv("no_proxy", raising=False)
    folder = tmp_path / "data"
    assert main(["data", "fetch", "--data-dir", str(folder)]) == 3
    output = capsys.readouterr()
    assert output.out == ""
    assert f"{folder}: Omniglot could not be downloaded" in output.err
    assert list(folder.iterdir()) == []
    assert not cache_dir.exists()
    assert main(["data", "fetch", "cifar-fs", "--data-dir", str(folder)]) == 3
    assert f"{folder}: CIFAR-100 could not be downloaded" in capsys.readouterr().err
    assert list(folder.iterdir()) == []


def test_fetch_knows_the_sets_that_can_be_downloaded(capsys: Captured) -> None:
    assert main(["data", "fetch", "strokes"]) == 2
    output = capsys.readouterr().err
    assert "'omniglot'" in output
    assert "'cifar-fs'" in output


@pytest.mark.usefixtures("cache_dir")
def test_verify_and_status_of_cifar_fs(
    tmp_path: Path, capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    contents = miniature_cifar.files()
    packed = miniature_cifar.archive(contents)
    miniature_cifar.publish(monkeypatch, contents, packed)
    root = miniature_cifar.write_archive(tmp_path / "data", packed)
    asked = ["--data-dir", str(root)]
    assert main(["data", "verify", "cifar-fs", *asked]) == 0
    md5, place = capsys.readouterr().out.split()
    assert md5 == hashlib.md5(packed).hexdigest()
    assert place == f"{root}/cifar-100-python.tar.gz"
    assert main(["data", "status", *asked]) == 0
    cifar = capsys.readouterr().out.splitlines()[2]
    assert cifar.split()[1] == "found"
    assert f"{place}, through --data-dir; not read yet" in cifar
    load_cifar(root, resize="antialias", image_size=32)
    assert main(["data", "status", *asked]) == 0
    cifar = capsys.readouterr().out.splitlines()[2]
    assert cifar.split()[1] == "verified"
    assert "packed: antialias-32" in cifar
    (root / "cifar-100-python.tar.gz").write_bytes(b"something else")
    assert main(["data", "verify", "cifar-fs", *asked]) == 3
    output = capsys.readouterr()
    assert output.out == ""
    assert "is not the published CIFAR-100" in output.err


@pytest.mark.usefixtures("cache_dir")
def test_verify_of_a_cifar_that_is_not_there_ends_with_3(tmp_path: Path, capsys: Captured) -> None:
    assert main(["data", "verify", "cifar-fs", "--data-dir", str(tmp_path)]) == 3
    assert "has no cifar-100-python.tar.gz" in capsys.readouterr().err


def test_verify_prints_the_published_hash_of_real_omniglot(
    omniglot_dir: Path, capsys: Captured
) -> None:
    assert main(["data", "verify", "--data-dir", str(omniglot_dir)]) == 0
    output = capsys.readouterr()
    assert output.out.startswith(f"{OMNIGLOT_SHA256}  {omniglot_dir} (")
    assert "964 + 659 characters x 20 drawings" in output.err
    assert main(["data", "status", "--data-dir", str(omniglot_dir)]) == 0
    omniglot = capsys.readouterr().out.splitlines()[1]
    assert omniglot.split()[1] == "verified"
    assert "packed: nearest-28" in omniglot
