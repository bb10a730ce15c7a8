"""Finding and loading Omniglot, shown on a miniature of it."""

from __future__ import annotations

import os
import shutil
import threading
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from mamltui.data.bank import ImageBank
from mamltui.data.omniglot import (
    find_omniglot,
    load_omniglot,
    packed_path,
    packed_variants,
    verify_omniglot,
)
from mamltui.errors import DataError, ExitCode
from tests.data import miniature

EXPECTED = miniature.expected()


def load(data_dir: Path | None, **more: object) -> ImageBank:
    options: dict[str, object] = {"resize": "nearest", "image_size": 28, "download": False}
    return load_omniglot(data_dir, expected=EXPECTED, **{**options, **more})  # type: ignore[arg-type]


@pytest.fixture
def zips(tmp_path: Path) -> Path:
    return miniature.write_zips(tmp_path / "zips", miniature.files())


@pytest.mark.parametrize(
    ("below", "write"),
    [
        ("", miniature.write_zips),
        ("", miniature.write_folders),
        ("omniglot-py", miniature.write_zips),
        ("omniglot-py", miniature.write_folders),
    ],
)
def test_every_layout_gives_the_same_images(
    below: str, write: object, zips: Path, tmp_path: Path, cache_dir: Path
) -> None:
    write(tmp_path / "there" / below, miniature.files())  # type: ignore[operator]
    bank = load(tmp_path / "there")
    shutil.rmtree(cache_dir)
    assert bank.content_hash == load(zips).content_hash
    assert str(tmp_path / "there") in bank.source


@pytest.mark.usefixtures("cache_dir")
def test_a_part_may_be_a_zip_and_the_other_a_folder(tmp_path: Path) -> None:
    root = tmp_path / "mixed"
    contents = miniature.files()
    background = {p: c for p, c in contents.items() if p.startswith("images_background/")}
    miniature.write_zips(root, background)
    miniature.write_folders(root, {p: c for p, c in contents.items() if p not in background})
    assert load(root).classes == 5


@pytest.mark.usefixtures("cache_dir")
def test_time_stamps_order_and_packing_of_a_zip_do_not_matter(tmp_path: Path, zips: Path) -> None:
    backwards = dict(reversed(miniature.files().items()))
    other = miniature.write_zips(tmp_path / "other", backwards)
    assert load(other).content_hash == load(zips).content_hash


@pytest.mark.usefixtures("cache_dir")
def test_data_dir_comes_before_the_variable_and_that_before_the_cache(
    tmp_path: Path, cache_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    contents = miniature.files()
    given = miniature.write_zips(tmp_path / "given", contents)
    named = miniature.write_zips(tmp_path / "named", contents)
    miniature.write_zips(cache_dir, contents)
    monkeypatch.setenv("MAMLTUI_DATA_DIR", str(named))

    def root(data_dir: Path | None) -> Path:
        found = find_omniglot(data_dir, expected=EXPECTED)
        assert found is not None
        return found.root

    assert root(given) == given
    assert root(None) == named
    assert root(tmp_path / "nowhere") == named
    monkeypatch.delenv("MAMLTUI_DATA_DIR")
    assert root(None) == cache_dir


@pytest.mark.usefixtures("cache_dir")
def test_a_given_folder_without_omniglot_is_said(
    tmp_path: Path, zips: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MAMLTUI_DATA_DIR", str(zips))
    messages: list[str] = []
    load(tmp_path / "nowhere", progress=messages.append)
    assert f"no Omniglot in --data-dir: {tmp_path}/nowhere: there is no such folder" in messages


def test_missing_everywhere_names_the_folders_and_both_ways_out(
    tmp_path: Path, cache_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    half = miniature.write_zips(tmp_path / "half", miniature.files())
    (half / "images_evaluation.zip").unlink()
    monkeypatch.setenv("MAMLTUI_DATA_DIR", str(half))
    with pytest.raises(DataError) as caught:
        load(tmp_path / "nowhere")
    error = caught.value
    assert error.exit_code == ExitCode.UNAVAILABLE == 3
    assert f"--data-dir: {tmp_path}/nowhere: there is no such folder" in error.what
    assert f"MAMLTUI_DATA_DIR: {half}: has no images_evaluation" in error.what
    assert f"cache folder: {cache_dir}: there is no such folder" in error.what
    assert "mamltui data fetch" in str(error.hint)
    assert 'data.set="strokes"' in str(error.hint)


@pytest.mark.usefixtures("cache_dir")
def test_a_file_given_as_folder_is_said_to_be_none(zips: Path) -> None:
    with pytest.raises(DataError, match="is not a folder"):
        load(zips / "images_background.zip")


@pytest.mark.usefixtures("cache_dir")
def test_nearest_is_pillows_own_and_stays_binary_with_strokes_bright(zips: Path) -> None:
    bank = load(zips)
    assert bank.images.shape == (5, 3, 1, 28, 28)
    assert bank.images.dtype == torch.uint8
    assert bank.images.unique().tolist() == [0, 255]
    papers = list(miniature.drawings().values())
    for paper, image in zip(papers, bank.images.flatten(0, 1)[:, 0], strict=True):
        small = Image.fromarray(paper).resize((28, 28), Image.Resampling.NEAREST)
        assert np.array_equal(np.asarray(small), image.numpy() == 0)


@pytest.mark.usefixtures("cache_dir")
def test_antialias_is_lanczos_on_grey(zips: Path) -> None:
    bank = load(zips, resize="antialias")
    paper = next(iter(miniature.drawings().values()))
    grey = Image.fromarray(paper.astype(np.uint8) * 255)
    small = np.asarray(grey.resize((28, 28), Image.Resampling.LANCZOS))
    assert np.array_equal(255 - small, bank.images[0, 0, 0].numpy())
    assert bank.images.unique().numel() > 2


@pytest.mark.usefixtures("cache_dir")
@pytest.mark.parametrize("size", [14, 64, 105])
def test_other_sizes(zips: Path, size: int) -> None:
    bank = load(zips, image_size=size)
    assert bank.images.shape == (5, 3, 1, size, size)
    if size == 105:
        paper = np.stack(list(miniature.drawings().values()))
        assert np.array_equal(bank.images.flatten(0, 1)[:, 0].numpy() == 255, ~paper)


@pytest.mark.usefixtures("cache_dir")
def test_classes_are_named_by_their_path_background_first(zips: Path) -> None:
    assert load(zips).class_names == (
        "images_background/Greek/character01",
        "images_background/Greek/character02",
        "images_background/Latin/character01",
        "images_evaluation/Tengwar/character01",
        "images_evaluation/Tengwar/character02",
    )


@pytest.mark.usefixtures("cache_dir")
def test_a_second_start_reads_only_the_packed_images(zips: Path) -> None:
    first = load(zips)
    messages: list[str] = []
    second = load(zips, progress=messages.append)
    assert torch.equal(first.images, second.images)
    assert (first.class_names, first.content_hash, first.source) == (
        second.class_names,
        second.content_hash,
        second.source,
    )
    assert messages == []


@pytest.mark.usefixtures("cache_dir")
def test_packed_greys_come_back_exactly(zips: Path) -> None:
    first = load(zips, resize="antialias")
    assert torch.equal(first.images, load(zips, resize="antialias").images)


@pytest.mark.usefixtures("cache_dir")
def test_packed_images_do_without_their_source(zips: Path) -> None:
    first = load(zips)
    shutil.rmtree(zips)
    assert load(None).content_hash == first.content_hash


def test_the_cache_holds_one_bit_a_pixel_and_nothing_else(zips: Path, cache_dir: Path) -> None:
    load(zips, image_size=105)
    written = [path for path in cache_dir.rglob("*") if path.is_file()]
    assert written == [packed_path("nearest", 105, EXPECTED)]
    assert written[0].stat().st_size < 15 * 105 * 105 / 8 + 4000


@pytest.mark.usefixtures("cache_dir")
@pytest.mark.parametrize("layout", ["zips", "folders"])
def test_a_changed_source_is_read_anew(tmp_path: Path, layout: str) -> None:
    write = miniature.write_zips if layout == "zips" else miniature.write_folders
    contents = miniature.files()
    root = write(tmp_path / "there", contents)
    load(root)
    contents.pop("images_background/Greek/character01/0001_02.png")
    shutil.rmtree(root)
    write(root, contents)
    messages: list[str] = []
    with pytest.raises(DataError, match=r"without 0001_02\.png"):
        load(root, progress=messages.append)
    assert any("made anew" in message and "source has changed" in message for message in messages)


@pytest.mark.usefixtures("cache_dir")
@pytest.mark.parametrize(
    "harm",
    [
        lambda content: content[: len(content) // 2],
        lambda content: content[:4],
        lambda _: b"",
        lambda _: b"not a packed file at all",
        lambda content: content[:-100] + bytes([content[-100] ^ 1]) + content[-99:],
        lambda content: content.replace(b"Tengwar", b"Tengwax"),
        lambda content: content.replace(rb"format\": \"1", rb"format\": \"9"),
        lambda content: b"\xff" * len(content),
    ],
)
def test_a_torn_or_foreign_packed_file_is_made_anew(zips: Path, harm: object) -> None:
    first = load(zips)
    packed = packed_path("nearest", 28, EXPECTED)
    good = packed.read_bytes()
    broken = harm(good)  # type: ignore[operator]
    assert broken != good
    packed.write_bytes(broken)
    messages: list[str] = []
    again = load(zips, progress=messages.append)
    assert any("made anew" in message for message in messages)
    assert torch.equal(first.images, again.images)
    assert packed.read_bytes() == good


@pytest.mark.usefixtures("cache_dir")
def test_a_folder_in_the_place_of_the_packed_file_is_no_harm(zips: Path) -> None:
    packed_path("nearest", 28, EXPECTED).mkdir(parents=True)
    assert load(zips).classes == 5


def test_an_unwritable_cache_is_said_once_and_no_more(
    zips: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    blocked = tmp_path / "blocked"
    blocked.write_text("a file where the folder should be")
    monkeypatch.setenv("MAMLTUI_CACHE_DIR", str(blocked))
    messages: list[str] = []
    assert load(zips, progress=messages.append).classes == 5
    assert sum("cannot be written" in message for message in messages) == 1


def test_an_interrupted_write_leaves_nothing(
    zips: Path, cache_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_file: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    messages: list[str] = []
    assert load(zips, progress=messages.append).classes == 5
    assert any("No space left on device" in message for message in messages)
    assert [path for path in cache_dir.rglob("*") if path.is_file()] == []


def test_many_at_once_share_a_cold_cache(zips: Path, cache_dir: Path) -> None:
    together = threading.Barrier(8)
    hashes: list[str] = []

    def start() -> None:
        together.wait()
        hashes.append(load(zips).content_hash)

    threads = [threading.Thread(target=start) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(hashes) == 8
    assert len(set(hashes)) == 1
    assert [path for path in cache_dir.rglob("*") if path.is_file()] == [
        packed_path("nearest", 28, EXPECTED)
    ]


@pytest.mark.usefixtures("cache_dir")
def test_verify_reads_the_source_whatever_is_packed(zips: Path) -> None:
    load(zips)
    before = (zips / "images_background.zip").stat()
    contents = miniature.files()
    path = "images_background/Latin/character01/0003_01.png"
    contents[path] = miniature.png(miniature.drawing(999))
    miniature.write_zips(zips, contents)
    os.utime(zips / "images_background.zip", ns=(before.st_atime_ns, before.st_mtime_ns))
    with pytest.raises(DataError, match="the pixels of images_background/Latin"):
        verify_omniglot(zips, expected=EXPECTED)


@pytest.mark.usefixtures("cache_dir")
def test_verify_keeps_the_papers_images_packed(zips: Path) -> None:
    found = find_omniglot(zips, expected=EXPECTED)
    assert packed_variants(found, expected=EXPECTED) == []
    verify_omniglot(zips, expected=EXPECTED)
    load(zips, resize="antialias", image_size=32)
    assert packed_variants(found, expected=EXPECTED) == ["antialias-32", "nearest-28"]
    os.utime(zips / "images_background.zip", ns=(0, 0))
    assert packed_variants(found, expected=EXPECTED) == []
