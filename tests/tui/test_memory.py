"""What is remembered from one start to the next."""

from __future__ import annotations

from pathlib import Path

import pytest

from mamltui.tui.session.memory import Memory, state_file
from mamltui.tui.shared.terminal import notification_sequence, title_sequence


def test_a_value_is_there_at_the_next_start(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "app.json"
    Memory(path).set("train.metric", "loss")
    assert Memory(path).get("train.metric", "accuracy") == "loss"
    assert [file.name for file in path.parent.iterdir()] == ["app.json"]


@pytest.mark.parametrize("content", ["", "nonsense", "[1]", '{"train.metric": 3}'])
def test_what_is_damaged_or_of_another_type_is_forgotten(tmp_path: Path, content: str) -> None:
    path = tmp_path / "app.json"
    path.write_text(content)
    assert Memory(path).get("train.metric", "accuracy") == "accuracy"


def test_a_folder_that_cannot_be_written_is_no_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    memory = Memory(tmp_path / "file" / "app.json")
    memory.set("theme", "x")
    assert memory.get("theme", "") == "x"


def test_the_place_can_be_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MAMLTUI_STATE_DIR", str(tmp_path))
    assert state_file() == tmp_path / "app.json"
    monkeypatch.delenv("MAMLTUI_STATE_DIR")
    assert state_file().name == "app.json"


def test_what_a_terminal_is_told_holds_nothing_that_it_would_obey() -> None:
    assert title_sequence("73 % 96.1 5way1shot") == "\x1b]2;73 % 96.1 5way1shot\x07"
    odd = "a\x1b]2;b\x07" + "c" * 500
    for sequence in (title_sequence(odd), notification_sequence(odd)):
        assert sequence.count("\x1b") <= 2 and len(sequence) < 140
    assert notification_sequence("over") == "\x07\x1b]9;over\x1b\\"
