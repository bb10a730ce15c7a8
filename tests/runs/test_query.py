"""Runs are chosen by what they are, and told apart by what differs."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from mamltui.errors import UsageError
from mamltui.profiles import Profile, load_profile
from mamltui.runs import ListedRun, RunFolder, list_runs
from mamltui.runs.differing import changed_settings, short_labels, told_apart
from mamltui.runs.query import Query, sorted_by


@pytest.fixture
def runs(root: Path) -> dict[str, ListedRun]:
    """Three runs: ``a`` and ``b`` of one profile, ``c`` of another."""
    for name, overrides, info in (
        ("a", ["inner.steps=3", "meta.seed=7"], {"state": "failed", "iteration": 30}),
        ("b", ["inner.steps=5"], {"state": "finished", "tags": ["paper", "best"]}),
        ("c", ["task.way=20", "name=other"], {"state": "finished"}),
    ):
        made = RunFolder.create(load_profile("5way1shot", overrides), root)
        made.release()
        run = RunFolder(made.path.rename(root / name))
        values = json.loads((run.path / "run.json").read_text())
        best = {"iteration": 0, "accuracy": {"a": 0.5, "b": 0.9, "c": 0.7}[name], "loss": 1.0}
        (run.path / "run.json").write_text(json.dumps(values | {"best": best} | info))
    return {run.name: run for run in list_runs(root)}


@pytest.mark.parametrize(
    ("query", "names"),
    [
        ("", "abc"),
        ("state:fail", "a"),
        ("state=fail", ""),
        ("state!=failed", "bc"),
        ("way=20", "c"),
        ("steps>=3 steps<5", "a"),
        ("inner.steps=5", "b"),
        ("seed=7", "a"),
        ("valid>60 valid<80", "c"),
        ("valid>=90%", "b"),
        ("tag:paper", "b"),
        ("tag!=paper", "ac"),
        ("test>0", ""),
        ("test!=5", ""),
        ("OTHER", "c"),
        ("20-way finished", "c"),
        ("finished tag:best", "b"),
        ("'finished", "bc"),
    ],
)
def test_a_query_finds_the_runs_that_fulfil_all_of_it(
    query: str, names: str, runs: dict[str, ListedRun]
) -> None:
    if query.startswith("'"):
        query = query[1:]
    parsed = Query.parse(query)
    assert sorted(name for name, run in runs.items() if parsed.matches(run)) == list(names)


def test_what_is_not_known_is_named_with_what_may_be_meant() -> None:
    with pytest.raises(UsageError, match="no 'sede'") as raised:
        Query.parse("sede=3")
    assert "seed" in str(raised.value.hint)
    with pytest.raises(UsageError, match="needs a value"):
        Query.parse("test>")
    assert Query.parse('"unclosed').words == ('"unclosed',)


def test_runs_are_sorted_by_any_field_the_unknown_last(runs: dict[str, ListedRun]) -> None:
    def names(field: str) -> str:
        return "".join(run.name for run in sorted_by(runs.values(), field))

    assert (names("valid"), names("-valid"), names("name")) == ("acb", "bca", "abc")
    assert sorted(names("test")) == ["a", "b", "c"]
    with pytest.raises(UsageError):
        names("tset")


def test_runs_of_a_profile_are_told_apart_by_what_differs(runs: dict[str, ListedRun]) -> None:
    assert told_apart(list(runs.values())) == {
        "a": "steps 3, seed 7",
        "b": "steps 5, seed 0",
        "c": "",
    }


def test_what_most_runs_of_a_profile_have_is_told_last(tmp_path: Path) -> None:
    for overrides in (
        ["algorithm=fomaml"],
        ["inner.alpha=0.2"],
        ["meta.seed=1"],
        ["meta.seed=2"],
        ["meta.seed=3"],
    ):
        RunFolder.create(load_profile("quickstart", overrides), tmp_path).release()
    assert sorted(told_apart(list_runs(tmp_path)).values()) == [
        "algorithm fomaml, seed 0, alpha 0.4",
        "alpha 0.2, seed 0, algorithm maml",
        "seed 1, algorithm maml, alpha 0.4",
        "seed 2, algorithm maml, alpha 0.4",
        "seed 3, algorithm maml, alpha 0.4",
    ]


def test_short_labels_tell_runs_apart_in_the_fewest_words(runs: dict[str, ListedRun]) -> None:
    a, b, c = (runs[name] for name in "abc")
    assert short_labels([a, b]) == {"a": "steps 3, seed 7", "b": "steps 5, seed 0"}
    assert short_labels([b, c]) == {"b": "5way1shot", "c": "other"}
    twin = RunFolder.create(load_profile("5way1shot", ["inner.steps=5"]), b.path.parent)
    twin.release()
    assert short_labels([b, ListedRun.read(twin.path)]) == {"b": "b", twin.name: twin.name}
    a.folder.annotate(title="the third")
    titled = ListedRun.read(a.path)
    assert short_labels([titled, b]) == {"a": "the third", "b": "steps 5, seed 0"}


@pytest.mark.parametrize(
    ("profiles", "labels"),
    [
        (["study-5way5shot-steps1-seed0", "study-5way5shot-steps3-seed0"], ["steps1", "steps3"]),
        (
            ["study-5way-steps1", "study-20way-steps1", "study-20way"],
            ["5way-steps1", "20way-steps1", "20way"],
        ),
        (["fast-5way1shot", "5way1shot"], ["fast-5way1shot", "5way1shot"]),
        (["one-two", "one"], ["one-two", "one"]),
    ],
)
def test_short_labels_leave_out_what_all_profiles_are_called(
    profiles: list[str], labels: list[str], tmp_path: Path
) -> None:
    runs = []
    for name in profiles:
        folder = RunFolder.create(load_profile("5way1shot", [f"name={name}"]), tmp_path)
        folder.release()
        runs.append(ListedRun.read(folder.path))
    assert list(short_labels(runs).values()) == labels


def test_archived_runs_are_found_only_when_asked_for(runs: dict[str, ListedRun]) -> None:
    runs["a"].folder.annotate(archived=True)
    archived = ListedRun.read(runs["a"].path)
    assert not Query.parse("").matches(archived)
    assert Query.parse("archived=yes").matches(archived)
    assert not Query.parse("archived=yes").matches(runs["b"])


def test_what_was_changed_of_a_profile_is_told_by_its_keys() -> None:
    assert changed_settings(load_profile("5way1shot")) == ""
    changed = changed_settings(load_profile("5way1shot", ["inner.steps=5", "meta.seed=3"]))
    assert changed == "than 5way1shot: inner.steps 5, meta.seed 3"
    assert changed_settings(Profile(name="mine")) == ""
    own = changed_settings(load_profile("5way1shot", ["name=mine", "inner.steps=5"]))
    assert own.startswith("than the defaults: ") and "inner.steps 5" in own
