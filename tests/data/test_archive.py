"""Hostile and damaged zips: refused with a reason, and nothing written anywhere."""

from __future__ import annotations

import io
import stat
import struct
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mamltui.data.archive import FolderSource, Limits, ZipSource
from mamltui.data.omniglot import load_omniglot
from mamltui.errors import DataError
from tests.data import miniature

LIMITS = Limits(archive_bytes=100_000, members=50, member_bytes=2_000, total_bytes=20_000)


def read_all(path: Path) -> dict[str, bytes]:
    with ZipSource(path, LIMITS) as source:
        return {name: source.read(name) for name in source.names}


def zip_of(*members: tuple[zipfile.ZipInfo | str, bytes]) -> bytes:
    """The same bytes at whatever time: members named by a string are dated 1980."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members:
            entry = zipfile.ZipInfo(name) if isinstance(name, str) else name
            archive.writestr(entry, content, zipfile.ZIP_DEFLATED)
    return file.getvalue()


def link(name: str, mode: int = stat.S_IFLNK) -> zipfile.ZipInfo:
    entry = zipfile.ZipInfo(name)
    entry.external_attr = (mode | 0o777) << 16
    return entry


def png_header(width: int, height: int) -> bytes:
    """A PNG that declares a size and holds almost nothing."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return (
            struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        )

    header = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    body = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0" * 1000))
    return b"\x89PNG\r\n\x1a\n" + body + chunk(b"IEND", b"")


def encrypted() -> bytes:
    content = bytearray(zip_of(("a.png", b"x" * 20)))
    content[6] |= 1  # local header
    content[content.index(b"PK\1\2") + 8] |= 1
    return bytes(content)


def declares_less_than_it_holds() -> bytes:
    """Deflated zeros far beyond what both headers declare."""
    content = bytearray(zip_of(("a.png", b"\0" * 10_000_000)))
    directory = content.index(b"PK\1\2")
    content[22:26] = content[directory + 24 : directory + 28] = struct.pack("<I", 100)
    return bytes(content)


def test_files_are_read_by_name_and_folders_passed_over(tmp_path: Path) -> None:
    path = tmp_path / "a.zip"
    path.write_bytes(zip_of(("d/", b""), ("d/a.png", b"one"), ("d/é.png", b"two")))
    assert read_all(path) == {"d/a.png": b"one", "d/é.png": b"two"}


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (zip_of(("../evil.png", b"x")), "points outside: ../evil.png"),
        (zip_of(("a/../../evil.png", b"x")), "points outside"),
        (zip_of(("/etc/evil.png", b"x")), "points outside"),
        (zip_of(("C:\\evil.png", b"x")), "points outside"),
        (zip_of(("C:/evil.png", b"x")), "points outside"),
        (zip_of(("a\\..\\..\\evil.png", b"x")), "points outside"),
        (zip_of(("a//evil.png", b"x")), "points outside"),
        (zip_of((link("a.png"), b"/etc/passwd")), "a.png is a link or a special file"),
        (zip_of((link("a.png", stat.S_IFIFO), b"")), "a.png is a link or a special file"),
        (zip_of(("a.png", b"\0" * 2_001)), "a.png unpacks to 2,001 bytes, more than the 2,000"),
        (zip_of(*((f"{n}.png", b"\0" * 2_000) for n in range(11))), "unpacks to 22,000 bytes"),
        (zip_of(*((f"{n}.png", b"") for n in range(51))), "holds 51 files, more than 50"),
        (np.random.default_rng(0).bytes(100_001), "is 100,001 bytes, more than the 100,000"),
        (encrypted(), "a.png is encrypted"),
        (declares_less_than_it_holds(), "damaged or cut-off zip"),
        (b"", "damaged or cut-off zip"),
        (b"<html>404: Not Found</html>", "damaged or cut-off zip"),
        (zip_of(("a.png", b"x" * 500))[:-30], "damaged or cut-off zip"),
        (zip_of(("a.png", bytes(range(256))))[:100], "damaged or cut-off zip"),
    ],
)
def test_a_hostile_or_damaged_zip_is_refused(tmp_path: Path, content: bytes, reason: str) -> None:
    path = tmp_path / "in" / "bad.zip"
    path.parent.mkdir()
    path.write_bytes(content)
    with pytest.raises(DataError) as caught:
        read_all(path)
    assert reason in caught.value.what
    assert caught.value.where == str(path)
    assert sorted(tmp_path.rglob("*")) == [path.parent, path]


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_packing_methods_that_images_never_need_are_refused(tmp_path: Path, method: int) -> None:
    path = tmp_path / "bad.zip"
    with zipfile.ZipFile(path, "w", method) as archive:
        archive.writestr("a.png", b"x")
    with pytest.raises(DataError, match="other than stored or deflated"):
        read_all(path)


def test_a_name_held_twice_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "bad.zip"
    with pytest.warns(UserWarning, match="Duplicate name"):
        path.write_bytes(zip_of(("a.png", b"x"), ("a.png", b"y")))
    with pytest.raises(DataError, match=r"holds a\.png twice"):
        read_all(path)


def test_entries_that_share_their_bytes_cannot_exceed_the_total(tmp_path: Path) -> None:
    # The directory lies about sizes; what is really unpacked is counted while reading.
    path = tmp_path / "a.zip"
    path.write_bytes(zip_of(*((f"{n}.png", b"\0" * 1_900) for n in range(10))))
    tight = Limits(100_000, 50, 2_000, 20_000)
    with ZipSource(path, tight) as source:
        for _ in range(10):
            source.read("0.png")
        with pytest.raises(DataError, match="more than it declares"):
            source.read("1.png")


def test_a_bomb_is_refused_without_unpacking_it(tmp_path: Path) -> None:
    import tracemalloc

    path = tmp_path / "bomb.zip"
    path.write_bytes(declares_less_than_it_holds())
    tracemalloc.start()
    with pytest.raises(DataError):
        read_all(path)
    assert tracemalloc.get_traced_memory()[1] < 3_000_000
    tracemalloc.stop()


def test_a_missing_zip_is_an_error_for_people(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="No such file"):
        read_all(tmp_path / "none.zip")


@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(data=st.data())
def test_no_damage_gives_anything_but_a_data_error(tmp_path: Path, data: st.DataObject) -> None:
    whole = zip_of(("a/one.png", b"x" * 300), ("a/two.png", bytes(range(250))))
    broken = bytearray(whole)
    for _ in range(data.draw(st.integers(1, 6))):
        broken[data.draw(st.integers(0, len(broken) - 1))] = data.draw(st.integers(0, 255))
    del broken[data.draw(st.integers(len(broken) // 2, len(broken))) :]
    path = tmp_path / "fuzzed.zip"
    path.write_bytes(bytes(broken))
    try:
        contents = read_all(path)
    except DataError:
        return
    assert all(len(content) <= LIMITS.member_bytes for content in contents.values())


@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(data=st.data())
def test_no_damaged_png_gives_anything_but_a_data_error(
    tmp_path: Path, data: st.DataObject
) -> None:
    contents = miniature.files()
    first = next(iter(contents))
    broken = bytearray(contents[first])
    for _ in range(data.draw(st.integers(1, 4))):
        broken[data.draw(st.integers(0, len(broken) - 1))] = data.draw(st.integers(0, 255))
    if bytes(broken) == contents[first]:
        return
    root = miniature.write_zips(tmp_path / "zips", {**contents, first: bytes(broken)})
    try:
        bank = load_omniglot(
            root,
            resize="nearest",
            image_size=28,
            download=False,
            expected=miniature.expected(),
        )
    except DataError:
        return
    # Only a change that leaves every pixel as it was may pass.
    assert bank.classes == 5


@pytest.mark.usefixtures("cache_dir")
@pytest.mark.parametrize("size", [(10_000, 10_000), (60_000, 60_000), (2**31 - 1, 2**31 - 1)])
def test_a_png_of_huge_dimensions_is_refused_by_its_header(
    tmp_path: Path, size: tuple[int, int], recwarn: pytest.WarningsRecorder
) -> None:
    contents = miniature.files()
    first = next(iter(contents))
    root = miniature.write_zips(tmp_path / "z", {**contents, first: png_header(*size)})
    with pytest.raises(DataError, match=f"is {size[0]} x {size[1]} pixels, not 105 x 105"):
        load_omniglot(
            root,
            resize="nearest",
            image_size=28,
            download=False,
            expected=miniature.expected(),
        )
    assert not recwarn.list


@pytest.mark.parametrize(
    "harm",
    [
        lambda path: path.write_bytes(zip_of(("../../evil.png", b"x"))),
        lambda path: path.write_bytes(zip_of((link("images_background/Greek"), b"/etc"))),
        lambda path: path.write_bytes(path.read_bytes()[:2000]),
        lambda path: path.write_bytes(zip_of(("run.exe", b"MZ"))),
    ],
)
def test_a_hostile_omniglot_writes_nothing_not_even_in_the_cache(
    tmp_path: Path, cache_dir: Path, harm: Callable[[Path], object]
) -> None:
    root = miniature.write_zips(tmp_path / "z", miniature.files())
    harm(root / "images_background.zip")
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(DataError):
        load_omniglot(
            root,
            resize="nearest",
            image_size=28,
            download=False,
            expected=miniature.expected(),
        )
    assert sorted(tmp_path.rglob("*")) == before
    assert not cache_dir.exists()


def test_a_folder_with_too_many_or_too_large_files_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "many"
    folder.mkdir()
    for number in range(51):
        (folder / f"{number}.png").write_bytes(b"")
    with pytest.raises(DataError, match="more than 50 files"):
        FolderSource(folder, LIMITS)
    large = tmp_path / "large"
    large.mkdir()
    (large / "a.png").write_bytes(b"x" * 2_001)
    source = FolderSource(large, LIMITS)
    assert source.names == ("large/a.png",)
    with pytest.raises(DataError, match="larger than the 2,000 bytes"):
        source.read("large/a.png")
