"""Sources are compiled once, kept, and never trusted blindly; what fails is said in words.

Each library is loaded by a process of its own, as one remembers what it has loaded.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from mamltui.compiled import CompilingStoppedError, find_compiler, load_compiled

REPOSITORY = Path(__file__).parents[1]
COMPILER = find_compiler()
SECONDS = 60
"""Far beyond what any of these waits takes."""
LOAD = """
import sys
from pathlib import Path
from mamltui import compiled
source, scalar = Path(sys.argv[1]), sys.argv[2]
{before}
print("compiling" if compiled.must_compile(source, scalar) else "at once")
try:
    print(compiled.load_compiled(source, scalar).size())
except compiled.NotCompiledError as error:
    print(error)
"""

pytestmark = [
    pytest.mark.skipif(
        os.name != "posix" or COMPILER is None, reason="needs a C++ compiler on a POSIX system"
    ),
    pytest.mark.usefixtures("cache_dir"),
]


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "small.cpp"
    path.write_text('extern "C" int size() { return sizeof(SCALAR); }\n')
    return path


def use_compiler(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, script: str) -> Path:
    """A compiler that tells its version and then does what ``script``, for sh, says."""
    path = tmp_path / "compiler"
    path.write_text(f'#!/bin/sh\n[ "$1" = --version ] && exec "{COMPILER}" "$@"\n{script}\n')
    path.chmod(0o755)
    monkeypatch.setenv("CXX", str(path))
    return path


def start(source: Path, scalar: str = "double", before: str = "") -> subprocess.Popen[str]:
    """A process that loads the library; says if that takes a compiler, and its size or why not."""
    return subprocess.Popen(
        [sys.executable, "-c", LOAD.format(before=before), str(source), scalar],
        cwd=REPOSITORY,
        stdout=subprocess.PIPE,
        text=True,
        # Whoever runs the tests in the background may ignore it, and children inherit that.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )


def said(process: subprocess.Popen[str]) -> tuple[str, ...]:
    with process:
        out, _ = process.communicate(timeout=SECONDS)
    assert process.returncode == 0
    return tuple(out.splitlines())


def wait_until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + SECONDS
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


def refused(source: Path) -> str:
    """Why there is no library, although a compiler was to be had."""
    begun, reason = said(start(source))
    assert begun == "compiling"
    return reason


def libraries(cache_dir: Path) -> list[Path]:
    return sorted((cache_dir / "compiled").iterdir())


def test_a_source_is_compiled_once_for_each_scalar_and_found_again(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, source: Path, cache_dir: Path
) -> None:
    log = tmp_path / "log"
    use_compiler(monkeypatch, tmp_path, f'echo compiling >> "{log}"\nexec "{COMPILER}" "$@"')
    assert said(start(source)) == ("compiling", "8")
    assert said(start(source)) == ("at once", "8")
    assert log.read_text() == "compiling\n"
    assert said(start(source, "float")) == ("compiling", "4")
    assert said(start(source, "float")) == ("at once", "4")
    assert log.read_text() == 2 * "compiling\n"
    assert [path.suffix for path in libraries(cache_dir)] == [".so", ".so"]


def test_a_source_that_changed_is_compiled_anew(source: Path) -> None:
    assert said(start(source)) == ("compiling", "8")
    source.write_text('extern "C" int size() { return 100 + sizeof(SCALAR); }\n')
    assert said(start(source)) == ("compiling", "108")


def test_another_processor_has_a_library_of_its_own(source: Path) -> None:
    assert said(start(source)) == ("compiling", "8")
    another = "compiled.processor = lambda: 'another'"
    assert said(start(source, before=another)) == ("compiling", "8")
    assert said(start(source, before=another)) == said(start(source)) == ("at once", "8")


def test_another_compiler_makes_a_library_of_its_own(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, source: Path
) -> None:
    assert said(start(source)) == ("compiling", "8")
    use_compiler(monkeypatch, tmp_path, f'exec "{COMPILER}" "$@"')
    assert said(start(source)) == ("compiling", "8")


def test_no_compiler_is_said_in_words(monkeypatch: pytest.MonkeyPatch, source: Path) -> None:
    monkeypatch.setenv("PATH", "")
    monkeypatch.delenv("CXX", raising=False)
    assert find_compiler() is None
    reason = "there is no C++ compiler (c++, g++ or clang++) on the path"
    assert said(start(source)) == ("at once", reason)


@pytest.mark.parametrize(
    ("script", "words"),
    [
        ("echo 'small.cpp:1: no such thing' >&2; echo more >&2; exit 1", "small.cpp:1: no such"),
        ("exit 1", "no "),
        ("kill -9 $$", "no "),
        ("printf 'caf\\351: not found\\n' >&2; exit 1", "not found"),
    ],
    ids=["two lines", "silent", "killed", "latin-1"],
)
def test_of_a_compiler_that_fails_the_first_line_is_told(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, source: Path, script: str, words: str
) -> None:
    path = use_compiler(monkeypatch, tmp_path, script)
    told = refused(source)
    assert told.startswith(f"{path} failed: ")
    assert words in told
    assert "more" not in told


def test_what_a_real_compiler_says_of_a_wrong_source_is_told(source: Path) -> None:
    source.write_text("this is no C++\n")
    assert "error" in refused(source)


def test_a_compiler_that_cannot_be_run_is_said_in_words(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, source: Path
) -> None:
    path = tmp_path / "broken"
    path.write_bytes(b"\x7fELF")
    path.chmod(0o755)
    monkeypatch.setenv("CXX", str(path))
    begun, reason = said(start(source))
    assert begun == "at once"
    assert reason.startswith(f"{path} cannot be run: ")


def test_nothing_is_left_of_a_compilation_that_failed(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, source: Path, cache_dir: Path
) -> None:
    way = tmp_path / "way"
    use_compiler(
        monkeypatch, tmp_path, f'"{COMPILER}" "$@"\n[ -e "{way}" ] || exit 1  # the disk is full'
    )
    refused(source)
    assert libraries(cache_dir) == []
    way.touch()
    assert said(start(source)) == ("compiling", "8")


def test_a_stop_ends_the_compiler_and_leaves_nothing(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, source: Path, cache_dir: Path
) -> None:
    begun = tmp_path / "begun"
    longer_than_a_test = 1000
    script = f'echo $$ > "{begun}.new"; mv "{begun}.new" "{begun}"; exec sleep {longer_than_a_test}'
    use_compiler(monkeypatch, tmp_path, script)
    with pytest.raises(CompilingStoppedError):
        load_compiled(source, "double", should_stop=begun.exists)
    with pytest.raises(ProcessLookupError):
        os.kill(int(begun.read_text()), 0)
    assert libraries(cache_dir) == []


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL])
def test_a_signal_while_compiling_ends_all_of_it(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    source: Path,
    cache_dir: Path,
    number: signal.Signals,
) -> None:
    begun = tmp_path / "begun"
    at_work = f'sleep 1000 & echo $$ $! > "{begun}.new"; mv "{begun}.new" "{begun}"; wait'
    use_compiler(monkeypatch, tmp_path, at_work)
    with start(source) as process:
        wait_until(begun.exists)
        process.send_signal(number)
        process.wait(SECONDS)
    pids = [int(pid) for pid in begun.read_text().split()]
    if number != signal.SIGKILL:
        assert process.returncode == -number
        wait_until(lambda: not any(map(is_running, pids)))
        assert libraries(cache_dir) == []
        return
    os.killpg(pids[0], signal.SIGKILL)  # nobody could
    (left,) = libraries(cache_dir)
    use_compiler(monkeypatch, tmp_path, f'exec "{COMPILER}" "$@"')
    assert said(start(source)) == ("compiling", "8")
    assert left in libraries(cache_dir)  # another process may be at work there
    for path in (*left.rglob("*"), left):
        os.utime(path, (0, 0))
    assert said(start(source, "float")) == ("compiling", "4")
    assert left not in libraries(cache_dir)


def test_a_signal_while_the_compiler_is_being_started_ends_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, source: Path, cache_dir: Path
) -> None:
    begun = tmp_path / "begun"
    use_compiler(
        monkeypatch, tmp_path, f'echo $$ > "{begun}.new"; mv "{begun}.new" "{begun}"; sleep 99'
    )
    before = f"""
import os, signal, time
class Popen(compiled.subprocess.Popen):
    def __init__(self, command, **options):
        super().__init__(command, **options)
        while "-shared" in command and not os.path.exists({str(begun)!r}):
            time.sleep(0.01)
        if "-shared" in command:
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(0.01)
compiled.subprocess.Popen = Popen
"""
    with start(source, before=before) as process:
        process.communicate(timeout=SECONDS)
    assert process.returncode in (-signal.SIGINT, 130)
    wait_until(lambda: not is_running(int(begun.read_text())))
    assert libraries(cache_dir) == []


def is_running(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


def test_who_waits_for_another_threads_compiler_may_give_up(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, source: Path
) -> None:
    begun, enough = tmp_path / "begun", threading.Event()
    use_compiler(monkeypatch, tmp_path, f'touch "{begun}"; exec sleep 1000')

    def compile_until_enough() -> None:
        with pytest.raises(CompilingStoppedError):
            load_compiled(source, "double", should_stop=enough.is_set)

    other = threading.Thread(target=compile_until_enough)
    other.start()
    try:
        wait_until(begun.exists)
        with pytest.raises(CompilingStoppedError):
            load_compiled(source, "double", should_stop=lambda: True)
    finally:
        enough.set()
        other.join(SECONDS)


@pytest.mark.parametrize(
    ("before", "answer"),
    [("", "None"), ("compiled.find_compiler = lambda: None", "there is no C++ compiler (c++,")],
)
def test_asking_whether_there_can_be_a_library_compiles_nothing(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, source: Path, before: str, answer: str
) -> None:
    log = tmp_path / "log"
    use_compiler(monkeypatch, tmp_path, f'echo compiling >> "{log}"\nexec "{COMPILER}" "$@"')
    asking = f"{before}\nprint(compiled.why_unavailable(source, scalar))\nsys.exit()"
    (found,) = said(start(source, before=asking))
    assert found.startswith(answer)
    assert not log.exists()


def test_a_compiler_that_refused_is_not_asked_again(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, source: Path
) -> None:
    log = tmp_path / "log"
    use_compiler(monkeypatch, tmp_path, f'echo compiling >> "{log}"\nexit 1')
    before = """
try:
    compiled.load_compiled(source, scalar)
except compiled.NotCompiledError:
    print(compiled.why_unavailable(source, scalar))
"""
    first, begun, again = said(start(source, before=before))
    assert (begun, again) == ("at once", first)
    assert log.read_text() == "compiling\n"


@pytest.mark.parametrize(
    ("name", "words"),
    [("file", ("Not a directory", "File exists")), ("x" * 300, ("File name too long",))],
    ids=["a file", "a name too long"],
)
def test_a_cache_folder_that_cannot_be_is_said_in_words(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    source: Path,
    name: str,
    words: tuple[str, ...],
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("MAMLTUI_CACHE_DIR", str(tmp_path / name))
    reason = said(start(source))[-1]
    assert any(each in reason for each in words)


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="root may write anywhere")
@pytest.mark.parametrize("mode", [0o500, 0o000])
def test_a_cache_folder_of_somebody_else_is_said_in_words(
    source: Path, cache_dir: Path, mode: int
) -> None:
    cache_dir.mkdir()
    cache_dir.chmod(mode)
    try:
        assert "Permission denied" in said(start(source))[-1]
    finally:
        cache_dir.chmod(0o700)


NOEXEC = "the cache folder {} is on a disk that runs no programs (mounted noexec)"


def test_a_cache_folder_that_runs_no_programs_is_said_in_words_before_compiling(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, source: Path, cache_dir: Path
) -> None:
    log = tmp_path / "log"
    use_compiler(monkeypatch, tmp_path, f'echo compiling >> "{log}"\nexec "{COMPILER}" "$@"')
    noexec = "os.statvfs = lambda _: type('', (), {'f_flag': os.ST_NOEXEC})"
    begun, reason = said(start(source, before=f"import os\n{noexec}"))
    assert begun == "at once"
    assert reason.startswith(NOEXEC.format(cache_dir))
    assert "MAMLTUI_CACHE_DIR names another" in reason
    assert not log.exists()


@pytest.mark.skipif(shutil.which("mount") is None, reason="this system cannot mount")
def test_a_cache_folder_that_is_mounted_noexec_is_said_in_words(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, source: Path
) -> None:
    place = tmp_path / "noexec"
    place.mkdir()
    mounted = ["mount", "-t", "tmpfs", "-o", "noexec,size=16m", "tmpfs", str(place)]
    if subprocess.run(mounted, capture_output=True, check=False).returncode:
        pytest.skip("only root may mount")
    try:
        monkeypatch.setenv("MAMLTUI_CACHE_DIR", str(place / "cache"))
        begun, reason = said(start(source))
        assert begun == "at once"
        assert reason.startswith(NOEXEC.format(place / "cache"))
        assert list(place.iterdir()) == []
    finally:
        subprocess.run(["umount", str(place)], check=True)


def test_a_library_that_cannot_be_loaded_is_known_before_it_is_used(source: Path) -> None:
    assert said(start(source)) == ("compiling", "8")
    refuse = """
def refuse(path):
    raise OSError("failed to map segment from shared object")
compiled.ctypes.CDLL = refuse
print(compiled.why_unavailable(source, scalar))
sys.exit()
"""
    (reason,) = said(start(source, before=refuse))
    assert reason == (
        "the compiled library cannot be loaded: failed to map segment from shared object"
    )


@pytest.mark.parametrize("kept", ["nothing", "half", "other bytes"])
def test_a_torn_library_is_noticed_and_made_anew_at_the_next_start(
    source: Path, cache_dir: Path, kept: str
) -> None:
    assert said(start(source)) == ("compiling", "8")
    (path,) = libraries(cache_dir)
    whole = path.read_bytes()
    torn = {"nothing": b"", "half": whole[: len(whole) // 2], "other bytes": b"x" * len(whole)}
    path.write_bytes(torn[kept])
    _, found = said(start(source))  # a process that trusted it might die of it
    assert found == "8" or found.startswith("the compiled library cannot be loaded: ")
    assert said(start(source))[-1] == "8"


def test_two_processes_may_compile_the_same_at_once(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, source: Path, cache_dir: Path
) -> None:
    place = tmp_path / "compiling"
    place.mkdir()
    use_compiler(
        monkeypatch,
        tmp_path,
        f"""touch "{place}/$$"
tries=0
while [ "$(ls "{place}" | wc -l)" -lt 2 ]; do
    tries=$((tries + 1))
    [ $tries -gt 2000 ] && exit 1
    sleep 0.01
done
exec "{COMPILER}" "$@"
""",
    )
    processes = [start(source) for _ in range(2)]
    assert [said(process) for process in processes] == [("compiling", "8"), ("compiling", "8")]
    assert len(list(place.iterdir())) == 2
    assert [path.suffix for path in libraries(cache_dir)] == [".so"]
