"""``mamltui profiles``, as it is typed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from mamltui.cli import main
from mamltui.errors import ExitCode
from mamltui.profiles import Profile, keys_of, load_profile, packaged_profiles, parse_profile


def profiles(*arguments: object) -> int:
    return main(["profiles", *map(str, arguments)])


def test_list_shows_every_packaged_profile_in_a_row_of_its_own(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert profiles("list") == ExitCode.DONE
    head, *lines = capsys.readouterr().out.splitlines()
    rows = [line[2:] for line in lines if line.startswith("  ")]
    purposes = [line for line in lines if not line.startswith("  ")]
    assert purposes[:3] == ["first look:", "MAML paper:", "laptop:"] and len({*purposes}) == 9
    assert lines[lines.index("laptop:") + 1].split()[0] == "fast-5way1shot"
    assert head.split() == ["NAME", "WAY", "SHOT", "DATA", "SET", "ITERATIONS", "DESCRIPTION"]
    assert [row.split()[0] for row in rows] == list(packaged_profiles())
    row = next(row for row in rows if row.startswith("20way5shot "))
    assert row.split()[1:5] == ["20", "5", "omniglot", "60,000"]
    assert row.endswith(load_profile("20way5shot").description)


def test_show_prints_toml_that_is_the_profile(capsys: pytest.CaptureFixture[str]) -> None:
    assert profiles("show", "5way5shot") == ExitCode.DONE
    printed = capsys.readouterr()
    assert parse_profile(printed.out, "5way5shot.toml") == load_profile("5way5shot")
    assert printed.err == ""


def test_show_of_a_profile_that_is_not_there_is_refused(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert profiles("show", "5way5sht") == ExitCode.USAGE
    printed = capsys.readouterr()
    assert printed.out == ""
    assert "did you mean 5way5shot?" in printed.err


def test_validate_reports_all_problems_of_all_files(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bad = tmp_path / "bad.toml"
    bad.write_text("[inner]\nstepss = 1\nalpha = 0\n")
    worse = tmp_path / "worse.toml"
    worse.write_text("[inner")
    assert profiles("validate", bad, "quickstart", worse) == ExitCode.USAGE
    printed = capsys.readouterr()
    assert printed.out.startswith("quickstart: valid, 5-way 1-shot on strokes")
    assert len(printed.out.splitlines()) == 1
    assert f"{bad}:2: inner.stepss: unknown key" in printed.err
    assert f"{bad}:3: inner.alpha: 0 is not allowed" in printed.err
    assert f"{worse}:1:7: not TOML" in printed.err
    assert printed.err.endswith("2 of 3 not valid\n")
    assert "Traceback" not in printed.err


def test_validate_of_valid_profiles_ends_well(capsys: pytest.CaptureFixture[str]) -> None:
    assert profiles("validate", *packaged_profiles()) == ExitCode.DONE
    printed = capsys.readouterr()
    assert len(printed.out.splitlines()) == len(packaged_profiles())
    assert printed.err == ""


def test_new_writes_a_profile_that_can_be_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert profiles("new", "mine") == ExitCode.DONE
    printed = capsys.readouterr()
    assert printed.out == "mine.toml\n"
    assert "mamltui run mine.toml --headless" in printed.err
    base = load_profile("quickstart")
    expected = base.model_copy(update={"name": "mine", "description": "From quickstart"})
    assert load_profile("mine.toml") == expected


def test_new_starts_from_a_profile_with_overrides_in_a_folder(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "a" / "b"
    command = ["new", "mine.toml", "--from", "5way5shot", "--out", out]
    assert profiles(*command, "--set", "inner.steps=3", "--set", "meta.seed=1") == ExitCode.DONE
    path = out / "mine.toml"
    assert capsys.readouterr().out == f"{path}\n"
    profile = load_profile(str(path))
    assert profile.inner == load_profile("5way5shot", ["inner.steps=3"]).inner
    assert profile.meta.seed == 1
    assert profile.description == "From 5way5shot, with inner.steps=3, meta.seed=1"


def test_new_keeps_a_description_that_is_given(tmp_path: Path) -> None:
    assert profiles("new", "x", "--out", tmp_path, "--set", "description=A trial") == ExitCode.DONE
    assert load_profile(str(tmp_path / "x.toml")).description == "A trial"


def test_new_never_overwrites(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "mine.toml").write_text("precious")
    assert profiles("new", "mine", "--out", tmp_path) == ExitCode.USAGE
    assert (tmp_path / "mine.toml").read_text() == "precious"
    printed = capsys.readouterr()
    assert printed.out == ""
    assert "it is there already" in printed.err


@pytest.mark.parametrize("name", ["a/b", "../x", ".hidden", "a b", "", "..", "x" * 61])
def test_new_refuses_a_name_that_is_no_file_name(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert profiles("new", name, "--out", tmp_path / "out") == ExitCode.USAGE
    assert "letters, digits" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_new_writes_nothing_when_an_override_is_wrong(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert profiles("new", "x", "--out", tmp_path, "--set", "inner.steps=five") == ExitCode.USAGE
    assert "--set inner.steps=five" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_new_in_a_place_that_is_no_folder_fails_with_a_message(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").touch()
    assert profiles("new", "x", "--out", tmp_path / "file" / "deeper") == ExitCode.FAILURE
    error = capsys.readouterr().err
    assert "cannot be written: Not a directory" in error
    assert "Traceback" not in error


def test_new_leaves_no_half_file_behind_when_the_disk_takes_no_more(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    resource = pytest.importorskip("resource", reason="no file size limits on this system")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, before[1]))
    try:
        code = profiles("new", "x", "--out", tmp_path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert code == ExitCode.FAILURE
    assert list(tmp_path.iterdir()) == []
    error = capsys.readouterr().err
    assert "cannot be written: File too large" in error
    assert "Traceback" not in error


def test_schema_explains_every_key_in_a_line_of_its_own(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert profiles("schema") == ExitCode.DONE
    lines = capsys.readouterr().out.splitlines()
    for key in keys_of(Profile):
        found = [line for line in lines if key.description in line]
        assert len(found) == 1
        assert found[0].split()[0] == key.name
        assert key.default in found[0]
        assert f" {key.unit} " in found[0]
        assert found[0].endswith(f"Allowed: {key.allowed}.")
    assert "[inner]" in lines


def test_schema_as_json_is_json_schema_and_nothing_else(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert profiles("schema", "--json") == ExitCode.DONE
    schema = json.loads(capsys.readouterr().out)
    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert set(schema["properties"]) >= {"name", "description", "data", "task", "inner"}
