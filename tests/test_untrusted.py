"""Every reader of a stored file meets hostile ones: it reads what is whole, or says what is not."""

from __future__ import annotations

import errno
import io
import math
import os
import random
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields, is_dataclass, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from PIL import Image
from pydantic import BaseModel

from mamltui.data.archive import Limits, ZipSource
from mamltui.data.bank import ImageBank
from mamltui.data.cache import StaleCacheError, bank_hash, load_packed, store_packed
from mamltui.data.folder import load_folder
from mamltui.errors import DataError, MamltuiError, RunError
from mamltui.events import Finished, Notice, Started
from mamltui.maml.network import NetworkSpec
from mamltui.profiles import load_profile, parse_profile
from mamltui.results import json_text, read_evaluations
from mamltui.runs import RunFolder
from mamltui.runs.checkpoint import load_checkpoint
from mamltui.runs.images import FILE, difference, read_images
from mamltui.text import visible_lines
from mamltui.tui.session.memory import Memory
from mamltui.untrusted import checked, parse_json, read_file
from tests.mutation import Mutation, bytewise, header, lines, metadata, mutate, numbers, shapes
from tests.results.examples import evaluation
from tests.runs.conftest import make_checkpoint, make_step

GATE, WHOLE = 20_000, 1_000_000
"""Inputs of all readers together: at every run of the tests, and in the long ones."""
LIMITS = Limits(archive_bytes=2**16, members=20, member_bytes=2**12, total_bytes=2**14)


@dataclass(frozen=True)
class Reader:
    """A file that is read, as it should be."""

    content: bytes
    name: str
    """In a run folder, if it is part of one."""
    read: Callable[[Path], object]
    kinds: tuple[Mutation, ...]
    share: float
    """Of the inputs: reading images and tensors takes longer."""


@pytest.fixture(scope="module")
def readers(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Reader]:
    folder = tmp_path_factory.mktemp("whole")
    profile = parse_profile('name = "small"\nnetwork.filters = 1\ndata.image_size = 8', "small")
    run = RunFolder.create(profile, folder)
    tiny = NetworkSpec(way=2, image_size=8, filters=1)
    run.save_checkpoint("last", replace(make_checkpoint(network=tiny)))
    for event in (
        Started(0, run=run.name, iterations=60, device="cpu", parameters=99, resumed=False),
        Notice(3, message="a \x1b[31m notice"),
        Finished(9, best_iteration=7, best_accuracy=0.5, best_loss=1.5, elapsed=3.25),
    ):
        run.append_event(event)
    for iteration in (1, 2, 3):
        run.append_metrics(make_step(iteration))
    run.release()
    (folder / "result.json").write_text(json_text([evaluation(episodes=600)]))
    images = torch.randint(0, 2, (3, 2, 1, 8, 8), dtype=torch.uint8) * 255
    names = ("a", "b", "c")
    bank = ImageBank("folder", images, names, bank_hash(images, names), "here")
    store_packed(folder / "packed", bank, content="c", fingerprint="f")
    with zipfile.ZipFile(folder / "zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a/1.png", b"1" * 100)
        archive.writestr("b/2.png", b"2" * 100)

    def whole(name: str) -> bytes:
        return (run.path / name).read_bytes()

    json_kinds = (shapes, numbers, bytewise)
    toml_kinds = (lines(numbers), lines(bytewise), bytewise)
    tensor_kinds = (metadata("mamltui"), header(shapes), header(bytewise), bytewise)
    found = {
        "state": Reader(whole("run.json"), "run.json", _info, json_kinds, 20),
        "settings": Reader(
            b"[inner]\nalpha = 0.4\nsteps = 1\n[task]\nway = 5\n[data]\nset = 'folder'\npath = 'x'",
            "profile.toml",
            lambda path: RunFolder(path.parent).profile,
            toml_kinds,
            4,
        ),
        "metrics": Reader(
            whole("metrics.jsonl"),
            "metrics.jsonl",
            lambda path: RunFolder(path.parent).read_metrics().records,
            (lines(shapes), lines(numbers), bytewise),
            20,
        ),
        "events": Reader(
            whole("events.jsonl"),
            "events.jsonl",
            lambda path: RunFolder(path.parent).read_events().records,
            (lines(shapes), lines(numbers), bytewise),
            20,
        ),
        "checkpoint": Reader(
            whole("checkpoints/last.safetensors"), "x", load_checkpoint, tensor_kinds, 8
        ),
        "results": Reader(
            (folder / "result.json").read_bytes(), "x", read_evaluations, json_kinds, 4
        ),
        "packed": Reader((folder / "packed").read_bytes(), "x", _packed, tensor_kinds, 8),
        "profile": Reader(
            b"[inner]\nalpha = 0.4\n[task]\nway = 5 # of 5\n[evaluation]\nsteps = '0..2'",
            "x.toml",
            lambda path: load_profile(str(path)),
            toml_kinds,
            4,
        ),
        "memory": Reader(b'{"theme": "nord", "chart": {"log": true}}', "x", _memory, json_kinds, 8),
        "zip": Reader((folder / "zip").read_bytes(), "x.zip", _unzipped, (bytewise,), 4),
        "images": Reader(
            b'{"used": {"a/1.png": "0011223344556677"}, "unused": ["a/2.png", "b/1.png"]}',
            FILE,
            _trained_images,
            json_kinds,
            8,
        ),
    }
    for ending in ("png", "gif", "bmp", "tiff", "webp", "jpeg", "ppm"):
        found[ending] = Reader(_image(ending), f"2.{ending}", _images, (bytewise,), 0.4)
    return found


def _info(path: Path) -> object:
    return RunFolder(path.parent).info()


def _packed(path: Path) -> object:
    try:
        return load_packed(path, content="c", fingerprint=None)
    except StaleCacheError as error:
        raise DataError(str(error)) from error


def _memory(path: Path) -> object:
    """Values of any kind: who asks for one says which."""
    memory = Memory(path)
    return [type(memory.get("theme", "x")) is str, type(memory.get("chart", {})) is dict]


def _trained_images(path: Path) -> object:
    """The list of a run's images, and what is told of files that differ from it."""
    if read_images(path.parent) is None:
        raise DataError("no list")
    images = torch.zeros(1, 2, 1, 8, 8, dtype=torch.uint8)
    bank = ImageBank("folder", images, ("a",), "c", "here", ("a/1.png", "a/3.png"))
    assert difference(path.parent, bank).isprintable()
    return []


def _unzipped(path: Path) -> object:
    with ZipSource(path, LIMITS) as source:
        return [len(source.read(name)) for name in source.names]


def _image(ending: str) -> bytes:
    image = Image.new("L", (9, 9), 255)
    image.paste(0, (2, 2, 5, 6))
    buffer = io.BytesIO()
    image.save(buffer, ending)
    return buffer.getvalue()


def _images(path: Path) -> object:
    folder = path.parent
    if not (folder / f"1{path.suffix}").exists():
        (folder / f"1{path.suffix}").write_bytes(_image(path.suffix[1:]))
    bank = load_folder(folder.parent, resize="nearest", image_size=8)
    return list(bank.images.shape)


def _numbers(value: Any) -> Iterator[float]:
    """All numbers inside, but for those of results that may be unknown."""
    if isinstance(value, BaseModel):
        value = dict(value)
    if is_dataclass(value):
        value = {field.name: getattr(value, field.name) for field in fields(value)}
    if isinstance(value, dict):
        for key, inner in value.items():
            if key not in ("loss", "loss_ci95", "images", "parameters", "adam"):
                yield from _numbers(inner)
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from _numbers(inner)
    elif isinstance(value, int | float):
        yield value


def _try(reader: Reader, path: Path, content: bytes) -> bool:
    """Whether it could be read; what cannot must be refused in words that can be printed."""
    path.write_bytes(content)
    try:
        found = reader.read(path)
    except MamltuiError as error:
        assert visible_lines(str(error)).replace("\n", "").isprintable()
        return False
    for number in _numbers(found):
        assert math.isfinite(number)
        assert abs(number) < 2**64 or isinstance(number, float)
    return True


def _fuzz(readers: dict[str, Reader], folder: Path, inputs: int, seed: int) -> dict[str, int]:
    total = sum(reader.share for reader in readers.values())
    counts = {}
    for name, reader in readers.items():
        place = folder / name / "class"
        place.mkdir(parents=True)
        path = place / reader.name
        assert _try(reader, path, reader.content), name
        source = random.Random(f"{seed} {name}")
        counts[name] = math.ceil(inputs * reader.share / total)
        read = 0
        for number in range(counts[name]):
            content = mutate(reader.content, source, *reader.kinds)
            try:
                read += _try(reader, path, content)
            except Exception as error:
                raise AssertionError(f"{name}, seed {seed}, input {number}: {content!r}") from error
        assert read < counts[name] or name == "memory", name  # which forgets instead
    return counts


def test_readers_survive_damage_at_random(readers: dict[str, Reader], tmp_path: Path) -> None:
    assert sum(_fuzz(readers, tmp_path, GATE, seed=0).values()) >= GATE


@pytest.mark.long
@pytest.mark.timeout(7200)
def test_readers_survive_a_million_damages(readers: dict[str, Reader], tmp_path: Path) -> None:
    counts = _fuzz(readers, tmp_path, WHOLE, seed=1)
    print("\n".join(f"{name:<12}{count:>9,}" for name, count in counts.items()))
    assert sum(counts.values()) >= WHOLE


READERS = ("state", "settings", "metrics", "events", "checkpoint", "results", "packed", "zip")


def _pipe(path: Path) -> None:
    os.mkfifo(path)


def _device(path: Path) -> None:
    path.symlink_to("/dev/zero")


def _terminal(path: Path) -> None:
    path.symlink_to("/dev/tty")


def _loop(path: Path) -> None:
    path.symlink_to(path.name)


def _huge(path: Path) -> None:
    """Of 1 TiB, all of it a hole."""
    with path.open("wb") as file:
        file.truncate(2**40)


@pytest.mark.timeout(20)
@pytest.mark.parametrize("place", [_pipe, _device, _terminal, _loop, Path.mkdir, _huge])
@pytest.mark.parametrize("name", READERS)
def test_what_is_no_file_of_its_size_is_refused_unread(
    name: str, place: Callable[[Path], None], readers: dict[str, Reader], tmp_path: Path
) -> None:
    path = tmp_path / readers[name].name
    place(path)
    try:
        assert readers[name].read(path) is None  # an image that is not packed
    except MamltuiError as error:
        assert path.name in str(error) or name == "packed"


@pytest.mark.parametrize("name", READERS)
def test_a_link_to_a_whole_file_is_as_good_as_the_file(
    name: str, readers: dict[str, Reader], tmp_path: Path
) -> None:
    (tmp_path / "elsewhere").write_bytes(readers[name].content)
    path = tmp_path / readers[name].name
    path.symlink_to("elsewhere")
    readers[name].read(path)


@pytest.mark.timeout(20)
def test_a_lock_that_is_a_pipe_holds_nobody_up(readers: dict[str, Reader], tmp_path: Path) -> None:
    (tmp_path / "run.json").write_bytes(readers["state"].content)
    os.mkfifo(tmp_path / "lock")
    assert RunFolder(tmp_path).info().profile == "small"


def test_a_line_of_a_hundred_megabytes_is_refused_by_its_number(tmp_path: Path) -> None:
    run = RunFolder(tmp_path)
    for _ in range(2):
        run.append_metrics(make_step(1))
    with (tmp_path / "metrics.jsonl").open("ab") as file:
        file.truncate(100_000_000)
    with pytest.raises(RunError, match="longer than 1,000,000 bytes") as caught:
        run.read_metrics()
    assert (caught.value.where or "").endswith("metrics.jsonl:3")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("{", "Expecting"),
        ("[" * 100_000, "nested too deeply"),
        ("NaN", "NaN is not JSON"),
        ("[1, -Infinity]", "-Infinity is not JSON"),
        (b"\xff\xfe\x00", "codec"),
    ],
)
def test_what_is_not_json_is_refused(content: str, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        parse_json(content)


def test_a_fault_is_told_in_one_short_line_that_prints() -> None:
    for value in ("x" * 10**6, "\x1b[2J\n", 10**5000, [[]], None, float("nan")):
        with pytest.raises(ValueError, match="iteration") as caught:
            checked(Notice, {"iteration": value, "message": ""})
        assert str(caught.value).isprintable()
        assert len(str(caught.value)) < 300


def test_the_size_is_asked_before_the_file_is_read(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"1234")
    assert read_file(tmp_path / "x", 4) == b"1234"
    with pytest.raises(OSError, match="larger than 3 bytes") as caught:
        read_file(tmp_path / "x", 3)
    assert caught.value.errno == errno.EFBIG


def test_a_file_that_grows_while_it_is_read_is_read_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "x").write_bytes(b"123456")
    monkeypatch.setattr("mamltui.untrusted.regular", lambda _: SimpleNamespace(st_size=2))
    assert read_file(tmp_path / "x", 6) == b"123456"
    with pytest.raises(OSError, match="larger than 5 bytes"):
        read_file(tmp_path / "x", 5)


@pytest.mark.timeout(20)
def test_lines_and_locks_are_written_to_nothing_but_files(tmp_path: Path) -> None:
    """A run folder from a stranger cannot have them appended to a file of ours, or block."""
    mine = tmp_path / "mine"
    mine.write_bytes(b"precious")
    run = RunFolder(tmp_path / "run")
    run.path.mkdir()
    for name in ("metrics.jsonl", "lock"):
        (run.path / name).symlink_to(mine)
    os.mkfifo(run.path / "events.jsonl")
    for write in (
        lambda: run.append_metrics(make_step(1)),
        lambda: run.append_event(Notice(1, message="")),
        run.acquire,
    ):
        with pytest.raises(RunError, match="cannot"):
            write()
    assert mine.read_bytes() == b"precious"
