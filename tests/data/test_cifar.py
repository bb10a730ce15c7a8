"""CIFAR-100 in the form torchvision leaves it: found, verified before it is unpickled, packed."""

from __future__ import annotations

import io
import pickle
import tarfile
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.datasets import CIFAR100

from mamltui.data import cifar_classes, cifar_read
from mamltui.data.bank import ImageBank
from mamltui.data.cifar import load_cifar, packed_variants, verify_cifar
from mamltui.data.cifar_find import ARCHIVE, FOLDER, find_cifar
from mamltui.data.load import load_bank
from mamltui.data.splits import SPLITS, split_classes
from mamltui.errors import DataError, ProfileError
from mamltui.profiles import DataSection
from tests.data import miniature_cifar as miniature

FILES = miniature.files()
ARCHIVED = miniature.archive(FILES)
PUBLISHED = (cifar_read.ARCHIVE_MD5, cifar_read.FILE_MD5)
"""Before the fixture puts the miniature's in their place."""


@pytest.fixture(autouse=True)
def _published(monkeypatch: pytest.MonkeyPatch, cache_dir: Path) -> None:  # noqa: ARG001
    miniature.publish(monkeypatch, FILES, ARCHIVED)


def load(root: Path | None, **more: object) -> ImageBank:
    options: dict[str, object] = {"resize": "antialias", "image_size": 32, "download": False}
    return load_cifar(root, **{**options, **more})  # type: ignore[arg-type]


def images_of(name: str) -> np.ndarray:
    """Those of a class, of the training part before those of the test part."""
    label = miniature.NAMES.index(name)
    return np.concatenate(
        [miniature.pixels(part)[miniature.labels(part) == label] for part in miniature.IMAGES]
    )


@pytest.mark.parametrize("form", ["archive", "folder"])
def test_all_images_of_both_parts_are_there_by_their_class(tmp_path: Path, form: str) -> None:
    if form == "archive":
        miniature.write_archive(tmp_path, ARCHIVED)
    else:
        miniature.write_folder(tmp_path, FILES)
    messages: list[str] = []
    bank = load(tmp_path, progress=messages.append)
    assert bank.name == "cifar-fs"
    assert bank.class_names == tuple(miniature.NAMES)
    assert bank.images.shape == (100, 4, 3, 32, 32)
    assert bank.images.dtype == torch.uint8
    for index, name in enumerate(miniature.NAMES):
        assert np.array_equal(bank.images[index].numpy(), images_of(name))
    assert str(tmp_path) in bank.source
    assert any("verified" in message for message in messages)


@pytest.mark.parametrize("size", [28, 84])
@pytest.mark.parametrize("resize", ["nearest", "antialias"])
def test_other_sizes_are_scaled_as_asked(tmp_path: Path, resize: str, size: int) -> None:
    miniature.write_folder(tmp_path, FILES)
    bank = load(tmp_path, resize=resize, image_size=size)
    assert bank.images.shape == (100, 4, 3, size, size)
    sampling = {"nearest": Image.Resampling.NEAREST, "antialias": Image.Resampling.LANCZOS}[resize]
    image = Image.fromarray(images_of("worm")[3].transpose(1, 2, 0))
    expected = np.asarray(image.resize((size, size), sampling)).transpose(2, 0, 1)
    assert np.array_equal(bank.images[99, 3].numpy(), expected)


def test_the_profile_reaches_it(tmp_path: Path) -> None:
    miniature.write_archive(tmp_path, ARCHIVED)
    data = DataSection(set="cifar-fs", image_size=32)
    bank = load_bank(data, tmp_path, download=False)
    assert split_classes(bank, data.split).name == "bertinetto"


def test_the_second_start_takes_the_packed_images(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    miniature.write_archive(tmp_path, ARCHIVED)
    first = load(tmp_path)
    assert packed_variants(find_cifar(tmp_path)) == ["antialias-32"]
    monkeypatch.setattr(pickle, "loads", None)
    second = load(tmp_path)
    assert torch.equal(first.images, second.images)
    assert first.content_hash == second.content_hash
    (tmp_path / ARCHIVE).unlink()
    assert load(tmp_path).content_hash == first.content_hash


def test_packed_images_of_a_file_that_changed_are_not_taken(tmp_path: Path) -> None:
    miniature.write_folder(tmp_path, FILES)
    load(tmp_path)
    (tmp_path / FOLDER / "test").write_bytes(FILES["test"] + b"more")
    with pytest.raises(DataError, match="not the published CIFAR-100"):
        load(tmp_path)


class Hostile:
    """Writes a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, ...]:
        return Path.write_text, (self.path, "I was run")


@pytest.mark.parametrize("name", ["train", "test", "meta"])
@pytest.mark.parametrize("form", ["archive", "folder"])
def test_a_hostile_pickle_is_refused_and_never_run(tmp_path: Path, form: str, name: str) -> None:
    trace = tmp_path / "trace"
    hostile = {**FILES, name: pickle.dumps(Hostile(trace))}
    if form == "archive":
        miniature.write_archive(tmp_path, miniature.archive(hostile))
    else:
        miniature.write_folder(tmp_path, hostile)
    with pytest.raises(DataError, match="is not the published CIFAR-100") as caught:
        load(tmp_path)
    where = ARCHIVE if form == "archive" else f"{FOLDER}/{name}"
    assert caught.value.where == str(tmp_path / where)
    assert "data fetch cifar-fs" in str(caught.value.hint)
    assert not trace.exists()
    pickle.loads(hostile[name])  # the trap works
    assert trace.exists()


def test_an_archive_that_hides_another_file_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where its own MD5 is as published: what is loaded is what was compared."""
    packed = miniature.archive({**FILES, "meta": FILES["meta"] + b"more"})
    miniature.publish(monkeypatch, FILES, packed)
    miniature.write_archive(tmp_path, packed)
    with pytest.raises(DataError, match="is not the published CIFAR-100"):
        load(tmp_path)


def test_a_published_archive_without_a_file_or_without_its_content_is_an_error_for_people(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w:gz") as packed:
        packed.addfile(tarfile.TarInfo("readme"))
    for content in (file.getvalue(), b"no archive"):
        miniature.publish(monkeypatch, FILES, content)
        miniature.write_archive(tmp_path, content)
        with pytest.raises(DataError) as caught:
            load(tmp_path)
        assert caught.value.where == str(tmp_path / ARCHIVE)


def test_a_cut_off_archive_is_refused(tmp_path: Path) -> None:
    miniature.write_archive(tmp_path, ARCHIVED[: len(ARCHIVED) // 2])
    with pytest.raises(DataError, match="is not the published CIFAR-100"):
        verify_cifar(tmp_path)


def test_the_archive_goes_before_the_folder_and_a_given_folder_before_the_variables(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given, named = tmp_path / "given", tmp_path / "named"
    monkeypatch.setenv("MAMLTUI_DATA_DIR", str(named))
    assert find_cifar(given) is None
    miniature.write_folder(named, FILES)
    found = find_cifar(given)
    assert found is not None
    assert (found.origin, found.path) == ("MAMLTUI_DATA_DIR", named / FOLDER)
    miniature.write_archive(named, ARCHIVED)
    found = find_cifar(given)
    assert found is not None
    assert found.path == named / ARCHIVE
    miniature.write_folder(given, FILES)
    assert verify_cifar(given).path == given / FOLDER


def test_a_missing_cifar_is_said_with_where_was_looked_and_ways_out(
    tmp_path: Path, cache_dir: Path
) -> None:
    half = {name: content for name, content in FILES.items() if name != "meta"}
    miniature.write_folder(tmp_path / "half", half)
    with pytest.raises(DataError, match="not asked for") as caught:
        load(tmp_path / "half")
    assert caught.value.exit_code == 3
    assert f"{tmp_path}/half: the folder {FOLDER} has no meta" in caught.value.what
    assert str(cache_dir) in caught.value.what
    assert "mamltui data fetch cifar-fs" in str(caught.value.hint)
    with pytest.raises(DataError, match="nothing to verify"):
        verify_cifar(tmp_path / "half")


def test_the_md5s_are_torchvisions() -> None:
    archive, files = PUBLISHED
    assert archive == CIFAR100.tgz_md5
    lists = CIFAR100.train_list + CIFAR100.test_list
    assert {**dict(lists), CIFAR100.meta["filename"]: CIFAR100.meta["md5"]} == files
    assert (CIFAR100.base_folder, CIFAR100.filename) == (FOLDER, ARCHIVE)
    assert CIFAR100.meta["key"] == "fine_label_names"


# The split


def cifar_of(names: list[str]) -> ImageBank:
    images = torch.zeros(len(names), 1, 1, 1, 1, dtype=torch.uint8)
    return ImageBank("cifar-fs", images, tuple(names), "", "a test's cifar")


def test_the_published_lists_part_the_classes_of_cifar_100() -> None:
    parts = (cifar_classes.TRAIN, cifar_classes.VALIDATION, cifar_classes.TEST)
    assert [len(part) for part in parts] == [64, 16, 20]
    # A hundred names in all: each is in one list, once.
    assert sorted(sum(parts, ())) == miniature.NAMES
    assert all(list(part) == sorted(part) for part in parts)


def test_the_split_is_the_published_one_in_any_order_of_the_bank() -> None:
    for names in (miniature.NAMES, miniature.NAMES[::-1]):
        bank = cifar_of(names)
        split = split_classes(bank)
        assert split.name == "bertinetto"
        assert split.hash == SPLITS["bertinetto"].published_hash
        assert tuple(names[i] for i in split.validation) == cifar_classes.VALIDATION
    # Classes that lists elsewhere agree on, one of each part.
    assert "willow_tree" in cifar_classes.TRAIN
    assert "maple_tree" in cifar_classes.VALIDATION
    assert "whale" in cifar_classes.TEST


def test_classes_that_the_lists_do_not_know_are_named() -> None:
    with pytest.raises(ProfileError, match="lacks: apple"):
        split_classes(cifar_of(["pomme", *miniature.NAMES[1:]]))
