"""Profiles that begin with the values of another one."""

from __future__ import annotations

from pathlib import Path

import pytest

from mamltui.errors import ProfileError
from mamltui.profiles import InvalidProfileError, load_profile, parse_profile


def write(folder: Path, **texts: str) -> None:
    for name, text in texts.items():
        (folder / f"{name}.toml").write_text(text)


def test_what_a_profile_does_not_say_it_takes_from_the_one_it_extends() -> None:
    base = load_profile("20way5shot")
    profile = parse_profile('extends = "20way5shot"\ninner.steps = 3', "mine.toml")
    inner = base.inner.model_copy(update={"steps": 3})
    assert profile == base.model_copy(update={"inner": inner, "name": "mine", "description": ""})


def test_a_query_that_follows_shot_follows_the_shot_of_the_extending_profile() -> None:
    assert parse_profile('extends = "5way1shot"\ntask.shot = 3', "x.toml").task.query == 3


def test_files_are_seen_from_the_folder_of_the_extending_file(tmp_path: Path) -> None:
    (tmp_path / "bases").mkdir()
    write(tmp_path / "bases", base='extends = "5way1shot"\ninner.alpha = 0.2')
    write(tmp_path, mine='extends = "bases/base.toml"\ninner.steps = 4')
    inner = load_profile(str(tmp_path / "mine.toml")).inner
    assert (inner.alpha, inner.steps, inner.test_steps) == (0.2, 4, 3)


def test_an_override_goes_over_what_is_inherited() -> None:
    profile = parse_profile('extends = "5way1shot"', "x.toml", ["inner.alpha=0.05"])
    assert profile.inner.alpha == 0.05


def test_a_mistake_in_a_base_is_reported_of_the_base(tmp_path: Path) -> None:
    write(tmp_path, base="[inner]\nsteps = -1", mine='extends = "base.toml"\ninner.alpha = 0')
    with pytest.raises(InvalidProfileError) as caught:
        load_profile(str(tmp_path / "mine.toml"))
    assert [problem.where for problem in caught.value.problems] == [
        f"{tmp_path / 'base.toml'}:2: inner.steps"
    ]


def test_a_mistake_of_its_own_is_reported_with_its_line() -> None:
    with pytest.raises(InvalidProfileError, match=r"x\.toml:2: inner\.alpha"):
        parse_profile('extends = "5way1shot"\ninner.alpha = 0', "x.toml")


def test_a_circle_is_refused_and_shown(tmp_path: Path) -> None:
    write(tmp_path, a='extends = "b.toml"', b='extends = "a.toml"')
    with pytest.raises(ProfileError, match=r"circle: a\.toml -> b\.toml -> a\.toml"):
        load_profile(str(tmp_path / "a.toml"))


@pytest.mark.parametrize("value", ["5", '""', '["5way1shot"]'])
def test_what_is_no_name_is_refused(value: str) -> None:
    with pytest.raises(ProfileError, match=r"x\.toml: extends: this is not a profile"):
        parse_profile(f"extends = {value}", "x.toml")


def test_an_unknown_base_is_refused_with_the_nearest_name() -> None:
    with pytest.raises(ProfileError, match="did you mean 5way5shot"):
        parse_profile('extends = "5way5shots"', "x.toml")


def test_the_run_folder_depends_on_no_other_file() -> None:
    profile = parse_profile('extends = "20way5shot"', "mine.toml")
    text = profile.to_toml()
    assert "extends" not in text
    assert parse_profile(text, "profile.toml") == profile
