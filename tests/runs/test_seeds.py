"""Runs that differ in their seed alone are taken together."""

from __future__ import annotations

from pathlib import Path

import pytest

from mamltui.profiles import load_profile
from mamltui.runs import Best, ListedRun, RunFolder, list_runs
from mamltui.runs.seeds import seed_groups, spread_words


@pytest.fixture
def runs(root: Path) -> dict[str, ListedRun]:
    """Three seeds of one experiment, another number of steps, and another profile's name."""
    for name, overrides in (
        ("a", ["meta.seed=1"]),
        ("b", ["meta.seed=2"]),
        ("c", ["meta.seed=3"]),
        ("d", ["inner.steps=3"]),
        ("e", ["name=other"]),
    ):
        made = RunFolder.create(load_profile("5way1shot", overrides), root)
        made.update(best=Best(iteration=0, accuracy=0.9 + 0.01 * made.profile.meta.seed, loss=1.0))
        made.release()
        made.path.rename(root / name)
    return {run.name: run for run in list_runs(root)}


def test_runs_that_differ_in_the_seed_alone_are_one_group(runs: dict[str, ListedRun]) -> None:
    groups = seed_groups([runs[name] for name in "daebc"])
    assert ["".join(run.name for run in group.runs) for group in groups] == ["d", "abc", "e"]
    assert [group.words for group in groups] == ["1 seed", "3 seeds", "1 seed"]
    assert groups[1].validations == pytest.approx([0.91, 0.92, 0.93])
    assert seed_groups([runs["a"], runs["a"]])[0].words == "2 runs of 1 seed"


def test_the_spread_of_seeds_says_which_interval_it_is() -> None:
    words = "92.00 ± 2.48 % (95 % interval of the mean of 3 seeds), 91.00 to 93.00 %"
    assert spread_words([0.91, 0.92, 0.93]) == words
    assert (spread_words([0.5]), spread_words([])) == ("50.00 % (one seed)", "-")
