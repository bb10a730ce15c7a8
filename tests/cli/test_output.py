"""Output that cannot be written ends no command, and is told."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from mamltui.cli import main
from mamltui.cli.output import tolerant_output
from tests.cli.tiny import RUN, only_run

needs_full_disk = pytest.mark.skipif(
    not Path("/dev/full").exists(), reason="a full disk is had from /dev/full"
)
Connect = Callable[..., None]


@pytest.fixture
def connect(monkeypatch: pytest.MonkeyPatch) -> Iterator[Connect]:
    """Connects ``stdout`` and ``stderr`` with files, or with None where they are closed."""
    with ExitStack() as opened:

        def connect(**streams: Path | str | None) -> None:
            for name, path in streams.items():
                stream = None if path is None else opened.enter_context(Path(path).open("w"))
                monkeypatch.setattr(sys, name, stream)

        yield connect


@needs_full_disk
def test_output_to_a_full_device_is_a_plain_error(connect: Connect, tmp_path: Path) -> None:
    connect(stdout="/dev/full", stderr=tmp_path / "error")
    assert main(["profiles", "list"]) == 1
    assert (tmp_path / "error").read_text() == (
        "mamltui: error: some of the output could not be written: No space left on device\n"
    )


def test_a_closed_output_is_a_plain_error(connect: Connect, tmp_path: Path) -> None:
    connect(stdout=None, stderr=tmp_path / "error")
    assert main(["profiles", "list"]) == 1
    assert "some of the output could not be written" in (tmp_path / "error").read_text()
    assert "bug" not in (tmp_path / "error").read_text()


def test_a_reader_that_has_had_enough_is_told_nothing(
    connect: Connect, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    connect(stderr=tmp_path / "error")
    with os.fdopen(writing, "w") as stream:
        monkeypatch.setattr(sys, "stdout", stream)
        assert main(["profiles", "list"]) == 1
    assert (tmp_path / "error").read_text() == ""


@needs_full_disk
@pytest.mark.parametrize("output", ["text", "jsonl"])
def test_a_training_goes_on_without_its_output(place: Path, connect: Connect, output: str) -> None:
    connect(stdout="/dev/full", stderr="/dev/full" if output == "text" else None)
    assert main([*RUN, "--format", output, "--csv", "results.csv"]) == 1
    assert (place / "results.csv").read_text().count("\n") == 9
    folder = only_run(place)
    assert '"state": "finished"' in (folder / "run.json").read_text()
    assert list((folder / "evaluation").glob("*.json"))


def test_what_follows_lost_output_begins_a_line_of_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    true, room = os.write, [10, 0, 1000, 1000, 1000]

    def write(descriptor: int, data: bytes) -> int:
        size = room.pop(0)
        if size == 0:
            raise OSError(28, "No space left on device")
        return true(descriptor, data[:size])

    with (tmp_path / "output").open("w") as stream:
        monkeypatch.setattr(sys, "stdout", stream)
        monkeypatch.setattr(os, "write", write)
        with tolerant_output() as losses:
            for number in (1, 2, 3):
                print('{"event": "step", "iteration": %d}' % number, flush=True)  # noqa: UP031
        monkeypatch.undo()
    assert losses.error is not None
    assert (tmp_path / "output").read_text().splitlines() == [
        '{"event": ',
        '{"event": "step", "iteration": 2}',
        '{"event": "step", "iteration": 3}',
    ]
