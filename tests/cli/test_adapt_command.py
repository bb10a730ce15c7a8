"""``mamltui adapt``, as it is typed."""

from __future__ import annotations

import csv
import io
import json
import shutil
import zipfile
from pathlib import Path

import pytest

from mamltui.cli import main
from mamltui.errors import ExitCode
from tests.cli.run_folders import trained_run, write_characters

Capture = pytest.CaptureFixture[str]


@pytest.fixture(scope="module")
def _place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """With a 3-way run, and images of three classes to learn from and to ask about."""
    place = tmp_path_factory.mktemp("adapt")
    characters = write_characters(place / "characters")
    trained_run(place / "runs", characters)
    for name in ("class20", "class21", "class22"):
        for part, numbers in (("known", "0"), ("new", "123")):
            folder = place / part / name
            folder.mkdir(parents=True)
            for number in numbers:
                shutil.copy(characters / name / f"{number}.png", folder)
    return place


@pytest.fixture(autouse=True)
def place(_place: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder."""
    monkeypatch.chdir(_place)
    return _place


def adapt(*arguments: str) -> int:
    return main(["adapt", "small", *arguments, "--device", "cpu"])


def test_a_folder_of_classes_gives_a_line_an_image_and_the_accuracy(capsys: Capture) -> None:
    assert adapt("--support", "known", "--query", "new") == ExitCode.DONE
    printed = capsys.readouterr()
    lines = printed.out.splitlines()
    assert lines[1].startswith("3-way, 1 shot, 2 inner steps, support statistics; best checkpoint")
    assert "images of new" in lines
    rows = [line.split() for line in lines if line.startswith("class2")]
    assert [row[0] for row in rows[:4]] == [
        "class20/1.png",
        "class20/2.png",
        "class20/3.png",
        "class21/1.png",
    ]
    assert len(rows) == 9
    right = sum(row[-1] == "right" for row in rows)
    assert right == sum(row[0].startswith(row[1]) for row in rows)
    assert lines[-1] == f"{right} of 9 right: {100 * right / 9:.2f} %"
    assert "prepared as the run's images were: 12 x 12 pixels" in printed.err


def test_files_may_follow_the_option_as_a_shell_lists_them(capsys: Capture) -> None:
    files = ["new/class20/1.png", "new/class21/2.png", "new/class22/3.png"]
    options = ["--support", "known", "--steps", "5", "--csv", "-", "--query"]
    assert adapt(*options, *files) == ExitCode.DONE
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert [row["image"] for row in rows] == files
    for row in rows:
        found = {name: float(row[f"p:{name}"]) for name in ("class20", "class21", "class22")}
        assert sum(found.values()) == pytest.approx(1, abs=1e-5)
        assert found[row["answer"]] == max(found.values()) == float(row["probability"])
        assert (row["class"], row["right"]) == ("", "")


def test_json_holds_all_of_it(capsys: Capture) -> None:
    assert adapt("--support", "known", "--query", "new", "--transductive", "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert found["classes"] == ["class20", "class21", "class22"]
    assert found["statistics"] == "transductive"
    assert found["steps"] == 2
    right = [each["answer"] == each["class"] for each in found["images"]]
    assert found["accuracy"] == sum(right) / len(right)
    assert any("12 x 12 pixels" in note for note in found["notes"])
    assert found["images"][0]["probabilities"].keys() == set(found["classes"])


def test_relative_and_absolute_files_may_be_mixed(place: Path, capsys: Capture) -> None:
    assert adapt("--support", "known", "new/class20/1.png", str(place / "new/class21/1.png")) == 0
    assert str(place / "new/class21/1.png") in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["--query", "new"], 2, "--support DIR is needed"),
        (["--support", "known"], 2, "--query is needed"),
        (["--support", "nowhere", "--query", "new"], 3, "--support nowhere: there is no such"),
        (["--support", "known", "--query", "nowhere"], 3, "--query nowhere: there is no such"),
        (["--support", "characters", "--query", "new"], 2, "for tasks of 3 classes, not of 25"),
        (["--support", "known", "--query", "new", "--csv", "-", "--json"], 2, "share stdout"),
        (["--support", "known", "--query", "new", "--checkpoint", "ensemble"], 2, "ensemble"),
        (["--support", "known", "--query", "new", "--runs-dir", "known"], 3, "small"),
    ],
)
def test_a_mistake_has_its_message_and_code(
    capsys: Capture, arguments: list[str], code: int, words: str
) -> None:
    assert adapt(*arguments) == code
    printed = capsys.readouterr()
    assert words in printed.err
    assert "Traceback" not in printed.err
    assert printed.out == ""


def test_a_head_of_prototypes_takes_any_number_of_classes(capsys: Capture) -> None:
    options = ["--support", "characters", "--query", "new", "--head", "prototypes", "--json"]
    assert adapt(*options) == ExitCode.DONE
    found = json.loads(capsys.readouterr().out)
    assert (len(found["classes"]), found["steps"], found["shots"]) == (25, 0, "6")
    assert any("query images are also support images" in note for note in found["notes"])


REFERENCE = Path(__file__).parents[2] / "runs" / "reference"


def test_a_run_that_came_with_mamltui_reads_drawings_it_has_never_seen(
    omniglot_dir: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: Capture,
) -> None:
    """Five characters of the published test alphabets, one drawing each to learn from."""
    with zipfile.ZipFile(omniglot_dir / "images_evaluation.zip") as archive:
        drawings = sorted(name for name in archive.namelist() if name.endswith(".png"))
        for character in range(0, 500, 100):
            for number, name in enumerate(drawings[20 * character :][:6]):
                folder = tmp_path / ("new" if number else "known") / f"character{character}"
                folder.mkdir(parents=True, exist_ok=True)
                (folder / f"{number}.png").write_bytes(archive.read(name))
    monkeypatch.setenv("MAMLTUI_REFERENCE_DIR", str(REFERENCE))
    options = ["--support", str(tmp_path / "known"), "--query", str(tmp_path / "new"), "--json"]
    assert main(["adapt", "fast-5way1shot", *options]) == ExitCode.DONE
    assert json.loads(capsys.readouterr().out)["accuracy"] > 0.85
