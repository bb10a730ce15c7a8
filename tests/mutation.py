"""Damages files at random, but the same way for the same seed."""

from __future__ import annotations

import json
import random
import re
import struct
from collections.abc import Callable
from typing import Any

NUMBERS = (
    *("NaN", "Infinity", "-Infinity", "1e999", "-1e999", "1e300", "1e39", "-1", "-0.0", "1e-320"),
    *(str(10**400), f"-{10**400}", "9" * 5000, str(2**63), str(2**31), "100000001", "0", "0.5"),
)
VALUES: tuple[Any, ...] = (
    *(None, True, False, "", [], {}, [[]], {"a": {}}, -1, 0, 1.5, 10**400, 2**63, -(2**63)),
    *(float("nan"), float("inf"), 1e300, "x" * 10_000, "\x1b[2J", "\udc80", "\0", "../../x", "1"),
    *([0] * 5000, {str(i): i for i in range(200)}, ["a", 1, None]),
)
BYTES = (b"\0", b"\x1b[31m", b"\xff", b"\n", b'"', b"{", b"[" * 3000, b"\\", b"=", b"\r\n", b"\xc3")

Mutation = Callable[[bytes, random.Random], bytes]


def mutate(content: bytes, source: random.Random, *kinds: Mutation) -> bytes:
    """``content`` with one to three damages, each of a kind drawn from ``kinds``."""
    for _ in range(source.choice((1, 1, 1, 2, 3))):
        content = source.choice(kinds)(content, source)
    return content


def bytewise(content: bytes, source: random.Random) -> bytes:
    """Bytes flipped, put in, taken out, doubled, or cut off."""
    if not content:
        return source.choice(BYTES)
    at, to = sorted(source.randrange(len(content) + 1) for _ in range(2))
    match source.randrange(6):
        case 0:
            at = min(at, len(content) - 1)
            return (
                content[:at] + bytes([content[at] ^ 1 << source.randrange(8)]) + content[at + 1 :]
            )
        case 1:
            return content[:at] + source.choice(BYTES) + content[at:]
        case 2:
            return content[:at] + content[min(to, at + 40) :]
        case 3:
            return content[:to] + content[at:to][:2000] + content[to:]
        case 4:
            return content[:at]
        case _:
            return content[:at] + source.randbytes(min(8, to - at)) + content[at + 8 :]


def numbers(content: bytes, source: random.Random) -> bytes:
    """A number, as text, becomes another."""
    found = list(re.finditer(rb"-?\d+(?:\.\d+)?(?:e[+-]?\d+)?|true|false|null", content))
    if not found:
        return bytewise(content, source)
    match = source.choice(found)
    return content[: match.start()] + source.choice(NUMBERS).encode() + content[match.end() :]


def shapes(content: bytes, source: random.Random) -> bytes:
    """A value of a JSON document, at any depth, becomes another, or is missing."""
    try:
        document = json.loads(content)
        _replace(document, source)
        return json.dumps(document).encode("utf-8", "surrogatepass")
    except (ValueError, RecursionError):
        return bytewise(content, source)


def lines(kind: Mutation) -> Mutation:
    """``kind``, of one line of many."""

    def mutation(content: bytes, source: random.Random) -> bytes:
        parts = content.split(b"\n")
        place = source.randrange(len(parts))
        parts[place] = kind(parts[place], source)
        return b"\n".join(parts)

    return mutation


def header(kind: Mutation) -> Mutation:
    """``kind``, of the header of a safetensors file, whose length is put right."""

    def mutation(content: bytes, source: random.Random) -> bytes:
        if len(content) < 8:
            return bytewise(content, source)
        length = int.from_bytes(content[:8], "little")
        new = kind(content[8 : 8 + length], source)
        return struct.pack("<Q", len(new)) + new + content[8 + length :]

    return mutation


def metadata(key: str) -> Mutation:
    """The JSON inside the JSON of a safetensors header."""

    def mutation(content: bytes, source: random.Random) -> bytes:
        try:
            document = json.loads(content)
            inner = document["__metadata__"][key].encode()
            new = source.choice((shapes, numbers, bytewise))(inner, source)
            document["__metadata__"][key] = new.decode(errors="replace")
            return json.dumps(document).encode()
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            return bytewise(content, source)

    return header(mutation)


def _replace(node: Any, source: random.Random) -> None:
    keys: list[Any] = list(node) if isinstance(node, dict) else []
    keys = list(range(len(node))) if isinstance(node, list) else keys
    if not keys:
        return
    key = source.choice(keys)
    if isinstance(node[key], dict | list) and node[key] and source.random() < 0.7:
        _replace(node[key], source)
    elif source.random() < 0.1:
        del node[key]
    else:
        node[key] = source.choice(VALUES)
