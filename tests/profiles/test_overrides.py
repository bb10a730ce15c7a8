"""``--set key=value``."""

from __future__ import annotations

import pytest

from mamltui.profiles import InvalidProfileError, Problem, Profile, parse_profile


def overridden(*overrides: str, toml: str = "") -> Profile:
    return parse_profile(toml, "x.toml", overrides)


def problem(*overrides: str, toml: str = "") -> Problem:
    with pytest.raises(InvalidProfileError) as caught:
        overridden(*overrides, toml=toml)
    (only,) = caught.value.problems
    return only


@pytest.mark.parametrize(
    ("override", "section", "key", "value"),
    [
        ("inner.steps=5", "inner", "steps", 5),
        (" inner.steps = 5 ", "inner", "steps", 5),
        ("inner.alpha=1", "inner", "alpha", 1.0),
        ("meta.iterations=1_000", "meta", "iterations", 1000),
        ("data.rotations=false", "data", "rotations", False),
        ("data.set=omniglot", "data", "set", "omniglot"),
        ('data.set="omniglot"', "data", "set", "omniglot"),
        ("data.set='omniglot'", "data", "set", "omniglot"),
        ("evaluation.steps=0..2", "evaluation", "steps", (0, 1, 2)),
        ("evaluation.steps=0..2,9", "evaluation", "steps", (0, 1, 2, 9)),
        ("evaluation.steps=7", "evaluation", "steps", (7,)),
        ("evaluation.steps=[3, 1]", "evaluation", "steps", (1, 3)),
        ('evaluation.steps="1..3"', "evaluation", "steps", (1, 2, 3)),
    ],
)
def test_an_override_sets_its_key(override: str, section: str, key: str, value: object) -> None:
    found = getattr(getattr(overridden(override), section), key)
    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize("text", ["5", "true", "a = b", "# no comment", "[x", "1, 2", "a b", ""])
def test_a_text_needs_no_quotation_marks(text: str) -> None:
    assert overridden(f"description={text}").description == text


def test_a_key_at_the_top_can_be_overridden() -> None:
    assert overridden("name=2024.run").name == "2024.run"
    assert overridden("algorithm=fomaml", toml="algorithm = 'anil'").algorithm == "fomaml"


def test_the_algorithm_is_read_before_what_it_asks_of_the_sections() -> None:
    steps = ("inner.steps=0", "inner.test_steps=0", "evaluation.steps=0")
    assert overridden("algorithm=protonet", *steps).algorithm == "protonet"
    assert "protonet has no inner loop" in problem("algorithm=protonet").what


def test_an_override_goes_before_the_file_and_the_last_one_wins() -> None:
    profile = overridden("inner.steps=3", "inner.steps=4", toml="[inner]\nsteps = -2\nalpha = 0.3")
    assert profile.inner.steps == 4
    assert profile.inner.alpha == 0.3


@pytest.mark.parametrize(
    ("override", "what", "hint"),
    [
        ("inner.steps=five", '"five" is a text; allowed: an integer from 0 to 1,000', None),
        ("inner.steps=5.0", "5.0 is a number with a decimal point; allowed: an integer", "write 5"),
        ("inner.steps=", '"" is a text', None),
        ("inner.steps=1\nmeta.seed=2", "is a text; allowed: an integer", None),
        ("data.rotations=True", '"True" is a text; allowed: true or false', "write true"),
        ("data.set=omniglott", '"omniglott" is not allowed', 'did you mean "omniglot"?'),
        ("inner.stepss=5", "unknown key; allowed in [inner]: steps,", "did you mean inner.steps?"),
        ("alpha=5", "unknown key; allowed at the top", "did you mean inner.alpha?"),
        ("iner.steps=5", "unknown section; allowed", "did you mean inner.steps?"),
        ("inner.steps.x=5", "unknown key", None),
        ("inner=5", "inner is a section; allowed: its keys inner.steps, inner.test_steps", None),
        ("inner.steps", "an override is KEY=VALUE", "write inner.steps=1"),
        ("", "an override is KEY=VALUE", "such as inner.steps=5"),
        ("=5", "unknown key", None),
        ("..=5", "unknown section", None),
        ("data.path=x", 'it is read for set = "folder" only', 'write set = "folder"'),
    ],
)
def test_an_override_that_is_wrong_is_refused_in_its_own_words(
    override: str, what: str, hint: str | None
) -> None:
    found = problem(override)
    assert found.where.startswith(f"--set {override[:10]}".split("\n")[0])
    assert what in found.what
    assert (found.hint or "").startswith(hint or "")


def test_an_override_that_makes_a_combination_impossible_is_blamed_for_it() -> None:
    found = problem("data.split=antoniou", toml="[task]\nway = 60\n[data]\nset = 'omniglot'")
    assert found.where == "--set data.split=antoniou: task.way"
    assert problem("task.way=300").where == "--set task.way=300"


def test_an_override_is_printed_without_control_characters() -> None:
    assert str(problem("inner.steps=\x1b[2J\udcff")).isprintable()


def test_an_override_is_of_its_own_profile_alone() -> None:
    toml = "[inner]\nsteps = 3\n"
    assert overridden("inner.steps=5", "inner.alpha=0.1", toml=toml).inner.steps == 5
    assert overridden(toml=toml).inner == overridden("inner.steps=3").inner
