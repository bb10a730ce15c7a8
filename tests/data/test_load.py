"""From the ``[data]`` section of a profile to images."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from mamltui.data.load import load_bank
from mamltui.data.omniglot_find import search
from mamltui.errors import DataError
from mamltui.profiles import DataSection
from tests.data import miniature
from tests.data.test_folder import two_images


def test_strokes_need_no_files() -> None:
    bank = load_bank(DataSection(set="strokes"))
    assert bank.name == "strokes"
    assert bank.image_size == 28
    assert bank.classes >= 1000


def test_folder_is_read_from_the_path_of_the_profile(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    two_images(tmp_path / "set" / "a")
    two_images(tmp_path / "set" / "b")
    monkeypatch.chdir(tmp_path)
    bank = load_bank(DataSection(set="folder", path="set", image_size=20))
    assert bank.images.shape == (2, 2, 1, 20, 20)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert load_bank(DataSection(set="folder", path="~/set")).classes == 2


def test_folder_without_a_path_names_the_key() -> None:
    with pytest.raises(DataError, match=r"data\.path"):
        load_bank(DataSection(set="folder"))


@pytest.mark.usefixtures("cache_dir")
def test_omniglot_is_looked_for_where_the_caller_says(tmp_path: Path) -> None:
    root = miniature.write_zips(tmp_path / "zips", miniature.files())
    with pytest.raises(DataError) as caught:
        load_bank(DataSection(set="omniglot"), root, download=False)
    # The miniature lies where it was looked for, and is told apart from the real one.
    assert caught.value.where == str(root)
    assert "the alphabet images_background/Alphabet_of_the_Magi is missing" in caught.value.what


@pytest.mark.usefixtures("cache_dir")
def test_omniglot_that_may_not_be_downloaded_is_missing(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="not asked for"):
        load_bank(DataSection(set="omniglot"), tmp_path, download=False)
    assert search(tmp_path)[0] is None


def test_real_omniglot_follows_the_profile(omniglot_dir: Path) -> None:
    data = DataSection(set="omniglot")
    bank = load_bank(data, omniglot_dir, download=False)
    assert bank.images.shape == (1623, 20, 1, 28, 28)
    assert ((bank.images == 0) | (bank.images == 255)).all()


def test_a_set_brings_in_no_other_sets_code(tmp_path: Path) -> None:
    import subprocess

    two_images(tmp_path / "a")
    code = (
        "import sys; from pathlib import Path; from types import SimpleNamespace as S\n"
        "from mamltui.data.load import load_bank\n"
        f"load_bank(S(set='folder', path={str(tmp_path)!r}, resize='nearest', image_size=28, "
        "fit='stretch', unreadable='refuse'))\n"
        "wrong = {'torchvision', 'mamltui.data.strokes', 'mamltui.data.omniglot'}\n"
        "sys.exit(str(wrong & set(sys.modules)) if wrong & set(sys.modules) else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
