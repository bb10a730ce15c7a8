"""Files of lines: appended by one process, read by others, whole at every moment."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from mamltui.errors import RunError
from mamltui.runs.files import START, LinesFile, Page, write_whole

WRITER = """
import sys
from pathlib import Path
from mamltui.runs.files import LinesFile
lines = LinesFile(Path(sys.argv[1]), dict)
for number in range(int(sys.argv[2])):
    lines.append({"number": number, "padding": "x" * (number % 700)})
"""


def number_of(values: dict[str, Any]) -> int:
    if not isinstance(values.get("number"), int):
        raise ValueError("number is missing")
    return int(values["number"])


@pytest.fixture
def lines(tmp_path: Path) -> LinesFile[int]:
    return LinesFile(tmp_path / "lines.jsonl", number_of)


def append(lines: LinesFile[int], *numbers: int) -> None:
    for number in numbers:
        lines.append({"number": number})


def test_a_missing_file_is_empty(lines: LinesFile[int]) -> None:
    assert lines.read().records == []
    assert lines.read().position == START


def test_what_was_appended_is_read_in_order(lines: LinesFile[int]) -> None:
    append(lines, 3, 1, 2)
    assert lines.read().records == [3, 1, 2]


def test_reading_on_gives_only_what_is_new(lines: LinesFile[int]) -> None:
    append(lines, 1, 2)
    page = lines.read()
    assert lines.read(page.position).records == []
    append(lines, 3)
    page = lines.read(page.position)
    assert (page.records, page.restarted) == ([3], False)


def test_a_torn_last_line_is_left_until_it_is_whole(lines: LinesFile[int]) -> None:
    append(lines, 1)
    with lines.path.open("ab") as file:
        file.write(b'{"numb')
    page = lines.read()
    assert page.records == [1]
    with lines.path.open("ab") as file:
        file.write(b'er": 2}\n')
    assert lines.read(page.position).records == [2]


@pytest.mark.parametrize(
    "damaged",
    [b"", b"nonsense", b"[1]", b"3", b'{"number": 2', b'{"other": 2}', b"\xff\xfe", b"[" * 100_000],
)
def test_a_damaged_line_in_the_middle_is_named(lines: LinesFile[int], damaged: bytes) -> None:
    append(lines, 1)
    position = lines.read().position
    with lines.path.open("ab") as file:
        file.write(damaged + b"\n")
    append(lines, 3)
    for since in (START, position):
        with pytest.raises(RunError, match="damaged") as caught:
            lines.read(since)
        assert caught.value.where == f"{lines.path}:2"


def test_a_reader_starts_over_when_lines_were_cut_off(lines: LinesFile[int]) -> None:
    append(lines, 1, 2, 3)
    position = lines.read().position
    lines.keep(lambda number: number <= 1)
    page = lines.read(position)
    assert (page.records, page.restarted) == ([1], True)


def test_a_reader_notices_a_cut_even_if_the_file_has_grown_beyond_it(
    lines: LinesFile[int],
) -> None:
    append(lines, 1, 2, 3)
    position = lines.read().position
    lines.keep(lambda number: number <= 1)
    append(lines, 12, 13, 14, 15)
    page = lines.read(position)
    assert (page.records, page.restarted) == ([1, 12, 13, 14, 15], True)
    assert lines.read(page.position) == Page([], page.position, False)


def test_a_reader_notices_that_the_file_is_gone(lines: LinesFile[int]) -> None:
    append(lines, 1)
    position = lines.read().position
    lines.path.unlink()
    assert lines.read(position) == Page([], START, True)


def test_cutting_drops_a_torn_last_line(lines: LinesFile[int]) -> None:
    append(lines, 1, 2)
    with lines.path.open("ab") as file:
        file.write(b'{"numb')
    lines.keep(lambda _: True)
    append(lines, 3)
    assert lines.read().records == [1, 2, 3]


def test_cutting_nothing_leaves_readers_undisturbed(lines: LinesFile[int]) -> None:
    append(lines, 1, 2)
    position = lines.read().position
    lines.keep(lambda _: True)
    assert not lines.read(position).restarted


def test_damage_at_the_end_is_cut_off_with_what_is_not_wanted(lines: LinesFile[int]) -> None:
    content = b'{"number": 1}\n{"number": 2}\n{"number": 3}\n\0\0\n\n{"number": 4}\n'
    lines.path.write_bytes(content)
    lines.keep(lambda number: number <= 2)
    assert lines.path.read_bytes() == b'{"number": 1}\n{"number": 2}\n'


def test_cutting_a_damaged_file_leaves_it_as_it_was(lines: LinesFile[int]) -> None:
    content = b'{"number": 1}\nnonsense\n{"number": 3}\n'
    lines.path.write_bytes(content)
    with pytest.raises(RunError, match="damaged"):
        lines.keep(lambda number: number <= 3)
    assert lines.path.read_bytes() == content


def test_values_that_json_cannot_say_are_refused(lines: LinesFile[int]) -> None:
    with pytest.raises(ValueError, match="JSON"):
        lines.append({"number": float("nan")})
    assert not lines.path.exists()


def test_a_line_that_fits_only_in_part_is_taken_back_until_there_is_room(
    lines: LinesFile[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    append(lines, 1)
    write = os.write
    with monkeypatch.context() as patch:
        patch.setattr(
            os, "write", lambda descriptor, data: write(descriptor, data[: len(data) // 2])
        )
        with pytest.raises(RunError, match="No space left"):
            append(lines, 2)
        assert lines.read().records == [1]
        assert lines.path.read_bytes().endswith(b"\n")
    append(lines, 3)
    assert lines.read().records == [1, 2, 3]
    assert lines.unwritten == []


def test_part_of_a_line_that_could_not_be_taken_back_is_cut_off_later(
    lines: LinesFile[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    append(lines, 1)
    write = os.write

    def fail(*_: object) -> None:
        raise OSError(5, "Input/output error")

    with monkeypatch.context() as patch:
        patch.setattr(os, "write", lambda descriptor, data: write(descriptor, data[:4]))
        patch.setattr(os, "ftruncate", fail)
        with pytest.raises(RunError, match="No space left"):
            append(lines, 2)
    assert lines.read().records == [1]
    append(lines, 3)
    assert lines.read().records == [1, 2, 3]


def test_lines_that_the_disk_did_not_confirm_are_written_again(
    lines: LinesFile[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    append(lines, 1)
    lines.sync()
    append(lines, 2, 3)

    def fail(_: int) -> None:
        raise OSError(5, "Input/output error")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", fail)
        with pytest.raises(RunError, match="Input/output error"):
            lines.sync()
    # As after a failed fsync: what was written is not what is read.
    content = lines.path.read_bytes()
    lines.path.write_bytes(content[: len(content) // 2].ljust(len(content), b"\0"))
    append(lines, 4)
    assert lines.read().records == [1, 2, 3, 4]
    lines.sync()
    assert lines.unwritten == []


def test_what_is_in_memory_stays_small_without_checkpoints(lines: LinesFile[int]) -> None:
    for number in range(5000):
        lines.append({"number": number, "padding": "x" * 1000})
        assert lines.unconfirmed_bytes <= 2**20


def test_a_full_disk_is_an_error_with_the_file_in_it(
    lines: LinesFile[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "write", full)
    with pytest.raises(RunError, match="No space left") as caught:
        append(lines, 1)
    assert caught.value.where == str(lines.path)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="a full disk is had from /dev/full")
def test_a_file_that_cannot_be_written_whole_stays_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "state"
    write_whole(path, b"old")
    monkeypatch.setattr("secrets.token_hex", lambda _: "part")
    (tmp_path / f".state.{os.getpid()}-part.part").symlink_to("/dev/full")
    with pytest.raises(RunError, match="No space left"):
        write_whole(path, b"new" * 10_000)
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_file_is_read_while_another_process_writes_it(lines: LinesFile[int]) -> None:
    count = 3000
    writer = subprocess.Popen([sys.executable, "-c", WRITER, str(lines.path), str(count)])
    numbers: list[int] = []
    pages = 0
    position = START
    while len(numbers) < count:
        running = writer.poll() is None
        page = lines.read(position)
        assert not page.restarted
        pages += bool(page.records)
        numbers += page.records
        position = page.position
        assert running or page.records, "the writer ended too early"
    assert writer.wait() == 0
    assert numbers == list(range(count))
    assert pages > 1
