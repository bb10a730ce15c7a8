"""Named class splits: which characters are for training, for validation and for the test.

Characters are split before they are rotated, so the four turns of one always stay together. The
lists that the papers on Omniglot used came from the order of somebody's file system and cannot be
had again; these are sorted, shuffled with a fixed seed and published by their hash. Those of
CIFAR-FS were published, and are taken as they are.
"""

from __future__ import annotations

import difflib
import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass

import torch

from mamltui.data import cifar_classes
from mamltui.data.bank import ImageBank
from mamltui.data.groups import part_of
from mamltui.data.randomness import random_bits, random_order
from mamltui.data.sinusoid import Waves
from mamltui.errors import ProfileError

_SHUFFLE_SEED = 0


@dataclass(frozen=True)
class SplitRule:
    """How a named split divides a data set."""

    data_set: str | None
    """The data set it belongs to; None: any."""
    counts: tuple[int, int, int] | None
    """Classes for training, validation and test; None: 64, 16 and 20 percent."""
    description: str
    """One line for people."""
    published_hash: str | None = None
    """``ClassSplit.hash`` on the whole, undamaged data set."""
    class_names: tuple[tuple[str, ...], ...] | None = None
    """The classes for training, validation and test, where their lists were published."""


SPLITS = {
    "finn": SplitRule(
        "omniglot",
        (1100, 100, 423),
        "sizes of Finn, Abbeel and Levine 2017; all characters shuffled",
        "b71abfe4d4dade590c5663197b954d6f02b3cddcbf00ee9c700409d34607844e",
    ),
    "antoniou": SplitRule(
        "omniglot",
        (1150, 50, 423),
        "sizes of Antoniou, Edwards and Storkey 2019; all characters shuffled",
        "1d8a136bf8c1e916f1b2f2160ff33fd185f29ba8a7467f1e0e285e8b4282116c",
    ),
    "background-evaluation": SplitRule(
        "omniglot",
        (864, 100, 659),
        "alphabets of the test are new, as in Lake, Salakhutdinov and Tenenbaum 2015",
        "88d72b8b947606052e2fb8018f63893a44e2dfe36eadc2ea7e144ccbe5450773",
    ),
    "strokes": SplitRule(
        "strokes",
        (900, 100, 200),
        "all characters shuffled",
        "0b4df045e66367601118a592f3e180a743bc01d9dca90a7199f93f9bda5589c4",
    ),
    "bertinetto": SplitRule(
        "cifar-fs",
        (64, 16, 20),
        "lists of Bertinetto, Henriques, Torr and Vedaldi 2019",
        "ac17a59c8e8d42b99fa9b8443fe120649bafee212bc3a22f8674a694a2b9d876",
        (cifar_classes.TRAIN, cifar_classes.VALIDATION, cifar_classes.TEST),
    ),
    "folders": SplitRule(
        "folder",
        None,
        "the groups train, val and test that the classes lie in; without val, a "
        "fifth of train is for validation",
    ),
    "proportional": SplitRule(
        None, None, "training 64 %, validation 16 %, test 20 % of any data set's classes, shuffled"
    ),
}
"""Every split by its name in a profile."""

DEFAULT_SPLITS = {"omniglot": "finn", "strokes": "strokes", "cifar-fs": "bertinetto"}
"""What ``auto`` means for a data set; for others ``folders``, if all their classes lie in groups
called ``train``, ``test`` and perhaps ``val``, else ``proportional``."""


@dataclass(frozen=True)
class ClassSplit:
    """Disjoint classes of a bank, as indices into its classes, in the order of their names."""

    name: str
    train: tuple[int, ...]
    validation: tuple[int, ...]
    test: tuple[int, ...]
    hash: str
    """SHA-256 of the three lists of class names."""


def split_classes(bank: ImageBank | Waves, split: str = "auto") -> ClassSplit:
    """The classes of ``bank`` for training, validation and test; of waves, none.

    Depends on the class names alone: not on their order in the bank, not on the images.

    Raises:
        ProfileError: no split has this name, or it does not fit the data set.
    """
    if isinstance(bank, Waves):
        return ClassSplit(bank.split, (), (), (), bank.content_hash)
    name = _usual(bank) if split == "auto" else split
    rule = SPLITS.get(name)
    if rule is None or rule.data_set not in (None, bank.name):
        raise _unfit(bank, name)
    names = bank.class_names
    by_name = sorted(range(len(names)), key=names.__getitem__)
    if name == "folders":
        named = _by_folder(bank, by_name)
        parts = [sorted(part, key=names.__getitem__) for part in named]
        train, validation, test = map(tuple, parts)
        return ClassSplit(name, train, validation, test, _hash(bank, parts))
    train_count, validation_count, test_count = rule.counts or _proportional(bank)
    if train_count + validation_count + test_count != bank.classes:
        raise ProfileError(
            f"the split {name} needs {train_count + validation_count + test_count} classes, "
            f"{bank.name} from {bank.source} has {bank.classes}",
            where="data.split",
            hint='split = "proportional" takes any number of classes.',
        )
    if name == "background-evaluation":
        background = [i for i in by_name if names[i].startswith("images_background/")]
        evaluation = [i for i in by_name if names[i].startswith("images_evaluation/")]
        if len(evaluation) != test_count or len(background) + test_count != bank.classes:
            raise ProfileError(
                f"the split {name} needs {test_count} characters in images_evaluation, "
                f"{bank.source} has {len(evaluation)}",
                where="data.split",
                hint='split = "finn" shuffles all characters.',
            )
        order = [*_shuffled(background), *evaluation]
    elif rule.class_names:
        index_of = {name: i for i, name in enumerate(names)}
        lacking = [name for part in rule.class_names for name in part if name not in index_of]
        if lacking:
            raise ProfileError(
                f"the split {name} names classes that {bank.source} lacks: {', '.join(lacking)}",
                where="data.split",
                hint='split = "proportional" takes any classes.',
            )
        order = [index_of[name] for part in rule.class_names for name in part]
    else:
        order = _shuffled(by_name)
    parts = [
        sorted(part, key=names.__getitem__)
        for part in (
            order[:train_count],
            order[train_count : train_count + validation_count],
            order[train_count + validation_count :],
        )
    ]
    train, validation, test = (tuple(part) for part in parts)
    return ClassSplit(name, train, validation, test, _hash(bank, parts))


def _usual(bank: ImageBank) -> str:
    if bank.name in DEFAULT_SPLITS:
        return DEFAULT_SPLITS[bank.name]
    parts = {part_of(name) for name in bank.class_names}
    return "folders" if None not in parts and {"train", "test"} <= parts else "proportional"


def _by_folder(bank: ImageBank, by_name: Sequence[int]) -> tuple[list[int], list[int], list[int]]:
    parts: dict[str | None, list[int]] = {"train": [], "validation": [], "test": []}
    for index in by_name:
        parts.setdefault(part_of(bank.class_names[index]), []).append(index)
    if None in parts or not parts["train"] or not parts["test"]:
        raise ProfileError(
            "the split folders needs all classes in folders called train, val and test",
            where=bank.source,
            hint='split = "proportional" takes any classes.',
        )
    train, validation = parts["train"], parts["validation"]
    if not validation:
        shuffled = _shuffled(train)
        count = max(1, len(train) // 5)
        train, validation = shuffled[count:], shuffled[:count]
    return train, validation, parts["test"]


def _shuffled(items: Sequence[int]) -> list[int]:
    order = random_order(random_bits(_SHUFFLE_SEED, torch.arange(len(items))))
    return [items[index] for index in order.tolist()]


def _proportional(bank: ImageBank) -> tuple[int, int, int]:
    if bank.classes < 3:
        raise ProfileError(
            f"{bank.classes} classes cannot be divided into training, validation and test",
            where=bank.source,
            hint="A data set needs at least 3 classes, and as many in each part as task.way.",
        )
    validation = max(1, bank.classes * 16 // 100)
    test = max(1, bank.classes * 20 // 100)
    return bank.classes - validation - test, validation, test


def _hash(bank: ImageBank, parts: Sequence[Sequence[int]]) -> str:
    text = json.dumps([[bank.class_names[i] for i in part] for part in parts])
    return hashlib.sha256(text.encode()).hexdigest()


def _unfit(bank: ImageBank, name: str) -> ProfileError:
    allowed = [key for key, rule in SPLITS.items() if rule.data_set in (None, bank.name)]
    hint = f"Allowed for {bank.name}: auto, {', '.join(allowed)}."
    if name in SPLITS:
        what = f"the split {name} is for {SPLITS[name].data_set}, the data set is {bank.name}"
    else:
        what = f"there is no split {name!r}"
        nearest = difflib.get_close_matches(name, ["auto", *allowed], n=1, cutoff=0.5)
        if nearest:
            hint += f" Did you mean {nearest[0]}?"
    return ProfileError(what, where="data.split", hint=hint)
