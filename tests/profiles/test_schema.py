"""The keys as help, as JSON Schema and as documentation: all from the one model."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import tomli

from mamltui.profiles import InvalidProfileError, Key, Profile, json_schema, keys_of, parse_profile
from mamltui.profiles.keys import sections_of

DOCS = Path(__file__).parents[2] / "docs" / "profiles.md"
KEYS = keys_of(Profile)


@pytest.mark.parametrize("key", KEYS, ids=lambda key: key.path)
def test_every_key_has_default_unit_meaning_and_what_is_allowed(key: Key) -> None:
    assert key.default
    assert key.unit
    assert key.allowed
    assert key.description.endswith(".")
    assert "\n" not in key.description
    assert len(key.description) <= 90


@pytest.mark.parametrize("key", KEYS, ids=lambda key: key.path)
def test_the_default_that_is_shown_is_the_default(key: Key) -> None:
    if key.default in ("same as shot", "the file's name"):
        return
    assert parse_profile(f"{key.path} = {key.default}", "profile.toml") == Profile()


@pytest.mark.parametrize(
    "key", [key for key in KEYS if key.kind == "integer"], ids=lambda key: key.path
)
def test_the_bounds_that_are_shown_are_the_bounds(key: Key) -> None:
    lowest, highest = key.allowed.removeprefix("an integer from ").split(" to ")
    last = 2**63 - 1 if "^" in highest else int(highest.replace(",", ""))
    for beyond in (int(lowest) - 1, last + 1):
        with pytest.raises(InvalidProfileError) as caught:
            parse_profile(f"{key.path} = {beyond}", "x.toml")
        assert caught.value.problems[0].what.endswith(f"allowed: {key.allowed}")
    folder = "" if key.section == "data" else "data = {set = 'folder', path = 'x'}\n"
    if key.path == "inner.cg_steps":  # which others refuse
        folder = f"algorithm = 'imaml'\n{folder}"
    if key.path == "task.test_way":  # more than a learned head has weights for
        folder = f"algorithm = 'proto-maml'\n{folder}"
    for bound in (int(lowest), last):
        parse_profile(f"{folder}{key.path} = {bound}", "x.toml")


def test_json_schema_names_every_key_with_its_unit_and_nothing_else() -> None:
    schema = json.loads(json.dumps(json_schema()))
    assert schema["additionalProperties"] is False
    sections = sections_of(Profile)
    found: list[str] = []
    for name, key in schema["properties"].items():
        if name not in sections:
            assert key["unit"]
            assert key["description"]
            found.append(name)
            continue
        section: dict[str, Any] = schema["$defs"][sections[name].__name__]
        assert section["additionalProperties"] is False
        for inner, value in section["properties"].items():
            assert value["unit"]
            assert value["description"]
            found.append(f"{name}.{inner}")
    assert found == ["extends", *(key.path for key in KEYS)]


def test_json_schema_gives_no_default_for_what_depends_on_something_else() -> None:
    schema = json_schema()
    assert "default" not in schema["properties"]["name"]
    assert "default" not in schema["$defs"]["TaskSection"]["properties"]["query"]
    assert schema["$defs"]["TaskSection"]["properties"]["way"]["default"] == 5


def documented(key: Key) -> str:
    words = key.default in ("same as shot", "the file's name")
    default = key.default if words else f"`{key.default}`"
    return f"| `{key.path}` | {default} | {key.unit} | {key.description} | {key.allowed} |"


def test_the_page_on_profiles_documents_exactly_the_keys_there_are() -> None:
    lines = DOCS.read_text(encoding="utf-8").splitlines()
    start = lines.index("## Keys")
    end = next(place for place in range(start + 1, len(lines)) if lines[place].startswith("## "))
    rows = [line for line in lines[start:end] if line.startswith("| `")]
    assert rows == [documented(key) for key in KEYS]


def test_the_page_on_profiles_shows_messages_as_they_are() -> None:
    text = DOCS.read_text(encoding="utf-8")
    wrong = '[data]\nset = "omniglott"\n\n[inner]\nstep = 5\nalpha = 0\n\n[task]\nway = 5.0\n'
    with pytest.raises(InvalidProfileError) as caught:
        parse_profile(wrong, "mine.toml")
    assert f"```toml\n{wrong}```" in text
    assert f"```\n{caught.value}\n```" in text
    with pytest.raises(InvalidProfileError) as caught:
        parse_profile("", "x.toml", ["inner.steps=five"])
    assert str(caught.value) in text


def test_the_page_on_profiles_names_every_packaged_family() -> None:
    text = DOCS.read_text(encoding="utf-8")
    for name in (
        "quickstart",
        "5way1shot",
        "20way5shot",
        "study-20way5shot-train1",
        "cifar-fs-5way1shot",
    ):
        assert f"`{name}`" in text


def test_the_python_example_of_the_page_is_right() -> None:
    text = DOCS.read_text(encoding="utf-8")
    code = text.split("```python\n")[1].split("```")[0]
    scope: dict[str, Any] = {}
    exec(code, scope)
    for line in code.splitlines():
        expression, _, shown = line.partition("  # ")
        if shown and not shown.startswith("reads"):
            assert repr(eval(expression, scope)) == shown
    assert tomli.loads(scope["profile"].to_toml())["inner"]["steps"] == 3
