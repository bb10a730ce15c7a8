"""A profile written as TOML reads back as the same profile."""

from __future__ import annotations

import unicodedata
from pathlib import Path

import tomli
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mamltui.profiles import (
    DataSection,
    EngineSection,
    EvaluationSection,
    InnerSection,
    MetaSection,
    NetworkSection,
    Profile,
    RunSection,
    TaskSection,
    ValidationSection,
    keys_of,
    load_profile,
    parse_profile,
)
from mamltui.profiles.model import LARGEST, NAME_PATTERN, SMALLEST
from mamltui.profiles.rules import DRAWINGS, SPLITS

PRINTABLE = st.characters(exclude_categories=("Cc", "Cs", "Zl", "Zp")).filter(
    lambda char: unicodedata.bidirectional(char) not in DIRECTIONS
)
DIRECTIONS = {"LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI"}
# A busy machine is no failure of these properties.
PATIENT = settings(deadline=None, max_examples=50, suppress_health_check=[HealthCheck.too_slow])
POSITIVE = st.floats(min_value=SMALLEST, max_value=LARGEST)
COUNT = st.integers(1, 10_000)


@st.composite
def profiles(draw: st.DrawFn) -> Profile:
    """Any profile that is allowed."""
    kind = draw(st.sampled_from(["strokes", "omniglot", "cifar-fs", "folder"]))
    drawings = DRAWINGS.get(kind, 20_000)
    shot = draw(st.integers(1, drawings // 2))
    path = st.text(PRINTABLE, min_size=1, max_size=30).filter(str.strip)
    choices = {
        "rotations": st.booleans(),
        "resize": st.sampled_from(["nearest", "antialias"]),
        "image_size": st.integers(8, 256),
    }
    data = {
        "set": kind,
        "split": draw(st.sampled_from(["auto", *SPLITS[kind]])),
        "path": draw(path) if kind == "folder" else "",
        **{key: draw(value) for key, value in choices.items()},
    }
    task = {
        "way": draw(st.integers(2, 16 if kind == "cifar-fs" else 50)),
        "shot": shot,
        "query": draw(
            st.just(shot) | st.integers(1, drawings - shot).filter(lambda q: q <= 10_000)
        ),
    }
    return Profile(
        name=draw(st.from_regex(NAME_PATTERN, fullmatch=True).filter(lambda name: len(name) <= 60)),
        description=draw(st.text(PRINTABLE, max_size=60)),
        data=DataSection.model_validate(data),
        task=TaskSection.model_validate(task),
        network=NetworkSection(filters=draw(st.integers(1, 1024))),
        inner=draw(
            st.builds(
                InnerSection,
                steps=st.integers(1, 1000),
                test_steps=st.integers(1, 1000),
                alpha=POSITIVE,
                loss_scale=st.sampled_from(["mean", "paper"]),
            )
        ),
        meta=draw(
            st.builds(
                MetaSection,
                batch=COUNT,
                learning_rate=st.floats(min_value=SMALLEST, max_value=1e37),
                iterations=COUNT,
                seed=st.integers(0, 2**63 - 1),
                divergence_loss=POSITIVE.filter(lambda loss: loss > 1),
                start=st.sampled_from(["", "runs/other run", 'a "name"']),
            )
        ),
        validation=draw(
            st.builds(
                ValidationSection,
                interval=COUNT,
                episodes=st.integers(2, 10_000),
                criterion=st.sampled_from(["accuracy", "loss"]),
            )
        ),
        evaluation=draw(
            st.builds(
                EvaluationSection,
                steps=st.sets(st.integers(0, 1000), min_size=1, max_size=20).map(tuple),
                episodes=st.integers(2, 10_000),
            )
        ),
        run=draw(st.builds(RunSection, log_interval=COUNT, checkpoint_interval=COUNT)),
        engine=draw(st.builds(EngineSection, task_chunk=st.integers(0, 10_000))),
    )


@PATIENT
@given(profiles())
def test_the_resolved_profile_reads_back_equal_under_any_file_name(profile: Profile) -> None:
    assert parse_profile(profile.to_toml(), "runs/x/profile.toml") == profile


@PATIENT
@given(profiles())
def test_a_template_reads_back_equal_under_its_own_file_name(profile: Profile) -> None:
    assert parse_profile(profile.to_toml(template=True), "", name=profile.name) == profile


@PATIENT
@given(profiles())
def test_the_resolved_profile_holds_every_key(profile: Profile) -> None:
    document = tomli.loads(profile.to_toml())
    for key in keys_of(Profile):
        table = document[key.section] if key.section else document
        assert key.name in table


def test_every_key_is_explained_where_it_stands() -> None:
    lines = Profile().to_toml().splitlines()
    for key in keys_of(Profile):
        unit = "" if key.unit == "-" else f" Unit: {key.unit}."
        place = lines.index(f"# {key.description}{unit}")
        assert lines[place + 1].startswith(f"{key.name} = ")


def test_a_template_takes_its_name_from_the_file_and_its_query_from_shot(tmp_path: Path) -> None:
    text = Profile(name="old", task=TaskSection(shot=5)).to_toml(template=True)
    file = tmp_path / "fresh.toml"
    file.write_text(text.replace("shot = 5", "shot = 2"))
    assert load_profile(str(file)).name == "fresh"
    assert load_profile(str(file)).task.query == 2


def test_a_template_keeps_a_query_of_its_own() -> None:
    text = Profile(task=TaskSection(shot=5, query=3)).to_toml(template=True)
    assert parse_profile(text.replace("shot = 5", "shot = 2"), "x.toml").task.query == 3
