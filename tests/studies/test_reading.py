"""Study files: what they may say, what their cells are, and how mistakes are reported."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from mamltui.errors import MamltuiError, UsageError
from mamltui.profiles import differences, load_profile
from mamltui.studies.reading import Changes, load_study, packaged_studies
from tests.studies.small import SMALL, write_study


@pytest.mark.parametrize("name", sorted(packaged_studies()))
def test_every_packaged_study_is_valid_and_described(name: str) -> None:
    study = load_study(name)
    assert 20 < len(study.description) <= 100
    assert len({cell.name for cell in study.cells}) == len(study.cells) > 1


@pytest.mark.parametrize("base", ["5way1shot", "5way5shot", "20way1shot", "20way5shot"])
def test_the_study_of_the_recipes_has_the_settings_of_their_profiles(base: str) -> None:
    (paper,), (recipe,) = (
        load_study("laptop").chosen([f"{base}-{arm}"]) for arm in ("paper", "recipe")
    )
    expected = {"meta.iterations", "plus.first_order_iterations", "evaluation.steps"}
    if base in ("5way5shot", "20way1shot"):  # as it was run, before the profile had augmentation
        expected |= {f"augment.{key}" for key in ("angle", "shift", "scale", "shear")}
    if base == "20way1shot":
        expected |= {"task.test_query"}
    for cell, packaged in ((paper, base), (recipe, f"fast-{base}")):
        different = differences([load_profile(packaged), cell.profile(7000)])
        unexpected = {each.key for each in different} - expected
        assert all(
            key.startswith(("name", "description", "run.", "validation.")) for key in unexpected
        )


def test_cells_are_all_combinations_and_the_first_seed_of_each_comes_first(tmp_path: Path) -> None:
    text = SMALL.replace('"quickstart"', '["quickstart", "5way1shot"]').replace(
        "seeds = 1", "seeds = [3, 7]"
    )
    study = load_study(str(write_study(tmp_path, text)))
    assert [cell.name for cell in study.cells] == [
        f"{base}-steps{steps}-seed{seed}"
        for seed in (3, 7)
        for base in ("quickstart", "5way1shot")
        for steps in (1, 2)
    ]
    profile = study.cells[-1].profile()
    assert (profile.meta.seed, profile.inner.steps, profile.data.set) == (7, 2, "omniglot")
    assert profile.evaluation.steps == (0, 1, 2)


def test_a_cell_without_changes_is_its_base_profile(tmp_path: Path) -> None:
    study = load_study(str(write_study(tmp_path, 'extends = "20way5shot"')))
    (cell,) = study.cells
    renamed = load_profile("20way5shot").model_copy(update={"name": "small-20way5shot-seed0"})
    assert cell.profile() == renamed


def test_shares_are_of_the_iterations_of_the_budget(tmp_path: Path) -> None:
    text = """
extends = "5way1shot"
budget.iterations = 3000
[[variant]]
name = "da"
set.plus.derivative_annealing = true
set.plus.first_order_iterations = "50 %"
"""
    (cell,) = load_study(str(write_study(tmp_path, text))).cells
    profile = cell.profile()
    assert profile.meta.iterations == 3000
    assert profile.plus.first_order_iterations == 1500
    assert profile.validation.interval == 150


def test_the_iterations_of_a_budget_of_minutes_are_given_later(tmp_path: Path) -> None:
    (cell,) = load_study(str(write_study(tmp_path, 'extends="5way1shot"\nbudget.minutes=2'))).cells
    assert cell.profile(700).meta.iterations == 700


def test_variants_may_be_for_some_bases_only(tmp_path: Path) -> None:
    text = """
extends = ["5way1shot", {extends = "20way1shot", name = "big", set = {meta.batch = 2}}]
[[variant]]
name = "maml"
[[variant]]
name = "anil"
set.algorithm = "anil"
only = ["big"]
"""
    study = load_study(str(write_study(tmp_path, text)))
    assert [cell.group for cell in study.cells] == ["5way1shot-maml", "big-maml", "big-anil"]
    assert study.cells[-1].profile().meta.batch == 2
    assert [cell.name for cell in study.chosen(["anil"])] == ["big-anil-seed0"]
    with pytest.raises(UsageError, match="has no boil"):
        study.chosen(["boil"])


def test_the_command_line_changes_seeds_budget_and_keys(tmp_path: Path) -> None:
    changes = Changes(seeds=2, iterations=9, settings=("meta.batch=5", "inner.loss_scale=paper"))
    study = load_study(str(write_study(tmp_path)), changes)
    profile = study.cells[-1].profile()
    assert len(study.cells) == 4
    assert (profile.meta.iterations, profile.meta.batch) == (9, 5)
    assert profile.inner.loss_scale == "paper"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("seeds = 2", "extends"),
        ('extends = "5way1shot"\nseed = 2', r"small\.toml:2: seed: unknown key of a study"),
        ('extends = "5way1shot"\n[set]\ninner.stepps = 2', "inner.stepps is no key of a profile"),
        ('extends = "5way1shot"\n[set]\nsteps = 2', "did you mean inner.steps"),
        ('extends = "5way1shot"\n[grid]\ninner.steps = 2', "needs a list"),
        ('extends = "5way1shot"\n[set]\nmeta.seed = 2', "given by the study itself"),
        ('extends = "5way1shot"\n[set]\ninner.alpha = -1', "inner.alpha=-1: -1 is not allowed"),
        ('extends = "5way1shot"\nbudget = {iterations = 3, minutes = 3}', "not in both"),
        ('extends = ["5way1shot", "5way1shot"]', "the same name"),
        ('extends = "nowhere"', "no such packaged profile"),
        ('extends = "5way1shot"\nseeds = [1, 1]', "different numbers"),
    ],
)
def test_mistakes_are_refused_with_what_and_where(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(MamltuiError) as caught:
        load_study(str(write_study(tmp_path, text)))
    assert re.search(message, str(caught.value))
    assert caught.value.exit_code == 2


def test_an_unknown_study_is_refused_with_the_nearest() -> None:
    with pytest.raises(UsageError, match="did you mean train-steps"):
        load_study("trainsteps")
