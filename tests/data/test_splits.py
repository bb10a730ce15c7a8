from __future__ import annotations

import zipfile
from collections.abc import Iterable
from pathlib import Path

import pytest
import torch

from mamltui.data.bank import ImageBank
from mamltui.data.splits import DEFAULT_SPLITS, SPLITS, split_classes
from mamltui.errors import ProfileError


def bank_of(name: str, class_names: Iterable[str]) -> ImageBank:
    names = tuple(class_names)
    images = torch.zeros(len(names), 1, 1, 1, 1, dtype=torch.uint8)
    return ImageBank(name, images, names, "", f"a test's {name}")


def folder(classes: int) -> ImageBank:
    return bank_of("folder", (f"class-{number}" for number in range(classes)))


def strokes() -> ImageBank:
    return bank_of("strokes", (f"stroke-{number:04d}" for number in range(1, 1201)))


def characters(background: int = 964, evaluation: int = 659) -> ImageBank:
    """As many characters as Omniglot has, under invented names."""
    return bank_of(
        "omniglot",
        [f"images_background/Alphabet/character{number:03d}" for number in range(background)]
        + [f"images_evaluation/Alphabet/character{number:03d}" for number in range(evaluation)],
    )


@pytest.fixture(scope="module")
def omniglot(omniglot_dir: Path) -> ImageBank:
    """The names of the real characters, without their images."""
    names = set()
    for part in ("images_background", "images_evaluation"):
        with zipfile.ZipFile(omniglot_dir / f"{part}.zip") as archive:
            names |= {n.rpartition("/")[0] for n in archive.namelist() if n.endswith(".png")}
    return bank_of("omniglot", sorted(names))


OMNIGLOT_SPLITS = [name for name, rule in SPLITS.items() if rule.data_set == "omniglot"]


@pytest.mark.parametrize("name", OMNIGLOT_SPLITS)
def test_real_omniglot_is_split_as_published(omniglot: ImageBank, name: str) -> None:
    split = split_classes(omniglot, name)
    assert split.hash == SPLITS[name].published_hash
    assert (len(split.train), len(split.validation), len(split.test)) == SPLITS[name].counts


def test_strokes_is_split_as_published() -> None:
    split = split_classes(strokes())
    assert split.hash == SPLITS["strokes"].published_hash
    assert (len(split.train), len(split.validation), len(split.test)) == (900, 100, 200)


def test_the_sizes_are_those_of_the_papers() -> None:
    assert SPLITS["finn"].counts == (1100, 100, 423)
    assert SPLITS["antoniou"].counts == (1150, 50, 423)


@pytest.mark.parametrize("name", [*OMNIGLOT_SPLITS, "proportional"])
def test_every_class_is_in_one_part_alone(name: str) -> None:
    split = split_classes(characters(), name)
    assert sorted(split.train + split.validation + split.test) == list(range(1623))


def test_background_evaluation_tests_on_alphabets_never_seen_in_training() -> None:
    bank = characters()
    split = split_classes(bank, "background-evaluation")
    assert len(split.test) == 659
    assert all(bank.class_names[i].startswith("images_evaluation/") for i in split.test)
    seen = split.train + split.validation
    assert all(bank.class_names[i].startswith("images_background/") for i in seen)


def test_finn_mixes_background_and_evaluation_characters() -> None:
    bank = characters()
    test = split_classes(bank, "finn").test
    share = sum(bank.class_names[i].startswith("images_evaluation/") for i in test) / len(test)
    assert share == pytest.approx(659 / 1623, abs=0.1)


def test_finn_and_antoniou_test_on_the_same_characters() -> None:
    bank = characters()
    assert split_classes(bank, "finn").test == split_classes(bank, "antoniou").test


def test_a_split_does_not_depend_on_the_order_of_the_bank() -> None:
    bank = strokes()
    turned = bank_of("strokes", reversed(bank.class_names))
    here, there = split_classes(bank), split_classes(turned)
    assert here.hash == there.hash
    for part in ("train", "validation", "test"):
        assert [bank.class_names[i] for i in getattr(here, part)] == [
            turned.class_names[i] for i in getattr(there, part)
        ]


def test_the_hash_changes_with_a_name_and_with_a_move_between_parts() -> None:
    bank = folder(20)
    renamed = bank_of("folder", ("class-0!", *bank.class_names[1:]))
    assert split_classes(bank).hash != split_classes(renamed).hash
    hashes = {split_classes(characters(), name).hash for name in OMNIGLOT_SPLITS}
    assert len(hashes) == len(OMNIGLOT_SPLITS)


@pytest.mark.parametrize(
    ("classes", "sizes"), [(3, (1, 1, 1)), (10, (7, 1, 2)), (100, (64, 16, 20))]
)
def test_proportional_takes_64_16_20_percent_and_leaves_no_part_empty(
    classes: int, sizes: tuple[int, int, int]
) -> None:
    split = split_classes(folder(classes), "proportional")
    assert (len(split.train), len(split.validation), len(split.test)) == sizes
    assert sorted(split.train + split.validation + split.test) == list(range(classes))


@pytest.mark.parametrize(
    ("bank", "name"),
    [(characters(), "finn"), (strokes(), "strokes"), (folder(30), "proportional")],
    ids=["omniglot", "strokes", "folder"],
)
def test_auto_is_the_default_of_the_data_set(bank: ImageBank, name: str) -> None:
    assert split_classes(bank) == split_classes(bank, "auto") == split_classes(bank, name)
    assert DEFAULT_SPLITS.get(bank.name, "proportional") == name


def test_an_unknown_name_is_refused_with_the_names_allowed_and_the_nearest() -> None:
    with pytest.raises(ProfileError) as refused:
        split_classes(characters(), "antonio")
    assert refused.value.where == "data.split"
    assert refused.value.what == "there is no split 'antonio'"
    assert refused.value.hint == (
        "Allowed for omniglot: auto, finn, antoniou, background-evaluation, proportional. "
        "Did you mean antoniou?"
    )


def test_the_split_of_another_data_set_is_refused() -> None:
    with pytest.raises(ProfileError, match="the split finn is for omniglot") as refused:
        split_classes(strokes(), "finn")
    assert refused.value.hint == "Allowed for strokes: auto, strokes, proportional."


def test_a_data_set_of_the_wrong_size_is_refused() -> None:
    with pytest.raises(ProfileError, match=r"needs 1623 classes, omniglot .* has 60"):
        split_classes(characters(40, 20), "finn")


def test_characters_in_the_wrong_half_are_refused() -> None:
    with pytest.raises(ProfileError, match=r"needs 659 characters in images_evaluation.* 660"):
        split_classes(characters(963, 660), "background-evaluation")


def test_fewer_than_three_classes_cannot_be_split() -> None:
    with pytest.raises(ProfileError, match="2 classes cannot be divided"):
        split_classes(folder(2))
