"""Any folder of class folders as a data set."""

from __future__ import annotations

import io
import os
import random
import shutil
import time
import unicodedata
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from mamltui.data import folder
from mamltui.data.pictures import Picture, UnreadableError, read_picture
from mamltui.data.splits import split_classes
from mamltui.errors import DataError, ProfileError
from tests.data.picture_files import colour, grey, load, write
from tests.data.test_archive import png_header
from tests.mutation import bytewise, mutate


def test_classes_and_images_are_in_the_order_of_their_names(tmp_path: Path) -> None:
    for name in ("zebra", "ant", "cat"):
        for number in (3, 1, 2):
            write(tmp_path / name / f"{number}.png", grey(hash_of(name) + number))
    bank = load(tmp_path)
    assert bank.name == "folder"
    assert bank.class_names == ("ant", "cat", "zebra")
    assert bank.images.shape == (3, 3, 1, 28, 28)
    assert bank.images.dtype == torch.uint8
    assert str(tmp_path) in bank.source
    expected = 255 - grey(hash_of("cat") + 2)
    assert np.array_equal(bank.images[1, 1, 0].numpy(), expected)


def hash_of(name: str) -> int:
    return sum(name.encode()) * 10


def test_groups_of_classes_may_be_one_level_deeper_and_mixed(tmp_path: Path) -> None:
    for name in ("greek/alpha", "greek/beta", "latin/a", "alone"):
        for number in range(2):
            write(tmp_path / name / f"{number}.png", grey(number))
    assert load(tmp_path).class_names == ("alone", "greek/alpha", "greek/beta", "latin/a")


def test_the_smallest_class_decides_how_many_images_are_used_and_that_is_said(
    tmp_path: Path,
) -> None:
    for name, count in (("a", 5), ("b", 3), ("c", 4)):
        for number in range(count):
            write(tmp_path / name / f"{number}.png", grey(number))
    messages: list[str] = []
    bank = load(tmp_path, progress=messages.append)
    assert bank.drawings == 3
    assert np.array_equal(bank.images[0, 2, 0].numpy(), 255 - grey(2))
    assert any("3 to 5 images: the first 3 of each are used, 3 are not" in m for m in messages)


def test_one_coloured_image_among_many_is_named(tmp_path: Path) -> None:
    for name in ("a", "b"):
        for number in range(6):
            write(tmp_path / name / f"{number}.png", grey(number))
    write(tmp_path / "b" / "3.png", colour(3))
    messages: list[str] = []
    load(tmp_path, progress=messages.append)
    assert "all images are read in colour because of b/3.png; the others are grey" in messages


def test_identical_images_of_a_class_are_named(tmp_path: Path) -> None:
    for name in ("a", "b"):
        for number in range(3):
            write(tmp_path / name / f"{number}.png", grey(number))
    write(tmp_path / "b" / "2.png", grey(0))
    messages: list[str] = []
    load(tmp_path, progress=messages.append)
    assert any("b/2.png = b/0.png" in each and each.startswith("1 images") for each in messages)


def test_a_small_class_that_costs_the_others_images_is_named(tmp_path: Path) -> None:
    for name, count in (("a", 5), ("tiny", 2), ("c", 5)):
        for number in range(count):
            write(tmp_path / name / f"{number}.png", grey(number))
    messages: list[str] = []
    load(tmp_path, progress=messages.append)
    assert any("6 are not, because of tiny" in each for each in messages)


def test_names_are_the_same_composed_and_decomposed(tmp_path: Path) -> None:
    """As a copy made on another system has them."""
    for form in ("NFC", "NFD"):
        for name in ("\u00e9t\u00e9", "\u00fcber", "z"):
            for number in range(2):
                folder = tmp_path / form / unicodedata.normalize(form, name)  # type: ignore[arg-type]
                write(folder / f"{number}.png", grey(hash_of(name) + number))
    composed, decomposed = load(tmp_path / "NFC"), load(tmp_path / "NFD")
    assert composed.class_names == decomposed.class_names == ("z", "\u00e9t\u00e9", "\u00fcber")
    assert composed.content_hash == decomposed.content_hash


def test_links_inside_the_folder_are_followed(tmp_path: Path) -> None:
    for name in ("a", "b"):
        for number in range(2):
            write(tmp_path / "set" / name / f"{number}.png", grey(hash_of(name) + number))
    (tmp_path / "set" / "a" / "2.png").symlink_to("../b/1.png")
    (tmp_path / "set" / "c").symlink_to("b")
    (tmp_path / "link").symlink_to("set")
    assert load(tmp_path / "link").class_names == ("a", "b", "c")


def test_groups_called_train_val_and_test_are_the_split(tmp_path: Path) -> None:
    for group, names in (("train", "abcdef"), ("Val", "gh"), ("test", "ij")):
        for name in names:
            for number in range(2):
                write(tmp_path / group / name / f"{number}.png", grey(hash_of(name) + number))
    split = split_classes(bank := load(tmp_path))
    assert split.name == "folders"
    for part, group in ((split.train, "train"), (split.validation, "Val"), (split.test, "test")):
        assert {bank.class_names[place].partition("/")[0] for place in part} == {group}
    assert len(split.train) == 6
    assert split_classes(bank, "proportional").name == "proportional"
    shutil.rmtree(tmp_path / "Val")
    split = split_classes(bank := load(tmp_path))
    assert (len(split.train), len(split.validation), len(split.test)) == (5, 1, 2)
    assert all(bank.class_names[place].startswith("train/") for place in split.validation)
    (tmp_path / "test").rename(tmp_path / "more")
    bank = load(tmp_path)
    assert split_classes(bank).name == "proportional"
    with pytest.raises(ProfileError, match="folders called train, val and test"):
        split_classes(bank, "folders")


def test_parts_with_the_same_classes_are_put_together(tmp_path: Path) -> None:
    for group in ("train", "val", "test"):
        for name in "abcd":
            for number in range(2):
                file = tmp_path / group / name / f"{number}.png"
                write(file, grey(hash_of(group + name) + number))
    messages: list[str] = []
    bank = load(tmp_path, progress=messages.append)
    assert (bank.class_names, bank.drawings) == (("a", "b", "c", "d"), 6)
    assert split_classes(bank).name == "proportional"
    assert any("hold classes of the same name (a, b, c, d)" in each for each in messages)


def test_many_images_are_unpacked_the_second_time(
    tmp_path: Path,
    cache_dir: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("mamltui.data.folder.PACKED_FROM", 4)
    for name in ("a", "b"):
        for number in range(2):
            write(tmp_path / "set" / name / f"{number}.png", grey(hash_of(name) + number))
    first = load(tmp_path / "set")
    reads: list[Path] = []
    read = folder.read_picture

    def counted(file: Path, resize: str, size: int, **more: Any) -> Picture:
        reads.append(file)
        return read(file, resize, size, **more)

    monkeypatch.setattr(folder, "read_picture", counted)
    assert len(list((cache_dir / "packed").iterdir())) == 1
    second = load(tmp_path / "set")
    assert (reads, second.content_hash) == ([], first.content_hash)
    write(tmp_path / "set" / "b" / "1.png", grey(999))
    assert load(tmp_path / "set").content_hash != first.content_hash
    assert len(reads) == 4
    assert load(tmp_path / "set", image_size=20).image_size == 20


def test_a_damaged_image_prints_nothing_by_itself(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """libtiff, and Pillow's logger and warnings, would tell what is in the file."""
    whole = io.BytesIO()
    Image.fromarray(grey(0)).save(whole, "TIFF", compression="tiff_lzw")
    source = random.Random(0)
    for _ in range(200):
        (tmp_path / "x.tif").write_bytes(mutate(whole.getvalue(), source, bytewise))
        with suppress(UnreadableError):
            read_picture(tmp_path / "x.tif", "nearest", 8)
    assert capfd.readouterr() == ("", "")


def test_hidden_files_leftovers_and_other_files_are_passed_over(tmp_path: Path) -> None:
    for name in ("a", "b"):
        for number in range(2):
            write(tmp_path / name / f"{number}.png", grey(number))
    (tmp_path / "README.txt").write_text("about")
    (tmp_path / "a" / "notes.txt").write_text("about")
    (tmp_path / "a" / "._0.png").write_bytes(b"resource fork")
    (tmp_path / "a" / ".hidden").mkdir()
    (tmp_path / ".git").mkdir()
    for leftover in ("__MACOSX", "@eaDir", "__pycache__", ".ipynb_checkpoints", "$RECYCLE.BIN"):
        (tmp_path / leftover).mkdir()
    for leftover in ("@eaDir", ".ipynb_checkpoints"):
        write(tmp_path / "a" / leftover / "0.png" / "thumbnail.png", grey(9))
    (tmp_path / "a" / "Thumbs.db").write_bytes(b"x")
    bank = load(tmp_path)
    assert (bank.classes, bank.drawings) == (2, 2)


def test_odd_names_are_data(tmp_path: Path) -> None:
    names = [
        "[bold]red[/bold]",
        "a\x1b[2Jb",
        "line\nbreak",
        "x" * 200,
        "é ü 字",
        "$(rm)",
        'it\'s "a"',
    ]
    for name in names:
        for number in range(2):
            write(tmp_path / name / f"{number}.png", grey(number))
    not_utf8 = Path(os.fsdecode(os.fsencode(tmp_path) + b"/not-utf8-\xff"))
    for number in range(2):
        write(not_utf8 / f"{number}.png", grey(number))
    found = load(tmp_path).class_names
    assert "[bold]red[/bold]" in found
    assert "a\\x1b[2Jb" in found
    assert "line\\nbreak" in found
    assert "not-utf8-\\udcff" in found
    assert 'it\'s "a"' in found
    assert len(found) == 8
    assert all(name.isprintable() for name in found)


def test_a_path_with_spaces_and_quotes_is_a_path(tmp_path: Path) -> None:
    place = tmp_path / 'it\'s my "set" ä 字'
    for name in ("a b", "c"):
        for number in range(2):
            write(place / name / f'it\'s {number} "x" 字.png', grey(number))
    bank = load(place)
    assert bank.files[:2] == ('a b/it\'s 0 "x" 字.png', 'a b/it\'s 1 "x" 字.png')


def test_a_big_image_within_the_limit_is_read(tmp_path: Path) -> None:
    for name in ("a", "b"):
        two_images(tmp_path / name)
    big = Image.new("1", (10_000, 9_600), 1)
    big.paste(0, (0, 0, 5_000, 4_800))
    big.save(tmp_path / "b" / "1.png")
    ink = load(tmp_path).images[1, 1, 0]
    assert bool((ink[:14, :14] == 255).all())
    assert ink.count_nonzero() == 14 * 14


def test_all_photographs_that_were_cut_off_are_named(tmp_path: Path) -> None:
    for name in ("a", "b", "c"):
        for number in range(4):
            write(tmp_path / name / f"{number}.jpg", colour(number, 64))
    for cut in ("a/3.jpg", "b/0.jpg", "c/2.jpg"):
        content = (tmp_path / cut).read_bytes()
        (tmp_path / cut).write_bytes(content[: len(content) // 2])
    with pytest.raises(DataError, match="3 images cannot be read") as refused:
        load(tmp_path)
    hint = str(refused.value.hint)
    assert all(
        f"{cut}: is not a readable image" in hint for cut in ("a/3.jpg", "b/0.jpg", "c/2.jpg")
    )
    assert 'data.unreadable = "leave-out"' in hint


@pytest.mark.long
def test_twenty_thousand_photographs_start_the_second_time_in_a_second(
    tmp_path: Path, cache_dir: Path
) -> None:
    place = tmp_path / "set"
    for number in range(1_000):
        (place / f"{number:04d}").mkdir(parents=True)
        for image in range(20):
            content = io.BytesIO()
            Image.fromarray(colour(20 * number + image, 40)).save(content, "JPEG")
            (place / f"{number:04d}" / f"{image}.jpg").write_bytes(content.getvalue())
    first = load(place, resize="antialias", image_size=28)
    assert (cache_dir / "packed").is_dir()
    seconds = []
    for _ in range(3):
        begun = time.perf_counter()
        again = load(place, resize="antialias", image_size=28)
        seconds.append(time.perf_counter() - begun)
        assert again.content_hash == first.content_hash
    assert min(seconds) < 1


def test_the_hash_changes_with_pixels_and_names(tmp_path: Path) -> None:
    for name in ("a", "b"):
        for number in range(2):
            write(tmp_path / name / f"{number}.png", grey(number))
    first = load(tmp_path).content_hash
    assert load(tmp_path).content_hash == first
    (tmp_path / "b").rename(tmp_path / "c")
    second = load(tmp_path).content_hash
    write(tmp_path / "c" / "1.png", grey(5))
    assert len({first, second, load(tmp_path).content_hash}) == 3


def two_images(folder: Path) -> None:
    write(folder / "0.png", grey(0))
    write(folder / "1.png", grey(1))


def case_missing(path: Path) -> str:
    path.rmdir()
    return "there is no such folder"


def case_a_file(path: Path) -> str:
    path.rmdir()
    path.write_text("x")
    return "is not a folder"


def case_nothing(_: Path) -> str:
    return "holds no class folders"


def case_images_without_classes(path: Path) -> str:
    two_images(path)
    return "holds no class folders"


def case_empty_class(path: Path) -> str:
    two_images(path / "a")
    (path / "b").mkdir()
    return f"{path}/b: the class has no images"


def case_empty_group_member(path: Path) -> str:
    two_images(path / "g" / "a")
    (path / "g" / "b").mkdir()
    return f"{path}/g/b: the class has no images"


def case_one_image(path: Path) -> str:
    two_images(path / "a")
    write(path / "b" / "0.png", grey(0))
    return f"{path}/b: the class has one image"


def case_too_deep(path: Path) -> str:
    two_images(path / "x" / "y" / "z")
    return f"{path}/x/y/z: lies too deep"


def case_both(path: Path) -> str:
    two_images(path / "a")
    two_images(path / "a" / "b")
    return f"{path}/a: holds both images and folders"


def case_text_as_image(path: Path) -> str:
    two_images(path / "a")
    (path / "a" / "1.png").write_text("not an image")
    return f"{path}/a/1.png: is not a readable image"


def case_cut_off_image(path: Path) -> str:
    two_images(path / "a")
    file = path / "a" / "1.png"
    file.write_bytes(file.read_bytes()[:200])
    return f"{path}/a/1.png: is not a readable image"


def case_empty_image(path: Path) -> str:
    two_images(path / "a")
    (path / "a" / "1.png").write_bytes(b"")
    return f"{path}/a/1.png: is not a readable image"


def case_huge_image(path: Path) -> str:
    two_images(path / "a")
    (path / "a" / "1.png").write_bytes(png_header(14_000, 14_000))
    return f"{path}/a/1.png: has more than the 178,956,970 pixels allowed: scale it down"


def case_larger_image(path: Path) -> str:
    two_images(path / "a")
    (path / "a" / "1.png").write_bytes(png_header(60_000, 60_000))
    return f"{path}/a/1.png: has more than the 178,956,970 pixels allowed: scale it down"


def case_several_small_classes(path: Path) -> str:
    two_images(path / "a")
    (path / "none").mkdir()
    write(path / "one" / "0.png", grey(0))
    return "2 classes have fewer than two images: none (no images), one (one image)"


def case_photographs_of_a_phone(path: Path) -> str:
    two_images(path / "a")
    (path / "b").mkdir()
    for number in range(2):
        (path / "b" / f"{number}.HEIC").write_bytes(b"ftypheic")
    return f"{path}/b: the class has no images, and 2 .HEIC that cannot be read here"


def case_several_unreadable(path: Path) -> str:
    for name in ("a", "b"):
        two_images(path / name)
        (path / name / "1.png").write_bytes(b"no image")
    return "2 images cannot be read\na/1.png: is not a readable image (no kind of image"


def case_a_dangling_link(path: Path) -> str:
    two_images(path / "a")
    (path / "a" / "2.png").symlink_to("nowhere.png")
    return f"{path}/a/2.png: is a link that leads nowhere"


def case_a_link_to_itself(path: Path) -> str:
    two_images(path / "a")
    (path / "a" / "2.png").symlink_to("2.png")
    return f"{path}/a/2.png: is a link that leads nowhere"


def case_a_link_to_its_own_folder(path: Path) -> str:
    two_images(path / "a")
    (path / "self").symlink_to(".")
    return f"{path}/self: is a link to a folder that holds the link itself"


def case_an_image_linked_from_outside(path: Path) -> str:
    two_images(path / "a")
    write(path.parent / "outside.png", grey(3))
    (path / "a" / "2.png").symlink_to("../../outside.png")
    return f"{path}/a/2.png: is a link out of the data folder, to {path.parent}/outside.png"


def case_a_class_linked_from_outside(path: Path) -> str:
    two_images(path / "a")
    two_images(path.parent / "elsewhere")
    (path / "b").symlink_to(path.parent / "elsewhere")
    return f"{path}/b: is a link out of the data folder"


def case_postscript_in_disguise(path: Path) -> str:
    two_images(path / "a")
    (path / "a" / "1.png").write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 8 8\n")
    return f"{path}/a/1.png: is not a readable image (no kind of image that is read)"


def case_floating_point_without_white(path: Path) -> str:
    two_images(path / "a")
    Image.fromarray(grey(1).astype(np.float32) * 100).save(path / "a" / "2.tif")
    return f"{path}/a/2.tif: has floating-point values up to"


def case_not_numbers(path: Path) -> str:
    two_images(path / "a")
    Image.fromarray(np.full((9, 9), np.nan, np.float32)).save(path / "a" / "2.tif")
    return f"{path}/a/2.tif: has values that are negative or not numbers"


def case_more_than_16_bits(path: Path) -> str:
    two_images(path / "a")
    Image.fromarray(grey(1).astype(np.int32) * 1000).save(path / "a" / "2.tif")
    return f"{path}/a/2.tif: has integers up to"


def case_same_class_in_two_parts(path: Path) -> str:
    for name in ("train/a", "train/b", "test/b", "test/c"):
        two_images(path / name)
    return "b: classes of the same name lie in more than one of test, train"


def case_pipe(path: Path) -> str:
    write(path / "a" / "0.png", grey(0))
    os.mkfifo(path / "a" / "1.png")
    return f"{path}/a: the class has one image"


CASES = [case for name, case in sorted(globals().items()) if name.startswith("case_")]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.__name__)
def test_a_folder_that_is_no_data_set_says_why_and_where(tmp_path: Path, case: object) -> None:
    path = tmp_path / "set"
    path.mkdir()
    message = case(path)  # type: ignore[operator]
    with pytest.raises(DataError) as caught:
        load(path)
    assert message in str(caught.value)
    assert str(path) in str(caught.value)
    assert caught.value.exit_code == 3


def test_unreadable_images_are_left_out_when_asked_and_named(tmp_path: Path) -> None:
    for name in ("a", "b", "c"):
        for number in range(4):
            write(tmp_path / name / f"{number}.png", grey(hash_of(name) + number))
    for spoilt in ("a/0.png", "b/3.png"):
        (tmp_path / spoilt).write_bytes(b"none")
    with pytest.raises(DataError, match="2 images cannot be read"):
        load(tmp_path)
    said: list[str] = []
    bank = load(tmp_path, leave_out=True, progress=said.append)
    assert bank.drawings == 3
    assert np.array_equal(bank.images[0, 0, 0].numpy(), 255 - grey(hash_of("a") + 1))
    assert any("left out: 2 images" in text for text in said)
    assert any("a/0.png" in text for text in said)
    for number in range(1, 4):
        (tmp_path / "a" / f"{number}.png").write_bytes(b"none")
    with pytest.raises(DataError, match="the class has no images"):
        load(tmp_path, leave_out=True)


def test_what_is_left_out_is_packed_and_a_repaired_file_comes_back(
    tmp_path: Path, cache_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = tmp_path / "images"
    monkeypatch.setattr(folder, "PACKED_FROM", 4)
    for name in ("a", "b"):
        for number in range(3):
            write(place / name / f"{number}.png", grey(hash_of(name) + number))
    (place / "a" / "0.png").write_bytes(b"none")
    first = load(place, leave_out=True)
    assert list((cache_dir / "packed").iterdir())
    said: list[str] = []
    assert load(place, leave_out=True, progress=said.append).content_hash == first.content_hash
    assert not any("left out" in text for text in said)
    write(place / "a" / "0.png", grey(5))
    assert load(place, leave_out=True).drawings == 3


def test_a_file_of_splits_parts_classes_that_lie_side_by_side(tmp_path: Path) -> None:
    names = ["ä katze", '"quoted"', "dog", "cow"]
    for name in names:
        for number in range(2):
            write(tmp_path / name / f"{number}.png", grey(hash_of(name) + number))
    lines = ["class,split", "a\u0308 katze,train", '"""quoted""",train', "dog,val", "cow, test"]
    (tmp_path / "splits.csv").write_text("\n".join(lines), encoding="utf-8-sig")
    split = split_classes(bank := load(tmp_path))
    assert split.name == "folders"
    found = [[bank.class_names[i] for i in part] for part in (split.validation, split.test)]
    assert found == [["validation/dog"], ["test/cow"]]
    assert len(split.train) == 2


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a,train\nb,train", "says nothing of c"),
        ("a,train\nb,test\nc,test\nd,val", "no class folders d"),
        ("a,train\nb,test\nc,tset", "c,tset: no such line"),
        ("a,train\nb,test\nc,test,0.5", "c,test,0.5: no such line"),
        ("a,train\na,test\nb,test\nc,test", "a is in two parts"),
        (b"\xff\xfe\x00", "cannot be read"),
    ],
)
def test_a_file_of_splits_that_does_not_fit_is_refused(
    tmp_path: Path, text: str | bytes, words: str
) -> None:
    for name in ("a", "b", "c"):
        for number in range(2):
            write(tmp_path / name / f"{number}.png", grey(number))
    (tmp_path / "splits.csv").write_bytes(text.encode() if isinstance(text, str) else text)
    with pytest.raises(DataError, match=words) as refused:
        load(tmp_path)
    assert str(refused.value.where).endswith("splits.csv")
