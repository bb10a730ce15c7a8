"""What was probably meant by a line that is not TOML, or by a value that is not allowed.

The slips are those of people who come from Python, YAML, spreadsheets or Windows.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from mamltui.text import shortened

TRUE = frozenset({"true", "yes", "on", "1"})
FALSE = frozenset({"false", "no", "off", "0"})
NOTHING = frozenset({"none", "null", "nil", "undefined", "na", "n/a"})

_QUOTES = dict.fromkeys(map(ord, "“”„‟«»＂‘’‚‛＇`´"), '"')
_OTHERS = {ord("−"): "-", ord("–"): "-", ord("—"): "-", ord("＝"): "=", ord("，"): ","}
_SPACES = re.compile(r"[^\S \t\n]|[\u200b-\u200d\u2060\ufeff]")
_SUFFIXES = {"k": 10**3, "m": 10**6}
_ESCAPES = {"\b": r"\b", "\t": r"\t", "\n": r"\n", "\f": r"\f", "\r": r"\r", "\x1b": r"\e"}
_KEY = r"[A-Za-z0-9_.\-\"' \t]+?"
_HEADER = re.compile(r"\s*\[+\s*([^\]#]*?)\s*(?:\]|$)")
_ASSIGNMENT = re.compile(rf"\s*({_KEY})\s*=")


class Repeated(NamedTuple):
    """A section or key that a document has twice."""

    what: str
    hint: str


def slip_of(text: str, line: int) -> str | None:
    """What to write instead of a line that TOML does not know.

    Args:
        text: the document.
        line: from 1.
    """
    lines = text.splitlines()
    typed = lines[line - 1].strip() if 0 < line <= len(lines) else ""
    meant = typed.translate(_QUOTES | _OTHERS)
    if typed.startswith(("//", ";", "--", "/*")):
        return "a comment begins with #"
    if typed.startswith("{"):
        return 'this looks like JSON: write [section] and, below it, key = "value"'
    if typed.startswith("["):
        name = typed.strip("[]").split("]")[0].strip()
        return _write(f"[{name}]") if re.fullmatch(r"[\w.-]+", name) else None
    if typed.translate(_QUOTES) != typed and not re.search(r"[\"']", typed):
        return f"quotation marks are straight ones: {_write(meant)}"
    if space := _SPACES.search(typed):
        return f"U+{ord(space[0]):04X} in it only looks like a space, or like nothing: type it anew"
    pair = re.fullmatch(rf"({_KEY})\s*(=+|:=|:|\s)\s*(.*)", meant)
    if pair is None:
        return None
    key, sign, value = pair[1].strip(), pair[2], pair[3].lstrip("= ").rstrip()
    plain = _value_meant(value)
    bare = value.split("#")[0].strip().lower()
    if not bare or bare in NOTHING:
        return f"leave {shortened(key)} out for its default; TOML has no empty value"
    if sign != "=" or value != pair[3].strip():
        return f"between key and value stands one equals sign: {_write(f'{key} = {plain}')}"
    if plain == value and meant == typed:
        return None
    if "\\" in value and value.startswith('"'):
        return f"in double quotes a backslash begins an escape; {_write(f'{key} = {plain}')}"
    written = _write(f"{key} = {plain}")
    if plain[0] in "\"'" and value[0] not in "\"'":
        return f"a text stands between quotation marks: {written}"
    return written


def repeated(text: str, line: int) -> Repeated | None:
    """Which section or key in ``line`` has been there before; None where that is not plain."""
    named: dict[str, int] = {}
    section = ""
    for number, content in enumerate(text.splitlines()[:line], 1):
        header, pair = _HEADER.match(content), _ASSIGNMENT.match(content)
        if header:
            section = name = _plain_key(header[1])
        elif pair:
            name = ".".join(filter(None, (section, _plain_key(pair[1]))))
        else:
            continue
        if number == line:
            before = next((at for key, at in named.items() if f"{key}.".startswith(f"{name}.")), 0)
            if not before:
                return None
            shown = shortened(name)
            if header:
                return Repeated(
                    f"the section [{shown}] is there twice, first in line {before:,}",
                    f"put its keys together under one [{shown}]",
                )
            return Repeated(
                f"the key {shown} is there twice, first in line {before:,}",
                "take one of them out",
            )
        named.setdefault(name, number)
    return None


def number_meant(text: str) -> str | None:
    """The number that a text stands for as TOML writes it, such as ``0.4`` for ``.4``."""
    text = text.strip().translate(_OTHERS).lower()
    if len(text) > 40:
        return None
    if re.fullmatch(r"[+-]?\d{1,3}(?:[ ,'_\u00a0\u202f]\d{3})+", text) and not re.match(
        r"[+-]?0", text
    ):
        return str(int(re.sub(r"[^\d+-]", "", text)))
    if re.fullmatch(r"[+-]?\d+", text):
        return str(int(text))
    text = re.sub(r"^([+-]?\d+),(\d+)$", r"\1.\2", text)
    if match := re.fullmatch(r"([+-]?)(\d*)\.?(\d*)(e[+-]?\d{1,3})?", text):
        sign, whole, fraction, exponent = match.groups(default="")
        if not (whole or fraction):
            return None
        point = f".{fraction or '0'}" if "." in text else ""
        return f"{sign.removeprefix('+')}{int(whole or '0')}{point}{exponent}"
    if match := re.fullmatch(r"([+-]?[\d.]+)\s*%", text):
        return _calculated(match[1], "/", "100")
    if match := re.fullmatch(r"([+-]?[\d.]+)\s*([km])", text):
        return _calculated(match[1], "*", str(_SUFFIXES[match[2]]))
    if match := re.fullmatch(r"([+-]?[\d.]+)\s*(\*\*|\^|\*|/)\s*([+-]?[\d.]+)", text):
        return _calculated(*match.groups())
    return None


def boolean_meant(value: object) -> str | None:
    """``true`` or ``false``, if ``value`` is another word for it."""
    word = str(value).strip().lower() if isinstance(value, str | int) else ""
    return "true" if word in TRUE else "false" if word in FALSE else None


def backslashes_meant(value: str) -> str | None:
    """A path as it was typed in double quotes, where its backslashes began escapes."""
    typed = "".join(_ESCAPES.get(char, char) for char in value)
    return typed if typed != value and typed.isprintable() and "'" not in typed else None


def _value_meant(value: str) -> str:
    """A value that TOML can read, or ``value`` itself."""
    inside = re.fullmatch(r"([\"'])(.*)\1\s*;?", value)
    if inside:
        return _quoted(inside[2])
    if value[:1] in ('"', "'"):
        # Not closed; or closed, and something follows.
        end = value.find(value[0], 1)
        return _quoted(value[1:] if end < 0 else value[1:end])
    if value[:1] in ("[", "{"):
        return value
    bare = re.split(r"\s*(?:#|//|;)", value, maxsplit=1)[0]
    for candidate in (bare, value):
        meant = number_meant(candidate) or (
            candidate.lower() if candidate.lower() in ("true", "false") else None
        )
        if meant:
            return meant
    unit = re.fullmatch(r"([+-]?[\d.]+)\s*[A-Za-zµ°]+", bare)
    if unit and (meant := number_meant(unit[1])):
        return meant
    return boolean_meant(bare) or (_quoted(value) if bare else value)


def _quoted(text: str) -> str:
    text = text.strip()
    if "\\" in text and "'" not in text:
        return f"'{text}'"
    return '"' + text.replace("\\", "/").replace('"', "'") + '"'


def _calculated(left: str, sign: str, right: str) -> str | None:
    try:
        a, b = float(left), float(right)
        value = a / b if sign == "/" else a * b if sign == "*" else a**b
    except (ValueError, ArithmeticError):
        return None
    if isinstance(value, complex) or not abs(value) < 1e15:
        return None
    whole = value.is_integer() and sign != "/"
    return str(int(value)) if whole else f"{value:.6g}"


def _plain_key(text: str) -> str:
    return re.sub(r"[\s\"']", "", text)


def _write(text: str) -> str:
    return f"write {shortened(text, 120)}"
