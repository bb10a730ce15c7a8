"""What a wrong profile is told: the place, the key, what is allowed, the nearest right key."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from mamltui.errors import ExitCode, ProfileError
from mamltui.profiles import (
    DataSection,
    InvalidProfileError,
    Problem,
    Profile,
    TaskSection,
    parse_profile,
)


def problems(toml: str, *overrides: str) -> tuple[Problem, ...]:
    with pytest.raises(InvalidProfileError) as caught:
        parse_profile(toml, "x.toml", overrides)
    assert caught.value.exit_code == ExitCode.USAGE
    return caught.value.problems


def problem(toml: str, *overrides: str) -> Problem:
    (only,) = problems(toml, *overrides)
    return only


@pytest.mark.parametrize(
    ("section", "line", "fault", "allowed", "hint"),
    [
        ("task", "way = 1", "1 is not allowed", "an integer from 2 to 10,000", None),
        ("task", "way = 5.0", "5.0 is a number with a decimal point", "an integer", "write 5"),
        ("task", "way = true", "true is a boolean", "an integer", None),
        ("task", 'way = "5"', '"5" is a text', "an integer", "write 5, without quotation marks"),
        ("task", "way = []", "this is a list", "an integer", None),
        ("task", "way = {}", "this is a table", "an integer", None),
        ("task", "way = 2020-01-01", "this is a date or time", "an integer", None),
        ("task", "shot = 0", "0 is not allowed", "an integer from 1", None),
        ("task", "query = 0", "0 is not allowed", "an integer from 1", None),
        ("inner", "alpha = 0", "0 is not allowed", "a finite number above 0", None),
        ("inner", "alpha = -0.4", "-0.4 is not allowed", "a finite number above 0", None),
        ("inner", "alpha = nan", "nan is not allowed", "a finite number above 0", None),
        ("inner", "alpha = inf", "inf is not allowed", "a finite number above 0", None),
        ("inner", "alpha = 1e400", "inf is not allowed", "a finite number above 0", None),
        ("inner", "alpha = true", "true is a boolean", "a finite number above 0", None),
        ("inner", "steps = -1", "-1 is not allowed", "an integer from 0 to 1,000", None),
        ("inner", "test_steps = -3", "-3 is not allowed", "an integer from 0 to 1,000", None),
        ("inner", 'loss_scale = "sum"', '"sum" is not allowed', '"mean" or "paper"', None),
        (
            "meta",
            "learning_rate = 0.0",
            "0.0 is not allowed",
            "a finite number above 0, at most 1e+37",
            None,
        ),
        (
            "meta",
            "learning_rate = 1e38",
            "1e+38 is not allowed",
            "a finite number above 0, at most 1e+37",
            None,
        ),
        ("meta", "batch = 0", "0 is not allowed", "an integer from 1", None),
        ("meta", "iterations = 0", "0 is not allowed", "an integer from 1", None),
        ("meta", "iterations = 6e4", "60000.0 is a number", "an integer", "write 60000"),
        ("meta", "seed = -1", "-1 is not allowed", "2^63 - 1", None),
        ("meta", "seed = 9223372036854775808", "is not allowed", "2^63 - 1", None),
        ("meta", "divergence_loss = 1", "1 is not allowed", "a finite number above 1", None),
        ("network", "filters = 0", "0 is not allowed", "an integer from 1", None),
        ("data", 'set = "Strokes"', '"Strokes" is not', '"folder"', 'did you mean "strokes"?'),
        ("data", 'split = "fin"', '"fin" is not', '"antoniou"', 'did you mean "finn"?'),
        ("data", "rotations = 1", "1 is an integer", "true or false", "write true"),
        ("data", 'rotations = "True"', '"True" is a text', "true", "write true, without"),
        ("data", "image_size = 4", "4 is not allowed", "an integer from 8 to 256", None),
        ("data", "image_size = 300", "300 is not allowed", "an integer from 8 to 256", None),
        ("data", "path = 5", "5 is an integer", "a text of one line", None),
        ("data", 'path = "a\\u0000b"', '"a\\u0000b" is not allowed', "a text of one line", None),
        ("validation", "episodes = 1", "1 is not allowed", "an integer from 2", None),
        ("validation", "interval = 0", "0 is not allowed", "an integer from 1", None),
        ("validation", 'criterion = "acuracy"', '"acuracy"', '"loss"', 'did you mean "accuracy"?'),
        ("evaluation", "steps = []", "this is not allowed: there is no step", "0..10,15", None),
        ("evaluation", 'steps = ""', '"" is not allowed: a part is empty', "0..10,15", None),
        ("evaluation", "steps = [1, -1]", "-1 steps cannot be taken", "0..10,15", None),
        ("evaluation", 'steps = "9..1"', "the range 9..1 runs backwards", "0..10,15", None),
        ("evaluation", "steps = 5", "neither a text nor a list", "0..10,15", None),
        ("engine", "task_chunk = -1", "-1 is not allowed", "an integer from 0", None),
        ("run", "log_interval = 0", "0 is not allowed", "an integer from 1", None),
    ],
)
def test_a_value_that_is_not_allowed_is_refused(
    section: str, line: str, fault: str, allowed: str, hint: str | None
) -> None:
    found = problem(f"# a comment\n[{section}]\n{line}\n")
    assert found.where == f"x.toml:3: {section}.{line.split(' ')[0]}"
    said, listed = found.what.split("; allowed: ")
    assert fault in said
    assert allowed in listed
    assert (found.hint or "").startswith(hint or "")
    assert (found.hint is None) == (hint is None)


@pytest.mark.parametrize(
    "name", ["../x", "a b", ".hidden", "-x", "", "a/b", "é", "x" * 61, "a\\nb"]
)
def test_a_name_that_is_no_good_for_a_folder_is_refused(name: str) -> None:
    found = problem(f'name = "{name}"')
    assert found.where == "x.toml:1: name"
    assert "letters, digits and _ . -" in found.what


@pytest.mark.parametrize(
    ("toml", "where", "hint"),
    [
        ("[inner]\nstepss = 1", "2: inner.stepss", "inner.steps"),
        ("[inner]\nSteps = 1", "2: inner.Steps", "inner.steps"),
        ("[inner]\ntest-steps = 1", "2: inner.test-steps", "inner.test_steps"),
        ("[inner]\nway = 5", "2: inner.way", "task.way"),
        ("alpha = 0.4", "1: alpha", "inner.alpha? Its section is [inner]"),
        ("steps = 1", "1: steps", "inner.steps or evaluation.steps"),
        ("n_way = 5", "1: n_way", "task.way? Its section is [task]"),
        ('"inner.steps" = 1', '1: "inner.steps"', "inner.steps"),
        ("desciption = 'x'", "1: desciption", "description"),
        ("[iner]\nsteps = 1", "1: iner", "[inner]"),
        ("Inner.steps = 1", "1: Inner", "[inner]"),
        ("[meta]\nx = 1\n[meta.adam]\nlr = 1", "2: meta.x", None),
        ("[data]\n\n\nsplits = 'finn'", "4: data.splits", "data.split"),
        ("inner.steps.train = 1", "1: inner.steps", None),
    ],
)
def test_an_unknown_key_is_refused_with_the_nearest_right_one(
    toml: str, where: str, hint: str | None
) -> None:
    found = problems(toml)[0]
    assert found.where == f"x.toml:{where}"
    assert "allowed" in found.what
    assert found.hint in (hint, f"did you mean {hint}", f"did you mean {hint}?")


@pytest.mark.parametrize(
    ("toml", "hint"),
    [("inner = 5", "write its keys under [inner]"), ("[[inner]]", "with single brackets")],
)
def test_a_section_that_is_no_section_is_refused(toml: str, hint: str) -> None:
    found = problem(toml, "inner.steps=2")
    assert found.where == "x.toml:1: inner"
    assert hint in (found.hint or "")


@pytest.mark.parametrize(
    ("toml", "where", "what"),
    [
        ("[task]\nway = 101", "2: task.way", "the validation split of strokes has 100"),
        ("[task]\nway = 51\n[data]\nset='omniglot'\nsplit='antoniou'", "2: task.way", "has 50"),
        (
            "[data]\nset='omniglot'\nsplit='background-evaluation'\n[task]\nway = 101",
            "5: task.way",
            "the validation split of omniglot has 100",
        ),
        ("[task]\nshot = 15\nquery = 6", "3: task.query", "15 support + 6 query = 21"),
        ("[task]\nshot = 11", "2: task.query", "11 support + 11 query = 22"),
        ("data.set = 'folder'", "1: data.path", "it is empty"),
        ("data = {set = 'folder', path = ' '}", "1: data.path", "it is empty"),
        ("[data]\npath = 'x'", "2: data.path", 'read for set = "folder" only'),
        ("[data]\nsplit = 'finn'", "2: data.split", '"finn" is no split of strokes'),
        ("[data]\nset = 'omniglot'\nsplit = 'strokes'", "3: data.split", '"proportional"'),
    ],
)
def test_an_impossible_combination_is_refused(toml: str, where: str, what: str) -> None:
    found = problem(toml)
    assert found.where == f"x.toml:{where}"
    assert what in found.what
    assert found.hint


@pytest.mark.parametrize(
    "toml",
    [
        "[task]\nway = 100",
        "[task]\nshot = 15\nquery = 5",
        "[task]\nway = 500\nshot = 30\n[data]\nset = 'folder'\npath = 'x'",
        "[data]\nset = 'omniglot'\nsplit = 'background-evaluation'",
        "[data]\nset = 'strokes'\nsplit = 'proportional'",
        "[evaluation]\nsteps = [0]",
    ],
)
def test_what_just_fits_is_allowed(toml: str) -> None:
    parse_profile(toml, "x.toml")


def test_all_problems_of_a_file_are_reported_at_once_in_the_order_of_the_file() -> None:
    found = problems(
        "lr = 1\n[task]\nway = 200\nshot = 0\n[iner]\n[inner]\nalfa = 1\nalpha = -1\n",
        "meta.batch=many",
        "nonsense",
    )
    assert [item.where for item in found] == [
        "x.toml:1: lr",
        "x.toml:3: task.way",
        "x.toml:4: task.shot",
        "x.toml:5: iner",
        "x.toml:7: inner.alfa",
        "x.toml:8: inner.alpha",
        "--set meta.batch=many",
        "--set nonsense",
    ]


def test_a_combination_with_a_value_that_is_wrong_already_is_not_reported_again() -> None:
    assert [item.where for item in problems("[task]\nshot = 15\nquery = 0")] == [
        "x.toml:3: task.query"
    ]
    assert problem("data = 5\n[task]\nway = 101").where == "x.toml:1: data"
    assert [item.where for item in problems("task = 5\n[data]\nset = 'x'\npath = 'y'")] == [
        "x.toml:1: task",
        "x.toml:3: data.set",
    ]


def test_the_message_of_several_problems_holds_each_of_them() -> None:
    with pytest.raises(ProfileError) as caught:
        parse_profile("[inner]\nalfa = 1\nsteps = -1\n", "dir/x.toml")
    text = str(caught.value)
    assert text.splitlines()[0] == "dir/x.toml: 2 problems"
    assert "dir/x.toml:2: inner.alfa: unknown key" in text
    assert "did you mean inner.alpha?" in text
    assert "dir/x.toml:3: inner.steps: -1 is not allowed" in text


def test_a_file_of_nothing_but_problems_is_answered_in_a_page() -> None:
    toml = "".join(f"key{number} = 1\n" for number in range(20_000)) + "[inner]\nsteps = -1\n"
    with pytest.raises(InvalidProfileError) as caught:
        parse_profile(toml, "x.toml")
    assert len(str(caught.value).splitlines()) == 52
    assert str(caught.value).endswith("and 19,951 more")
    assert caught.value.what == "20,001 problems"


def test_no_part_of_a_profile_reaches_the_terminal_as_control_characters() -> None:
    found = problem('"\\u001b[2J" = 1'), problem("[data]\nset = '\u009b2J'")
    for item in found:
        assert str(item).isprintable()


def test_long_values_are_cut_in_messages() -> None:
    assert len(problem(f"[data]\nset = '{'x' * 10_000}'").what) < 200


def test_a_profile_built_in_code_obeys_the_same_rules() -> None:
    with pytest.raises(ValidationError, match=r"data\.path.*task\.way"):
        Profile(task=TaskSection(way=101), data=DataSection(path="x"))
    with pytest.raises(ValidationError):
        TaskSection(way=True)
    assert TaskSection(shot=5).query == 5


def test_a_profile_cannot_be_changed() -> None:
    with pytest.raises(ValidationError):
        Profile().task.way = 7  # type: ignore[misc]


@pytest.mark.parametrize(
    ("classes", "drawings", "what"),
    [
        ({"train": 12, "validation": 30}, 20, "20 classes, and the train split of the data has 12"),
        ({"train": 64, "validation": 1}, 20, "the validation split of the data has 1"),
        ({"test": 64}, 9, "5 support \\+ 5 query = 10 drawings of a class, and the data has 9"),
    ],
)
def test_data_too_small_for_the_profile_is_refused(
    classes: dict[str, int], drawings: int, what: str
) -> None:
    profile = parse_profile("[task]\nway = 20\nshot = 5\n", "mine.toml")
    with pytest.raises(ProfileError, match=what) as caught:
        profile.check_against(classes, drawings)
    assert caught.value.where is not None
    assert caught.value.where.startswith("profile mine: task.")
    assert caught.value.hint


def test_the_drawings_of_a_class_are_enough_for_training_and_for_test() -> None:
    task = "[task]\nshot = 2\nquery = 3\ntest_shot = 1\ntest_query = 9\n"
    profile = parse_profile(task, "mine.toml")
    profile.check_against({}, 10)
    with pytest.raises(ProfileError, match="1 support \\+ 9 query = 10 drawings") as caught:
        profile.check_against({}, 9)
    assert "task.test_query" in str(caught.value.where)


def test_data_of_just_the_right_size_is_accepted() -> None:
    profile = parse_profile("[task]\nway = 20\nshot = 5\n", "mine.toml")
    profile.check_against({"train": 20, "validation": 20, "test": 20}, 10)
