"""What verification says of an Omniglot that is not the published one."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from mamltui.data.omniglot import load_omniglot
from mamltui.data.omniglot_content import OMNIGLOT, OMNIGLOT_SHA256
from mamltui.errors import DataError
from tests.data import miniature

EXPECTED = miniature.expected()
GREEK = "images_background/Greek"
FIRST = f"{GREEK}/character01/0001_01.png"

Contents = dict[str, bytes]


def fault(root: Path) -> str:
    with pytest.raises(DataError) as caught:
        load_omniglot(root, resize="nearest", image_size=28, download=False, expected=EXPECTED)
    assert str(root) in str(caught.value)
    return caught.value.what


def without(start: str) -> Callable[[Contents], Contents]:
    return lambda contents: {p: c for p, c in contents.items() if not p.startswith(start)}


def replaced(path: str, content: bytes) -> Callable[[Contents], Contents]:
    return lambda contents: {**contents, path: content}


@pytest.mark.usefixtures("cache_dir")
@pytest.mark.parametrize("write", [miniature.write_zips, miniature.write_folders])
@pytest.mark.parametrize(
    ("change", "message"),
    [
        (without(f"{GREEK}/"), f"the alphabet {GREEK} is missing"),
        (without(f"{GREEK}/character02/"), f"the character {GREEK}/character02 is missing"),
        (
            without(f"{GREEK}/character01/0001_02"),
            f"{GREEK}/character01 has 2 of its 3 drawings, without 0001_02.png",
        ),
        (
            replaced(f"{GREEK}/character01/0001_04.png", b""),
            f"{GREEK}/character01/0001_04.png is no part of it",
        ),
        (replaced("images_background/notes.txt", b"x"), "images_background/notes.txt is no part"),
        (
            replaced(f"{GREEK}/character01/\x1b[31m.png", b"x"),
            f"{GREEK}/character01/\\x1b[31m.png is no part",
        ),
        (replaced(FIRST, miniature.png(miniature.drawing(99))), f"the pixels of {GREEK} are not"),
        (replaced(FIRST, b"GIF89a"), f"{FIRST} is not a whole PNG image"),
        (replaced(FIRST, miniature.files()[FIRST][:-60]), f"{FIRST} is not a whole PNG image"),
        (
            replaced(FIRST, miniature.png(miniature.drawing(0, 104))),
            f"{FIRST} is 104 x 104 pixels, not 105 x 105",
        ),
    ],
)
def test_a_difference_is_told_precisely(
    tmp_path: Path,
    write: Callable[[Path, Contents], Path],
    change: Callable[[Contents], Contents],
    message: str,
) -> None:
    root = write(tmp_path / "there", change(miniature.files()))
    assert message in fault(root)


@pytest.mark.usefixtures("cache_dir")
def test_exchanged_drawings_of_one_character_are_noticed(tmp_path: Path) -> None:
    contents = miniature.files()
    other = f"{GREEK}/character01/0001_02.png"
    contents[FIRST], contents[other] = contents[other], contents[FIRST]
    assert f"the pixels of {GREEK} are not" in fault(miniature.write_zips(tmp_path / "z", contents))


@pytest.mark.usefixtures("cache_dir")
def test_many_differences_are_counted_not_listed(tmp_path: Path) -> None:
    extra = {f"{GREEK}/character01/extra{number}.png": b"x" for number in range(40)}
    text = fault(miniature.write_zips(tmp_path / "z", {**miniature.files(), **extra}))
    assert "and 35 more" in text
    assert len(text) < 800


@pytest.mark.usefixtures("cache_dir")
@pytest.mark.parametrize("mode", ["L", "RGB", "P"])
def test_the_same_pixels_in_another_png_mode_are_the_same(tmp_path: Path, mode: str) -> None:
    contents = {p: miniature.png(paper, mode) for p, paper in miniature.drawings().items()}
    root = miniature.write_zips(tmp_path / "z", contents)
    bank = load_omniglot(root, resize="nearest", image_size=28, download=False, expected=EXPECTED)
    assert bank.classes == 5


@pytest.mark.usefixtures("cache_dir")
def test_files_that_systems_leave_are_passed_over(tmp_path: Path) -> None:
    extra = {
        f"{GREEK}/.DS_Store": b"x",
        f"{GREEK}/character01/._0001_01.png": b"x",
        "images_background/Thumbs.db": b"x",
    }
    root = miniature.write_zips(tmp_path / "z", {**miniature.files(), **extra})
    bank = load_omniglot(root, resize="nearest", image_size=28, download=False, expected=EXPECTED)
    assert bank.classes == 5


@pytest.mark.usefixtures("cache_dir")
def test_a_pipe_in_the_place_of_a_drawing_does_not_block(tmp_path: Path) -> None:
    import os

    root = miniature.write_folders(tmp_path / "f", miniature.files())
    (root / FIRST).unlink()
    os.mkfifo(root / FIRST)
    with pytest.raises(DataError, match="Not a regular file"):
        load_omniglot(root, resize="nearest", image_size=28, download=False, expected=EXPECTED)


def test_the_published_set_has_964_and_659_characters_of_20_drawings() -> None:
    whole = "964 + 659 characters x 20 drawings of 105 x 105 pixels"
    assert OMNIGLOT.describe() == whole
    assert len(OMNIGLOT.files) == 1623
    assert sum(map(len, OMNIGLOT.files.values())) == 32_460
    assert len(OMNIGLOT.alphabets) == 50
    assert OMNIGLOT.size == 105
    numbers = sorted(n for alphabet in OMNIGLOT.alphabets for n in alphabet.classes().values())
    assert numbers == list(range(1, 1624))


def test_the_documentation_states_the_hash() -> None:
    import mamltui.data.omniglot_content as module

    assert OMNIGLOT_SHA256 in str(module.__doc__)
