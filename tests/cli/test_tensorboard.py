"""Curves as files that TensorBoard reads."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest

from mamltui.cli import main
from mamltui.cli.tensorboard import FILE, TensorBoardExport, crc32c, record
from mamltui.errors import ExitCode
from mamltui.events import Validated
from mamltui.profiles import Profile
from mamltui.runs import RunFolder
from tests.cli.run_folders import step_at


@pytest.fixture
def run(tmp_path: Path) -> RunFolder:
    run = RunFolder.create(Profile(name="small"), tmp_path / "runs")
    run.append_metrics(step_at(20))
    run.append_event(Validated(20, 0.5, 0.1, 1.0, (0.3, 0.5), (1.2, 1.0), True, 2.0))
    return run


def fields(content: bytes) -> dict[int, bytes | int]:
    """The fields of a protocol buffer, by their numbers."""
    found: dict[int, bytes | int] = {}
    place = 0

    def varint() -> int:
        nonlocal place
        value = shift = 0
        while True:
            byte = content[place]
            place += 1
            value |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                return value

    while place < len(content):
        tag = varint()
        size = {1: 8, 5: 4}.get(tag & 7)
        if tag & 7 == 0:
            found[tag >> 3] = varint()
            continue
        if size is None:
            size = varint()
        found[tag >> 3] = content[place : place + size]
        place += size
    return found


def scalars(path: Path) -> dict[tuple[str, int], float]:
    """What a file says, its checksums checked, by tag and iteration."""
    content, found = path.read_bytes(), {}
    while content:
        (length,) = struct.unpack("<Q", content[:8])
        body = content[12 : 12 + length]
        assert record(body) == content[: 16 + length]
        content = content[16 + length :]
        event = fields(body)
        if 5 in event:
            value = fields(fields(event[5])[1])
            number = struct.unpack("<f", value[2])[0]
            found[value[1].decode(), event[2]] = number
        else:
            assert event[3] == b"brain.Event:2"
    return found


def test_checksums_are_those_of_the_standard() -> None:
    assert crc32c(b"123456789") == 0xE3069283
    assert crc32c(bytes(32)) == 0x8A9136AA


def test_every_value_of_a_step_and_a_validation_is_a_point(run: RunFolder, tmp_path: Path) -> None:
    code = main(["runs", "export", str(run.path), "--to", "tensorboard", "--dir", str(tmp_path)])
    assert code == ExitCode.DONE
    found = scalars(tmp_path / run.name / FILE)
    assert found["query/loss", 20] == 0.5
    assert found["query/loss_step0", 20] == 1.125
    assert found["gradient_norm", 20] == 2.5
    assert found["validation/accuracy", 20] == 0.5
    assert {iteration for _, iteration in found} == {20}
    run.release()


def test_what_comes_later_is_added_and_a_run_that_was_cut_back_told_anew(
    run: RunFolder, tmp_path: Path
) -> None:
    export = TensorBoardExport(run, tmp_path)
    assert export.write() > 0 and export.write() == 0
    run.append_metrics(step_at(40))
    assert export.write() > 0
    assert {iteration for _, iteration in scalars(export.path)} == {20, 40}
    run.cut_back(20, 20)
    export.write()
    assert {iteration for _, iteration in scalars(export.path)} == {20}
    run.update(state="finished")
    run.append_metrics(step_at(60))
    told: list[int] = []
    export.follow(told.append)
    assert len(told) == 1 and {iteration for _, iteration in scalars(export.path)} == {20, 60}
    export.close()
    run.release()


def test_a_folder_is_asked_for(run: RunFolder, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["runs", "export", str(run.path), "--to", "tensorboard"]) == ExitCode.USAGE
    assert "--dir DIR" in capsys.readouterr().err
    assert main(["runs", "export", str(run.path), "--follow"]) == ExitCode.USAGE
    run.release()
