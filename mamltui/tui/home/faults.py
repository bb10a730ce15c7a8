"""What is wrong with a profile, by line and key: for lists and for the editor."""

from __future__ import annotations

import re
from dataclasses import dataclass

from mamltui.errors import MamltuiError
from mamltui.profiles import InvalidProfileError

_PLACE = re.compile(r"^(?::(?P<line>\d+))?(?::(?P<column>\d+))?(?:: (?P<key>.*))?$", re.DOTALL)


@dataclass(frozen=True)
class Fault:
    """One thing wrong with the text of a profile."""

    line: int | None
    """From 1; None: of no line, such as a key that is left out."""
    column: int | None
    """From 1, where the text is not TOML."""
    key: str
    """Such as ``inner.steps``; empty where the text is not TOML."""
    what: str
    hint: str

    @property
    def where(self) -> str:
        """The line and the key, as far as there are."""
        line = "" if self.line is None else f"line {self.line:,}"
        return "  ".join(part for part in (line, self.key) if part)

    @property
    def text(self) -> str:
        """What is wrong, and what to do."""
        return f"{self.what} ({self.hint})" if self.hint else self.what

    def __str__(self) -> str:
        return f"{self.where}: {self.text}" if self.where else self.text


def faults_of(error: MamltuiError, source: str) -> list[Fault]:
    """All that an error says of a profile.

    Args:
        source: the file as the error names it.
    """
    if not isinstance(error, InvalidProfileError):
        return [_fault(error.where, error.what, error.hint, source)]
    faults = [_fault(item.where, item.what, item.hint, source) for item in error.problems]
    if error.unlisted:
        faults.append(Fault(None, None, "", f"and {error.unlisted:,} more", ""))
    return faults


def _fault(where: str | None, what: str, hint: str | None, source: str) -> Fault:
    match = _PLACE.match((where or "").removeprefix(source))
    line, column, key = match.group("line", "column", "key") if match else (None, None, None)
    return Fault(
        line=int(line) if line else None,
        column=int(column) if column else None,
        key=key or "",
        what=what,
        hint=hint or "",
    )
