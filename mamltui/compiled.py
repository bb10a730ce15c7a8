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
from functools import lru_cache
from pathlib import Path

from mamltui.caching import cache_folder

OPTIONS = ("-std=c++17", "-O3", "-march=native", "-fPIC", "-shared")
SECONDS = 300
"""No compiler works longer on one of our sources."""

_lock = threading.Lock()


class NotCompiledError(Exception):
    """There is no library; the text says why, in words for people."""


def find_compiler() -> str | None:
    """The C++ compiler: ``CXX``, or the first of the usual names on the path."""
    names = [os.environ.get("CXX") or "c++", "g++", "clang++"]
    return next((found for found in map(shutil.which, names) if found), None)


def load_compiled(source: Path, scalar: str) -> ctypes.CDLL:
    """The library of ``source`` with ``SCALAR`` defined as ``scalar``; compiled if need be.

    It is kept under a hash of the source, the compiler and the processor's abilities, so a cache
    folder may be shared by machines. The first call in a machine's life takes some seconds.

    Raises:
        NotCompiledError: there is no compiler, it refuses, or the cache folder cannot be written.
    """
    with _lock:
        return _load(source, scalar)


def is_compiled(source: Path, scalar: str) -> bool:
    """Whether :func:`load_compiled` would be quick."""
    try:
        return _place(source, scalar).exists()
    except NotCompiledError:
        return False


@lru_cache
def _load(source: Path, scalar: str) -> ctypes.CDLL:
    path = _place(source, scalar)
    if not path.exists():
        _compile(source, scalar, path)
    try:
        return ctypes.CDLL(str(path))
    except OSError as error:
        path.unlink(missing_ok=True)  # perhaps torn; the next start makes it anew
        raise NotCompiledError(f"the compiled library cannot be loaded: {error}") from error


def _place(source: Path, scalar: str) -> Path:
    identity = [source.read_text(), scalar, *OPTIONS, _compiler_identity(), processor()]
    digest = hashlib.sha256("\0".join(identity).encode()).hexdigest()[:20]
    return cache_folder() / "compiled" / f"{source.stem}-{scalar}-{digest}.so"


def _compile(source: Path, scalar: str, path: Path) -> None:
    compiler = find_compiler()
    assert compiler is not None  # its identity is known already
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=path.parent) as folder:
            made = Path(folder) / path.name
            command = [compiler, *OPTIONS, f"-DSCALAR={scalar}", "-o", str(made), str(source)]
            done = subprocess.run(
                command, capture_output=True, text=True, timeout=SECONDS, check=False
            )
            if done.returncode:
                first = next(iter(done.stderr.strip().splitlines()), "no reason given")
                raise NotCompiledError(f"{compiler} failed: {first}")
            made.replace(path)
    except (OSError, subprocess.SubprocessError) as error:
        raise NotCompiledError(f"{source.name} could not be compiled: {error}") from error


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
    """What ``-march=native`` looks at, as far as the system tells."""
    about = [platform.system(), platform.machine(), platform.processor()]
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return "\n".join(about)
    kinds = ("model name", "flags", "Features", "CPU part")
    for kind in kinds:
        about += [line for line in lines if line.startswith(kind)][:1]
    return "\n".join(about)
