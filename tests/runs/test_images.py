"""A folder of images that has changed since a run was trained on it, and what can be done."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mamltui.cli import main
from mamltui.data.load import load_bank
from mamltui.errors import ExitCode
from mamltui.profiles import Profile
from mamltui.results import kept_evaluations
from mamltui.runs import RunFolder
from mamltui.runs.images import FILE, difference, write_images
from tests.cli.run_folders import SIZE, trained_run, write_characters

Capture = pytest.CaptureFixture[str]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> RunFolder:
    """Trained on ``characters`` of the current folder, which have moved to ``moved``."""
    monkeypatch.chdir(tmp_path)
    found = trained_run(tmp_path / "runs", write_characters(Path("characters")))
    write_images(found.path, load_bank(found.profile.data))
    Path("characters").rename("moved")
    return found


def draw_anew(file: str, seed: int = 9) -> None:
    pixels = np.random.default_rng(seed).random((SIZE, SIZE)) < 0.7
    Image.fromarray(pixels).save(file)


def evaluate(*more: str) -> int:
    options = ["--data-path", "moved", "--steps", "1", "--episodes", "4", "--device", "cpu"]
    return main(["eval", "small", *options, *more])


def test_the_files_that_differ_are_named_with_what_can_be_done(
    run: RunFolder, capsys: Capture
) -> None:
    assert evaluate() == ExitCode.DONE
    draw_anew("moved/class03/2.png")
    for number in range(6, 13):
        draw_anew(f"moved/class07/{number}.png")
    for name in ("class09", "class11"):
        Path(f"moved/{name}/5.png").unlink()
    capsys.readouterr()
    assert evaluate() == ExitCode.UNAVAILABLE
    told = capsys.readouterr().err
    assert "was trained on other images" in told
    assert "1 changed: class03/2.png" in told
    assert "2 removed: class09/5.png, class11/5.png" in told
    named = ", ".join(f"class07/{number}.png" for number in (10, 11, 12, 6, 7))
    assert f"7 added: {named} and 2 more" in told
    # Without the two the smallest class has five: the last of all others is not used any more.
    assert "others are used that were not, or the other way" in told
    assert "--data-path" in told
    assert "mamltui eval --other-images" in told
    assert "Traceback" not in told
    assert run.path.exists()


def test_other_images_of_the_same_classes_are_tested_on_when_asked_and_told_apart(
    run: RunFolder, capsys: Capture
) -> None:
    assert evaluate() == ExitCode.DONE
    draw_anew("moved/class03/2.png")
    assert evaluate("--other-images") == ExitCode.DONE
    assert "on other images than the training's" in capsys.readouterr().out
    kept = kept_evaluations(run.evaluation)
    assert sorted(each.is_other_data for each in kept) == [False, True]
    other = next(each for each in kept if each.is_other_data)
    assert other.departures(run.profile)[0] == "other images than the training had"
    assert not other.is_plain
    assert evaluate("--other-images") == ExitCode.DONE  # the same once more takes its own place
    assert len(kept_evaluations(run.evaluation)) == 2


def test_other_classes_are_refused_even_then(run: RunFolder, capsys: Capture) -> None:
    Path("moved/class03").rename("moved/class99")
    for more in ([], ["--other-images"]):
        assert evaluate(*more) == ExitCode.UNAVAILABLE
        told = capsys.readouterr().err
        assert "6 removed: class03/0.png" in told
        assert "6 added: class99/0.png" in told
        assert "some of the training could be tested on" in told
        assert "mamltui adapt" in told
        assert "mamltui eval --other-images" not in told
    assert run.path.exists()


def test_what_is_decided_for_the_whole_folder_is_not_told_file_by_file(run: RunFolder) -> None:
    pixels = np.random.default_rng(0).integers(0, 255, (SIZE, SIZE, 3), np.uint8)
    Image.fromarray(pixels).save("moved/class03/2.png")
    bank = load_bank(Profile.model_validate({"data": _data("moved")}).data)
    assert difference(run.path, bank) == (
        "all images that are in both are read otherwise, as to colour or paper"
    )


def _data(path: str) -> dict[str, object]:
    return {"set": "folder", "path": path, "image_size": SIZE}


@pytest.mark.parametrize("content", [None, b"", b"[]", b'{"used": 3}', b"\xff"])
def test_without_a_list_that_can_be_read_the_hashes_alone_are_told(
    run: RunFolder, content: bytes | None, capsys: Capture
) -> None:
    (run.path / FILE).unlink()
    if content is not None:
        (run.path / FILE).write_bytes(content)
    draw_anew("moved/class03/2.png")
    assert evaluate() == ExitCode.UNAVAILABLE
    told = capsys.readouterr().err
    assert "was trained on other images: folder with content hash" in told
    assert "changed" not in told


def test_the_list_is_the_same_from_packed_images_and_without_what_a_terminal_obeys(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mamltui.data.folder.PACKED_FROM", 4)
    place = write_characters(tmp_path / "set", classes=3, drawings=3)
    draw_anew(str(place / "class01" / "x\x1b[2J e\u0301.png"))
    (place / "class02" / "0.png").write_bytes(b"none")
    data = Profile.model_validate({"data": _data(str(place)) | {"unreadable": "leave-out"}}).data
    first, second = load_bank(data), load_bank(data)
    assert first.files == second.files
    assert first.unused_files == second.unused_files
    assert len(first.files) == 6
    assert "class01/x\\x1b[2J \u00e9.png" in first.unused_files
    assert "class02/0.png" in first.unused_files
    write_images(tmp_path, first)
    held = json.loads((tmp_path / FILE).read_text())
    assert list(held["used"]) == list(first.files)
    assert difference(tmp_path, second) == ""


def test_a_training_writes_the_list(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from tests.cli.tiny import RUN, make_place

    monkeypatch.chdir(make_place(tmp_path / "place"))
    assert main([*RUN, "--set", "meta.iterations=2"]) == ExitCode.DONE
    (written,) = Path("runs").iterdir()
    bank = load_bank(RunFolder(written).profile.data)
    assert list(json.loads((written / FILE).read_text())["used"]) == list(bank.files)
    assert len(bank.files) == bank.classes * bank.drawings
