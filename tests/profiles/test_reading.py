"""Profiles found by path or name, and files that are no profiles."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest
import tomli

from mamltui.errors import ExitCode, ProfileError
from mamltui.profiles import Profile, load_profile, packaged_profiles, parse_profile, profile_name
from mamltui.profiles.sources import parse_toml


def refusal(path_or_name: str | Path) -> ProfileError:
    with pytest.raises(ProfileError) as caught:
        load_profile(str(path_or_name))
    assert caught.value.exit_code == ExitCode.USAGE
    return caught.value


def write(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


def test_an_empty_file_is_the_defaults_under_its_own_name(tmp_path: Path) -> None:
    assert load_profile(str(write(tmp_path / "empty.toml", b""))) == Profile(name="empty")


def test_values_of_a_file_are_read(tmp_path: Path) -> None:
    file = write(tmp_path / "x.toml", b'[inner]\nsteps = 4\nalpha = 1\n[data]\nset = "omniglot"\n')
    profile = load_profile(str(file))
    assert profile.inner.steps == 4
    assert profile.inner.alpha == 1.0
    assert isinstance(profile.inner.alpha, float)
    assert profile.data.set == "omniglot"
    assert profile.meta == Profile().meta


@pytest.mark.parametrize(
    "content",
    [b"\xef\xbb\xbf[task]\nway = 7\n", b"[task]\r\nway = 7\r\n", b"task.way = 7", b"task={way=7}"],
    ids=["byte order mark", "windows line ends", "dotted", "inline"],
)
def test_other_ways_to_write_the_same_are_read(tmp_path: Path, content: bytes) -> None:
    assert load_profile(str(write(tmp_path / "x.toml", content))).task.way == 7


@pytest.mark.parametrize(
    ("toml", "query"),
    [("", 1), ("[task]\nshot = 5", 5), ("[task]\nshot = 5\nquery = 2", 2), ("[task]\nway=2", 1)],
)
def test_query_follows_shot_unless_given(toml: str, query: int) -> None:
    assert parse_profile(toml, "x.toml").task.query == query


def test_query_follows_a_shot_that_is_overridden() -> None:
    assert parse_profile("", "x.toml", ["task.shot=5"]).task.query == 5
    assert parse_profile("[task]\nquery = 3", "x.toml", ["task.shot=5"]).task.query == 3


def test_a_packaged_profile_is_found_by_name_from_any_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert load_profile("5way5shot").task.shot == 5


def test_a_file_goes_before_the_packaged_profile_and_a_folder_does_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "quickstart").mkdir()
    assert load_profile("quickstart") == load_profile(str(packaged_profiles()["quickstart"]))
    (tmp_path / "quickstart").rmdir()
    write(tmp_path / "quickstart", b"[task]\nway = 9\n")
    assert load_profile("quickstart").task.way == 9


@pytest.mark.parametrize(
    "missing", ["5way5shots", "5way5shot.toml", "profiles/5way5shot.toml", "5Way5Shot", "5wa5shot"]
)
def test_a_missing_profile_suggests_the_nearest_packaged_one(
    missing: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    error = refusal(missing)
    assert error.where == missing
    assert error.hint is not None
    assert error.hint.startswith("did you mean 5way5shot? packaged profiles: quickstart, 5way1shot")


def test_a_missing_profile_like_no_other_lists_the_packaged_ones() -> None:
    error = refusal("zzz.toml")
    assert error.hint == f"packaged profiles: {', '.join(packaged_profiles())}"


@pytest.mark.parametrize("name", ["", "x" * 5000, "a\0b", "a/b/c.toml", "\udcff.toml", "\x1b[2J"])
def test_names_of_no_file_are_refused_and_safe_to_print(name: str) -> None:
    text = str(refusal(name))
    assert "\x1b" not in text
    text.encode()


def test_a_folder_is_refused_and_the_profile_in_it_named(tmp_path: Path) -> None:
    assert "folder" in refusal(tmp_path).what
    write(tmp_path / "profile.toml", b"")
    assert refusal(tmp_path).hint == f"did you mean {tmp_path / 'profile.toml'}?"


def test_a_binary_file_is_refused(tmp_path: Path) -> None:
    error = refusal(write(tmp_path / "x.toml", b"\x7fELF\x02\x01\x01\0\0\0"))
    assert "binary" in error.what
    assert error.where == str(tmp_path / "x.toml")


def test_text_that_is_not_utf8_is_refused_with_its_line(tmp_path: Path) -> None:
    file = write(tmp_path / "x.toml", b'[data]\n\ndescription = "caf\xe9"\n')
    error = refusal(file)
    assert error.where == f"{file}:3"
    assert "0xe9" in error.what


def test_utf16_is_refused_by_name(tmp_path: Path) -> None:
    assert "UTF-16" in refusal(write(tmp_path / "x.toml", "[data]\n".encode("utf-16"))).what


def test_a_file_of_more_than_a_megabyte_is_refused_and_a_smaller_one_read(tmp_path: Path) -> None:
    load_profile(str(write(tmp_path / "x.toml", b"#" * 1_000_000)))
    assert "1,000,000" in refusal(write(tmp_path / "x.toml", b"#" * 1_000_001)).what


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes on this system")
def test_a_profile_is_read_from_a_pipe(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    writer = threading.Thread(target=pipe.write_text, args=("[task]\nway = 3\n",), daemon=True)
    writer.start()
    assert load_profile(str(pipe)).task.way == 3
    writer.join(timeout=10)


def test_a_file_that_cannot_be_opened_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = write(tmp_path / "x.toml", b"")

    # Root may open any file, so permissions alone do not fail everywhere.
    def deny(*_args: object, **_kwargs: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", deny)
    assert refusal(file).what == "cannot be read: Permission denied"


@pytest.mark.parametrize(
    ("toml", "place"),
    [
        ("[inner\nsteps = 1", "1:7"),
        ("[inner]\nsteps = \n", "2:9"),
        ("[inner]\nsteps = 1\nsteps = 2\n", "3:10"),
        ("[inner]\n[inner]\n", "2:7"),
        ('description = "open\n', "1:20"),
        ("\n\nwhat is this\n", "3:6"),
        ("steps = 05\n", "1:10"),
    ],
)
def test_text_that_is_not_toml_is_refused_with_line_and_column(toml: str, place: str) -> None:
    with pytest.raises(ProfileError) as caught:
        parse_profile(toml, "x.toml")
    assert caught.value.where == f"x.toml:{place}"
    assert caught.value.what.startswith("not TOML: ")


@pytest.mark.parametrize("toml", ["a = " + "[" * 5000, "a." * 400 + "a = 1", "a = " + "9" * 5000])
def test_toml_that_python_cannot_hold_is_refused(toml: str) -> None:
    with pytest.raises(ProfileError):
        parse_profile(toml, "x.toml")


TABLES = "[meta]\nseed = 3\n[inner]\nsteps = [\n  1,\n]\n"
"""Parts that other documents have too."""


@pytest.mark.parametrize(
    "toml",
    [
        "",
        TABLES,
        f"name = 'x'\r\n\r\n{TABLES}",
        f'text = """\n[meta]\nseed = 4\n"""\n{TABLES}',
        f"text = '''\n[meta]\nseed = 4\n'''\n{TABLES}",
        f"pairs = [\n[1, 2],\n[3, 4]\n]\n{TABLES}",
        f"[a.b]\nc = 1\n[a.d]\ne = 2\n{TABLES}",
        f"[[a]]\nb = 1\n[[a]]\nb = 2\n{TABLES}",
        f"# a comment\n# [meta]\n{TABLES}# the end",
    ],
)
def test_a_document_has_the_same_values_in_whole_and_table_by_table(toml: str) -> None:
    assert parse_toml(toml, "profile.toml") == tomli.loads(toml)
    assert parse_toml(TABLES, "profile.toml") == {"meta": {"seed": 3}, "inner": {"steps": [1]}}


@pytest.mark.parametrize("first", ["[meta]\nseed = 4\n", "meta = 4\n", "meta.seed = 4\n"])
def test_a_table_that_is_there_already_is_refused(first: str) -> None:
    parse_toml(first, "profile.toml")
    with pytest.raises(ProfileError):
        parse_toml(first + TABLES, "profile.toml")


def test_an_override_changes_no_other_profile_of_the_same_text() -> None:
    text = "[meta]\nseed = 3\n"
    assert parse_profile(text, "a.toml", ["meta.seed=4"]).meta.seed == 4
    assert parse_profile(text, "b.toml").meta.seed == 3


def test_a_profile_keeps_the_name_that_it_says() -> None:
    assert parse_profile('name = "mine"', "runs/x/profile.toml").name == "mine"
    assert parse_profile("", "some/where/5way.v2.toml").name == "5way.v2"


@pytest.mark.parametrize(
    ("stem", "name"),
    [
        ("my profile (2)", "my-profile-2"),
        ("..", "profile"),
        ("", "profile"),
        ("-rf", "rf"),
        ("naïve", "na-ve"),
        ("x" * 100, "x" * 60),
    ],
)
def test_a_file_of_any_name_gives_a_name_that_is_allowed(stem: str, name: str) -> None:
    assert profile_name(stem) == name
    assert Profile(name=name).name == name


def test_an_installed_package_uses_the_profiles_inside_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "site-packages" / "mamltui"
    for folder in (package / "packaged_profiles", package.parent / "profiles"):
        folder.mkdir(parents=True)
        write(folder / "one.toml", b"")
    monkeypatch.setattr("mamltui.profiles.sources.__file__", str(package / "profiles" / "x.py"))
    assert packaged_profiles() == {"one": package / "packaged_profiles" / "one.toml"}


def test_an_installation_without_profiles_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mamltui.profiles.sources.__file__", str(tmp_path / "a" / "b" / "c.py"))
    with pytest.raises(ProfileError, match="not there"):
        packaged_profiles()


def test_where_keys_are_is_looked_for_when_something_is_wrong(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def never(text: str) -> None:
        raise AssertionError(text)

    monkeypatch.setattr("mamltui.profiles.reading.key_lines", never)
    assert parse_profile("[task]\nway = 7\n", "a.toml").task.way == 7  # hundreds are read at once
    with pytest.raises(AssertionError):
        parse_profile("[task]\nway = 1\n", "a.toml")


def test_sections_that_are_equal_in_python_but_not_in_toml_are_checked_each_by_itself() -> None:
    parse_profile("[inner]\nsteps = 1\n", "one.toml")
    for text in ("steps = true", "steps = 1.0"):
        with pytest.raises(ProfileError):
            parse_profile(f"[inner]\n{text}\n", "other.toml")


def test_an_override_leaves_other_readings_of_the_same_text_alone() -> None:
    text = "[inner]\nsteps = 3\n"
    assert parse_profile(text, "a.toml", ["inner.steps=7"]).inner.steps == 7
    assert parse_profile(text, "a.toml").inner.steps == 3
