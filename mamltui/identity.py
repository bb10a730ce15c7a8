"""What is installed where a process runs: processes that work together must have it in common."""

from __future__ import annotations

import hashlib
import os
import platform
import socket
from functools import cache
from importlib.metadata import PackageNotFoundError
from importlib.metadata import version as installed_version
from pathlib import Path
from typing import NamedTuple

import mamltui

MISSING = "missing"
"""In place of the version of a package that is not installed."""


class Identity(NamedTuple):
    """Of a process: what it must have in common with the others, and where it is."""

    code: str
    """mamltui's version, and a hash of its files."""
    torch: str
    python: str
    host: str
    process: int

    @classmethod
    def here(cls) -> Identity:
        """Of this process; torch is not imported for it."""
        python = ".".join(platform.python_version_tuple()[:2])
        return cls(_code(), package_version("torch"), python, socket.gethostname(), os.getpid())

    def difference(self, other: Identity) -> str | None:
        """In words, what ``other`` has that this one has not; None: they go together."""
        for field, name in (("code", "mamltui"), ("torch", "torch"), ("python", "Python")):
            here, there = getattr(self, field), getattr(other, field)
            if here != there:
                return f"{name} {here} on {self.host}, but {there} on {other.host}"
        return None


def package_version(package: str) -> str:
    """What is installed of it here, or ``MISSING``; it is not imported for it."""
    try:
        return installed_version(package)
    except PackageNotFoundError:
        return MISSING


@cache
def _code() -> str:
    package = Path(mamltui.__file__).parent
    digest = hashlib.sha256()
    for path in sorted(package.rglob("*")):
        if path.suffix in (".py", ".cpp"):
            digest.update(path.relative_to(package).as_posix().encode())
            digest.update(path.read_bytes())
    return f"{mamltui.__version__} (files {digest.hexdigest()[:8]})"
