"""Curves of runs for TensorBoard, W&B and trackio."""

from __future__ import annotations

import json
import struct
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import wandb

from mamltui.cli import main
from mamltui.cli.exporters.run_export import RunExport
from mamltui.cli.exporters.tensorboard import FILE, TensorBoardSink, crc32c, record
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
    values: dict[int, bytes | int] = {}
    position = 0

    def varint() -> int:
        nonlocal position
        value = shift = 0
        while True:
            byte = content[position]
            position += 1
            value |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                return value

    while position < len(content):
        tag = varint()
        size = {1: 8, 5: 4}.get(tag & 7)
        if tag & 7 == 0:
            values[tag >> 3] = varint()
            continue
        if size is None:
            size = varint()
        values[tag >> 3] = content[position : position + size]
        position += size
    return values


def scalars(path: Path) -> dict[tuple[str, int], float]:
    """What a file says, its checksums checked, by tag and iteration."""
    content, points = path.read_bytes(), {}
    while content:
        (length,) = struct.unpack("<Q", content[:8])
        body = content[12 : 12 + length]
        assert record(body) == content[: 16 + length]
        content = content[16 + length :]
        event = fields(body)
        if 5 in event:
            value = fields(fields(event[5])[1])
            number = struct.unpack("<f", value[2])[0]
            points[value[1].decode(), event[2]] = number
        else:
            assert event[3] == b"brain.Event:2"
    return points


def test_checksums_are_those_of_the_standard() -> None:
    assert crc32c(b"123456789") == 0xE3069283
    assert crc32c(bytes(32)) == 0x8A9136AA


def test_every_value_of_a_step_and_a_validation_is_a_point(run: RunFolder, tmp_path: Path) -> None:
    code = main(["runs", "export", str(run.path), "--to", "tensorboard", "--dir", str(tmp_path)])
    assert code == ExitCode.DONE
    points = scalars(tmp_path / run.name / FILE)
    assert points["query/loss", 20] == 0.5
    assert points["query/loss_step0", 20] == 1.125
    assert points["gradient_norm", 20] == 2.5
    assert points["validation/accuracy", 20] == 0.5
    assert {iteration for _, iteration in points} == {20}
    run.release()


def test_what_comes_later_is_added_and_a_run_that_was_cut_back_told_anew(
    run: RunFolder, tmp_path: Path
) -> None:
    sink = TensorBoardSink(run, tmp_path)
    export = RunExport(run, sink)
    assert export.write() > 0 and export.write() == 0
    run.append_metrics(step_at(40))
    assert export.write() > 0
    assert {iteration for _, iteration in scalars(sink.path)} == {20, 40}
    run.cut_back(20, 20)
    export.write()
    assert {iteration for _, iteration in scalars(sink.path)} == {20}
    run.update(state="finished")
    run.append_metrics(step_at(60))
    counts: list[int] = []
    export.follow(counts.append)
    assert len(counts) == 1 and {iteration for _, iteration in scalars(sink.path)} == {20, 60}
    export.close()
    run.release()


def test_a_folder_is_asked_for(run: RunFolder, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["runs", "export", str(run.path), "--to", "tensorboard"]) == ExitCode.USAGE
    assert "--dir DIR" in capsys.readouterr().err
    assert main(["runs", "export", str(run.path), "--follow"]) == ExitCode.USAGE
    run.release()


def wandb_records(folder: Path) -> list[Any]:
    """The records of the only offline run below ``folder``.

    Its file is a log as LevelDB writes it: blocks of 32 KiB that hold records in parts, each with
    a checksum, a length and a kind (whole, first, middle, last), after a header of seven bytes.
    """
    from wandb.proto.wandb_internal_pb2 import Record

    (path,) = folder.glob("wandb/offline-run-*/run-*.wandb")
    content, position, records, parts = path.read_bytes(), 7, [], b""
    while position < len(content):
        if 0x8000 - position % 0x8000 < 7:  # no room for a head in this block
            position += 0x8000 - position % 0x8000
        length, kind = struct.unpack("<HB", content[position + 4 : position + 7])
        parts += content[position + 7 : position + 7 + length]
        position += 7 + length
        if kind in (1, 4):
            records.append(Record.FromString(parts))
            parts = b""
    return records


def test_wandb_is_told_of_a_run_without_a_network(
    run: RunFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WANDB_MODE", "offline")
    run.annotate(title="first try", tags=["paper"])
    arguments = ["runs", "export", str(run.path), "--to", "wandb", "--project", "maml"]
    assert main([*arguments, "--dir", str(tmp_path)]) == ExitCode.DONE
    wandb.teardown()  # as at the end of a process: its writer ends, too
    records = wandb_records(tmp_path)
    (stored,) = (record.run for record in records if record.HasField("run"))
    assert (stored.project, stored.display_name, list(stored.tags)) == (
        "maml",
        "first try",
        ["paper"],
    )
    config = {item.key: json.loads(item.value_json) for item in stored.config.update}
    assert config["task"]["way"] == 5 and config["run"] == run.name
    assert stored.host == ""  # what this process runs on is nobody's business
    rows = [
        {
            item.key or item.nested_key[0]: json.loads(item.value_json)
            for item in record.history.item
        }
        for record in records
        if record.HasField("history")
    ]
    assert rows[0]["iteration"] == 20
    assert rows[0]["query/loss"] == 0.5 and rows[0]["validation/accuracy"] == 0.5
    run.release()


def test_trackio_keeps_a_run_in_its_database(run: RunFolder, tmp_path: Path) -> None:
    """In a process of its own: trackio asks once where its database is."""
    script = (
        "import json, sys; from mamltui.cli import main; "
        "code = main(sys.argv[1:]); from trackio.sqlite_storage import SQLiteStorage as Storage; "
        "(name,) = Storage.get_runs('maml'); "
        "print(json.dumps([code, name, Storage.get_logs('maml', name), "
        "Storage.get_run_config('maml', name)]))"
    )
    arguments = ["runs", "export", str(run.path), "--to", "trackio", "--project", "maml"]
    ended = subprocess.run(
        [sys.executable, "-c", script, *arguments, "--dir", str(tmp_path / "trackio")],
        capture_output=True,
        text=True,
        check=True,
    )
    code, name, logs, config = json.loads(ended.stdout)
    assert (code, name) == (ExitCode.DONE, run.name)
    assert logs[0]["step"] == 20
    assert logs[0]["query/loss"] == 0.5 and logs[0]["validation/accuracy"] == 0.5
    assert config["task"]["way"] == 5
    assert "trackio show --project maml" in ended.stderr
    run.release()


@pytest.mark.parametrize("name", ["wandb", "trackio"])
def test_a_tracker_that_is_not_installed_is_named(
    name: str,
    run: RunFolder,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setitem(sys.modules, name, None)
    assert main(["runs", "export", str(run.path), "--to", name]) == ExitCode.USAGE
    assert f"pip install 'mamltui[{name}]'" in capsys.readouterr().err
    run.release()


def test_what_a_tracker_refuses_is_told_in_words(
    run: RunFolder, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def init(**_: Any) -> None:
        raise RuntimeError("no API key\nconfigured")

    monkeypatch.setitem(sys.modules, "wandb", SimpleNamespace(init=init, Settings=lambda **_: None))
    assert main(["runs", "export", str(run.path), "--to", "wandb"]) == ExitCode.FAILURE
    stderr = capsys.readouterr().err
    assert "W&B refuses: RuntimeError: no API key" in stderr and "WANDB_MODE=offline" in stderr
    run.release()
