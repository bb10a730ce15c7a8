"""What profiles know of the data sets before they are opened agrees with what the data says."""

from __future__ import annotations

from mamltui.data.splits import DEFAULT_SPLITS, SPLITS
from mamltui.profiles import rules

PARTS = ("train", "validation", "test")


def test_profiles_know_the_same_splits_and_class_counts_as_the_data() -> None:
    assert {
        (rule.data_set, name): dict(zip(PARTS, rule.counts, strict=True))
        for name, rule in SPLITS.items()
        if rule.counts is not None
    } == rules.CLASSES


def test_profiles_allow_each_split_for_the_data_sets_that_have_it() -> None:
    for data_set, splits in rules.SPLITS.items():
        fits = {name for name, rule in SPLITS.items() if rule.data_set in (None, data_set)}
        assert set(splits) == fits
        assert splits[0] == DEFAULT_SPLITS.get(data_set, "proportional")
