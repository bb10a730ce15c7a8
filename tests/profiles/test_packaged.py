"""The profiles that come with mamltui."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from mamltui.profiles import Profile, load_profile, packaged_profiles
from mamltui.profiles.differences import differences

PAPER = ["5way1shot", "5way5shot", "20way1shot", "20way5shot"]
STUDY = [f"study-{name}" for name in PAPER]
STEPS = [
    f"study-{name}-train{steps}" for name in ("5way5shot", "20way5shot") for steps in (1, 3, 5)
]
FAST = [f"fast-{name}" for name in PAPER]
COLOUR = ["cifar-fs-5way1shot", "cifar-fs-5way5shot"]
PLUS = [f"plus-{name}" for name in PAPER]
CURVATURE = [f"meta-curvature-{name}" for name in PAPER]
OTHERS = [f"{algorithm}-5way1shot" for algorithm in ("reptile", "protonet", "proto-maml", "imaml")]
WAVES = ["sinusoid-5shot", "sinusoid-10shot"]
SETTINGS = {5: (1, 3, 0.4, 32), 20: (5, 5, 0.1, 16)}


def settings(profile: Profile) -> tuple[int, int, float, int]:
    inner = profile.inner
    return inner.steps, inner.test_steps, inner.alpha, profile.meta.batch


def test_these_are_the_profiles() -> None:
    assert set(packaged_profiles()) == {
        "quickstart",
        "resnet-5way1shot",
        *PAPER,
        *FAST,
        "fast-meta-curvature-20way1shot",
        "fast-protonet-20way1shot",
        "best-20way1shot",
        *COLOUR,
        *STUDY,
        *STEPS,
        *PLUS,
        *CURVATURE,
        *OTHERS,
        *WAVES,
    }
    assert next(iter(packaged_profiles())) == "quickstart"


@pytest.mark.parametrize("name", sorted(packaged_profiles()))
def test_a_packaged_profile_is_called_like_its_file_and_described(name: str) -> None:
    profile = load_profile(name)
    assert profile.name == name
    assert 20 < len(profile.description) <= 100


@pytest.mark.parametrize("name", [*PAPER, *STUDY])
def test_way_shot_and_settings_are_what_the_name_says(name: str) -> None:
    profile = load_profile(name)
    task = profile.task
    assert f"{task.way}way{task.shot}shot" == name.removeprefix("study-")
    assert task.query == task.shot
    assert settings(profile) == SETTINGS[task.way]
    assert profile.data.set == "omniglot"
    assert profile.data.split == "auto"
    assert profile.meta.learning_rate == 0.001
    assert profile.network.filters == 64


@pytest.mark.parametrize("name", PAPER)
def test_the_papers_profiles_follow_the_paper(name: str) -> None:
    profile = load_profile(name)
    assert profile.meta.iterations == 60_000
    assert profile.inner.loss_scale == "paper"
    assert profile.data.rotations
    assert profile.data.resize == "nearest"
    assert profile.evaluation.steps == tuple(range(11))
    assert profile.evaluation.episodes == 600
    # The step on the mean loss, the same for both: the paper's loss is way times the mean.
    assert profile.inner.alpha * profile.task.way == pytest.approx(2.0)


@pytest.mark.parametrize("name", CURVATURE)
def test_meta_curvature_is_set_as_its_authors_set_it(name: str) -> None:
    profile = load_profile(name)
    assert f"{profile.task.way}way{profile.task.shot}shot" == name.removeprefix("meta-curvature-")
    assert profile.algorithm == "meta-curvature"
    assert settings(profile) == (1, 1, 0.4, 32)
    assert profile.meta.iterations == 60_000


@pytest.mark.parametrize("name", FAST)
def test_the_laptops_profiles_are_tested_as_the_paper_tests(name: str) -> None:
    profile, paper = load_profile(name), load_profile(name.removeprefix("fast-"))
    assert profile.algorithm == "maml"
    assert profile.network == paper.network
    assert profile.data == paper.data
    tested = profile.task.at_test
    assert (tested.way, tested.shot) == (paper.task.way, paper.task.shot)
    assert profile.evaluation == paper.evaluation
    assert profile.meta.batch < paper.meta.batch
    assert not (profile.plus.learned_rates or profile.plus.per_step_norm)


def test_meta_curvature_on_a_laptop_is_the_training_of_maml_there_without_augmentation() -> None:
    maml, curvature = map(load_profile, ("fast-20way1shot", "fast-meta-curvature-20way1shot"))
    assert {each.key for each in differences([maml, curvature])} == {
        "name",
        "description",
        "algorithm",
        "inner.test_steps",
        "meta.weight_decay",
        "meta.iterations",
        "task.test_query",
        *(f"augment.{key}" for key in ("angle", "shift", "scale", "shear")),
    }
    assert curvature.algorithm == "meta-curvature"


@pytest.mark.parametrize("name", ["fast-protonet-20way1shot", "best-20way1shot"])
def test_protonet_has_the_papers_network_and_is_tested_as_the_paper_tests(name: str) -> None:
    profile, paper = map(load_profile, (name, "20way1shot"))
    assert profile.algorithm == "protonet"
    assert profile.network == paper.network
    assert profile.data == paper.data
    tested = profile.task.at_test
    assert (tested.way, tested.shot) == (paper.task.way, paper.task.shot)
    assert profile.evaluation.episodes == paper.evaluation.episodes
    assert profile.task.way > tested.way


@pytest.mark.parametrize("name", PLUS)
def test_the_profiles_of_maml_plus_plus_have_all_its_parts(name: str) -> None:
    profile = load_profile(name)
    task, plus = profile.task, profile.plus
    assert f"plus-{task.way}way{task.shot}shot" == name
    assert all(value is True for value in plus.model_dump().values() if isinstance(value, bool))
    assert profile.meta.schedule == "cosine"
    assert profile.meta.iterations == 100 * 500
    assert plus.multi_step_iterations == 10 * 500
    assert plus.first_order_iterations == 50 * 500
    assert settings(profile) == (5, 5, 0.1, 8)
    assert profile.data.split == "antoniou"


@pytest.mark.parametrize("name", OTHERS)
def test_a_profile_of_another_algorithm_is_called_like_it(name: str) -> None:
    profile = load_profile(name)
    assert f"{profile.algorithm}-5way1shot" == name


@pytest.mark.parametrize("name", [*STUDY, *STEPS])
def test_the_studys_profiles_follow_the_study(name: str) -> None:
    profile = load_profile(name)
    assert profile.inner.loss_scale == "mean"
    assert not profile.data.rotations
    assert profile.validation.criterion == "loss"
    assert profile.meta.iterations == 100 * profile.validation.interval


@pytest.mark.parametrize("name", STEPS)
def test_the_experiment_changes_the_training_steps_alone(name: str) -> None:
    base, _, steps = name.rpartition("-train")
    expected = load_profile(base, [f"inner.steps={steps}", f"name={name}"])
    profile = load_profile(name)
    assert profile.model_copy(update={"description": expected.description}) == expected


@pytest.mark.parametrize("name", COLOUR)
def test_the_profiles_of_cifar_fs_take_its_images_and_split_as_published(name: str) -> None:
    profile = load_profile(name)
    data, task = profile.data, profile.task
    assert f"cifar-fs-{task.way}way{task.shot}shot" == name
    assert (data.set, data.split, data.image_size) == ("cifar-fs", "bertinetto", 32)
    assert not data.rotations
    assert task.query == 15
    assert settings(profile) == (5, 10, 0.01, 4)
    assert (profile.network.filters, profile.network.pooling) == (32, "max")
    assert profile.meta.iterations == 60_000


def test_quickstart_needs_no_download_and_validates_often() -> None:
    profile = load_profile("quickstart")
    assert profile.data.set == "strokes"
    assert profile.meta.iterations / profile.validation.interval >= 4


def test_reading_a_profile_imports_no_torch_and_no_terminal_library() -> None:
    code = (
        "import sys; from mamltui.profiles import load_profile; load_profile('quickstart');"
        "print([name for name in ('torch', 'numpy', 'rich', 'typer') if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        cwd=Path(__file__).parents[2],
    )
    assert done.stdout.strip() == "[]"
