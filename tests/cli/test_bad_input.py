"""Every mistake of a user gets a message and its exit code, never a traceback."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from mamltui.cli import main
from mamltui.runs import RunFolder
from tests.cli.tiny import PROFILE, RUN, only_run

Prepare = Callable[[Path], None]
"""Spoils something in the folder where the command line will be run."""


def nothing(place: Path) -> None:
    """The mistake is in the command line alone."""


@dataclass(frozen=True)
class Mistake:
    """A command line, what was done to the folder before, and what must come of it."""

    arguments: list[str]
    code: int
    words: list[str]
    """All of them must be in what the user reads."""
    prepare: Prepare = nothing
    environment: dict[str, str] = field(default_factory=dict)
    as_process: bool = False
    """Also as a process of its own."""


def in_order(*steps: Prepare) -> Prepare:
    def do(place: Path) -> None:
        for step in steps:
            step(place)

    return do


def profile(text: str | bytes) -> Prepare:
    """Writes ``text`` as the profile."""

    def do(place: Path) -> None:
        (place / "tiny.toml").write_bytes(text.encode() if isinstance(text, str) else text)

    return do


def changed(old: str, new: str) -> Prepare:
    """Writes the profile with ``new`` in place of ``old``."""
    assert old in PROFILE
    return profile(PROFILE.replace(old, new))


def damage(name: str, content: bytes | None) -> Prepare:
    """Writes ``content`` into a file of the run; None deletes it."""

    def do(place: Path) -> None:
        path = only_run(place) / name
        if content is None:
            path.unlink()
        else:
            path.write_bytes(content)

    return do


def tear(pattern: str) -> Prepare:
    """Cuts files of the run in half."""

    def do(place: Path) -> None:
        for path in only_run(place).glob(pattern):
            path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])

    return do


def a_file_called(name: str) -> Prepare:
    def do(place: Path) -> None:
        (place / name).write_text("not a folder")

    return do


def a_folder_called(name: str) -> Prepare:
    return lambda place: (place / name).mkdir(parents=True)


def damaged_metrics(place: Path) -> None:
    path = only_run(place) / "metrics.jsonl"
    lines = path.read_text().splitlines(keepends=True)
    lines[1] = lines[1][:20] + "\n"
    path.write_text("".join(lines))


def checkpoint_of_another_network(place: Path) -> None:
    """The run's folder gets the checkpoints of a training with twice the filters."""
    arguments = [*RUN, "--set", "network.filters=8", "--set", "meta.iterations=2"]
    assert main([*arguments, "--out", "other", "--format", "none"]) == 0
    (other,) = (place / "other").iterdir()
    for kind in ("best", "last"):
        name = f"checkpoints/{kind}.safetensors"
        (only_run(place) / name).write_bytes((other / name).read_bytes())


def second_run(place: Path) -> None:
    assert main([*RUN, "--set", "meta.iterations=2", "--format", "none"]) == 0
    assert len(list((place / "runs").iterdir())) == 2


def other_images(place: Path) -> None:
    """One class of the data set is not what it was at the training."""
    folder = place / "characters"
    for image in (folder / "class00").iterdir():
        image.write_bytes((folder / "class01" / image.name).read_bytes())


def lock_run(place: Path) -> None:
    run = RunFolder(only_run(place))
    run.acquire()
    HELD.append(run)


HELD: list[RunFolder] = []
"""Runs that a test has locked, until its end."""


def truncated_zips(place: Path) -> None:
    whole_zips(place, {"images_background/Greek/character01/0001_01.png": b"x" * 5000})
    path = place / "data" / "images_background.zip"
    path.write_bytes(path.read_bytes()[:-40])


def hostile_zips(place: Path) -> None:
    whole_zips(place, {"../../escaped.png": b"x", "/etc/escaped.png": b"x"})


def pictures_of_nothing(place: Path) -> None:
    whole_zips(place, {"images_background/Greek/character01/0001_01.png": b"not a picture"})


def whole_zips(place: Path, files: dict[str, bytes]) -> None:
    (place / "data").mkdir()
    for name in ("images_background", "images_evaluation"):
        with zipfile.ZipFile(place / "data" / f"{name}.zip", "w") as archive:
            for member, content in files.items():
                archive.writestr(member, content)


def no_zips(place: Path) -> None:
    (place / "data").mkdir()
    for name in ("images_background", "images_evaluation"):
        (place / "data" / f"{name}.zip").write_text("this is not a zip")


def broken_image(place: Path) -> None:
    (place / "characters" / "class03" / "0.png").write_bytes(b"\x89PNG but not further")


def few_classes(place: Path) -> None:
    """12 classes remain of 25."""
    for number in range(12, 25):
        for image in (place / "characters" / f"class{number:02}").iterdir():
            image.unlink()
        (place / "characters" / f"class{number:02}").rmdir()


# Wherever the tests run, no server answers here.
NO_NETWORK = dict.fromkeys(
    ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"), "http://127.0.0.1:9"
)
OMNIGLOT = changed('set = "folder"\npath = "characters"', 'set = "omniglot"')
DRY = [*RUN, "--dry-run"]
FROM_DATA = [*DRY, "--data-dir", "data"]
RESUME = [*RUN, "--resume", "tiny-", "--set", "meta.iterations=6"]
EVAL = ["eval", "tiny-", "--device", "cpu"]

PROFILES = {
    "malformed TOML": Mistake(
        RUN, 2, ["tiny.toml:2:", "not TOML"], profile("[meta]\nbatch = = 3\n"), as_process=True
    ),
    "a binary file as profile": Mistake(RUN, 2, ["binary file"], profile(b"\x7fELF\0\1\2\0")),
    "a profile in UTF-16": Mistake(RUN, 2, ["UTF-16"], profile("way = 5".encode("utf-16"))),
    "a profile in Latin-1": Mistake(RUN, 2, ["not UTF-8"], profile('a = "é"'.encode("latin-1"))),
    "a key twice": Mistake(
        RUN, 2, ["tiny.toml:3:", "not TOML"], profile("[meta]\nbatch = 3\nbatch = 4\n")
    ),
    "a folder as profile": Mistake(
        ["run", "characters", "--headless"], 2, ["characters: this is a folder"]
    ),
    "a profile that is not there": Mistake(
        ["run", "nosuch.toml", "--headless"], 2, ["nosuch.toml", "no such file", "quickstart"]
    ),
    "a packaged profile misspelt": Mistake(
        ["run", "quickstrat", "--headless"], 2, ["did you mean quickstart?"]
    ),
    "an unknown key": Mistake(
        RUN,
        2,
        ["tiny.toml:17: inner.test_stepz", "unknown key", "did you mean inner.test_steps?"],
        changed("test_steps", "test_stepz"),
    ),
    "an unknown section": Mistake(
        RUN, 2, ["unknown section", "did you mean [network]?"], changed("[network]", "[netwrk]")
    ),
    "a section where a number belongs": Mistake(
        RUN, 2, ["inner is a section"], profile("inner = 5\n")
    ),
    "a text for a number": Mistake(
        RUN, 2, ["task.way", "is a text", "integer"], changed("way = 3", 'way = "three"')
    ),
    "a fraction for an integer": Mistake(
        RUN, 2, ["task.way", "2.5"], changed("way = 3", "way = 2.5")
    ),
    "one class": Mistake(RUN, 2, ["task.way", "1 is not allowed"], changed("way = 3", "way = 1")),
    "a step size of zero": Mistake(
        RUN, 2, ["inner.alpha", "0 is not allowed"], changed("test_steps = 2", "alpha = 0")
    ),
    "negative episodes": Mistake(
        RUN, 2, ["evaluation.episodes", "-6"], changed("episodes = 6", "episodes = -6")
    ),
    "steps that go backwards": Mistake(
        RUN, 2, ["evaluation.steps", "3..0"], changed('"0..3"', '"3..0"')
    ),
    "two mistakes at once": Mistake(
        RUN,
        2,
        ["2 problems", "task.way", "task.shot"],
        changed("way = 3\nshot = 1", "way = 0\nshot = 0"),
    ),
    "more drawings than strokes has": Mistake(
        RUN,
        2,
        ["shot", "query", "20"],
        profile('[data]\nset = "strokes"\n[task]\nshot = 15\nquery = 6\n'),
    ),
    "more drawings than the folder has": Mistake(
        RUN, 2, ["4 support + 4 query", "the data has 6"], changed("shot = 1", "shot = 4")
    ),
    "20-way with 12 classes": Mistake(
        [*RUN, "--set", "task.way=20"], 2, ["20", "classes"], few_classes
    ),
    "a split of another data set": Mistake(
        RUN, 2, ["finn"], changed('path = "characters"', 'path = "characters"\nsplit = "finn"')
    ),
    "a folder data set without a folder": Mistake(
        RUN, 2, ["data.path"], changed('path = "characters"', 'path = ""')
    ),
}

COMMAND_LINES = {
    "--set without a value": Mistake(
        [*RUN, "--set", "inner.steps"], 2, ["--set inner.steps", "KEY=VALUE"]
    ),
    "--set of an unknown key": Mistake(
        [*RUN, "--set", "inner.step=5"], 2, ["--set inner.step=5", "did you mean inner.steps?"]
    ),
    "--set of a wrong type": Mistake(
        [*RUN, "--set", "inner.steps=many"], 2, ["--set inner.steps=many", "integer"]
    ),
    "--set of a section": Mistake([*RUN, "--set", "inner=5"], 2, ["inner is a section"]),
    "a negative seed": Mistake([*RUN, "--seed", "-1"], 2, ["meta.seed", "-1"]),
    "a seed that is no number": Mistake([*RUN, "--seed", "x"], 2, ["--seed", "integer"]),
    "no --headless": Mistake(
        ["run", "tiny.toml"], 2, ["mamltui run tiny.toml --headless"], as_process=True
    ),
    "no profile": Mistake(["run", "--headless"], 2, ["PROFILE"]),
    "an unknown device": Mistake([*RUN[:3], "--device", "tpu"], 2, ["--device", "tpu", "cuda"]),
    "an unknown format": Mistake([*RUN, "--format", "xml"], 2, ["--format", "xml", "jsonl"]),
    "quiet and verbose": Mistake([*RUN, "-q", "-v"], 2, ["--quiet", "--verbose"]),
    "verbose without text": Mistake([*RUN, "-v", "--format", "none"], 2, ["--verbose"]),
    "an accuracy of more than all": Mistake(
        [*RUN, "--min-accuracy", "101"], 2, ["--min-accuracy 101", "0 to 100"]
    ),
    "an accuracy of less than nothing": Mistake(
        [*RUN, "--min-accuracy", "-1"], 2, ["--min-accuracy -1"]
    ),
    "an accuracy that is no number": Mistake(
        [*RUN, "--min-accuracy", "nan"], 2, ["--min-accuracy nan"]
    ),
    "CSV and JSON lines on stdout": Mistake(
        [*RUN, "--csv", "-", "--format", "jsonl"], 2, ["--csv -", "--format jsonl"]
    ),
    "a CSV path that is a folder": Mistake(
        [*RUN, "--csv", "characters"], 2, ["--csv characters", "folder"], as_process=True
    ),
    "a CSV path in a folder that is not there": Mistake(
        [*RUN, "--csv", "nowhere/results.csv"], 2, ["--csv nowhere/results.csv", "no such folder"]
    ),
    "a CSV where nothing can be written": Mistake(
        [*RUN, "--csv", "/proc/results.csv"], 2, ["--csv /proc/results.csv"]
    ),
    "a CSV path below a file": Mistake(
        [*RUN, "--csv", "tiny.toml/results.csv"], 2, ["--csv tiny.toml/results.csv"]
    ),
    "an unknown command": Mistake(["trian"], 2, ["'trian'"]),
    "an unknown option": Mistake([*RUN, "--epochs", "5"], 2, ["--epochs"]),
}

DATA = {
    "Omniglot missing, without a network": Mistake(
        DRY,
        3,
        ["Omniglot was not found", "looked in", "--data-dir", "MAMLTUI_DATA_DIR", "strokes"],
        OMNIGLOT,
        NO_NETWORK,
        as_process=True,
    ),
    "an empty data folder": Mistake(
        FROM_DATA,
        3,
        ["data: has no images_background"],
        in_order(OMNIGLOT, a_folder_called("data")),
        NO_NETWORK,
    ),
    "a data folder that is a file": Mistake(
        FROM_DATA,
        3,
        ["data: is not a folder"],
        in_order(OMNIGLOT, a_file_called("data")),
        NO_NETWORK,
    ),
    "a truncated zip": Mistake(
        FROM_DATA,
        3,
        ["images_background.zip"],
        in_order(OMNIGLOT, truncated_zips),
        NO_NETWORK,
    ),
    "a zip that reaches outside": Mistake(
        FROM_DATA,
        3,
        ["escaped.png"],
        in_order(OMNIGLOT, hostile_zips),
        NO_NETWORK,
    ),
    "a zip that is none": Mistake(
        FROM_DATA,
        3,
        ["images_background.zip"],
        in_order(OMNIGLOT, no_zips),
        NO_NETWORK,
    ),
    "a zip of too few files": Mistake(
        FROM_DATA,
        3,
        ["not the published Omniglot"],
        in_order(OMNIGLOT, pictures_of_nothing),
        NO_NETWORK,
    ),
    "verifying an Omniglot that is not there": Mistake(
        ["data", "verify"], 3, ["Omniglot"], environment=NO_NETWORK
    ),
    "a folder of images that is not there": Mistake(
        RUN, 3, ["missing"], changed('"characters"', '"missing"')
    ),
    "a folder of images that is a file": Mistake(
        RUN, 3, ["tiny.toml"], changed('"characters"', '"tiny.toml"')
    ),
    "an empty folder of images": Mistake(
        RUN,
        3,
        ["empty"],
        in_order(changed('"characters"', '"empty"'), a_folder_called("empty")),
    ),
    "an image that is none": Mistake(RUN, 3, ["0.png"], broken_image),
}

FOLDERS = {
    "a runs folder that is a file": Mistake([*RUN, "--out", "tiny.toml"], 3, ["tiny.toml", "file"]),
    "a runs folder below a file": Mistake([*RUN, "--out", "tiny.toml/runs"], 3, ["tiny.toml/runs"]),
    "a dry run into a file": Mistake([*DRY, "--out", "tiny.toml"], 3, ["tiny.toml", "file"]),
    "an unknown run": Mistake(
        [*RUN, "--resume", "nosuch"], 3, ["there is no run 'nosuch'"], as_process=True
    ),
    "a folder that is no run": Mistake([*RUN, "--resume", "characters"], 3, ["not a run folder"]),
    "the beginning of two names": Mistake(RESUME, 3, ["2 runs begin with 'tiny-'"], second_run),
    "a run that is finished": Mistake(
        [*RESUME, "--set", "meta.iterations=4"], 3, ["the run is finished", "meta.iterations"]
    ),
    "a resume with other settings": Mistake(
        [*RESUME, "--set", "inner.alpha=0.3"], 2, ["inner.alpha 0.4 -> 0.3", "profile.toml"]
    ),
    "a resume with fewer iterations": Mistake(
        [*RESUME, "--set", "meta.iterations=3"], 3, ["has done 4 iterations, more than the 3"]
    ),
    "a resume on other images": Mistake(RESUME, 3, ["trained on"], other_images),
    "a run in use": Mistake(RESUME, 3, ["the run is in use by process"], lock_run),
    "torn checkpoints": Mistake(
        RESUME, 3, ["last.safetensors", "damaged"], tear("checkpoints/*.safetensors")
    ),
    "a checkpoint of another network": Mistake(
        RESUME, 3, ["another network", "4 filters", "8 filters"], checkpoint_of_another_network
    ),
    "metrics damaged in the middle": Mistake(
        RESUME, 3, ["metrics.jsonl:2", "damaged"], damaged_metrics
    ),
    "a damaged run.json": Mistake(RESUME, 3, ["run.json", "damaged"], damage("run.json", b"{")),
    "a damaged profile in a run": Mistake(
        RESUME, 2, ["profile.toml:1", "not TOML"], damage("profile.toml", b"=")
    ),
    "a run without its profile": Mistake(RESUME, 3, ["profile.toml"], damage("profile.toml", None)),
    "evaluating an unknown run": Mistake(["eval", "nosuch"], 3, ["there is no run 'nosuch'"]),
    "evaluating without steps": Mistake([*EVAL, "--steps", "a..b"], 2, ["--steps a..b"]),
    "evaluating negative episodes": Mistake([*EVAL, "--episodes", "-5"], 2, ["--episodes", "2"]),
    "evaluating without a checkpoint": Mistake(
        EVAL, 3, ["best.safetensors"], damage("checkpoints/best.safetensors", None)
    ),
    "evaluating a torn checkpoint": Mistake(
        EVAL, 3, ["best.safetensors", "damaged"], tear("checkpoints/best.safetensors")
    ),
    "evaluating another network": Mistake(
        EVAL, 3, ["another network"], checkpoint_of_another_network
    ),
    "evaluating on other images": Mistake(EVAL, 3, ["trained on"], other_images),
    "evaluating into a folder": Mistake([*EVAL, "--csv", "characters"], 2, ["--csv characters"]),
    "evaluating into stdout twice": Mistake([*EVAL, "--csv", "-", "--json"], 2, ["--csv -"]),
    "showing an unknown run": Mistake(["runs", "show", "nosuch"], 3, ["there is no run 'nosuch'"]),
    "comparing one run": Mistake(["runs", "compare", "tiny-"], 2, ["two runs"]),
    "exporting damaged metrics": Mistake(
        ["runs", "export", "tiny-"], 3, ["metrics.jsonl:2", "damaged"], damaged_metrics
    ),
    "showing an unknown profile": Mistake(["profiles", "show", "nosuch"], 2, ["nosuch"]),
    "validating a wrong profile": Mistake(
        ["profiles", "validate", "tiny.toml"], 2, ["task.way"], changed("way = 3", "way = 0")
    ),
}

WITHOUT_RUN = PROFILES | COMMAND_LINES | DATA
MISTAKES = WITHOUT_RUN | FOLDERS


def test_there_are_enough_mistakes() -> None:
    assert len(MISTAKES) >= 40


@pytest.fixture(autouse=True)
def _free_locks() -> None:
    HELD.clear()


def _check(name: str, code: int, output: str, error: str) -> None:
    mistake = MISTAKES[name]
    assert code == mistake.code, error
    for word in mistake.words:
        assert word in error
    assert "Traceback" not in output + error
    assert "unexpected error" not in error


def _try(
    name: str,
    place: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    mistake = MISTAKES[name]
    mistake.prepare(place)
    for variable, value in mistake.environment.items():
        monkeypatch.setenv(variable, value)
    before = sorted(place.rglob("*"))
    capsys.readouterr()
    code = main(mistake.arguments)
    captured = capsys.readouterr()
    _check(name, code, captured.out, captured.err)
    assert captured.out == ""
    assert sorted(place.rglob("*")) == before


@pytest.mark.parametrize("name", WITHOUT_RUN)
def test_a_mistake_before_a_run_is_told_and_leaves_nothing_behind(
    name: str,
    place: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    _try(name, place, capsys, monkeypatch)
    assert not (place.parent / "escaped.png").exists()


@pytest.mark.parametrize("name", FOLDERS)
def test_a_mistake_with_a_run_is_told_and_leaves_nothing_behind(
    name: str,
    trained_place: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    _try(name, trained_place, capsys, monkeypatch)


@pytest.mark.parametrize("name", [name for name in MISTAKES if MISTAKES[name].as_process])
def test_a_mistake_is_told_by_the_process_as_well(
    name: str, trained_place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mistake = MISTAKES[name]
    mistake.prepare(trained_place)
    for variable, value in mistake.environment.items():
        monkeypatch.setenv(variable, value)
    process = subprocess.run(
        [sys.executable, "-m", "mamltui", *mistake.arguments],
        capture_output=True,
        text=True,
        check=False,
    )
    _check(name, process.returncode, process.stdout, process.stderr)


def test_no_cuda_is_told(
    place: Path,  # noqa: ARG001
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    assert main([*RUN[:3], "--device", "cuda"]) == 3
    error = capsys.readouterr().err
    assert "there is no CUDA device" in error
    assert "--device cpu" in error
