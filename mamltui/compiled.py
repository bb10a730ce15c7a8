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
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path

from mamltui.caching import cache_folder

THIS_PROCESSOR = "-mcpu=native" if platform.machine() in ("arm64", "aarch64") else "-march=native"
OPTIONS = ("-std=c++17", "-O3", THIS_PROCESSOR, "-fPIC", "-shared")
SECONDS = 300
"""No compiler works longer on one of our sources."""
POLL_SECONDS = 0.05

_lock = threading.Lock()
_loaded: dict[tuple[Path, str], ctypes.CDLL] = {}


class NotCompiledError(Exception):
    """There is no library; the text says why, in words for people."""


def find_compiler() -> str | None:
    """The C++ compiler: ``CXX``, or the first of the usual names on the path."""
    names = [os.environ.get("CXX") or "c++", "g++", "clang++"]
    return next((found for found in map(shutil.which, names) if found), None)


class CompilingStoppedError(Exception):
    """Compiling was asked to stop before its end, and did."""


def load_compiled(
    source: Path, scalar: str, should_stop: Callable[[], bool] | None = None
) -> ctypes.CDLL:
    """The library of ``source`` with ``SCALAR`` defined as ``scalar``; compiled if need be.

    It is kept under a hash of the source, the compiler and the processor's abilities, so a cache
    folder may be shared by machines. The first call in a machine's life takes some seconds.

    Raises:
        NotCompiledError: there is no compiler, it refuses, or the cache folder cannot be written.
        CompilingStoppedError: ``should_stop``, asked again and again while compiling, said so.
    """
    with _lock:
        known = _loaded.get((source, scalar))
        if known is None:
            path = _kept(source, scalar) or _compile(source, scalar, should_stop)
            known = _loaded[source, scalar] = _load(path)
        return known


def must_compile(source: Path, scalar: str) -> bool:
    """Whether :func:`load_compiled` would call the compiler, which takes some seconds."""
    try:
        return _kept(source, scalar) is None
    except NotCompiledError:
        return False  # there is none to call


def _kept(source: Path, scalar: str) -> Path | None:
    """The library, if it is there and whole: loading half of one kills the process."""
    folder, stem = cache_folder() / "compiled", _stem(source, scalar)
    try:
        found = [path for path in folder.iterdir() if path.name.startswith(f"{stem}.")]
        return next((path for path in found if path.name == _name(stem, path.read_bytes())), None)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise NotCompiledError(f"the cache folder cannot be read: {error}") from error


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
    kept, stem = cache_folder() / "compiled", _stem(source, scalar)
    try:
        kept.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=kept) as folder:
            made = Path(folder) / "made.so"
            command = [compiler, *OPTIONS, f"-DSCALAR={scalar}", "-o", str(made), str(source)]
            said = Path(folder) / "said"
            with said.open("wb") as errors, subprocess.Popen(command, stderr=errors) as process:
                _wait(process, should_stop)
            if process.returncode:
                lines = said.read_text(errors="replace").strip().splitlines()
                raise NotCompiledError(f"{compiler} failed: {lines[0] if lines else 'no word'}")
            return made.replace(kept / _name(stem, made.read_bytes()))
    except (OSError, subprocess.SubprocessError) as error:
        raise NotCompiledError(f"{source.name} could not be compiled: {error}") from error


def _wait(process: subprocess.Popen[bytes], should_stop: Callable[[], bool] | None) -> None:
    end = time.monotonic() + SECONDS
    while process.poll() is None:
        if should_stop is not None and should_stop():
            process.kill()
            raise CompilingStoppedError
        if time.monotonic() > end:
            process.kill()
            raise NotCompiledError(f"the compiler was not done after {SECONDS} s")
        time.sleep(POLL_SECONDS)


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
