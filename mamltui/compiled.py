"""C++ sources compiled on the machine that runs them, once, and kept in the cache folder.

A library made for this very processor is up to several times faster than one made for all of its
kind, and nobody has to build a wheel for each. torch's own compiler works the same way.
"""

from __future__ import annotations

import ctypes
import hashlib
import os
import platform
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import lru_cache
from pathlib import Path

from mamltui.atomic import part_folder, sweep
from mamltui.caching import cache_folder

THIS_PROCESSOR = "-mcpu=native" if platform.machine() in ("arm64", "aarch64") else "-march=native"
OPTIONS = ("-std=c++17", "-O3", THIS_PROCESSOR, "-fPIC", "-shared")
SECONDS = 300
"""No compiler works longer on one of our sources."""
POLL_SECONDS = 0.05
EARLIER_PARTS = "compiling-*"
"""What earlier versions called the folder in which a compiler is at work."""

_lock = threading.Lock()
_loaded: dict[tuple[Path, str], ctypes.CDLL] = {}
_refused: dict[tuple[Path, str], str] = {}
"""What the compiler said of a source, which it is not asked about again while the process lives."""


class NotCompiledError(Exception):
    """There is no library; the text says why, in words for people."""


def find_compiler() -> str | None:
    """The C++ compiler: ``CXX``, or the first of the usual names on the path."""
    names = [os.environ.get("CXX") or "c++", "g++", "clang++"]
    return next((path for path in map(shutil.which, names) if path), None)


class CompilingStoppedError(Exception):
    """Compiling was asked to stop before its end, and did."""


def load_compiled(
    source: Path, scalar: str, should_stop: Callable[[], bool] | None = None
) -> ctypes.CDLL:
    """The library of ``source`` with ``SCALAR`` defined as ``scalar``; compiled if need be.

    It is kept under a hash of the source, the compiler and the processor's abilities, so a cache
    folder may be shared by machines. The first call in a machine's life takes some seconds. A
    signal or an exception in the meantime ends the compiler and leaves nothing of its work.

    Raises:
        NotCompiledError: there is no compiler, it refuses, or the cache folder cannot be written.
        CompilingStoppedError: ``should_stop``, asked again and again while compiling, said so.
    """
    with _alone(should_stop):
        known = _loaded.get((source, scalar))
        if known is not None:
            return known
        if (source, scalar) in _refused:
            raise NotCompiledError(_refused[source, scalar])
        path = _kept(source, scalar)
        try:
            library = _load(path or _compile(source, scalar, should_stop))
        except NotCompiledError as error:
            _refused[source, scalar] = str(error)
            raise
        _loaded[source, scalar] = library
        return library


def must_compile(source: Path, scalar: str) -> bool:
    """Whether :func:`load_compiled` would call the compiler, which takes some seconds."""
    if (source, scalar) in _loaded or (source, scalar) in _refused:
        return False
    try:
        return _kept(source, scalar) is None
    except NotCompiledError:
        return False  # there is none to call


def why_unavailable(source: Path, scalar: str) -> str | None:
    """Why there is no library and can be none, as far as one knows without compiling; else None."""
    if (source, scalar) in _loaded:
        return None
    if (source, scalar) in _refused:
        return _refused[source, scalar]
    try:
        path = _kept(source, scalar)
        if path is not None:
            _loaded[source, scalar] = _load(path)
    except NotCompiledError as error:
        return str(error)
    return None


@contextmanager
def _alone(should_stop: Callable[[], bool] | None) -> Iterator[None]:
    """One thread of the process compiles, and others that want to may give up waiting."""
    while not _lock.acquire(timeout=POLL_SECONDS):
        if should_stop is not None and should_stop():
            raise CompilingStoppedError
    try:
        yield
    finally:
        _lock.release()


def _kept(source: Path, scalar: str) -> Path | None:
    """The library, if it is there and whole: loading half of one kills the process."""
    folder, stem = cache_folder() / "compiled", _stem(source, scalar)
    if _runs_nothing(folder):
        raise NotCompiledError(
            f"the cache folder {cache_folder()} is on a disk that runs no programs (mounted "
            "noexec); MAMLTUI_CACHE_DIR names another"
        )
    try:
        paths = [path for path in folder.iterdir() if path.name.startswith(f"{stem}.")]
        return next((path for path in paths if path.name == _name(stem, path.read_bytes())), None)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise NotCompiledError(f"the cache folder cannot be read: {error}") from error


def _runs_nothing(folder: Path) -> bool:
    """Whether the file system of ``folder``, or of what it would be made in, is mounted noexec."""
    if not hasattr(os, "ST_NOEXEC"):
        return False
    for directory in (folder, *folder.parents):
        with suppress(OSError):
            return bool(os.statvfs(directory).f_flag & os.ST_NOEXEC)
    return False


def _load(path: Path) -> ctypes.CDLL:
    try:
        return ctypes.CDLL(str(path))
    except OSError as error:
        raise NotCompiledError(f"the compiled library cannot be loaded: {error}") from error


def _stem(source: Path, scalar: str) -> str:
    identity = [source.read_text(), scalar, *OPTIONS, _compiler_identity(), processor()]
    digest = hashlib.sha256("\0".join(identity).encode()).hexdigest()[:20]
    return f"{source.stem}-{scalar}-{digest}"


def _name(stem: str, content: bytes) -> str:
    return f"{stem}.{hashlib.sha256(content).hexdigest()[:20]}.so"


def _compile(source: Path, scalar: str, should_stop: Callable[[], bool] | None) -> Path:
    compiler = find_compiler()
    assert compiler is not None  # its identity is known already
    libraries, stem = cache_folder() / "compiled", _stem(source, scalar)
    try:
        libraries.mkdir(parents=True, exist_ok=True)
        sweep(libraries, EARLIER_PARTS)
        with _sigterm_as_exception(), part_folder(libraries / stem) as folder:
            made = folder / "made.so"
            command = [compiler, *OPTIONS, f"-DSCALAR={scalar}", "-o", str(made), str(source)]
            messages = folder / "messages"
            with messages.open("wb") as errors:
                returned = _call(command, folder, errors.fileno(), should_stop)
            if returned:
                lines = messages.read_text(errors="replace").strip().splitlines()
                raise NotCompiledError(f"{compiler} failed: {lines[0] if lines else 'no word'}")
            return made.replace(libraries / _name(stem, made.read_bytes()))
    except (OSError, subprocess.SubprocessError) as error:
        raise NotCompiledError(f"{source.name} could not be compiled: {error}") from error


def _call(
    command: list[str], folder: Path, errors: int, should_stop: Callable[[], bool] | None
) -> int:
    """The exit status of a compiler, whose files are all in ``folder``.

    It has a process group of its own: what is called a compiler only starts the ones that work.
    """
    end = time.monotonic() + SECONDS
    environment = os.environ | {"TMPDIR": str(folder)}
    process = None
    try:
        with _signals_held():
            process = subprocess.Popen(
                command, stderr=errors, env=environment, start_new_session=True
            )
        while process.poll() is None:
            if should_stop is not None and should_stop():
                raise CompilingStoppedError
            if time.monotonic() > end:
                raise NotCompiledError(f"the compiler was not done after {SECONDS} s")
            time.sleep(POLL_SECONDS)
    finally:
        if process is not None and process.returncode is None:
            with suppress(ProcessLookupError):
                if os.name == "posix":
                    os.killpg(process.pid, signal.SIGKILL)
                else:
                    process.kill()
            process.wait()
    return process.returncode


@contextmanager
def _signals_held() -> Iterator[None]:
    """Answer signals that come meanwhile after it: nobody would know a process just started."""
    came: list[int] = []
    before = {}
    if threading.current_thread() is threading.main_thread():
        for number in (signal.SIGINT, signal.SIGTERM):
            if callable(signal.getsignal(number)):
                before[number] = signal.signal(number, lambda each, _: came.append(each))
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        for each in came:
            signal.raise_signal(each)


class _Terminated(BaseException):
    """SIGTERM came."""


@contextmanager
def _sigterm_as_exception() -> Iterator[None]:
    """Let SIGTERM, where nobody has said what it does, end the process after all is tidied up."""
    in_main = threading.current_thread() is threading.main_thread()
    if not in_main or signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL:
        yield
        return

    def terminate(*_: object) -> None:
        raise _Terminated

    signal.signal(signal.SIGTERM, terminate)
    try:
        yield
    except _Terminated:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        signal.raise_signal(signal.SIGTERM)
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)


@lru_cache
def _compiler_identity() -> str:
    compiler = find_compiler()
    if compiler is None:
        raise NotCompiledError("there is no C++ compiler (c++, g++ or clang++) on the path")
    try:
        told = subprocess.run(
            [compiler, "--version"], capture_output=True, text=True, timeout=SECONDS, check=False
        )
    except (OSError, subprocess.SubprocessError) as error:
        raise NotCompiledError(f"{compiler} cannot be run: {error}") from error
    return f"{compiler}\n{told.stdout}"


def processor() -> str:
    """What ``THIS_PROCESSOR`` looks at, as far as the system tells."""
    about = [platform.system(), platform.machine(), platform.processor()]
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return "\n".join(about)
    kinds = ("model name", "flags", "Features", "CPU part")
    for kind in kinds:
        about += [line for line in lines if line.startswith(kind)][:1]
    return "\n".join(about)
